/**
 * Whom a device believes: a _trust document_ names the keys of each role, how many of them must sign, and which are
 * revoked. The image has one; a newer one is believed when the old one's trust keys and its own have signed it.
 *
 * @see https://theupdateframework.github.io/specification/latest/#update-root (whose root role this is)
 */
import { z } from 'zod'
import { UpdateRefused } from './refused.ts'
import { readJson, seconds } from './release/schema.ts'
import { type SignedText, readEnvelope, requireSigners } from './trust/signers.ts'
import { readTrust } from './trust/document.ts'
import type { SshPublicKey } from './ssh-key.ts'

export { writeEnvelope } from './trust/signers.ts'
export { readTrust, writeTrustDocument } from './trust/document.ts'
export type { TrustDocument, TrustDocumentRole } from './trust/document.ts'

/** What a signature may be for; `ssh-keygen -Y sign -n`. */
export const namespaces = {
  /** The manifest of a release. */
  release: 'solo-release',
  /** The pointer of a channel. */
  channel: 'solo-channel',
  /** A trust document. */
  trust: 'solo-trust',
} as const

/** Who may sign something, and how many must. */
export interface TrustRole {
  /** How many different keys must have signed. */
  readonly threshold: number
  /** The keys, each once. */
  readonly keys: readonly SshPublicKey[]
}

/** A trust document that has been read. */
export interface Trust {
  /** From 1; each next one counts one more. */
  readonly version: number
  /** The appliance that it is for. */
  readonly appliance: string
  /** When it ends, in seconds since 1970; without it, never. */
  readonly expiresSeconds?: number
  /** Who signs what. Without `channel` no channel is believed, without `trust` no newer document is. */
  readonly roles: { readonly release: TrustRole; readonly channel?: TrustRole; readonly trust?: TrustRole }
  /** Fingerprints of keys whose signatures no longer count, in no role. */
  readonly revoked: readonly string[]
}

/** What {@link advanceTrust} gives. */
export interface AdvancedTrust {
  /** The newest document. */
  readonly trust: Trust
  /** The envelopes that lead to it from what was known, oldest first; to be kept by the device. */
  readonly accepted: readonly string[]
}

/**
 * Goes from one trust document to the newest by a chain of envelopes; those of versions that are known are passed over.
 *
 * @param trust - what is believed now
 * @param envelopes - newer documents with their signatures, in any order
 * @throws UpdateRefused `trust` when one of the chain is missing, for another appliance, or not signed as it must be
 */
export function advanceTrust(trust: Trust, envelopes: readonly string[]): AdvancedTrust {
  const offered = envelopes
    .map((envelope): Offered => {
      const signed = readEnvelope(envelope, 'a trust document', 'trust')
      return { envelope, signed, next: readTrust(signed.document) }
    })
    .filter(({ next }) => next.version > trust.version)
    .toSorted((a, b) => a.next.version - b.next.version)
  let current = trust
  const accepted: string[] = []
  let refusal: unknown
  for (const { envelope, signed, next } of offered) {
    // One document may be there with fewer signatures and with more.
    if (next.version <= current.version) continue
    try {
      checkSuccessor(current, next, signed)
      current = next
      accepted.push(envelope)
      refusal = undefined
    } catch (error) {
      refusal ??= error
    }
  }
  if (refusal !== undefined) throw refusal
  return { trust: current, accepted }
}

interface Offered {
  readonly envelope: string
  readonly signed: SignedText
  readonly next: Trust
}

function checkSuccessor(current: Trust, next: Trust, signed: SignedText): void {
  const what = `trust document ${next.version}`
  if (next.version !== current.version + 1) {
    throw new UpdateRefused(
      'trust',
      `${what} does not follow ${current.version}: ${current.version + 1} is missing`,
    )
  }
  if (next.appliance !== current.appliance) {
    throw new UpdateRefused('trust', `${what} is for ${next.appliance}, expected ${current.appliance}`)
  }
  for (const { roles, revoked, version } of [current, next]) {
    if (roles.trust === undefined) {
      throw new UpdateRefused(
        'trust',
        `trust document ${version} names no keys for trust, so ${what} cannot follow`,
      )
    }
    try {
      requireSigners({ ...signed, what, namespace: namespaces.trust, role: roles.trust, revoked })
    } catch (cause) {
      if (!(cause instanceof UpdateRefused)) throw cause
      throw new UpdateRefused('trust', `${cause.message} (by the keys of trust document ${version})`, {
        cause,
      })
    }
  }
}

/** The file in which a device keeps the envelopes that it accepted. */
const stored = z.object({ envelopes: z.array(z.string()) })

/**
 * The trust of a device: that of its image, and what followed. What is kept on the data partition can only lead
 * further by signatures. What does not lead further is passed over: a broken file is as none, and after a return to an
 * older image there may be gaps, which are filled later.
 *
 * @param image - `/etc/solo/trust.json`
 * @param kept - `/var/lib/solo/trust.json`, when there is one
 * @throws UpdateRefused `trust` for an image without a trust document
 */
export function effectiveTrust(image: string, kept?: string): Trust {
  let trust = readTrust(image)
  const known = keptEnvelopes(kept)
    .map((envelope) => ({ envelope, version: versionOf(envelope) }))
    .toSorted((a, b) => a.version - b.version)
  for (const { envelope } of known) {
    try {
      trust = advanceTrust(trust, [envelope]).trust
    } catch (error) {
      if (!(error instanceof UpdateRefused)) throw error
    }
  }
  return trust
}

/** The version that an envelope is about; 0 for what is none. */
function versionOf(envelope: string): number {
  try {
    return readTrust(readEnvelope(envelope, 'a trust document', 'trust').document).version
  } catch (error) {
    if (error instanceof UpdateRefused) return 0
    throw error
  }
}

/**
 * The text to keep after documents were accepted.
 *
 * @param kept - what is kept now
 * @param accepted - what {@link advanceTrust} gave
 */
export function keepTrust(kept: string | undefined, accepted: readonly string[]): string {
  return JSON.stringify({ envelopes: [...new Set([...keptEnvelopes(kept), ...accepted])] })
}

function keptEnvelopes(kept: string | undefined): readonly string[] {
  if (kept === undefined) return []
  try {
    return readJson(kept, stored, 'the kept trust documents', 'trust').envelopes
  } catch (error) {
    if (error instanceof UpdateRefused) return []
    throw error
  }
}

/**
 * Refuses a trust document that has ended.
 *
 * @throws UpdateRefused `expired`
 */
export function checkTrustExpiry({ version, expiresSeconds }: Trust, nowSeconds: number): void {
  if (expiresSeconds === undefined || nowSeconds < expiresSeconds) return
  throw new UpdateRefused(
    'expired',
    `trust document ${version} ended on ${time(expiresSeconds)}: a newer one is needed`,
  )
}

function time(atSeconds: number): string {
  return new Date(seconds.parse(atSeconds) * 1000).toISOString()
}
