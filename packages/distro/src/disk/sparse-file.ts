// A file that is mostly holes: only what is not zero takes room on the host.
import { type FileHandle, open } from 'node:fs/promises'

/** Pieces and where they go. */
export interface Extent {
  readonly offsetBytes: number
  readonly bytes: Uint8Array | AsyncIterable<Uint8Array>
}

/** Holes are made of at least this much, the block of most file systems. */
const BLOCK_BYTES = 4096

/**
 * Writes a file of `sizeBytes` with the extents in it.
 *
 * @returns how many bytes of it are not holes
 */
export async function writeSparse(
  path: string,
  sizeBytes: number,
  extents: readonly Extent[],
): Promise<number> {
  const file = await open(path, 'w')
  let usedBytes = 0
  try {
    await file.truncate(sizeBytes)
    for (const { offsetBytes, bytes } of extents) {
      let offset = offsetBytes
      for await (const piece of bytes instanceof Uint8Array ? [bytes] : bytes) {
        usedBytes += await writeWithoutZeros(file, piece, offset)
        offset += piece.length
      }
    }
  } finally {
    await file.close()
  }
  return usedBytes
}

async function writeWithoutZeros(file: FileHandle, piece: Uint8Array, offset: number): Promise<number> {
  let usedBytes = 0
  for (let start = 0, end = 0; start < piece.length; start = end) {
    // The next run of blocks that are all zero or all not.
    const zero = isZero(piece.subarray(start, start + BLOCK_BYTES))
    end = start + BLOCK_BYTES
    while (end < piece.length && isZero(piece.subarray(end, end + BLOCK_BYTES)) === zero) end += BLOCK_BYTES
    if (zero) continue
    const run = piece.subarray(start, end)
    await writeAll(file, run, offset + start)
    usedBytes += run.length
  }
  return usedBytes
}

async function writeAll(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten
  }
}

const zeros = Buffer.alloc(BLOCK_BYTES)

function isZero(block: Uint8Array): boolean {
  return zeros.compare(block, 0, block.length, 0, block.length) === 0
}
