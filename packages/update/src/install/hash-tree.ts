// The hash tree of an image that is being installed, in memory: 1/127 of the image.
import { blockBytes, type SealedImage, treeBlocksOf } from './sealed-image.ts'

/** Bytes of a digest. */
export const digestBytes = 32
const digestsPerBlock = blockBytes / digestBytes

/** The tree. Blocks are set from the top down, so that each is checked by one that is believed. */
export class HashTree {
  /** Its blocks as they lie on a partition: the top level first. */
  readonly bytes: Uint8Array
  readonly #image: SealedImage

  constructor(image: SealedImage) {
    this.#image = image
    this.bytes = new Uint8Array(treeBlocksOf(image.levels) * blockBytes)
  }

  /** The digest that a block of a level must have; the level above must be set. */
  expected(level: number, block: number): Uint8Array {
    const above = this.#image.levels[level + 1]
    return above === undefined ? this.#image.hash : this.#digest(above.startBlock, block)
  }

  /** The digest that a block of data must have. */
  leaf(block: number): Uint8Array {
    const leaves = this.#image.levels[0]
    return leaves === undefined ? this.#image.hash : this.#digest(leaves.startBlock, block)
  }

  #digest(startBlock: number, index: number): Uint8Array {
    const start = startBlock * blockBytes + index * digestBytes
    return this.bytes.subarray(start, start + digestBytes)
  }

  /** Takes a block when it has the digest that it must have. */
  accept(level: number, block: number, bytes: Uint8Array): boolean {
    const place = this.#image.levels[level]
    if (place === undefined || !isBlock(this.#image.salt, bytes, this.expected(level, block))) return false
    this.bytes.set(bytes, (place.startBlock + block) * blockBytes)
    return true
  }
}

/**
 * One for all blocks, as it begins anew after each digest: of node:crypto's there would be one a block, ten megabytes
 * of garbage for each pass over a root. The digest takes 32 bytes; it wants room for the longest there is.
 */
const hasher = new Bun.CryptoHasher('sha256')
const room = new Uint8Array(64)
const found = room.subarray(0, digestBytes)

/** Whether bytes are a whole block with this digest. */
export function isBlock(salt: Uint8Array, bytes: Uint8Array, digest: Uint8Array): boolean {
  if (bytes.length !== blockBytes) return false
  hasher.update(salt)
  hasher.update(bytes)
  hasher.digest(room)
  return Buffer.compare(found, digest) === 0
}

/** How many digests a block of a tree has. */
export const childrenPerBlock: number = digestsPerBlock
