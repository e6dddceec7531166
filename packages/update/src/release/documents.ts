// The small documents of a release, which travel first: on them alone a device decides.
import { z } from 'zod'
import { UpdateRefused } from '../refused.ts'
import { readValue } from './schema.ts'

/** The documents on which a device decides; plain strings, so that they travel as JSON. */
export interface ReleaseDocuments {
  /** The release's manifest: its exact text, as it was signed. */
  readonly manifest: string
  /** Armored SSH signatures over the manifest. */
  readonly signatures: readonly string[]
  /** Trust documents with their signatures, each an envelope; those that the device knows are ignored. */
  readonly trust: readonly string[]
  /** The channel's pointer with its signatures, an envelope, when the release comes by a channel. */
  readonly channel?: string
}

/** The most bytes that all documents of a release may have together. */
export const documentBytesMax: number = 256 * 1024

/** So many signatures are looked at: a release has a few signers, and each check costs time. */
const signaturesMax = 32

/** So many rotations may be caught up with at once. */
const trustMax = 64

const schema = z.strictObject({
  manifest: z.string(),
  signatures: z.array(z.string()).max(signaturesMax),
  trust: z.array(z.string()).max(trustMax),
  channel: z.string().exactOptional(),
})

/**
 * Documents that came from outside: checks their shape and bounds, and nothing of what they say.
 *
 * @param value - JSON that has been read
 * @throws UpdateRefused `format`
 *
 * @example
 * ```ts
 * import { readDocuments } from '@pkg/update/release'
 *
 * const documents = readDocuments(JSON.parse('{ "manifest": "{}", "signatures": [], "trust": [] }'))
 * console.log(documents.signatures.length) // 0
 * ```
 */
export function readDocuments(value: unknown): ReleaseDocuments {
  const documents = readValue(value, schema, "the release's documents")
  const texts = [documents.manifest, ...documents.signatures, ...documents.trust, documents.channel ?? '']
  // What is signed are bytes: a lone surrogate would become U+FFFD there and stay one here.
  if (!texts.every((text) => text.isWellFormed())) {
    throw new UpdateRefused('format', "the release's documents: expected text that UTF-8 can hold")
  }
  const sizeBytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
  if (sizeBytes > documentBytesMax) {
    throw new UpdateRefused(
      'format',
      `the release's documents have ${sizeBytes} bytes, expected ${documentBytesMax} at most`,
    )
  }
  return documents
}
