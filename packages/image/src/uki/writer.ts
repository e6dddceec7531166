/** The bytes of a planned UKI. The checksum lies in the headers and covers everything, so it takes a pass of its own. */
import { readContent } from '../stream/content.ts'
import { PeChecksum } from './checksum.ts'
import type { UkiPlan } from './layout.ts'

/** Everything from the first byte to the last, with the checksum 0. */
async function* pieces(
  plan: UkiPlan,
  head: Uint8Array,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  signal?.throwIfAborted()
  yield head
  for (const { name, content, paddingBytes } of plan.parts) {
    yield* readContent(content, name, signal)
    if (paddingBytes > 0) yield new Uint8Array(paddingBytes)
  }
}

/** Reads everything once, for its checksum. */
export async function checksumOf(
  plan: UkiPlan,
  signal?: AbortSignal,
  onProgress?: (doneBytes: number) => void,
): Promise<number> {
  const checksum = new PeChecksum()
  let doneBytes = 0
  for await (const piece of pieces(plan, plan.head, signal)) {
    checksum.update(piece)
    doneBytes += piece.byteLength
    onProgress?.(doneBytes)
  }
  return checksum.value()
}

/**
 * Gives everything, with the checksum in its place.
 *
 * @throws Error at the end when the content was not that of the checksum
 */
export async function* sealedPieces(
  plan: UkiPlan,
  checksum: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const sealed = plan.head.slice()
  new DataView(sealed.buffer).setUint32(plan.checksumOffset, checksum, true)
  const seen = new PeChecksum()
  for await (const piece of pieces(plan, sealed, signal)) {
    seen.update(piece === sealed ? plan.head : piece)
    yield piece
  }
  if (seen.value() !== checksum) {
    throw new Error('a file changed while the UKI was written: what was written has another checksum')
  }
}
