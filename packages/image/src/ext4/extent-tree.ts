/**
 * Which blocks a file has: extents, in the inode itself or in a tree of blocks below it.
 *
 * @see https://docs.kernel.org/filesystems/ext4/dynamic.html#extent-tree
 */
import { crc32c } from '../checksum/crc32c.ts'
import { blockBytes, setLow32High16, viewOf } from './format.ts'
import type { Run } from './format.ts'

/** Bytes of an inode's field `i_block`. */
export const inodeRootBytes = 60

const magic = 0xf30a
const headerBytes = 12
const entryBytes = 12

/** The longest extent of blocks that have been written (`EXT_INIT_MAX_LEN` in fs/ext4/ext4_extents.h). */
const extentBlocksMax = 32_768

/** Entries of an inode's root, and of a block: 4 bytes are left there for the checksum. */
const rootEntriesMax = (inodeRootBytes - headerBytes) / entryBytes
const blockEntriesMax = Math.floor((blockBytes - headerBytes) / entryBytes)

/** Consecutive blocks of a file, or a block of the tree that tells of them. */
interface Entry {
  /** The first block in the file. */
  readonly logical: number
  /** Where it lies. */
  readonly physical: number
  /** Of an extent; 0 for a block of the tree. */
  readonly blocks: number
}

/** A tree as it is written. */
export interface EncodedTree {
  /** For the inode's field `i_block`. */
  readonly root: Uint8Array
  /** The blocks below it, in the order of the numbers that were given. */
  readonly blocks: readonly Uint8Array[]
}

/** How many blocks the tree over a file's runs takes outside of its inode. */
export function treeBlockCount(runs: readonly Run[]): number {
  let entries = runs.reduce((sum, run) => sum + Math.ceil(run.blocks / extentBlocksMax), 0)
  let blocks = 0
  while (entries > rootEntriesMax) {
    entries = Math.ceil(entries / blockEntriesMax)
    blocks += entries
  }
  return blocks
}

/**
 * Encodes the tree over a file's runs.
 *
 * @param runs - the file's blocks in their order
 * @param treeBlocks - as many block numbers as {@link treeBlockCount} says
 * @param seed - of the inode's checksums
 */
export function encodeTree(runs: readonly Run[], treeBlocks: readonly number[], seed: number): EncodedTree {
  let entries = extentsOf(runs)
  let depth = 0
  const blocks: Uint8Array[] = []
  while (entries.length > rootEntriesMax) {
    const parents: Entry[] = []
    for (let start = 0; start < entries.length; start += blockEntriesMax) {
      const below = entries.slice(start, start + blockEntriesMax)
      const physical = treeBlocks[blocks.length]
      if (physical === undefined) throw new Error('fewer blocks than the extent tree needs')
      parents.push({ logical: below[0]?.logical ?? 0, physical, blocks: 0 })
      blocks.push(encodeBlock(below, depth, seed))
    }
    entries = parents
    depth += 1
  }
  const root = new Uint8Array(inodeRootBytes)
  encodeEntries(root, entries, rootEntriesMax, depth)
  return { root, blocks }
}

function extentsOf(runs: readonly Run[]): Entry[] {
  const extents: Entry[] = []
  let logical = 0
  for (const run of runs) {
    for (let done = 0; done < run.blocks; done += extentBlocksMax) {
      const blocks = Math.min(extentBlocksMax, run.blocks - done)
      extents.push({ logical, physical: run.start + done, blocks })
      logical += blocks
    }
  }
  return extents
}

function encodeBlock(entries: readonly Entry[], depth: number, seed: number): Uint8Array {
  const block = new Uint8Array(blockBytes)
  encodeEntries(block, entries, blockEntriesMax, depth)
  const tailOffset = headerBytes + blockEntriesMax * entryBytes
  viewOf(block).setUint32(tailOffset, crc32c(block.subarray(0, tailOffset), seed), true)
  return block
}

function encodeEntries(
  bytes: Uint8Array,
  entries: readonly Entry[],
  entriesMax: number,
  depth: number,
): void {
  const view = viewOf(bytes)
  view.setUint16(0, magic, true)
  view.setUint16(2, entries.length, true)
  view.setUint16(4, entriesMax, true)
  view.setUint16(6, depth, true)
  for (const [index, { logical, physical, blocks }] of entries.entries()) {
    const at = headerBytes + index * entryBytes
    view.setUint32(at, logical, true)
    if (depth === 0) {
      view.setUint16(at + 4, blocks, true)
      setLow32High16(view, at + 8, at + 6, physical)
    } else {
      setLow32High16(view, at + 4, at + 8, physical)
    }
  }
}
