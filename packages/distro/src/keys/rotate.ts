// From one trust document to the next: keys come and go, and who signs says so.
import { parsePublicKey } from '@pkg/update/ssh-key'
import { UpdateRefused } from '@pkg/update/refused'
import {
  advanceTrust,
  namespaces,
  readTrust,
  type TrustDocument,
  type TrustDocumentRole,
  writeEnvelope,
  writeTrustDocument,
} from '@pkg/update/trust'
import { SoloError } from '../error.ts'
import { mergeSignatures } from '../release/signatures.ts'
import { signSsh } from '../ssh/sign.ts'

/** Who signs what. */
export type RoleName = 'release' | 'channel' | 'trust'

/** All roles. */
export const roleNames: readonly RoleName[] = ['release', 'channel', 'trust']

/** What is to change. */
export interface TrustChanges {
  /** Lines of public keys that come to roles. */
  readonly add?: readonly { readonly role: RoleName; readonly key: string }[]
  /** Fingerprints of keys that go from all roles, and still count where they signed before. */
  readonly remove?: readonly string[]
  /** Fingerprints of keys that go, and count nowhere any more. */
  readonly revoke?: readonly string[]
  /** How many must sign. */
  readonly thresholds?: readonly { readonly role: RoleName; readonly count: number }[]
  /** When the document ends, as `2027-11-30T12:00:00Z`; null: never. Default: as it was. */
  readonly expires?: string | null
}

/**
 * The next document.
 *
 * @throws SoloError for changes that no device would take
 */
export function nextTrust(present: TrustDocument, changes: TrustChanges): string {
  const { add = [], remove = [], revoke = [], thresholds = [], expires = present.expires } = changes
  const gone = new Set([...remove, ...revoke])
  checkKnown(present, gone)
  const role = (name: RoleName): TrustDocumentRole | undefined => {
    const before = present.roles[name]
    const kept = (before?.keys ?? []).filter((key) => !gone.has(parsePublicKey(key).fingerprint))
    const keys = [...kept, ...add.filter((each) => each.role === name).map(({ key }) => key)]
    // Without keys no channel is believed. The other two are never given up by a slip: that is an error.
    if (keys.length === 0 && (name === 'channel' || before === undefined)) return undefined
    return { threshold: thresholds.find((each) => each.role === name)?.count ?? before?.threshold ?? 1, keys }
  }
  const [release, channel, trust] = [role('release'), role('channel'), role('trust')]
  try {
    return writeTrustDocument({
      version: present.version + 1,
      appliance: present.appliance,
      ...(expires === null || expires === undefined ? {} : { expires }),
      roles: {
        release: release ?? { threshold: 1, keys: [] },
        ...(channel === undefined ? {} : { channel }),
        ...(trust === undefined ? {} : { trust }),
      },
      revoked: [...new Set([...(present.revoked ?? []), ...revoke])],
    })
  } catch (cause) {
    if (cause instanceof UpdateRefused) throw new SoloError(cause.message, { exitStatus: 2, cause })
    throw cause
  }
}

/** A fingerprint with a slip in it must not pass for one that is gone. */
function checkKnown({ roles }: TrustDocument, gone: ReadonlySet<string>): void {
  const known = new Set(
    roleNames.flatMap((name) => roles[name]?.keys ?? []).map((key) => parsePublicKey(key).fingerprint),
  )
  for (const fingerprint of gone) {
    if (known.has(fingerprint)) continue
    throw new SoloError(`no role has the key ${fingerprint}, but ${[...known].join(', ')}`, { exitStatus: 2 })
  }
}

/** A document with signatures, and whether they are enough. */
export interface SignedTrust {
  /** As devices take it. */
  readonly envelope: string
  /** What is missing for a device that has the present document; undefined when nothing is. */
  readonly missing: string | undefined
}

/**
 * Signs a document by further keys.
 *
 * @param present - the text of the document that devices have now
 * @param signatures - those that are there already
 */
export async function signTrust(
  present: string,
  document: string,
  signatures: readonly string[],
  keys: readonly string[],
): Promise<SignedTrust> {
  const added: string[] = []
  for (const key of keys) added.push(await signSsh({ message: document, namespace: namespaces.trust, key }))
  const envelope = writeEnvelope(document, mergeSignatures(signatures, added))
  try {
    advanceTrust(readTrust(present), [envelope])
    return { envelope, missing: undefined }
  } catch (error) {
    if (error instanceof UpdateRefused) return { envelope, missing: error.message }
    throw error
  }
}
