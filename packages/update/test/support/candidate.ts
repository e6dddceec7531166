// Releases as a device meets them, good and bad, and what its verifier says of each.
import { verifyContents } from '../../src/contents.ts'
import { UpdateRefused } from '../../src/refused.ts'
import type { ReleaseDocuments } from '../../src/release.ts'
import { type BlobSource, SourceError } from '../../src/source.ts'
import { readTrust } from '../../src/trust.ts'
import { type Device, verifyRelease } from '../../src/verify.ts'
import { Signer } from './signer.ts'

/** A release that is offered. */
export interface Candidate {
  readonly documents: ReleaseDocuments
  /** By digest; what is offered under it may be anything. */
  readonly blobs: ReadonlyMap<string, Uint8Array>
  /** Blobs that never end. */
  readonly endless?: ReadonlySet<string>
}

/** Gives what it has, however much was asked for: more, less, or without an end. */
class HostileSource implements BlobSource {
  readonly #candidate: Candidate

  constructor(candidate: Candidate) {
    this.#candidate = candidate
  }

  async *open(digest: string, offset: number, length: number): AsyncGenerator<Uint8Array> {
    const { blobs, endless } = this.#candidate
    const bytes = blobs.get(digest)
    if (bytes === undefined) throw new SourceError(`no blob ${digest}`)
    // A blob that is longer than was asked for is given whole where it is asked for from its beginning.
    const end = offset === 0 ? bytes.length : offset + length
    for (let start = offset; start < end; start += 100_000) {
      await Promise.resolve()
      yield bytes.subarray(start, Math.min(start + 100_000, end))
    }
    while (endless?.has(digest) === true) {
      await Promise.resolve()
      yield new Uint8Array(100_000)
    }
  }
}

/**
 * What the device's own verifier says: `accepted`, the check that failed, or `source` when a blob cannot be had. Any
 * other error is thrown on: the verifier must not crash.
 */
export async function judge(candidate: Candidate, device: Device): Promise<string> {
  try {
    const release = verifyRelease(candidate.documents, device)
    await verifyContents(release, new HostileSource(candidate))
    return 'accepted'
  } catch (error) {
    if (error instanceof UpdateRefused) return error.check
    if (error instanceof SourceError) return 'source'
    throw error
  }
}

/** The keys of the appliance. */
export const signers: { readonly release: Signer; readonly channel: Signer; readonly trust: Signer } = {
  release: new Signer({ comment: 'release' }),
  channel: new Signer({ comment: 'channel' }),
  trust: new Signer({ comment: 'trust' }),
}

/** Somebody whom nobody trusts. */
export const stranger: Signer = new Signer({ comment: 'stranger' })

/** The text of a trust document in which each role has one key, with changes. */
export function trustText(changes: Readonly<Record<string, unknown>> = {}): string {
  const role = (signer: Signer): object => ({ threshold: 1, keys: [signer.line] })
  return JSON.stringify({
    version: 1,
    appliance: 'hello',
    roles: { release: role(signers.release), channel: role(signers.channel), trust: role(signers.trust) },
    ...changes,
  })
}

/** The time of all tests: a year after the release was made. */
export const nowSeconds = 1_831_536_000

/** A device that runs counter 1, with changes. */
export function deviceWith(changes: Partial<Device> = {}): Device {
  return {
    trust: readTrust(trustText()),
    appliance: 'hello',
    board: 'generic',
    architecture: 'x86_64',
    running: { version: '1.0', counter: 1 },
    counterFloor: 1,
    nowSeconds,
    ...changes,
  }
}

/** The part of a release's manifest that tests change. */
export interface ManifestJson {
  [field: string]: unknown
  layers: { mediaType: string; digest: string; size: number; annotations?: Record<string, string> }[]
  annotations: Record<string, string>
}

/** A manifest, signed by the release's key. */
export function signed(
  manifest: string | ManifestJson,
  more: Partial<ReleaseDocuments> = {},
): ReleaseDocuments {
  const text = typeof manifest === 'string' ? manifest : JSON.stringify(manifest)
  return { manifest: text, signatures: [signers.release.sign('solo-release', text)], trust: [], ...more }
}
