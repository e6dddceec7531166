// The agent follows a channel: what it does when the restart that an installation needs is refused, and what not.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { MachineStatus } from '@pkg/init/control'
import type { SlotState } from '@pkg/update/updater-protocol'
import { afterAll, expect, test } from 'vitest'
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

interface Story {
  /** What `restart` does, the first time and so on; undefined for a restart that comes. */
  readonly refusals?: readonly (string | undefined)[]
  /** How the other slot is at first, beside being that of the release. */
  readonly other?: Partial<SlotState>
  readonly lastRollback?: MachineStatus['boot']['lastRollback']
  readonly changes?: Partial<ChannelSettings>
}

/** Follows until `isEnough`; what was installed, restarted and told. */
async function follow(
  { refusals = [], other, lastRollback = null, changes = {} }: Story,
  isEnough: (told: readonly string[], restarts: number) => boolean,
): Promise<{ installs: number; restarts: number; told: string[] }> {
  const stop = new AbortController()
  const told: string[] = []
  let [installs, restarts] = [0, 0]
  const [version, counter] = ['2.0', 2]
  const whole = { slot: 'solo-b', running: false, condition: 'whole', version, counter, triesLeft: 3 }
  let slot = other === undefined ? null : { ...whole, ...other }
  const identity = { appliance: 'sample', version: '1.0', counter: 1, board: 'generic' }
  const machine = { boot: { release: { ...identity, architecture: 'x86_64' }, lastRollback } }
  const look = (): void => {
    if (isEnough(told, restarts)) stop.abort()
  }
  const context: ChannelContext = {
    ...{ settings: { ...settings, ...changes }, source, files, folder: folder.path },
    updates: new Updates({
      install() {
        installs += 1
        slot = whole
        return Promise.resolve({ type: 'installed', slot: 'solo-b', version, counter, fetchedBytes: 1 })
      },
      installFromStick: () => Promise.reject(new Error('there is none')),
    }),
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
    [{ other: {}, changes: { window: { from: at(0), to: at(5) } } }, /is installed and will be tried/],
    [{ other: {}, changes: { restart: false } }, /is installed and will be tried/],
  ] as const) {
    const { installs, restarts } = await follow(story, (told) => told.some((line) => reason.test(line)))
    expect({ installs, restarts }).toEqual({ installs: 0, restarts: 0 })
  }
})
