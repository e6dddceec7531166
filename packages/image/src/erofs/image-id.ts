/**
 * The name that an image has by its content: it becomes the superblock's uuid, so it is taken over the image with
 * the uuid, and the checksum that covers it, zeroed.
 */
import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'
import { Input } from '../stream/input.ts'
import { blockBytes, decodeBlocks, unseal } from './format.ts'
import { formatUuid } from '../uuid/uuid.ts'

/** Takes an image's bytes, uuid and checksum zeroed, and gives its id as a uuid. */
export class ImageIdHash {
  readonly #hash: Hash = createHash('sha256')

  /** Adds the next bytes. */
  update(bytes: Uint8Array): void {
    this.#hash.update(bytes)
  }

  /** The first 16 bytes of the SHA-256 of all bytes; ends the hash. */
  id(): string {
    return formatUuid(this.#hash.digest().subarray(0, 16))
  }
}

/**
 * The id of an image that is written, whatever its uuid and checksum are. Reads as many bytes as the superblock
 * says that the image has.
 *
 * @throws TypeError when there is no EROFS superblock; Error when the bytes end too early
 */
export async function readImageId(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const input = new Input(chunks)
  try {
    const first = await input.take(blockBytes)
    const blocks = decodeBlocks(first)
    if (blocks === undefined)
      throw new TypeError('not an EROFS image with blocks of 4 KiB: its superblock is missing')
    unseal(first)
    const hash = new ImageIdHash()
    hash.update(first)
    const sizeBytes = blocks * blockBytes
    for (let leftBytes = sizeBytes - blockBytes; leftBytes > 0;) {
      const bytes = await input.some(leftBytes)
      if (!bytes) throw new Error(`the EROFS image of ${sizeBytes} bytes is cut off after ${input.offset}`)
      hash.update(bytes)
      leftBytes -= bytes.byteLength
    }
    return hash.id()
  } finally {
    await input.close()
  }
}
