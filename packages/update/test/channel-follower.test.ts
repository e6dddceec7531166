import { expect, describe, test } from 'vitest'
import { createHash } from 'node:crypto'
import type { FollowerEvent, FollowChannelOptions } from '../src/channel-follower.ts'
import { followChannel } from '../src/channel-follower.ts'
import type { DocumentSource } from '../src/layout.ts'
import { indexText, manifestText } from '../src/layout/compose.ts'
import {
  CHANNEL_TYPE,
  POINTER_TYPE,
  SIGNATURES_TYPE,
  SSH_SIGNATURE_TYPE,
} from '../src/release/media-types.ts'
import { type BlobSource, SourceError } from '../src/source.ts'
import { readTrust, writeEnvelope } from '../src/trust.ts'
import type { InstalledMessage } from '../src/updater-protocol.ts'
import { noise, sampleRelease } from './support/sample-release.ts'
import { Signer } from './support/signer.ts'

const signer = new Signer()
const sample = await sampleRelease(13, { '/a': noise('a', 9000) }, noise('uki', 8192))
const startMs = Date.UTC(2026, 10, 30, 12)
const minute = 60_000
const hour = 60 * minute

/** A channel as it is published, that can be changed and be away. */
class Channel implements BlobSource, DocumentSource {
  readonly #documents = new Map<string, Uint8Array>()
  #index = new Uint8Array()
  isAway = false
  looks = 0

  /** @param by - who signs the pointer; null leaves it out */
  publish(changes: object = {}, by: Signer | null = signer): void {
    const { appliance, board, architecture, version, counter, manifestDigest } = sample.release
    const pointer = JSON.stringify({
      ...{ appliance, board, architecture, channel: 'stable' },
      release: { digest: manifestDigest, size: sample.manifest.length, version, counter },
      issued: new Date(startMs).toISOString(),
      expires: new Date(startMs + 30 * 24 * hour).toISOString(),
      percentage: 100,
      ...changes,
    })
    const add = (text: string): { digest: string; sizeBytes: number } => {
      const bytes = new TextEncoder().encode(text)
      const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
      this.#documents.set(digest, bytes)
      return { digest, sizeBytes: bytes.length }
    }
    const release = add(sample.manifest)
    const signature = add(signer.sign('solo-release', sample.manifest))
    const signatures = [{ mediaType: SSH_SIGNATURE_TYPE, ...signature }]
    const manifests = [release, add(manifestText(SIGNATURES_TYPE, signatures, { subject: release }))]
    if (by !== null) {
      const envelope = add(writeEnvelope(pointer, [by.sign('solo-channel', pointer)]))
      manifests.push(add(manifestText(CHANNEL_TYPE, [{ mediaType: POINTER_TYPE, ...envelope }], {})))
    }
    this.#index = new TextEncoder().encode(indexText(manifests))
  }

  index(): Promise<Uint8Array> {
    this.looks += 1
    return this.isAway ? Promise.reject(new SourceError('away')) : Promise.resolve(this.#index)
  }

  document(digest: string): Promise<Uint8Array> {
    return Promise.resolve(this.#documents.get(digest) ?? new Uint8Array())
  }

  open(): AsyncIterable<Uint8Array> {
    throw new SourceError('nobody asks for blobs here')
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
  changes: Partial<FollowChannelOptions> = {},
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
      now: () => nowMs,
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
    expect(told).toEqual(['install', 'installed', 'none', 'none'])
    expect(events[0]).toMatchObject({ trustVersion: 1, pointer: { issuedSeconds: startMs / 1000 } })
  })

  test('comes back when a window opens, not before and not long after', async () => {
    const channel = new Channel()
    channel.publish({ window: { from: '12:45', to: '13:00' } })
    const { waitsMs, installs } = await follow(channel, 2)
    expect(waitsMs).toEqual([30 * minute, 15 * minute + minute / 2])
    expect(installs).toBe(1)
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

  test('installs nothing when what it believed cannot be kept', async () => {
    const channel = new Channel()
    channel.publish()
    const { installs } = await follow(channel, 2, {
      onEvent: (event) => (event.type === 'decision' ? Promise.reject(new Error('disk full')) : undefined),
    })
    expect(installs).toBe(0)
  })
})
