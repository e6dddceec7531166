/** A finished hash tree in memory: 1/127 of the data that it covers. */
import { hex } from './digest.ts'
import { blockBytes, digestBytes, digestsPerBlock, verityLevels } from './geometry.ts'
import type { VerityLevel } from './geometry.ts'
import { encodeSuperblock } from './superblock.ts'

/** What the kernel must be told to check data; the tree itself may lie anywhere. */
export interface VerityParameters {
  /** How many blocks of 4 KiB of data there are. */
  readonly dataBlocks: number
  /** 0 to 256 bytes, hashed before each block. */
  readonly salt: Uint8Array
  /** The digest of the tree's top block: 64 hexadecimal digits. */
  readonly rootHash: string
}

/** What a tree is made of; {@link VerityHasher} makes one. */
export interface TreeContent {
  readonly dataBlocks: number
  readonly salt: Uint8Array
  readonly uuid: Uint8Array
  readonly root: Uint8Array
  /** By level, leaves first, the blocks of digests. */
  readonly blocks: readonly (readonly Uint8Array[])[]
}

/** A hash tree with its superblock. */
export class VerityTree implements VerityParameters {
  /** How many blocks of 4 KiB of data there are. */
  readonly dataBlocks: number
  /** What is hashed before each block. */
  readonly salt: Uint8Array
  /** The digest of the top block: 64 hexadecimal digits in lower case. */
  readonly rootHash: string
  /** Its levels, leaves first; none over a single block of data. */
  readonly levels: readonly VerityLevel[]
  /** Bytes of superblock and tree. */
  readonly sizeBytes: number
  readonly #content: TreeContent

  /** @internal */
  constructor(content: TreeContent) {
    this.#content = content
    this.dataBlocks = content.dataBlocks
    this.salt = content.salt
    this.rootHash = hex(content.root)
    this.levels = verityLevels(content.dataBlocks)
    this.sizeBytes = blockBytes * (1 + this.levels.reduce((sum, { blocks }) => sum + blocks, 0))
  }

  /** The tree's first block where superblock and tree follow the data on one device: HASHSTART of its table. */
  get hashStartBlock(): number {
    return this.dataBlocks + 1
  }

  /** Superblock and tree, the top level first. The chunks are the tree's own memory: do not change them. */
  *bytes(): Generator<Uint8Array, void, undefined> {
    yield encodeSuperblock(this.#content.uuid, this.dataBlocks, this.salt)
    for (const blocks of this.#content.blocks.toReversed()) yield* blocks
  }

  /**
   * One block of digests of a level: what a device fetches to find where two releases differ.
   *
   * @throws RangeError when there is no such block
   */
  hashBlock(level: number, block: number): Uint8Array {
    const bytes = this.#content.blocks[level]?.[block]
    if (!bytes) throw new RangeError(`the hash tree has no block ${block} in level ${level}`)
    return bytes
  }

  /**
   * The digest of a data block.
   *
   * @throws RangeError when there is no such block
   */
  leaf(dataBlock: number): Uint8Array {
    if (!Number.isInteger(dataBlock) || dataBlock < 0 || dataBlock >= this.dataBlocks) {
      throw new RangeError(`the hash tree covers ${this.dataBlocks} blocks, there is no block ${dataBlock}`)
    }
    if (this.dataBlocks === 1) return this.#content.root
    const start = (dataBlock % digestsPerBlock) * digestBytes
    return this.hashBlock(0, Math.floor(dataBlock / digestsPerBlock)).subarray(start, start + digestBytes)
  }
}
