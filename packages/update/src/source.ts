/** Where the bytes of blobs come from: a folder, a server, a registry, or who pushes. */

/**
 * Gives parts of blobs. A source is not trusted: every byte is checked by who asked for it.
 *
 * @example
 * ```ts
 * import type { BlobSource } from '@pkg/update/source'
 *
 * const blobs = new Map([['sha256:ab', new Uint8Array([1, 2, 3, 4])]])
 * const source: BlobSource = {
 *   async *open(digest, offset, length) {
 *     yield blobs.get(digest)?.subarray(offset, offset + length) ?? new Uint8Array()
 *   },
 * }
 * for await (const chunk of source.open('sha256:ab', 1, 2)) console.log(chunk) // Uint8Array [ 2, 3 ]
 * ```
 */
export interface BlobSource {
  /**
   * Opens a part of a blob; it is all inside of the blob.
   *
   * @param digest - `sha256:` and 64 hexadecimal digits
   * @param signal - ends it early
   * @throws SourceError when it cannot be had, on the call or while it is read
   */
  open(digest: string, offset: number, length: number, signal?: AbortSignal): AsyncIterable<Uint8Array>
}

/** A source does not give what was asked for, but may later: it is away, slow, or ended too early. */
export class SourceError extends Error {
  override name = 'SourceError'
}
