// Where blocks may be copied from: what both slots have now. Nothing of it is believed: the trees of donors only say
// where to look, and each block is hashed before it is used.
import { digestOf, verityLevels } from '@pkg/image/verity'
import { BlockIndex } from './block-index.ts'
import { childrenPerBlock, digestBytes, isBlock } from './hash-tree.ts'
import { readBlocks } from './medium.ts'
import { blockBytes, treeBlocksOf } from './sealed-image.ts'
import type { Run } from './tree.ts'
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

  /** A block with this digest; undefined when no donor has it. */
  async find(digest: Uint8Array): Promise<Uint8Array | undefined> {
    const memory = new Uint8Array(blockBytes)
    const found = await this.findAll([digest], memory)
    return found.length > 0 ? memory : undefined
  }

  /**
   * Puts blocks with these digests one after the other into memory. What lies together is read together.
   *
   * @param memory - a block for each
   * @returns the indexes of those that donors have, rising; at the places of others is anything
   */
  async findAll(digests: readonly Uint8Array[], memory: Uint8Array): Promise<number[]> {
    const places = digests.map((digest) => this.#index.find(digest))
    const found: number[] = []
    for (let first = 0; first < digests.length;) {
      const area = this.#areaOf(places[first])
      if (area === undefined) {
        first += 1
        continue
      }
      const count = countRising(places, first, area.blocksLeft)
      const into = memory.subarray(first * blockBytes, (first + count) * blockBytes)
      const blocks = await readAny(area.access, { first: area.block, count }, into)
      for (const [index, block] of blocks.entries()) {
        const digest = digests[first + index]
        if (block === undefined || digest === undefined || !isBlock(this.#salt, block, digest)) continue
        if (block.buffer !== into.buffer) into.set(block, index * blockBytes)
        found.push(first + index)
      }
      first += count
    }
    return found
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
        const place = { first: donor.treeStartBlock + startBlock + block, count: 1 }
        const [bytes] = await readAny(donor.tree, place, memory)
        if (bytes?.length !== blockBytes) continue
        const firstInBlock = block * childrenPerBlock
        const count = Math.min(childrenPerBlock, children - firstInBlock)
        this.#index.add(bytes.subarray(0, count * digestBytes), firstChild + firstInBlock)
        if (level === top?.level) this.#index.add(digestOf(this.#salt, bytes), first + donor.dataBlocks)
      }
    }
  }

  /** What is at a place, and how many blocks follow it there, itself included. */
  #areaOf(place: number | undefined): Area | undefined {
    let rest = place ?? Number.POSITIVE_INFINITY
    for (const { access, dataBlocks, tree, treeStartBlock } of this.#donors) {
      if (rest < dataBlocks) return { access, block: rest, blocksLeft: dataBlocks - rest }
      rest -= dataBlocks
      const treeBlocks = treeBlocksOf(verityLevels(dataBlocks))
      if (rest < treeBlocks) {
        return { access: tree, block: treeStartBlock + rest, blocksLeft: treeBlocks - rest }
      }
      rest -= treeBlocks
    }
    return undefined
  }
}

interface Area {
  readonly access: BlockReader
  readonly block: number
  readonly blocksLeft: number
}

/** How many places from `first` on follow one another. */
function countRising(places: readonly (number | undefined)[], first: number, countMax: number): number {
  const start = places[first] ?? 0
  let count = 1
  while (count < countMax && places[first + count] === start + count) count += 1
  return count
}

function blocksOf({ dataBlocks }: Donor): number {
  return dataBlocks + treeBlocksOf(verityLevels(dataBlocks))
}

/** Blocks, each undefined when it cannot be read: a bad sector of an old slot is no reason not to install a new one. */
async function readAny(access: BlockReader, run: Run, into: Uint8Array): Promise<(Uint8Array | undefined)[]> {
  try {
    return await readBlocks(access, run, into)
  } catch {
    return []
  }
}
