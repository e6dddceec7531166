/**
 * The superblock before a hash tree: version 1, SHA-256, blocks of 4 KiB. The kernel never reads it; `veritysetup
 * open` and {@link readVeritySuperblock} take salt and size from it. All numbers little-endian.
 *
 * @see https://gitlab.com/cryptsetup/cryptsetup/-/wikis/DMVerity#verity-superblock-format
 */
import type { RandomAccess } from '../random-access.ts'
import { formatUuid } from '../uuid/uuid.ts'
import { saltBytesMax } from './digest.ts'
import { blockBytes, verityLevels } from './geometry.ts'

const signature = 'verity\0\0'
const algorithm = 'sha256'
const algorithmBytes = 32
const superblockBytes = 512

/** What a superblock says. */
export interface VeritySuperblock {
  /** In lower case. */
  readonly uuid: string
  /** How many blocks of 4 KiB the tree covers. */
  readonly dataBlocks: number
  /** 0 to 256 bytes, hashed before each block. */
  readonly salt: Uint8Array
}

/** There is no superblock, or one that this package does not write. The message says where and which field. */
export class VeritySuperblockError extends Error {
  override name = 'VeritySuperblockError'
}

/** The superblock in a block of its own. `uuid` has 16 bytes, the salt 256 at most. */
export function encodeSuperblock(uuid: Uint8Array, dataBlocks: number, salt: Uint8Array): Uint8Array {
  const block = new Uint8Array(blockBytes)
  const view = new DataView(block.buffer)
  const encoder = new TextEncoder()
  block.set(encoder.encode(signature), 0)
  view.setUint32(8, 1, true)
  view.setUint32(12, 1, true)
  block.set(uuid, 16)
  block.set(encoder.encode(algorithm), 32)
  view.setUint32(64, blockBytes, true)
  view.setUint32(68, blockBytes, true)
  view.setBigUint64(72, BigInt(dataBlocks), true)
  view.setUint16(80, salt.byteLength, true)
  block.set(salt, 88)
  return block
}

/**
 * Reads the superblock at `offsetBytes`: behind the data, or at 0 of a hash device.
 *
 * No digest covers it: who has a root hash has size and salt from the same place, and takes from here what is shown
 * to people.
 *
 * @throws {@link VeritySuperblockError} when there is none, or one with another version, algorithm or block size
 *
 * @example
 * ```ts
 * import { bytesAccess } from '@pkg/image/random-access'
 * import { VerityHasher, readVeritySuperblock } from '@pkg/image/verity'
 *
 * const hasher = new VerityHasher({ salt: new Uint8Array(32), uuid: '01234567-89ab-cdef-0123-456789abcdef' })
 * const image = Buffer.concat(await Array.fromAsync(hasher.append([new Uint8Array(8192)])))
 * console.log((await readVeritySuperblock(bytesAccess(image), 8192)).dataBlocks) // 2
 * ```
 */
export async function readVeritySuperblock(
  access: RandomAccess,
  offsetBytes: number,
): Promise<VeritySuperblock> {
  const bytes = await access.read(offsetBytes, superblockBytes)
  const wrong = (what: string): VeritySuperblockError =>
    new VeritySuperblockError(`dm-verity superblock at byte ${offsetBytes}: ${what}`)
  if (bytes.byteLength < superblockBytes) throw wrong(`the image of ${access.sizeBytes} bytes ends before it`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const text = (start: number, length: number): string =>
    new TextDecoder('latin1').decode(bytes.subarray(start, start + length)).replace(/\0+$/, '')
  if (text(0, signature.length) !== signature.replace(/\0+$/, '')) throw wrong('none is there')
  const expect = (field: string, found: string | number, expected: string | number): void => {
    if (found !== expected) throw wrong(`${field} is ${JSON.stringify(found)}, expected ${expected}`)
  }
  expect('version', view.getUint32(8, true), 1)
  expect('hash type', view.getUint32(12, true), 1)
  expect('algorithm', text(32, algorithmBytes), algorithm)
  expect('data block size', view.getUint32(64, true), blockBytes)
  expect('hash block size', view.getUint32(68, true), blockBytes)
  const saltBytes = view.getUint16(80, true)
  if (saltBytes > saltBytesMax) throw wrong(`salt of ${saltBytes} bytes, ${saltBytesMax} at most`)
  const dataBlocks = Number(view.getBigUint64(72, true))
  try {
    verityLevels(dataBlocks)
  } catch {
    throw wrong(`${dataBlocks} data blocks`)
  }
  return {
    uuid: formatUuid(bytes.subarray(16, 32)),
    dataBlocks,
    salt: new Uint8Array(bytes.subarray(88, 88 + saltBytes)),
  }
}
