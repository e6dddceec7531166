/**
 * Channel pointers: a signed word on which release a channel has now, with an end, so that nobody can hold a device
 * back with an old one for longer.
 */
import { z } from 'zod'
import { UpdateRefused } from './refused.ts'
import { architecture, counter, digest, name, readJson, version } from './release/schema.ts'
import { namespaces, type Trust } from './trust.ts'
import { readEnvelope, requireSigners } from './trust/signers.ts'

/** A channel's pointer. */
export interface ChannelPointer {
  /** The appliance that it is for. */
  readonly appliance: string
  /** The kind of machine that it is for. */
  readonly board: string
  /** The processors that it is for. */
  readonly architecture: 'x86_64' | 'aarch64'
  /** The channel's name, such as `stable`. */
  readonly channel: string
  /** The release that the channel has, by its manifest. */
  readonly release: {
    /** The manifest's digest. */
    readonly digest: string
    /** The manifest's bytes. */
    readonly size: number
    /** As the manifest says. */
    readonly version: string
    /** As the manifest says. */
    readonly counter: number
  }
  /** When it was made, in seconds since 1970. */
  readonly issuedSeconds: number
  /** From when on it is not believed. */
  readonly expiresSeconds: number
  /** How many of a hundred devices shall take the release, 0 to 100. */
  readonly percentage: number
  /** No device shall take the release now. */
  readonly hold: boolean
  /** Take it at once: neither percentage nor window count. */
  readonly force: boolean
  /** When devices may begin, in UTC as `02:30`; may pass midnight. */
  readonly window?: { readonly from: string; readonly to: string }
}

/** What a device knows that decides on a pointer. */
export interface ChannelDevice {
  /** The trust document that holds. */
  readonly trust: Trust
  /** The appliance that the device is. */
  readonly appliance: string
  /** The kind of machine that it is. */
  readonly board: string
  /** Its processor. */
  readonly architecture: 'x86_64' | 'aarch64'
  /** The time. */
  readonly nowSeconds: number
  /** Whether the time comes from a time server: then a pointer from the future is refused. Default: false. */
  readonly isTimeKnown?: boolean
  /** The channel that it follows; a pointer of another is refused. */
  readonly channel?: string
  /**
   * The newest pointer of this channel that was believed: an older one is refused. It counts only while the same
   * trust document holds: after a theft of the channel's key new keys can begin anew.
   */
  readonly lastPointer?: { readonly issuedSeconds: number; readonly trustVersion: number }
}

const time = z.iso.datetime({ error: 'expected a time such as 2026-11-30T12:00:00Z' })
const clock = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'expected a time of day such as 02:30')

const schema = z.object({
  appliance: name,
  board: name,
  architecture,
  channel: name,
  release: z.object({ digest, size: z.int().min(1), version, counter }),
  issued: time,
  expires: time,
  percentage: z.int().min(0).max(100),
  hold: z.boolean().exactOptional(),
  force: z.boolean().exactOptional(),
  window: z.object({ from: clock, to: clock }).exactOptional(),
})

/**
 * Reads and checks a pointer, before anything else of a release is fetched.
 *
 * @param envelope - the pointer with its signatures
 * @throws UpdateRefused `signature`, `threshold`, `revoked`, `format`, `appliance`, `board`, `architecture`, `channel`
 *   or `expired`
 */
export function verifyChannel(envelope: string, device: ChannelDevice): ChannelPointer {
  const { trust } = device
  const role = trust.roles.channel
  if (role === undefined) {
    throw new UpdateRefused('channel', `trust document ${trust.version} names no keys for channels`)
  }
  const what = "the channel's pointer"
  const signed = readEnvelope(envelope, what, 'format')
  requireSigners({ ...signed, what, namespace: namespaces.channel, role, revoked: trust.revoked })
  const pointer = readPointer(signed.document)
  equal('appliance', what, pointer.appliance, device.appliance)
  equal('board', what, pointer.board, device.board)
  equal('architecture', what, pointer.architecture, device.architecture)
  if (device.channel !== undefined) equal('channel', what, pointer.channel, device.channel)
  checkTimes(pointer, device)
  return pointer
}

/**
 * Reads a pointer whose signature has been checked.
 *
 * @throws UpdateRefused `format`
 */
export function readPointer(document: string): ChannelPointer {
  const {
    issued,
    expires,
    hold = false,
    force = false,
    ...rest
  } = readJson(document, schema, "the channel's pointer")
  const [issuedSeconds, expiresSeconds] = [issued, expires].map((text) =>
    Math.floor(Date.parse(text) / 1000),
  ) as [number, number]
  if (expiresSeconds <= issuedSeconds) {
    throw new UpdateRefused(
      'format',
      `the channel's pointer ends on ${expires}, before it was issued on ${issued}`,
    )
  }
  return { ...rest, issuedSeconds, expiresSeconds, hold, force }
}

function equal(
  check: 'appliance' | 'board' | 'architecture' | 'channel',
  what: string,
  found: string,
  expected: string,
): void {
  if (found !== expected)
    throw new UpdateRefused(check, `${what} is for ${check} ${found}, expected ${expected}`)
}

/** So far may the clocks of who signs and of a device be apart: a pointer from later on would keep out all before it. */
const aheadSecondsMax = 24 * 60 * 60

function checkTimes({ issuedSeconds, expiresSeconds }: ChannelPointer, device: ChannelDevice): void {
  const { nowSeconds, lastPointer, trust, isTimeKnown = false } = device
  if (nowSeconds >= expiresSeconds) {
    throw new UpdateRefused(
      'expired',
      `the channel's pointer ended on ${iso(expiresSeconds)}, it is ${iso(nowSeconds)} now`,
    )
  }
  const latest = isTimeKnown ? nowSeconds + aheadSecondsMax : Infinity
  if (issuedSeconds > latest) {
    throw new UpdateRefused(
      'channel',
      `the channel's pointer is from the future: it is of ${iso(issuedSeconds)}, and it is ${iso(nowSeconds)} now`,
    )
  }
  // One that would be refused now was believed by a clock that was not known to be right.
  if (lastPointer === undefined || lastPointer.issuedSeconds > latest) return
  if (lastPointer.trustVersion === trust.version && issuedSeconds < lastPointer.issuedSeconds) {
    throw new UpdateRefused(
      'channel',
      `the channel's pointer is of ${iso(issuedSeconds)}, one of ${iso(lastPointer.issuedSeconds)} has been seen`,
    )
  }
}

function iso(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}
