/** What a device does about a channel's pointer: a pure function of what it knows. */
import { createHash } from 'node:crypto'
import type { ChannelPointer } from './channel.ts'

/** A time of each day, in UTC; it may pass midnight. */
export interface MaintenanceWindow {
  /** `02:30` */
  readonly from: string
  /** `04:00`; the same as `from` means the whole day. */
  readonly to: string
}

/** What is known when a pointer has been read and its signatures checked. */
export interface ChannelSituation {
  /** The pointer. */
  readonly pointer: ChannelPointer
  /** The release that runs. */
  readonly running: { readonly counter: number }
  /** The release that is whole in the other slot, and would be started next; null when there is none. */
  readonly other: {
    readonly counter: number
    /** Whether the channel has installed it: then the channel may take it back. */
    readonly isOurs?: boolean
  } | null
  /** The last release that was tried here and given up, and why; null when none was. */
  readonly givenUp: GivenUp | null
  /** What tells this machine from others: `/etc/machine-id`. */
  readonly machineId: string
  /** The time. */
  readonly nowSeconds: number
  /** The owner of the device wants nothing to be installed. */
  readonly hold?: boolean
  /** When the owner of the device allows it; the channel's own window counts besides. */
  readonly window?: MaintenanceWindow
}

/** A release that was tried and given up. */
export interface GivenUp {
  /** Its counter. */
  readonly counter: number
  /** Why, in words. */
  readonly reason: string
  /** From when on it may be installed once more, where nobody has said no to it; without it, never. */
  readonly retrySeconds?: number
}

/** What to do, and why. */
export type ChannelDecision =
  /** Install the release now. */
  | { readonly action: 'install'; readonly reason: string }
  /** It is installed: restart into it now. */
  | { readonly action: 'restart'; readonly reason: string }
  /** Not now. With `untilSeconds` there is a time from when on it would be otherwise. */
  | { readonly action: 'wait'; readonly reason: string; readonly untilSeconds?: number }
  /** There is nothing to do for this pointer. */
  | { readonly action: 'none'; readonly reason: string }

/**
 * Decides.
 *
 * @example
 * ```ts
 * import { decideOnChannel } from '@pkg/update/channel-decision'
 *
 * const pointer = {
 *   appliance: 'kiosk', board: 'generic', architecture: 'x86_64', channel: 'stable',
 *   release: { digest: `sha256:${'0'.repeat(64)}`, size: 4000, version: '1.3', counter: 13 },
 *   issuedSeconds: 0, expiresSeconds: 9e9, percentage: 100, hold: false, force: false,
 * } as const
 * const situation = { pointer, running: { counter: 12 }, other: null, givenUp: null, machineId: 'ab12', nowSeconds: 100 }
 * console.log(decideOnChannel(situation).action) // install
 * console.log(decideOnChannel({ ...situation, hold: true })) // { action: "wait", reason: "updates of this device are on hold" }
 * ```
 */
export function decideOnChannel(situation: ChannelSituation): ChannelDecision {
  const { pointer, running, other, givenUp, hold = false, machineId, nowSeconds } = situation
  const { version, counter, digest } = pointer.release
  const isInstalled = other?.counter === counter
  const isOlder = other !== null && other.counter > counter
  // What is installed stays installed: who withdraws a release stops those machines that have not got it.
  const next = isOlder ? `; release ${other.counter} is installed, and tried at the next boot` : ''
  if (counter <= running.counter)
    return none(`the channel has ${version}, which is not newer than what runs${next}`)
  // Somebody has brought a newer one by hand.
  if (isOlder && other.isOurs !== true) return wait(`the channel has ${version}${next}`)
  // One that has been installed again has not been given up again.
  const refusal = isInstalled ? null : refusalOf(givenUp, situation)
  if (refusal !== null) return refusal
  // These hold for our restart too. A boot for another reason still tries what is installed, and the gate judges it.
  const held = isInstalled ? ', which is installed, and tried at the next boot' : ''
  if (hold) return wait(`updates of this device are on hold${isInstalled ? `: ${version}${held}` : ''}`)
  if (pointer.hold) return wait(`the channel is on hold with ${version}${held}`)
  const act = (reason: string): ChannelDecision =>
    isInstalled
      ? { action: 'restart', reason: `${version} is installed and will be tried at the next boot` }
      : { action: 'install', reason }
  if (pointer.force) return act(`the channel wants ${version} at once`)
  const share = shareOf(machineId, digest)
  if (share >= pointer.percentage) {
    return wait(
      `${version} is for ${pointer.percentage} % of devices so far, this one is at ${share.toFixed(1)} %`,
    )
  }
  const windows = [pointer.window, situation.window].filter((window) => window !== undefined)
  const opens = Math.max(...windows.map((window) => nextOpening(window, nowSeconds)), nowSeconds)
  if (opens > nowSeconds) return waitUntil(opens, `${version} waits for the maintenance window`)
  return act(`the channel has ${version}`)
}

/** Why a release that was given up is not installed again, even when it is forced; null when it may be. */
function refusalOf(
  givenUp: GivenUp | null,
  { pointer, nowSeconds }: ChannelSituation,
): ChannelDecision | null {
  const { version, counter } = pointer.release
  if (givenUp?.counter !== counter) return null
  const { reason, retrySeconds } = givenUp
  const what = `${version} was tried here and given up: ${reason}`
  // It would be tried and given up again and again.
  if (retrySeconds === undefined) return none(what)
  return retrySeconds > nowSeconds ? waitUntil(retrySeconds, what) : null
}

function none(reason: string): ChannelDecision {
  return { action: 'none', reason }
}

function wait(reason: string): ChannelDecision {
  return { action: 'wait', reason }
}

function waitUntil(untilSeconds: number, reason: string): ChannelDecision {
  return { action: 'wait', reason, untilSeconds }
}

/**
 * Where a machine stands among all, from 0 to 100: the same each time it is asked, but another for each release, so that
 * it is not always the same machines that go first.
 */
export function shareOf(machineId: string, releaseDigest: string): number {
  const digest = createHash('sha256').update(`${machineId.trim()}\n${releaseDigest}`).digest()
  return (digest.readUInt32BE(0) / 2 ** 32) * 100
}

const daySeconds = 24 * 60 * 60

/** When a window is open next, from now on: now, when it is open. */
export function nextOpening({ from, to }: MaintenanceWindow, nowSeconds: number): number {
  const [start, end] = [secondsOf(from), secondsOf(to)]
  const length = (end - start + daySeconds) % daySeconds || daySeconds
  const sinceStart = (((nowSeconds - start) % daySeconds) + daySeconds) % daySeconds
  return sinceStart < length ? nowSeconds : nowSeconds + daySeconds - sinceStart
}

function secondsOf(time: string): number {
  const [, hours, minutes] = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(time) ?? []
  if (hours === undefined || minutes === undefined) {
    throw new TypeError(`expected a time of day as 02:30, got ${JSON.stringify(time)}`)
  }
  return Number(hours) * 3600 + Number(minutes) * 60
}
