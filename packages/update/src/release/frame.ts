// One frame of Zstandard, unpacked at once. node:zlib unpacks in pieces that it puts together at the end, behind a
// window of its own: three times the size of what comes out (measured: 12 MB for 4 MiB), where this takes it once.

/** The magic number, and the descriptor behind it (RFC 8878, 3.1.1). */
const magic = 0xfd2fb528
const descriptorOffset = 4

/** How many bytes tell the size of the content, by the descriptor's first two bits; the first has none, or one. */
const sizeBytesOf = [0, 2, 4, 8] as const

/** In two bytes, sizes below it need not be told. */
const twoBytesOffset = 256

/**
 * Unpacks a frame.
 *
 * @param sizeBytesMax - memory that is taken at most
 * @throws RangeError it says that it has more, or not how much; Error it is no frame, or has something else than it says
 */
export function unpackFrame(packed: Uint8Array, sizeBytesMax: number): Uint8Array {
  const sizeBytes = contentSize(packed)
  if (sizeBytes === undefined) throw new RangeError('it does not say how long its content is')
  if (sizeBytes > sizeBytesMax)
    throw new RangeError(`its content has ${sizeBytes} bytes, expected ${sizeBytesMax} at most`)
  const unpacked = Bun.zstdDecompressSync(packed)
  if (unpacked.byteLength !== sizeBytes)
    throw new RangeError(`its content has ${unpacked.byteLength} bytes, not ${sizeBytes} as it says`)
  return unpacked
}

/** What the header says; undefined when it does not. */
function contentSize(packed: Uint8Array): number | undefined {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength)
  // The longest header has 18 bytes; one without anything behind it is no frame either.
  if (packed.byteLength < descriptorOffset + 1 || view.getUint32(0, true) !== magic)
    throw new Error('it is no frame of Zstandard')
  const descriptor = view.getUint8(descriptorOffset)
  const isSingleSegment = (descriptor & 0x20) !== 0
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0
  const kind = descriptor >> 6
  const sizeBytes = kind === 0 && isSingleSegment ? 1 : (sizeBytesOf[kind] ?? 0)
  const at = descriptorOffset + 1 + (isSingleSegment ? 0 : 1) + dictionaryBytes
  if (sizeBytes === 0 || packed.byteLength < at + sizeBytes) return undefined
  if (sizeBytes === 1) return view.getUint8(at)
  if (sizeBytes === 2) return view.getUint16(at, true) + twoBytesOffset
  return sizeBytes === 4 ? view.getUint32(at, true) : Number(view.getBigUint64(at, true))
}
