// Arrays of buffers as the kernel takes them: `struct iovec`, an address and a length each.
import { bytes } from './arguments.ts'
import { addressOf, type Memory } from './ffi.ts'

/** `UIO_MAXIOV` (linux/uio.h): how many buffers a call takes. */
const vectorsMax = 1024

/** Keeps the buffers referenced while the kernel has their addresses. */
const held = new Set<unknown>()

/**
 * Calls with an array of `struct iovec` for `buffers` and their number.
 *
 * The buffers cannot move meanwhile: asking for a typed array's `buffer` gives a small one its final place.
 *
 * @throws TypeError for something that is no byte array; RangeError for more than 1024
 */
export function withVectors(
  buffers: readonly Uint8Array[],
  call: (vectors: Memory, count: number) => number,
): number {
  const vectors = vectorsOf(buffers)
  held.add(buffers)
  try {
    return call(vectors, buffers.length)
  } finally {
    held.delete(buffers)
  }
}

/** The array of `struct iovec` alone: for a struct that has its address. The caller keeps `buffers`. */
export function vectorsOf(buffers: readonly Uint8Array[]): BigUint64Array {
  if (!Array.isArray(buffers)) throw new TypeError('buffers must be an array')
  if (buffers.length > vectorsMax) throw new RangeError(`${buffers.length} buffers: at most ${vectorsMax}`)
  const vectors = new BigUint64Array(new ArrayBuffer(16 * Math.max(1, buffers.length)))
  for (const [index, buffer] of buffers.entries()) {
    const isPlaced = bytes(buffer, 'each buffer').buffer.byteLength > 0
    vectors[index * 2] = isPlaced ? BigInt(addressOf(buffer)) : 0n
    vectors[index * 2 + 1] = BigInt(buffer.length)
  }
  return vectors
}
