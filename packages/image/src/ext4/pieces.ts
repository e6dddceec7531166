/** Brings pieces into the order of their places and into sizes that are worth a write. */
import { blockBytes } from './format.ts'
import type { Piece } from './format.ts'

/** The most bytes that are given at once. */
const chunkBytesMax = 64 * blockBytes

/** Two series of pieces, each in the order of its places, as one. */
export async function* mergePieces(
  left: Iterable<Piece>,
  right: AsyncIterable<Piece>,
): AsyncGenerator<Piece, void, undefined> {
  const lefts = left[Symbol.iterator]()
  let next = lefts.next()
  for await (const piece of right) {
    for (; !next.done && next.value.offsetBytes < piece.offsetBytes; next = lefts.next()) yield next.value
    yield piece
  }
  for (; !next.done; next = lefts.next()) yield next.value
}

/**
 * Copies pieces that follow one another into chunks of up to 256 KiB. Series of pieces begin and end at multiples of a
 * block, and so do the chunks.
 */
export async function* packPieces(
  pieces: AsyncIterable<Piece>,
  signal?: AbortSignal,
): AsyncGenerator<Piece, void, undefined> {
  signal?.throwIfAborted()
  let chunk = new Uint8Array(chunkBytesMax)
  let startBytes = 0
  let usedBytes = 0
  const take = (): Piece => {
    const piece = { offsetBytes: startBytes, bytes: chunk.subarray(0, usedBytes) }
    // What was given away belongs to its taker.
    chunk = new Uint8Array(chunkBytesMax)
    usedBytes = 0
    return piece
  }
  for await (const { offsetBytes, bytes } of pieces) {
    signal?.throwIfAborted()
    if (usedBytes > 0 && offsetBytes !== startBytes + usedBytes) yield take()
    for (let done = 0; done < bytes.byteLength;) {
      if (usedBytes === 0) startBytes = offsetBytes + done
      const part = bytes.subarray(done, done + chunkBytesMax - usedBytes)
      chunk.set(part, usedBytes)
      usedBytes += part.byteLength
      done += part.byteLength
      if (usedBytes === chunkBytesMax) yield take()
      signal?.throwIfAborted()
    }
  }
  if (usedBytes > 0) yield take()
}

/** All bytes of a file system up to `sizeBytes`: zeros where there is no piece. */
export async function* withZeros(
  pieces: AsyncIterable<Piece>,
  sizeBytes: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const zeros = new Uint8Array(chunkBytesMax)
  let doneBytes = 0
  function* fill(endBytes: number): Generator<Uint8Array, void, undefined> {
    for (; doneBytes < endBytes; doneBytes += Math.min(chunkBytesMax, endBytes - doneBytes)) {
      signal?.throwIfAborted()
      yield zeros.subarray(0, endBytes - doneBytes)
    }
  }
  for await (const { offsetBytes, bytes } of pieces) {
    yield* fill(offsetBytes)
    yield bytes
    doneBytes += bytes.byteLength
  }
  yield* fill(sizeBytes)
}
