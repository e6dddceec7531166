// Where blocks may be copied from: what both slots have now. Nothing of it is believed: the trees of donors only say
// where to look, and each block is hashed before it is used.
import { digestOf, verityLevels } from '@pkg/image/verity'
import { BlockIndex } from './block-index.ts'
import { childrenPerBlock, digestBytes, isBlock } from './hash-tree.ts'
import { blockBytes, treeBlocksOf } from './sealed-image.ts'
import type { BlockReader } from '../slot.ts'

/** Something that has blocks, and a tree that tells their digests. */
export interface Donor {
  /** Where its blocks are read. */
  readonly access: BlockReader
  /** How many blocks its tree covers. */
  readonly dataBlocks: number
  /** Where its tree is read. */
  readonly tree: BlockReader
  /** The tree's first block there. */
  readonly treeStartBlock: number
}

/** All blocks of all donors. */
export class Donors {
  readonly #salt: Uint8Array
  readonly #donors: readonly Donor[]
  readonly #index: BlockIndex

  private constructor(salt: Uint8Array, donors: readonly Donor[]) {
    this.#salt = salt
    this.#donors = donors
    this.#index = new BlockIndex(donors.reduce((sum, donor) => sum + blocksOf(donor), 0))
  }

  /** Reads the donors' trees. What cannot be read is left out: it will be fetched. */
  static async read(salt: Uint8Array, donors: readonly Donor[]): Promise<Donors> {
    const all = new Donors(salt, donors)
    let first = 0
    for (const donor of donors) {
      await all.#add(donor, first)
      first += blocksOf(donor)
    }
    return all
  }

  /**
   * A block with this digest; undefined when no donor has it.
   *
   * @param into - memory for the block, if there is some
   */
  async find(digest: Uint8Array, into?: Uint8Array): Promise<Uint8Array | undefined> {
    const place = this.#index.find(digest)
    if (place === undefined) return undefined
    const block = await this.#readAt(place, into)
    return block !== undefined && isBlock(this.#salt, block, digest) ? block : undefined
  }

  async #add(donor: Donor, first: number): Promise<void> {
    const levels = verityLevels(donor.dataBlocks)
    const top = levels.at(-1)
    const memory = new Uint8Array(blockBytes)
    for (const { level, blocks, startBlock } of levels) {
      const below = levels[level - 1]
      // Places are numbered: the data, then the tree as it lies.
      const firstChild = first + (below === undefined ? 0 : donor.dataBlocks + below.startBlock)
      const children = below?.blocks ?? donor.dataBlocks
      for (let block = 0; block < blocks; block++) {
        const bytes = await readBlock(donor.tree, donor.treeStartBlock + startBlock + block, memory)
        if (bytes === undefined) continue
        const firstInBlock = block * childrenPerBlock
        const count = Math.min(childrenPerBlock, children - firstInBlock)
        this.#index.add(bytes.subarray(0, count * digestBytes), firstChild + firstInBlock)
        if (level === top?.level) this.#index.add(digestOf(this.#salt, bytes), first + donor.dataBlocks)
      }
    }
  }

  async #readAt(place: number, into: Uint8Array | undefined): Promise<Uint8Array | undefined> {
    let rest = place
    for (const donor of this.#donors) {
      if (rest < donor.dataBlocks) return await readBlock(donor.access, rest, into)
      if (rest < blocksOf(donor)) {
        return await readBlock(donor.tree, donor.treeStartBlock + rest - donor.dataBlocks, into)
      }
      rest -= blocksOf(donor)
    }
    return undefined
  }
}

function blocksOf({ dataBlocks }: Donor): number {
  return dataBlocks + treeBlocksOf(verityLevels(dataBlocks))
}

async function readBlock(
  access: BlockReader,
  block: number,
  into?: Uint8Array,
): Promise<Uint8Array | undefined> {
  try {
    const bytes = await access.read(block * blockBytes, blockBytes, into)
    return bytes.length === blockBytes ? bytes : undefined
  } catch {
    // A bad sector of an old slot is no reason not to install a new one.
    return undefined
  }
}
