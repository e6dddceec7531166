// Fetches the hash tree of an image from the top down, and only the blocks that are nowhere on the device: where two
// releases are alike, so are the blocks of their trees.
import { UpdateRefused } from '../refused.ts'
import type { Donors } from './donors.ts'
import { type Fetcher, forEachOf } from './fetcher.ts'
import { HashTree } from './hash-tree.ts'
import { blockBytes, type SealedImage } from './sealed-image.ts'

/** What is asked for at once: 256 KiB. */
const runBlocksMax = 64
const atOnce = 4

/** Where a tree is looked for. */
export interface TreeSources {
  readonly donors: Donors
  readonly fetcher: Fetcher
  /** A block of the tree where it will lie, if something was installed there before. */
  readonly inPlace?: (treeBlock: number) => Promise<Uint8Array | undefined>
}

/**
 * The whole tree, each block checked against the one above.
 *
 * @throws UpdateRefused `digest` when the source gives other blocks than were signed
 */
export async function collectTree(image: SealedImage, sources: TreeSources): Promise<HashTree> {
  const tree = new HashTree(image)
  for (const { level, blocks, startBlock } of image.levels.toReversed()) {
    const missing: number[] = []
    for (let block = 0; block < blocks; block++) {
      const isThere = await findBlock(tree, level, block, startBlock + block, sources)
      if (!isThere) missing.push(block)
    }
    await forEachOf(runsOf(missing, runBlocksMax), atOnce, async ({ first, count }) => {
      const offset = image.tree.offset + (startBlock + first) * blockBytes
      const bytes = await sources.fetcher.fetch(image.tree.digest, offset, count * blockBytes)
      for (let index = 0; index < count; index++) {
        const block = bytes.subarray(index * blockBytes, (index + 1) * blockBytes)
        if (tree.accept(level, first + index, block)) continue
        throw new UpdateRefused(
          'digest',
          `the hash tree of ${image.name}: block ${first + index} of level ${level}, as the source gave it, is not the signed one`,
        )
      }
    })
  }
  return tree
}

async function findBlock(
  tree: HashTree,
  level: number,
  block: number,
  treeBlock: number,
  { donors, inPlace }: TreeSources,
): Promise<boolean> {
  const there = await inPlace?.(treeBlock)
  if (there !== undefined && tree.accept(level, block, there)) return true
  const found = await donors.find(tree.expected(level, block))
  return found !== undefined && tree.accept(level, block, found)
}

/** Blocks that follow one another. */
export interface Run {
  readonly first: number
  readonly count: number
}

/** Rising numbers as runs. */
export function runsOf(blocks: Iterable<number>, countMax: number): Run[] {
  const runs: { first: number; count: number }[] = []
  for (const block of blocks) {
    const last = runs.at(-1)
    if (last !== undefined && block === last.first + last.count && last.count < countMax) last.count += 1
    else runs.push({ first: block, count: 1 })
  }
  return runs
}
