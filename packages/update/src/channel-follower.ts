/** Follows a channel: asks for its pointer now and then, and has what it points to installed when it is time. */
import { setTimeout } from 'node:timers/promises'
import { type ChannelDevice, type ChannelPointer, verifyChannel } from './channel.ts'
import { type ChannelDecision, type ChannelSituation, decideOnChannel } from './channel-decision.ts'
import { collectDocuments, type DocumentSource } from './layout.ts'
import { UpdateRefused } from './refused.ts'
import type { ReleaseDocuments } from './release.ts'
import type { BlobSource } from './source.ts'
import { advanceTrust } from './trust.ts'
import type { InstalledMessage } from './updater-protocol.ts'

/** What a device knows each time it looks at its channel. */
export interface FollowingDevice {
  /** Decides on whether a pointer is believed. */
  readonly device: ChannelDevice
  /** Decides on what is done about it. */
  readonly situation: Omit<ChannelSituation, 'pointer' | 'nowSeconds'>
}

/** What a follower tells. */
export type FollowerEvent =
  /** A pointer was read and believed, and this is what is done about it. */
  | {
      readonly type: 'decision'
      readonly pointer: ChannelPointer
      /** The version of the trust document that its signatures were checked by. */
      readonly trustVersion: number
      readonly decision: ChannelDecision
    }
  /** The release is in its slot. */
  | { readonly type: 'installed'; readonly installed: InstalledMessage }
  /** Something went wrong; it is tried again. */
  | { readonly type: 'failed'; readonly error: unknown }

/** How a channel is followed. */
export interface FollowChannelOptions {
  /** Where the channel is. */
  readonly source: BlobSource & DocumentSource
  /** The channel's name there. */
  readonly channel: string
  /** So long from one look to the next, in milliseconds; each is a quarter shorter or longer, by chance. */
  readonly intervalMs: number
  /** What the device knows now. */
  readonly readDevice: () => Promise<FollowingDevice>
  /** Has a release installed; null when somebody has stopped it, who shall not see it begin anew at once. */
  readonly install: (documents: ReleaseDocuments, source: BlobSource) => Promise<InstalledMessage | null>
  /**
   * Hears what happens. It is awaited, so what it keeps (the newest pointer) is kept before anything is installed; what
   * it rejects with ends the look. That a disk is full is no reason to: the update may be the cure.
   */
  readonly onEvent: (event: FollowerEvent) => void | Promise<void>
  /** Ends it. */
  readonly signal: AbortSignal
  /** The clock and chance. Default: the real ones. */
  readonly clock?: FollowerClock
}

/** What of the world a follower depends on. */
export interface FollowerClock {
  /** Milliseconds since 1970. */
  now(): number
  /** Waits; rejects when the signal is aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>
  /** From 0 to 1. */
  random(): number
}

const realClock: FollowerClock = {
  now: () => Date.now(),
  sleep: async (ms, signal) => await setTimeout(ms, undefined, { signal }),
  random: () => Math.random(),
}

/** The longest wait of a timer; one that is longer ends at once. */
const timerMsMax = 2 ** 31 - 1

/** After a failure it is looked again so soon at first, and twice as late each time, up to the interval. */
const retryMs = 60_000

/**
 * Follows a channel until the signal ends it. The first look is at a random time of the first interval: a thousand
 * devices that get their power back together do not ask together.
 *
 * @throws the signal's reason; what `onEvent` rejects with when it is told of a failure
 *
 * @example
 * ```ts no-run
 * import { type FollowChannelOptions, followChannel } from '@pkg/update/channel-follower'
 * import { httpSource } from '@pkg/update/http-source'
 * import { installByUpdater } from '@pkg/update/updater-client'
 *
 * export async function follow(readDevice: FollowChannelOptions['readDevice'], signal: AbortSignal): Promise<void> {
 *   await followChannel({
 *     source: httpSource('https://example.org/kiosk'),
 *     channel: 'stable',
 *     intervalMs: 60 * 60_000,
 *     readDevice,
 *     install: (documents, source) => installByUpdater({ documents, source, signal }),
 *     onEvent: ({ type }) => void process.stdout.write(`${type}\n`),
 *     signal,
 *   })
 * }
 * ```
 */
export async function followChannel(options: FollowChannelOptions): Promise<never> {
  const { intervalMs, signal, clock = realClock } = options
  let failures = 0
  let waitMs = intervalMs * clock.random()
  for (;;) {
    await clock.sleep(Math.min(waitMs, timerMsMax), signal)
    try {
      const decision = await lookAtChannel(options)
      failures = 0
      waitMs = intervalMs * (0.75 + clock.random() / 2)
      if (decision.action === 'wait' && decision.untilSeconds !== undefined) {
        // A little later than the window opens, and not all devices at once.
        const opensMs = decision.untilSeconds * 1000 - clock.now() + clock.random() * retryMs
        waitMs = Math.min(waitMs, opensMs)
      }
    } catch (error) {
      signal.throwIfAborted()
      waitMs = Math.min(intervalMs, retryMs * 2 ** failures) * (0.75 + clock.random() / 2)
      failures += 1
      await options.onEvent({ type: 'failed', error })
    }
  }
}

/**
 * Looks once, and installs when it is time. Whether to restart then is a second decision, of which `onEvent` hears.
 *
 * @throws UpdateRefused, SourceError, UpdateFailed; what `readDevice`, `install` and `onEvent` reject with
 */
export async function lookAtChannel(
  options: Omit<FollowChannelOptions, 'intervalMs'>,
): Promise<ChannelDecision> {
  const { source, channel, signal, clock = realClock } = options
  const documents = await collectDocuments(source, channel, signal)
  const { device, situation } = await options.readDevice()
  const { trust } = advanceTrust(device.trust, documents.trust)
  if (documents.channel === undefined) {
    throw new UpdateRefused(
      'channel',
      `what is called ${channel} at the source is no channel: it has no pointer`,
    )
  }
  const pointer = verifyChannel(documents.channel, { ...device, trust, channel })
  const decide = async (now: FollowingDevice['situation']): Promise<ChannelDecision> => {
    const decision = decideOnChannel({ ...now, pointer, nowSeconds: Math.floor(clock.now() / 1000) })
    await options.onEvent({ type: 'decision', pointer, trustVersion: trust.version, decision })
    return decision
  }
  const decision = await decide(situation)
  if (decision.action !== 'install') return decision
  const installed = await options.install(documents, source)
  if (installed === null) return decision
  await options.onEvent({ type: 'installed', installed })
  // An installation may take long: whether it is time for the restart is another question.
  return await decide({ ...situation, other: { counter: installed.counter } })
}
