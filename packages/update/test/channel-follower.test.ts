import { expect, describe, test } from 'vitest'
import type { FollowerEvent, FollowChannelOptions } from '../src/channel-follower.ts'
import { followChannel } from '../src/channel-follower.ts'
import { readTrust } from '../src/trust.ts'
import type { InstalledMessage } from '../src/updater-protocol.ts'
import { PublishedChannel } from './support/published-channel.ts'
import { noise, sampleRelease } from './support/sample-release.ts'
import { Signer } from './support/signer.ts'

const signer = new Signer()
const sample = await sampleRelease(13, { '/a': noise('a', 9000) }, noise('uki', 8192))
const startMs = Date.UTC(2026, 10, 30, 12)
const minute = 60_000
const hour = 60 * minute

class Channel extends PublishedChannel {
  constructor() {
    super({ sample, signer, atMs: startMs })
  }
}

interface Story {
  readonly waitsMs: number[]
  readonly events: FollowerEvent[]
  readonly installs: number
}

/** Follows for so many looks, with chance at one half, and tells what happened. */
async function follow(
  channel: Channel,
  looks: number,
  { clockNow, ...changes }: Partial<FollowChannelOptions> & { clockNow?: () => number } = {},
): Promise<Story> {
  const stop = new AbortController()
  const waitsMs: number[] = []
  const events: FollowerEvent[] = []
  let nowMs = startMs
  let other: { counter: number } | null = null
  let installs = 0
  const { appliance, board, architecture } = sample.release
  const role = { threshold: 1, keys: [signer.line] }
  const trust = readTrust(JSON.stringify({ version: 1, appliance, roles: { release: role, channel: role } }))
  const following = followChannel({
    source: channel,
    channel: 'stable',
    intervalMs: hour,
    readDevice: () => {
      const device = { trust, appliance, board, architecture, nowSeconds: Math.floor(nowMs / 1000) }
      const situation = { running: { counter: 12 }, other, givenUp: null, machineId: 'c0ffee' }
      return Promise.resolve({ device, situation })
    },
    install: (documents) => {
      installs += 1
      expect(documents.manifest).toBe(sample.manifest)
      other = { counter: 13 }
      const installed: InstalledMessage = {
        type: 'installed',
        slot: 'solo-b',
        version: '13.0',
        counter: 13,
        fetchedBytes: 1,
      }
      return Promise.resolve(installed)
    },
    onEvent: (event) => void events.push(event),
    signal: stop.signal,
    clock: {
      now: clockNow ?? (() => nowMs),
      random: () => 0.5,
      sleep: (ms, signal) => {
        if (waitsMs.length === looks) stop.abort(new Error('enough'))
        signal.throwIfAborted()
        waitsMs.push(ms)
        nowMs += ms
        return Promise.resolve()
      },
    },
    ...changes,
  })
  await expect(following).rejects.toThrow('enough')
  return { waitsMs, events, installs }
}

describe('followChannel()', () => {
  test('installs a release once, after a first wait by chance', async () => {
    const channel = new Channel()
    channel.publish()
    const { waitsMs, events, installs } = await follow(channel, 3)
    expect(waitsMs).toEqual([hour / 2, hour, hour])
    expect(installs).toBe(1)
    const told = events.map((event) => (event.type === 'decision' ? event.decision.action : event.type))
    expect(told).toEqual(['install', 'installed', 'restart', 'restart', 'restart'])
    expect(events[0]).toMatchObject({ trustVersion: 1, pointer: { issuedSeconds: startMs / 1000 } })
  })

  test('comes back when a window opens, not before and not long after', async () => {
    const channel = new Channel()
    channel.publish({ window: { from: '12:45', to: '13:00' } })
    const { waitsMs, installs } = await follow(channel, 2)
    expect(waitsMs).toEqual([30 * minute, 15 * minute + minute / 2])
    expect(installs).toBe(1)
  })

  test('waits while a channel is on hold, and until this device is among its share; force waits for no share and window', async () => {
    const channel = new Channel()
    const night = { from: '23:00', to: '01:00' }
    for (const [held, released] of [
      [{ hold: true }, {}],
      [{ percentage: 0 }, { percentage: 100 }],
      [
        { percentage: 0, window: night },
        { percentage: 0, window: night, force: true },
      ],
    ] as const) {
      channel.publish(held)
      let looks = 0
      const onEvent = (event: FollowerEvent): void => {
        if (event.type === 'decision' && (looks += 1) === 3) channel.publish(released)
        else if (event.type === 'installed') expect(looks, JSON.stringify(held)).toBe(4)
        if (looks < 4 && event.type === 'decision') expect(event.decision.action).toBe('wait')
      }
      expect((await follow(channel, 5, { onEvent })).installs).toBe(1)
    }
  })

  test('asks again soon after a failure, then later and later, and goes on', async () => {
    const channel = new Channel()
    channel.publish()
    channel.isAway = true
    let failures = 0
    const { waitsMs, installs } = await follow(channel, 9, {
      onEvent: (event) => {
        if (event.type === 'failed' && (failures += 1) === 7) channel.isAway = false
      },
    })
    expect(waitsMs.map((ms) => ms / minute)).toEqual([30, 1, 2, 4, 8, 16, 32, 60, 60])
    expect(installs).toBe(1)
  })

  test('believes no pointer that is expired, of another channel, by a stranger, or not there', async () => {
    const channel = new Channel()
    const refused = async (changes: object, by?: Signer | null): Promise<unknown> => {
      channel.publish(changes, by)
      const { events, installs } = await follow(channel, 1)
      expect(installs).toBe(0)
      return events[0]
    }
    const expired = { issued: '2026-01-01T00:00:00Z', expires: '2026-02-01T00:00:00Z' }
    expect(await refused(expired)).toMatchObject({ type: 'failed', error: { check: 'expired' } })
    expect(await refused({ channel: 'beta' })).toMatchObject({ type: 'failed', error: { check: 'channel' } })
    expect(await refused({ board: 'rpi4' })).toMatchObject({ type: 'failed', error: { check: 'board' } })
    expect(await refused({}, new Signer())).toMatchObject({ type: 'failed', error: { check: 'signature' } })
    expect(await refused({}, null)).toMatchObject({ type: 'failed', error: { check: 'channel' } })
  })

  test('installs nothing against the will of who hears of it', async () => {
    const channel = new Channel()
    channel.publish()
    const { installs } = await follow(channel, 2, {
      onEvent: (event) => (event.type === 'decision' ? Promise.reject(new Error('not now')) : undefined),
    })
    expect(installs).toBe(0)
  })

  test('asks the window anew for the restart after an installation', async () => {
    const channel = new Channel()
    channel.publish({ window: { from: '12:00', to: '13:00' } })
    const events: FollowerEvent[] = []
    let nowMs = startMs
    const { waitsMs } = await follow(channel, 2, {
      install: () => {
        nowMs += 2 * hour
        const installed = { type: 'installed', slot: 'solo-b', version: '13.0', counter: 13, fetchedBytes: 1 }
        return Promise.resolve(installed as InstalledMessage)
      },
      onEvent: (event) => void events.push(event),
      clockNow: () => nowMs,
    })
    expect(events.slice(0, 3)).toMatchObject([
      { decision: { action: 'install' } },
      { type: 'installed' },
      { decision: { action: 'wait', untilSeconds: startMs / 1000 + 24 * 3600 } },
    ])
    // One at the second look.
    expect(events).toHaveLength(4)
    expect(waitsMs).toEqual([hour / 2, hour])
  })

  test('does not begin at once again what somebody has stopped', async () => {
    const channel = new Channel()
    channel.publish()
    const { waitsMs, events } = await follow(channel, 3, { install: () => Promise.resolve(null) })
    expect(waitsMs).toEqual([hour / 2, hour, hour])
    expect(events.map(({ type }) => type)).toEqual(['decision', 'decision', 'decision'])
  })

  test('waits no longer than a timer can', async () => {
    const channel = new Channel()
    channel.publish({ percentage: 0 })
    const { waitsMs } = await follow(channel, 2, { intervalMs: 43_200 * minute })
    expect(waitsMs).toEqual([21_600 * minute, 2 ** 31 - 1])
  })
})
