/**
 * The blocks of a directory: one list of entries while it fits into a block, then blocks in the order of their names'
 * hashes below an index (see htree.ts), as the kernel makes them.
 *
 * @see https://docs.kernel.org/filesystems/ext4/dynamic.html#directory-entries
 */
import { crc32c } from '../checksum/crc32c.ts'
import type { Inode } from '../erofs/inodes.ts'
import {
  encodeEntry,
  entriesBytesMax,
  entryBytes,
  entryTypes,
  ownName,
  parentName,
  tailBytes,
} from './directory-entry.ts'
import type { Entry } from './directory-entry.ts'
import { blockBytes, viewOf } from './format.ts'
import { encodeIndex, hashedLeaves, indexBlockCount } from './htree.ts'

/** What a directory's bytes depend on besides its entries. */
export interface DirectoryContext {
  /** The superblock's 16 bytes that hashes begin with. */
  readonly hashSeed: Uint8Array
  /** Of the checksums of the directory's inode. */
  readonly seed: number
  readonly numberOf: (inode: Inode) => number
  /** A directory without an index is filled up with empty blocks to so many. */
  readonly blocksMin: number
}

/** A directory's entries by blocks, before there are inode numbers. */
export interface DirectoryShape {
  /** Whether the first blocks are an index. */
  readonly indexed: boolean
  /** All its blocks. */
  readonly blocks: number
}

/** What the tail has where entries have their type (`EXT4_FT_DIR_CSUM`). */
const tailType = 0xde

const encoder = new TextEncoder()

/**
 * What blocks a directory has.
 *
 * @throws RangeError when it has more entries than an index of two levels can tell of
 */
export function directoryShape(
  directory: Inode,
  { hashSeed, blocksMin }: Pick<DirectoryContext, 'hashSeed' | 'blocksMin'>,
): DirectoryShape {
  if (fitsOneBlock(directory)) return { indexed: false, blocks: Math.max(1, blocksMin) }
  const leaves = hashedLeaves(namesOf(directory), hashSeed).length
  return { indexed: true, blocks: indexBlockCount(leaves, directory.node.path) + leaves }
}

/** The bytes of a directory's blocks, in their order. */
export function* directoryBlocks(
  directory: Inode,
  context: DirectoryContext,
): Generator<Uint8Array, void, undefined> {
  if (fitsOneBlock(directory)) {
    yield encodeLeaf([...ownEntries(directory), ...namesOf(directory)], context)
    for (let written = 1; written < context.blocksMin; written++) yield encodeLeaf([], context)
    return
  }
  const leaves = hashedLeaves(namesOf(directory), context.hashSeed)
  yield* encodeIndex(leaves, directory.node.path, {
    seed: context.seed,
    own: context.numberOf(directory),
    parent: context.numberOf(directory.parent ?? directory),
  })
  for (const leaf of leaves) yield encodeLeaf(leaf.entries, context)
}

function ownEntries(directory: Inode): Entry[] {
  return [
    { name: ownName, inode: directory },
    { name: parentName, inode: directory.parent ?? directory },
  ]
}

function namesOf(directory: Inode): Entry[] {
  return directory.entries.map(({ name, inode }) => ({ name: encoder.encode(name), inode }))
}

function fitsOneBlock(directory: Inode): boolean {
  let usedBytes = 0
  for (const { name } of [...ownEntries(directory), ...namesOf(directory)]) usedBytes += entryBytes(name)
  return usedBytes <= entriesBytesMax
}

/** One block of entries; the last one's length reaches up to the tail. */
function encodeLeaf(entries: readonly Entry[], { seed, numberOf }: DirectoryContext): Uint8Array {
  const block = new Uint8Array(blockBytes)
  let at = 0
  for (const [index, { name, inode }] of entries.entries()) {
    const isLast = index === entries.length - 1
    const lengthBytes = isLast ? entriesBytesMax - at : entryBytes(name)
    const type = entryTypes[inode.node.type]
    encodeEntry(block, at, { inodeNumber: numberOf(inode), lengthBytes, name, type })
    at += lengthBytes
  }
  // A block without entries is one entry without inode.
  const unused = { inodeNumber: 0, name: new Uint8Array() }
  if (entries.length === 0) encodeEntry(block, 0, { ...unused, lengthBytes: entriesBytesMax, type: 0 })
  encodeEntry(block, entriesBytesMax, { ...unused, lengthBytes: tailBytes, type: tailType })
  viewOf(block).setUint32(entriesBytesMax + 8, crc32c(block.subarray(0, entriesBytesMax), seed), true)
  return block
}
