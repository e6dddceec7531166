// The agent follows a channel: what it does when the restart that an installation needs is refused, when nothing can be
// kept, and about what was given up before.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { MachineStatus } from '@pkg/init/control'
import type { SlotState } from '@pkg/update/updater-protocol'
import { afterAll, describe, expect, test } from 'vitest'
import { lastRollback as rollbackOf } from '../../init/src/trial/rollback.ts'
import { PublishedChannel } from '../../update/test/support/published-channel.ts'
import { Signer } from '../../update/test/support/signer.ts'
import { Channel, type ChannelContext } from '../src/agent/channel.ts'
import { ControlRefused } from '../src/agent/control-client.ts'
import type { ChannelSettings } from '../src/agent/settings.ts'
import { Updates } from '../src/agent/updates.ts'
import { testFolder } from './support/folder.ts'
import { releaseOf } from './support/updating-agent.ts'

const folder = testFolder()
afterAll(() => folder[Symbol.dispose]())

const signer = new Signer()
const sample = await releaseOf(2)
const source = new PublishedChannel({ sample, signer, atMs: Date.now() })
source.publish()

const role = { threshold: 1, keys: [signer.line] }
const files = { trust: 'trust.json', keptTrust: 'kept.json', machineId: 'machine-id' }
for (const key of Object.keys(files) as (keyof typeof files)[]) files[key] = join(folder.path, files[key])
writeFileSync(files.machineId, 'c0ffee\n')
const trust = { version: 1, appliance: 'sample', roles: { release: role, channel: role } }
writeFileSync(files.trust, JSON.stringify(trust))

const settings: ChannelSettings = {
  ...{ name: 'stable', from: { url: 'http://nowhere.example/' }, window: null, restart: true },
  // A tenth of a second.
  pollMinutes: 1 / 600,
}

/** An empty folder for what is kept. */
function emptyFolder(name: string): string {
  const path = join(folder.path, name)
  rmSync(path, { recursive: true, force: true })
  mkdirSync(path)
  return path
}

interface Story {
  /** What `restart` does, the first time and so on; undefined for a restart that comes. */
  readonly refusals?: readonly (string | undefined)[]
  /** How the other slot is at first, beside being that of the release. */
  readonly other?: Partial<SlotState>
  readonly lastRollback?: MachineStatus['boot']['lastRollback']
  readonly changes?: Partial<ChannelSettings>
  /** What else PID 1 says. */
  readonly boot?: Partial<MachineStatus['boot']>
  readonly uptimeMs?: number
  readonly context?: Partial<ChannelContext>
  /** What an installation comes to, the first time and so on; undefined for one that is done. */
  readonly failures?: readonly (string | undefined)[]
  /** Done when something is installed. */
  readonly onInstall?: (updates: Updates) => void
}

/** Follows until `isEnough`; what was installed, restarted and told. */
async function follow(
  story: Story,
  isEnough: (told: readonly string[], restarts: number) => boolean,
): Promise<{ installs: number; restarts: number; told: string[] }> {
  const { refusals = [], other, lastRollback = null, changes = {}, failures = [] } = story
  const stop = new AbortController()
  const told: string[] = []
  let [installs, restarts] = [0, 0]
  const [version, counter] = ['2.0', 2]
  const whole = { slot: 'solo-b', running: false, condition: 'whole', version, counter, triesLeft: 3 }
  let slot = other === undefined ? null : { ...whole, ...other }
  const identity = { appliance: 'sample', version: '1.0', counter: 1, board: 'generic' }
  const release = { ...identity, architecture: 'x86_64' }
  const boot = { release, lastRollback, counterFloor: 1, clock: 'saved', ...story.boot }
  const machine = { uptimeMs: story.uptimeMs ?? 60_000, boot }
  const look = (): void => {
    if (isEnough(told, restarts)) stop.abort()
  }
  const updates = new Updates({
    async install(_documents, _source, { signal }) {
      const failure = failures[installs]
      installs += 1
      story.onInstall?.(updates)
      await Bun.sleep(1)
      signal.throwIfAborted()
      if (failure !== undefined) throw new Error(failure)
      slot = whole
      return { type: 'installed', slot: 'solo-b', version, counter, fetchedBytes: 1 }
    },
    installFromStick: () => Promise.reject(new Error('there is none')),
  })
  const context: ChannelContext = {
    ...{ settings: { ...settings, ...changes }, source, files, folder: emptyFolder('own') },
    updates,
    machine: () => Promise.resolve(machine as unknown as MachineStatus),
    slots: () => Promise.resolve(slot === null ? [] : [slot as SlotState]),
    restart() {
      const refusal = refusals[restarts]
      restarts += 1
      return refusal === undefined ? Promise.resolve() : Promise.reject(new ControlRefused(refusal))
    },
    log(line) {
      told.push(line)
      setTimeout(look, 0)
    },
    ...story.context,
  }
  await expect(new Channel(context).follow(stop.signal)).rejects.toMatchObject({ name: 'AbortError' })
  return { installs, restarts, told }
}

test('a restart that a service refuses is asked for again at the next look, and nothing is installed twice', async () => {
  const busy = 'beforeUpdate of printer has failed: exited with status 1'
  const { installs, restarts, told } = await follow(
    { refusals: [busy, busy, undefined] },
    (_, count) => count >= 3,
  )
  expect({ installs, restarts }).toEqual({ installs: 1, restarts: 3 })
  expect(told).toContain(`channel stable: 2.0 is installed, and waits: ${busy}`)
})

test('a release that was installed before the agent was started again is restarted into', async () => {
  expect(await follow({ other: {} }, (_, count) => count >= 1)).toMatchObject({ installs: 0, restarts: 1 })
})

test('one that was given up is not, nor one outside the window, nor where the owner restarts by hand', async () => {
  const from = { slot: 'solo-b', version: '2.0', counter: 2 }
  const lastRollback = { from, reason: 'web failed', at: '' }
  const hour = new Date(Date.now() + 3 * 3_600_000).getUTCHours()
  const at = (minute: number): string => `${String(hour).padStart(2, '0')}:0${minute}`
  for (const [story, reason] of [
    [{ other: { triesLeft: 0 }, lastRollback }, /was tried here and given up: web failed/],
    [{ other: {}, changes: { window: { from: at(0), to: at(5) } } }, /waits for the maintenance window/],
    [{ other: {}, changes: { restart: false } }, /is installed and will be tried/],
  ] as const) {
    const { installs, restarts } = await follow(story, (told) => told.some((line) => reason.test(line)))
    expect({ installs, restarts }).toEqual({ installs: 0, restarts: 0 })
  }
})

/** A channel of its own, with changes to its pointer. */
function published(changes: object = {}): PublishedChannel {
  const channel = new PublishedChannel({ sample, signer, atMs: Date.now() })
  channel.publish(changes)
  return channel
}

const seenIn = (place: string): object =>
  JSON.parse(readFileSync(join(place, 'pointer.json'), 'utf8')) as object

test('a release that waits for its restart is held back by a hold of its channel, and by its share', async () => {
  for (const [changes, reason] of [
    [{ hold: true }, /channel is on hold/],
    [{ percentage: 0 }, /0 % of devices/],
  ] as const) {
    const story = { other: {}, context: { source: published(changes) } }
    const { installs, restarts } = await follow(story, (told) => told.some((line) => reason.test(line)))
    expect({ installs, restarts }).toEqual({ installs: 0, restarts: 0 })
  }
})

test('a window that has closed during the installation is waited for with the restart', async () => {
  const now = Date.now
  const hour = (hours: number): string => new Date(now() + hours * 3_600_000).toISOString().slice(11, 16)
  try {
    const story: Story = {
      changes: { window: { from: hour(-1), to: hour(1) } },
      onInstall: () => (Date.now = () => now() + 5 * 3_600_000),
    }
    const { installs, restarts, told } = await follow(story, (lines) =>
      lines.some((line) => line.includes('waits for the maintenance window')),
    )
    expect({ installs, restarts }).toEqual({ installs: 1, restarts: 0 })
    expect(told).toContain('channel stable: 2.0 is in solo-b, and is tried at the next boot')
  } finally {
    Date.now = now
  }
})

test('an update that somebody stops begins again at the next look only', async () => {
  const { installs, restarts, told } = await follow(
    { onInstall: (updates) => updates.cancel('the client stopped it'), changes: { restart: false } },
    (lines) => lines.some((line) => line.includes('was stopped')),
  )
  expect({ installs, restarts }).toEqual({ installs: 1, restarts: 0 })
  expect(told.join()).toContain('begins again at the next look: the client stopped it')
})

test('a data partition that takes and gives nothing does not keep out an update; replays are refused all the same', async () => {
  // As with a file system that is full, or gives EIO: what is asked for there fails.
  const file = join(folder.path, 'no-folder')
  writeFileSync(file, '')
  const channel = published()
  const context: Partial<ChannelContext> = {
    ...{ source: channel, folder: file, files: { ...files, machineId: join(file, 'machine-id') } },
  }
  const older = { issued: new Date(Date.now() - 86_400_000).toISOString() }
  const story: Story = { context, refusals: ['busy'], onInstall: () => channel.publish(older) }
  const { installs, told } = await follow(story, (lines) => lines.some((line) => line.includes('been seen')))
  expect(installs).toBe(1)
  const lines = told.join('\n')
  expect(lines).toMatch(/pointer.json: counts as none: ENOTDIR/)
  expect(lines).toMatch(/machine-id: counts as none: ENOTDIR/)
  expect(lines.match(/is kept in memory only: ENOTDIR/g)).toHaveLength(1)
})

test('what was seen of another channel, appliance or board, or cannot be read, holds nothing back', async () => {
  const place = emptyFolder('seen')
  const seen = { channel: 'stable', appliance: 'sample', board: 'generic', trustVersion: 1 }
  const later = { ...seen, issuedSeconds: Math.floor(Date.now() / 1000) + 3600 }
  const { channel: _, ...nameless } = later
  for (const [text, isHeldBack] of [
    [JSON.stringify(later), true],
    [JSON.stringify({ ...later, channel: 'beta' }), false],
    [JSON.stringify({ ...later, board: 'rpi4' }), false],
    [JSON.stringify({ ...later, appliance: 'other' }), false],
    [JSON.stringify(nameless), false],
    ['{"issuedSec', false],
  ] as const) {
    writeFileSync(join(place, 'pointer.json'), text)
    const { installs } = await follow({ context: { source: published(), folder: place } }, (lines) =>
      lines.some((line) => /has been seen|restarting into/.test(line)),
    )
    expect(installs, text).toBe(isHeldBack ? 0 : 1)
    if (!isHeldBack) expect(seenIn(place)).toMatchObject(seen)
  }
})

test('a pointer from the future is refused by a clock that a time server has set', async () => {
  const [issued, expires] = [2, 9].map((days) => new Date(Date.now() + days * 86_400_000).toISOString())
  const context = { source: published({ issued, expires }), folder: emptyFolder('future') }
  const isDone = (lines: readonly string[]): boolean =>
    lines.some((line) => /is from the future|restarting into/.test(line))
  expect((await follow({ context, boot: { clock: 'sntp' } }, isDone)).installs).toBe(0)
  expect((await follow({ context, boot: { clock: 'saved' } }, isDone)).installs).toBe(1)
})

describe('a release that was kept here before, and whose tries ran out without a word,', () => {
  const spent = { slot: 'solo-b', left: 0, done: 3, file: 'solob+0-3.efi', version: '2.0', counter: 2 }
  const passed = { passed: true, reason: '', at: 'then' }
  const trial = { slot: 'solo-b', version: '2.0', counter: 2, tries: 1, step: 'blessed', verdict: passed }
  // In the words of PID 1.
  const clues = { slot: 'solo-a', counter: 1, now: 'now', known: null, trial }
  const silent = rollbackOf({ ...clues, spent: [spent], passedOver: [] })
  const story = { lastRollback: silent, boot: { counterFloor: 2 }, other: { triesLeft: 0 } }
  const isOver = (lines: readonly string[]): boolean =>
    lines.some((line) => /given up|restarting into/.test(line))

  test('is installed once more, and not again within a day, whatever restarts', async () => {
    const context = { folder: emptyFolder('retry') }
    expect((await follow({ ...story, context }, isOver)).installs).toBe(1)
    expect(seenIn(context.folder)).toMatchObject({ retried: { counter: 2 } })
    const again = await follow({ ...story, context }, isOver)
    expect(again.installs).toBe(0)
    expect(again.told.join()).toMatch(/was tried here and given up: its tries ran out/)
    const now = Date.now
    try {
      Date.now = () => now() + 86_400_000
      expect((await follow({ ...story, context }, isOver)).installs).toBe(1)
    } finally {
      Date.now = now
    }
  })

  test('may be one that the loader passed over', async () => {
    // When its last try was taken: before that it is installed, and a restart is what is due.
    const lastRollback = rollbackOf({ ...clues, spent: [], passedOver: [{ ...spent, left: 1, done: 2 }] })
    const context = { folder: emptyFolder('passed-over') }
    expect((await follow({ ...story, lastRollback, context }, isOver)).installs).toBe(1)
  })

  test('is not what a person or the gate gave up, nor one that was never kept', async () => {
    const context = { folder: emptyFolder('given-up') }
    const from = { slot: 'solo-b', version: '2.0', counter: 2 }
    for (const reason of ['given up by hand, by process 7 of user 0', 'web failed']) {
      const lastRollback = { from, reason, at: '' }
      expect((await follow({ ...story, lastRollback, context }, isOver)).installs, reason).toBe(0)
    }
    expect((await follow({ ...story, boot: { counterFloor: 1 }, context }, isOver)).installs).toBe(0)
  })

  test('is fetched again after a failure on the way', async () => {
    const context = { folder: emptyFolder('on-the-way') }
    const failures = ['the line broke']
    const done = (lines: readonly string[]): boolean => lines.some((line) => /restarting into/.test(line))
    expect((await follow({ ...story, context, failures }, done)).installs).toBe(2)
  })

  test('waits for a day without a restart where nothing can be kept', async () => {
    const context = { folder: join(files.machineId, 'none') }
    const held = await follow({ ...story, context }, isOver)
    expect(held.installs).toBe(0)
    expect(held.told.join()).toMatch(/as that cannot be noted, when the machine has run for a day/)
    expect((await follow({ ...story, context, uptimeMs: 86_400_000 }, isOver)).installs).toBe(1)
  })
})
