// The parts of the agent that need no socket: who may log in how often, and how an update that is pushed goes on.
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { UpdateFailed } from '@pkg/update/updater-client'
import { UpdateRefused } from '@pkg/update/refused'
import type { ReleaseDocuments } from '@pkg/update/release'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { Bell } from '../src/agent/bell.ts'
import { Challenges } from '../src/agent/challenges.ts'
import { ownIdentity } from '../src/agent/identity.ts'
import { PushSource } from '../src/agent/push-source.ts'
import { RateLimit } from '../src/agent/rate-limit.ts'
import { Sessions } from '../src/agent/sessions.ts'
import { UpdateBusy, UpdateStopped, type Updater, Updates } from '../src/agent/updates.ts'

const folder = mkdtempSync(join(tmpdir(), 'solo-agent-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** A clock that is set by hand. */
function clock(): { now: number; nowMs: () => number } {
  const it = { now: 1000, nowMs: () => it.now }
  return it
}

describe('RateLimit', () => {
  const options = { burst: 3, everyMs: 1000, addressesMax: 4 }

  test('lets an address try a few times at once, and then once in a while', () => {
    const time = clock()
    const limit = new RateLimit({ ...options, nowMs: time.nowMs })
    const tries = (): number[] => Array.from({ length: 4 }, () => limit.take('10.0.0.1'))
    expect(tries()).toEqual([0, 0, 0, 1000])
    time.now += 400
    expect(limit.take('10.0.0.1')).toBe(600)
    time.now += 600
    expect([limit.take('10.0.0.1'), limit.take('10.0.0.1')]).toEqual([0, 1000])
    expect(limit.take('10.0.0.2')).toBe(0)
    time.now += 10_000
    expect(tries()).toEqual([0, 0, 0, 1000])
  })

  test('does not count what is given back', () => {
    const limit = new RateLimit({ ...options, nowMs: clock().nowMs })
    for (let index = 0; index < 20; index++) {
      expect(limit.take('a')).toBe(0)
      limit.giveBack('a')
    }
  })

  test('takes the addresses of one network of IPv6 for one, and an IPv4 address in either form', () => {
    const limit = new RateLimit({ ...options, burst: 1, nowMs: clock().nowMs })
    expect([limit.take('2001:db8:1:2::1'), limit.take('2001:db8:1:2:a:b:c:d')]).toEqual([0, 1000])
    expect([limit.take('2001:db8:1:3::1'), limit.take('::ffff:10.0.0.1'), limit.take('10.0.0.1')]).toEqual([
      0, 0, 1000,
    ])
  })

  test('remembers no more addresses than it may', () => {
    const limit = new RateLimit({ ...options, burst: 1, nowMs: clock().nowMs })
    expect(limit.take('0.0.0.0')).toBe(0)
    for (let index = 1; index <= 4; index++) limit.take(`0.0.0.${index}`)
    expect(limit.take('0.0.0.4')).toBe(1000)
    expect(limit.take('0.0.0.0')).toBe(0)
  })
})

describe('Challenges', () => {
  test('takes each of its own once, within a minute', () => {
    const time = clock()
    const challenges = new Challenges(time.nowMs)
    const [first, second] = [challenges.issue(), challenges.issue()]
    expect(first).not.toBe(second)
    expect([challenges.take(first), challenges.take(first)]).toEqual([true, false])
    time.now += 60_001
    expect(challenges.take(second)).toBe(false)
  })

  test('takes none that another gave, that was changed, or that is written in another way', () => {
    const challenges = new Challenges(clock().nowMs)
    expect(challenges.take(new Challenges(clock().nowMs).issue())).toBe(false)
    fc.assert(
      fc.property(fc.nat(), fc.string({ minLength: 1, maxLength: 1 }), (at, letter) => {
        const challenge = challenges.issue()
        const place = at % challenge.length
        const changed = `${challenge.slice(0, place)}${letter}${challenge.slice(place + 1)}`
        expect(challenges.take(changed)).toBe(changed === challenge)
      }),
    )
    for (const odd of ['', 'AAAA', `${challenges.issue()}=`, ` ${challenges.issue()}`]) {
      expect(challenges.take(odd)).toBe(false)
    }
  })
})

describe('Sessions', () => {
  const who = { key: 'SHA256:x', role: 'admin' as const, address: '10.0.0.1' }

  test('end when they are not used, after an hour, and when they are closed', () => {
    const time = clock()
    const sessions = new Sessions(time.nowMs)
    const [idle, used, closed] = [sessions.open(who), sessions.open(who), sessions.open(who)]
    sessions.close(closed)
    expect(sessions.find(closed, who.address)).toBeUndefined()
    for (let minutes = 0; minutes < 60; minutes += 9) {
      expect(sessions.find(used, who.address)).toMatchObject(who)
      time.now += 9 * 60_000
    }
    expect(sessions.find(idle, who.address)).toBeUndefined()
    expect(sessions.find(used, who.address)).toBeUndefined()
  })

  test('are for the address that they were given to', () => {
    const sessions = new Sessions(clock().nowMs)
    const token = sessions.open(who)
    expect(sessions.find(token, '10.0.0.2')).toBeUndefined()
    expect(sessions.find(token, who.address)).toMatchObject(who)
  })

  test('are so many at a time: the oldest gives way', () => {
    const sessions = new Sessions(clock().nowMs)
    const tokens = Array.from({ length: 65 }, () => sessions.open(who))
    expect(sessions.find(tokens[0] ?? '', who.address)).toBeUndefined()
    expect(sessions.find(tokens[1] ?? '', who.address)).toMatchObject(who)
  })
})

describe('ownIdentity()', () => {
  test('makes one that only its owner can read, keeps it, and replaces one that is damaged', async () => {
    const lines: string[] = []
    const identity = (): ReturnType<typeof ownIdentity> =>
      ownIdentity(folder, 'kiosk', (line) => lines.push(line))
    const first = await identity()
    const file = join(folder, 'identity.pem')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(await identity()).toEqual(first)
    expect(lines).toEqual(['a key and a certificate were made'])
    writeFileSync(file, readFileSync(file, 'utf8').slice(0, 300))
    const second = await identity()
    expect(second.fingerprint).not.toBe(first.fingerprint)
    expect(lines[1]).toMatch(/identity\.pem cannot be used .*clients have to trust it anew/)
    // The key of one with the certificate of another.
    writeFileSync(file, `${first.privateKey}${second.certificate}`)
    expect((await identity()).fingerprint).not.toBe(second.fingerprint)
  })
})

const documents: ReleaseDocuments = { manifest: '{}', signatures: [], trust: [] }
const installed = { type: 'installed', slot: 'solo-b', version: '2', counter: 2, fetchedBytes: 6 } as const

async function bytesOf(
  source: Parameters<Updater['install']>[1],
  offset: number,
  signal: AbortSignal,
): Promise<number[]> {
  const chunks = await Array.fromAsync(source.open('sha256:a', offset, 3, signal))
  return [...Buffer.concat(chunks)]
}

/** Updates by an updater that installs so. */
function updatesBy(install: Updater['install']): Updates {
  return new Updates({
    install,
    installFromStick: () => Promise.reject(new UpdateRefused('stick', 'no medium')),
  })
}

describe('Updates', () => {
  test('ask the client for what the updater reads, in whatever order it answers', async () => {
    const read: number[][] = []
    const updates = updatesBy(async (_documents, source, { signal, onProgress }) => {
      onProgress({ phase: 'fetch', doneBytes: 1, totalBytes: 2, fetchedBytes: 0 })
      read.push(...(await Promise.all([bytesOf(source, 0, signal), bytesOf(source, 3, signal)])))
      return installed
    })
    expect(updates.push(documents)).toMatchObject({ id: 1, state: 'running' })
    const { wants, update } = await updates.wants(0)
    expect(update).toMatchObject({ phase: 'fetch', totalBytes: 2 })
    expect(wants).toEqual([
      { id: 1, digest: 'sha256:a', offset: 0, length: 3 },
      { id: 2, digest: 'sha256:a', offset: 3, length: 3 },
    ])
    // A client that was away asks for all that is open again.
    expect((await updates.wants(0)).wants).toHaveLength(2)
    expect(updates.answer(1, 2, Uint8Array.of(4, 5))).toBe(false)
    expect(updates.answer(1, 2, Uint8Array.of(4, 5, 6))).toBe(true)
    expect(updates.answer(1, 2, Uint8Array.of(4, 5, 6))).toBe(false)
    expect(updates.answer(1, 1, Uint8Array.of(1, 2, 3))).toBe(true)
    const end = await updates.wants(2)
    expect(end).toMatchObject({ wants: [], update: { state: 'installed', slot: 'solo-b', fetchedBytes: 6 } })
    expect(read).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ])
  })

  test('are one at a time; the next may begin when one has ended', async () => {
    const updates = updatesBy(async (_documents, source, { signal }) => {
      await bytesOf(source, 0, signal)
      return installed
    })
    updates.push(documents)
    expect(() => updates.push(documents)).toThrow(UpdateBusy)
    updates.cancel('the client stopped it')
    await expect
      .poll(() => updates.wants(0))
      .toMatchObject({
        update: { state: 'failed', failure: { code: 'failed', message: 'the client stopped it' } },
      })
    expect(updates.push(documents).id).toBe(2)
    updates.cancel('enough')
  })

  test('take no answer to a want of the update before', async () => {
    const read: number[][] = []
    const updates = updatesBy(async (_documents, source, { signal }) => {
      read.push(await bytesOf(source, 0, signal))
      return installed
    })
    updates.push(documents)
    expect(updates.wantLength(1, 1)).toBe(3)
    updates.cancel('the client stopped it')
    await expect.poll(() => updates.state?.state).toBe('failed')
    expect(updates.push(documents).id).toBe(2)
    await updates.wants(0)
    expect(updates.wantLength(1, 1)).toBeUndefined()
    expect(updates.answer(1, 1, Uint8Array.of(6, 6, 6))).toBe(false)
    expect(updates.answer(2, 1, Uint8Array.of(1, 2, 3))).toBe(true)
    await expect.poll(() => updates.state?.state).toBe('installed')
    expect(read).toEqual([[1, 2, 3]])
  })

  test('are stopped by a client also when they come by a channel, and by who follows it', async () => {
    const updates = updatesBy(async (_documents, source, { signal }) => {
      await bytesOf(source, 0, signal)
      return installed
    })
    const follower = new AbortController()
    const begin = (): Promise<unknown> => updates.channel(documents, new PushSource(), follower.signal)
    const first = begin()
    updates.cancel('the client stopped it')
    await expect(first).rejects.toBeInstanceOf(UpdateStopped)
    expect(updates.state).toMatchObject({
      ...{ origin: 'channel', state: 'failed' },
      failure: { code: 'failed', message: 'the client stopped it' },
    })
    const second = begin()
    follower.abort(new Error('the agent ends'))
    await expect(second).rejects.toThrow('the agent ends')
    expect(updates.push(documents).id).toBe(3)
    updates.cancel('enough')
  })

  test('tell the check that a release did not pass from other failures', async () => {
    const failures: Error[] = [new UpdateRefused('board', 'for another board'), new UpdateFailed('no room')]
    const codes = []
    for (const failure of failures) {
      const updates = updatesBy(() => Promise.reject(failure))
      updates.push(documents)
      const { update } = await updates.wants(0)
      codes.push([update.state, update.failure])
    }
    expect(codes).toEqual([
      ['refused', { code: 'board', message: 'for another board' }],
      ['failed', { code: 'failed', message: 'no room' }],
    ])
  })

  test('come from a stick as well, or say that there is none', async () => {
    const updates = updatesBy(() => Promise.resolve(installed))
    expect(updates.stick()).toMatchObject({ origin: 'stick', state: 'running' })
    await expect.poll(() => updates.state).toMatchObject({ state: 'refused', failure: { code: 'stick' } })
  })

  test('tell listeners of each change until they no longer listen', async () => {
    const updates = updatesBy(() => Promise.resolve(installed))
    const states: (string | undefined)[] = []
    const stop = updates.onChange(() => states.push(updates.state?.state))
    updates.push(documents)
    await updates.wants(0)
    stop()
    updates.push(documents)
    expect(states).toEqual(['running', 'installed'])
  })
})

test('PushSource gives up a want whose reader has gone', async () => {
  const source = new PushSource()
  const stop = new AbortController()
  const reading = Array.fromAsync(source.open('sha256:a', 0, 3, stop.signal))
  expect(source.wants(0)).toHaveLength(1)
  stop.abort(new Error('gone'))
  await expect(reading).rejects.toThrow('gone')
  expect([source.wants(0), source.answer(1, new Uint8Array(3))]).toEqual([[], false])
})

test('Bell tells of many rings once, and of a failure after that', async () => {
  const bell = new Bell()
  const stop = new AbortController()
  const turns = bell.turns(0, stop.signal)
  bell.ring()
  bell.ring()
  expect(await turns.next()).toMatchObject({ done: false })
  const next = turns.next()
  bell.ring()
  expect(await next).toMatchObject({ done: false })
  bell.fail(new Error('PID 1 is gone'))
  await expect(turns.next()).rejects.toThrow('PID 1 is gone')
  const last = new Bell().turns(0, stop.signal).next()
  stop.abort()
  expect(await last).toMatchObject({ done: true })
})
