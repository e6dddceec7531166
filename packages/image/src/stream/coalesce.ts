/** Joins small pieces into chunks worth a write; large pieces pass through without a copy. */

const chunkBytes = 64 * 1024

/** Yields the bytes of `pieces` in chunks of about 64 KiB, or more where a piece is larger by itself. */
export async function* coalesce(
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  let chunk = new Uint8Array(chunkBytes)
  let usedBytes = 0
  for await (const piece of pieces) {
    if (usedBytes + piece.byteLength > chunkBytes) {
      if (usedBytes > 0) yield chunk.subarray(0, usedBytes)
      // A new one each time: the chunk that was given away belongs to its taker.
      if (usedBytes > 0) chunk = new Uint8Array(chunkBytes)
      usedBytes = 0
    }
    if (piece.byteLength >= chunkBytes) {
      yield piece
      continue
    }
    chunk.set(piece, usedBytes)
    usedBytes += piece.byteLength
  }
  if (usedBytes > 0) yield chunk.subarray(0, usedBytes)
}
