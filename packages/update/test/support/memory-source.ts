// Blobs in memory, given in chunks, with a count of what was asked for.
import { type BlobSource, SourceError } from '../../src/source.ts'

/** A source over blobs by digest. */
export class MemorySource implements BlobSource {
  readonly #blobs: ReadonlyMap<string, Uint8Array>
  /** Each part that was asked for. */
  readonly asked: { digest: string; offset: number; length: number }[] = []

  constructor(blobs: ReadonlyMap<string, Uint8Array>) {
    this.#blobs = blobs
  }

  async *open(digest: string, offset: number, length: number): AsyncGenerator<Uint8Array> {
    this.asked.push({ digest, offset, length })
    const bytes = this.#blobs.get(digest)
    if (bytes === undefined) throw new SourceError(`no blob ${digest}`)
    if (offset + length > bytes.length) throw new Error(`asked for ${offset}+${length} of ${bytes.length}`)
    for (let start = offset; start < offset + length; start += 50_000) {
      await Promise.resolve()
      yield bytes.subarray(start, Math.min(start + 50_000, offset + length))
    }
  }
}
