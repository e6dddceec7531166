import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SntpError, type Measurement } from '@pkg/net/sntp'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { makeClock, type ClockHands } from '../src/clock/clock.ts'
import { synchronise } from '../src/clock/synchronise.ts'

const built = Date.UTC(2026, 10, 30)
const day = 24 * 3600 * 1000

/** A clock that is set and steered in memory. */
function handsAt(timeMs: number): ClockHands & { timeMs: number; slewedMs: number } {
  return {
    timeMs,
    slewedMs: 0,
    now() {
      return this.timeMs
    },
    set(to) {
      this.timeMs = to
    },
    slew(offsetMs) {
      this.slewedMs += offsetMs
    },
  }
}

let folder = ''
let file = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'solo-clock-'))
  file = join(folder, 'clock')
})
afterEach(() => {
  vi.useRealTimers()
  rmSync(folder, { recursive: true })
})

test('makeClock() is never earlier than the build, and leaves a clock alone that is later', () => {
  const hands = handsAt(0)
  const clock = makeClock(built, hands)
  expect(clock.floor()).toBe('set forward to 2026-11-30T00:00:00.000Z')
  expect(hands.timeMs).toBe(built)
  expect(clock.source).toBe('build')
  const right = handsAt(built + day)
  const other = makeClock(built, right)
  other.floor()
  expect(right.timeMs).toBe(built + day)
  expect(other.source).toBe('machine')
})

test('makeClock() goes on from the time that was saved, and not from what cannot be', () => {
  const hands = handsAt(0)
  const clock = makeClock(built, hands)
  clock.floor()
  hands.timeMs = built + 5 * day
  clock.save(file)
  expect(readFileSync(file, 'utf8')).toBe(`${built + 5 * day}\n`)

  const next = handsAt(0)
  const second = makeClock(built, next)
  second.floor()
  expect(second.restore(file)).toMatch(/^set forward to 2026-12-05/)
  expect([next.timeMs, second.source]).toEqual([built + 5 * day, 'saved'])

  for (const text of ['', 'soon', `${built - day}`, '-5', '99999999999999']) {
    writeFileSync(file, text)
    expect(makeClock(built, handsAt(built)).restore(file)).toBe('nothing of use saved')
  }
  expect(makeClock(built, handsAt(built)).restore(join(folder, 'no'))).toBe('none saved')
})

test('makeClock() saves no time of a clock that nobody vouches for', () => {
  const clock = makeClock(built, handsAt(built + 80 * 365 * day))
  clock.floor()
  clock.save(file)
  expect(existsSync(file)).toBe(false)
})

test('makeClock() steers small offsets, sets by large ones, in both directions, and saves what it was set to', () => {
  const hands = handsAt(built + day)
  const clock = makeClock(built, hands)
  expect(clock.correct(399)).toBe(false)
  expect(hands.slewedMs).toBe(399)
  expect(clock.correct(-day / 2)).toBe(true)
  expect(hands.timeMs).toBe(built + day / 2)
  expect(clock.source).toBe('sntp')
  clock.save(file)
  expect(Number(readFileSync(file, 'utf8'))).toBe(built + day / 2)
})

/** A measurement of one server. */
function measured(offsetMs: number, failures: Error[] = []): Measurement {
  const best = { server: '192.0.2.1', offsetMs, delayMs: 1, stratum: 2 }
  return { best, samples: [best], failures }
}

function setUp(answers: (() => Measurement)[]) {
  vi.useFakeTimers()
  const asked: (readonly string[])[] = []
  const lines: string[] = []
  const hands = handsAt(built)
  const onCorrected = vi.fn<() => void>()
  let servers: readonly string[] = ['192.0.2.1', 'pool.example']
  const running = synchronise({
    clock: makeClock(built, hands),
    servers: () => servers,
    onCorrected,
    log: (priority, text) => void lines.push(`${priority}: ${text}`),
    measure: async (addresses) => {
      asked.push(addresses)
      return await Promise.try(
        answers.length > 1 ? (answers.shift() ?? measured0) : (answers[0] ?? measured0),
      )
    },
    resolve: (name) => Promise.resolve(name === 'pool.example' ? ['::1', '::2', '::3', '::4'] : [name]),
  })
  return {
    running,
    asked,
    lines,
    hands,
    onCorrected,
    use: (names: readonly string[]) => void (servers = names),
  }
}
const measured0 = (): Measurement => measured(0)
const fail = (): Measurement => {
  throw new Error('no answer')
}

test('synchronise() asks at most four servers, sets the clock, and asks seldom from then on', async () => {
  const { asked, lines, hands, onCorrected, running } = setUp([() => measured(5000), measured0])
  await vi.advanceTimersByTimeAsync(0)
  expect(asked).toEqual([['192.0.2.1', '::1', '::2', '::3']])
  expect(lines).toEqual(['notice: clock: set by 5000.0 ms, by 192.0.2.1'])
  expect(hands.timeMs).toBe(built + 5000)
  expect(onCorrected).toHaveBeenCalledOnce()
  await vi.advanceTimersByTimeAsync(3_600_000)
  expect(asked.length).toBeGreaterThan(2)
  expect(asked.length).toBeLessThan(10)
  running[Symbol.dispose]()
  await vi.advanceTimersByTimeAsync(3_600_000)
  expect(asked.length).toBeLessThan(10)
})

test('synchronise() tries again soon after a failure, then ever more seldom, and complains once', async () => {
  const { asked, lines } = setUp([fail])
  await vi.advanceTimersByTimeAsync(10_000)
  expect(asked.length).toBeGreaterThanOrEqual(2)
  await vi.advanceTimersByTimeAsync(3_600_000)
  expect(asked.length).toBeLessThan(20)
  expect(lines.filter((line) => line.startsWith('warning'))).toEqual(['warning: clock: no answer'])
})

test('synchronise() never again asks a server that has said DENY, whether others answer or not', async () => {
  const denied = (): never => {
    throw new AggregateError([new SntpError('192.0.2.1', 'no', 'DENY')], 'no')
  }
  const { asked } = setUp([denied, () => measured(0, [new SntpError('::1', 'no', 'RSTR')]), measured0])
  await vi.advanceTimersByTimeAsync(3_600_000)
  expect(asked[1]).toEqual(['::1', '::2', '::3', '::4'])
  expect(asked[2]).toEqual(['::2', '::3', '::4'])
})

test('synchronise() asks at once when there are other servers', async () => {
  const { asked, running, use } = setUp([measured0])
  await vi.advanceTimersByTimeAsync(1)
  use(['10.0.0.1'])
  running.serversChanged()
  await vi.advanceTimersByTimeAsync(1)
  expect(asked.at(-1)).toEqual(['10.0.0.1'])
})
