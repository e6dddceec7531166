// One frame of Zstandard, unpacked at once. node:zlib unpacks in pieces that it puts together at the end, behind a
// window of its own: three times the size of what comes out (measured: 12 MB for 4 MiB), where this takes it once.

/** The magic number, and the descriptor behind it (RFC 8878, 3.1.1). */
const magic = 0xfd2fb528
const descriptorOffset = 4

/** How many bytes tell the size of the content, by the descriptor's first two bits; the first has none, or one. */
const sizeBytesOf = [0, 2, 4, 8] as const

/** A block: whether it is the last one, its type in two bits, its size (3.1.1.2). */
const blockHeaderBytes = 3
const repeatedByte = 1

const checksumBytes = 4

/** In two bytes, sizes below it need not be told. */
const twoBytesOffset = 256

/**
 * Unpacks a frame.
 *
 * @param sizeBytesMax - memory that is taken at most
 * @throws RangeError it says that it has more, or not how much; Error it is no frame, not one alone, or has something
 *   else than it says
 */
export function unpackFrame(packed: Uint8Array, sizeBytesMax: number): Uint8Array {
  const { headerBytes, sizeBytes, hasChecksum } = readHeader(packed)
  if (sizeBytes === undefined) throw new RangeError('it does not say how long its content is')
  if (sizeBytes > sizeBytesMax)
    throw new RangeError(`its content has ${sizeBytes} bytes, expected ${sizeBytesMax} at most`)
  // Of what is behind it nothing is said: kilobytes unpack into gigabytes, and Bun would unpack all there is.
  if (endOfBlocks(packed, headerBytes) + (hasChecksum ? checksumBytes : 0) !== packed.byteLength)
    throw new Error('it is not one frame, or not a whole one')
  const unpacked = Bun.zstdDecompressSync(packed)
  if (unpacked.byteLength !== sizeBytes)
    throw new RangeError(`its content has ${unpacked.byteLength} bytes, not ${sizeBytes} as it says`)
  return unpacked
}

/** What a header says. */
interface Header {
  readonly headerBytes: number
  /** Of the content; undefined when it does not say. */
  readonly sizeBytes: number | undefined
  readonly hasChecksum: boolean
}

function readHeader(packed: Uint8Array): Header {
  const view = viewOf(packed)
  // The longest header has 18 bytes; one without anything behind it is no frame either.
  if (packed.byteLength < descriptorOffset + 1 || view.getUint32(0, true) !== magic)
    throw new Error('it is no frame of Zstandard')
  const descriptor = view.getUint8(descriptorOffset)
  const isSingleSegment = (descriptor & 0x20) !== 0
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0
  const kind = descriptor >> 6
  const fieldBytes = kind === 0 && isSingleSegment ? 1 : (sizeBytesOf[kind] ?? 0)
  const at = descriptorOffset + 1 + (isSingleSegment ? 0 : 1) + dictionaryBytes
  return {
    headerBytes: at + fieldBytes,
    sizeBytes: packed.byteLength < at + fieldBytes ? undefined : contentSize(view, at, fieldBytes),
    hasChecksum: (descriptor & 0x04) !== 0,
  }
}

function contentSize(view: DataView, at: number, fieldBytes: number): number | undefined {
  if (fieldBytes === 0) return undefined
  if (fieldBytes === 1) return view.getUint8(at)
  if (fieldBytes === 2) return view.getUint16(at, true) + twoBytesOffset
  return fieldBytes === 4 ? view.getUint32(at, true) : Number(view.getBigUint64(at, true))
}

/** Where the last block ends; beyond the end of what is cut off. */
function endOfBlocks(packed: Uint8Array, first: number): number {
  const view = viewOf(packed)
  let at = first
  for (let isLast = false; !isLast;) {
    if (at + blockHeaderBytes > packed.byteLength) return Number.POSITIVE_INFINITY
    const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16)
    isLast = (header & 1) !== 0
    // Of a repeated byte there is one, however often it comes.
    at += blockHeaderBytes + (((header >> 1) & 3) === repeatedByte ? 1 : header >> 3)
  }
  return at
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength)
}
