// The JSON of a trust document: read strictly, as it decides on everything else, and written.
import { z } from 'zod'
import { UpdateRefused } from '../refused.ts'
import { counter, name, readJson } from '../release/schema.ts'
import { parsePublicKey, SshFormatError, type SshPublicKey } from '../ssh-key.ts'
import type { Trust, TrustRole } from '../trust.ts'

/** A role, as the document has it. */
export interface TrustDocumentRole {
  /** How many different keys must have signed. */
  readonly threshold: number
  /** Lines of public keys. */
  readonly keys: readonly string[]
}

/** A trust document, as it is written. */
export interface TrustDocument {
  /** From 1; each next one counts one more. */
  readonly version: number
  /** The appliance that it is for. */
  readonly appliance: string
  /** When it ends, as `2027-11-30T12:00:00Z`; without it, never. */
  readonly expires?: string
  /** Who signs what. */
  readonly roles: {
    readonly release: TrustDocumentRole
    readonly channel?: TrustDocumentRole
    readonly trust?: TrustDocumentRole
  }
  /** Fingerprints of keys whose signatures no longer count. */
  readonly revoked?: readonly string[]
}

/** Enough for an organization; each signature is compared with each key. */
const keysMax = 64

const role = z.object({
  threshold: z.int().min(1).max(keysMax),
  keys: z.array(z.string().max(1024)).min(1).max(keysMax),
})

const schema = z.object({
  version: counter,
  appliance: name,
  expires: z.iso.datetime({ error: 'expected a time such as 2027-11-30T12:00:00Z' }).exactOptional(),
  roles: z.object({ release: role, channel: role.exactOptional(), trust: role.exactOptional() }),
  revoked: z
    .array(z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}$/, 'expected a fingerprint, SHA256:…'))
    .max(1024)
    .exactOptional(),
})

/**
 * Reads a trust document.
 *
 * @throws UpdateRefused `trust` for what is none, or one that nobody could fulfil
 */
export function readTrust(text: string): Trust {
  const {
    version,
    appliance,
    expires,
    roles,
    revoked = [],
  } = readJson(text, schema, 'the trust document', 'trust')
  const { release, channel, trust } = roles
  return {
    version,
    appliance,
    ...(expires === undefined ? {} : { expiresSeconds: Math.floor(Date.parse(expires) / 1000) }),
    roles: {
      release: readRole('release', release, revoked),
      ...(channel === undefined ? {} : { channel: readRole('channel', channel, revoked) }),
      ...(trust === undefined ? {} : { trust: readRole('trust', trust, revoked) }),
    },
    revoked,
  }
}

/** A key that is there twice would count twice; a threshold that cannot be reached would lock a device for good. */
function readRole(
  roleName: string,
  { threshold, keys }: TrustDocumentRole,
  revoked: readonly string[],
): TrustRole {
  const where = `the trust document: roles.${roleName}`
  const read = keys.map((line) => readKey(line, where))
  if (new Set(read.map(({ fingerprint }) => fingerprint)).size < read.length) {
    throw new UpdateRefused('trust', `${where} has a key twice`)
  }
  const countable = read.filter(({ fingerprint }) => !revoked.includes(fingerprint))
  if (threshold > countable.length) {
    throw new UpdateRefused(
      'trust',
      `${where} asks for ${threshold} signatures of ${countable.length} keys that are not revoked`,
    )
  }
  return { threshold, keys: read }
}

function readKey(line: string, where: string): SshPublicKey {
  try {
    return parsePublicKey(line)
  } catch (cause) {
    if (!(cause instanceof SshFormatError)) throw cause
    throw new UpdateRefused('trust', `${where}: ${cause.message}`, { cause })
  }
}

/**
 * The text of a trust document, which is what is signed.
 *
 * @throws UpdateRefused `trust` for one that no device would take
 */
export function writeTrustDocument(document: TrustDocument): string {
  const text = `${JSON.stringify(document, null, 2)}\n`
  readTrust(text)
  return text
}
