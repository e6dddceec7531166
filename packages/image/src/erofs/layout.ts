/**
 * Where everything lies: superblock and inodes with their inline data, then the blocks of directories, then the
 * blocks of files. Needs sizes only, no content.
 */
import type { FileNode, FileTree } from '../tree.ts'
import { directoryBlocks } from './directory.ts'
import type { DirectoryBlock } from './directory.ts'
import {
  blockBytes,
  blocksMax,
  compactInodeBytes,
  encodeDevice,
  extendedInodeBytes,
  noBlock,
  slotBytes,
  superblockBytes,
  superblockOffset,
} from './format.ts'
import { contentBytes, inodesOf } from './inodes.ts'
import type { Inode } from './inodes.ts'
import { encodeXattrs } from './xattrs.ts'

/** An inode with its place. */
export interface PlacedInode {
  readonly inode: Inode
  /** Offset in the image; the inode and its inline data lie in one block, as the kernel demands. */
  readonly offset: number
  readonly extended: boolean
  /** Its extended attributes as they follow it. */
  readonly xattrs: Uint8Array
  readonly sizeBytes: number
  /** How much of the end of its data follows the inode. */
  readonly inlineBytes: number
  /** Blocks of its data that lie elsewhere. */
  readonly blocks: number
  /** The first of those blocks, {@link noBlock} without; a device's number for devices. */
  address: number
  /** A directory's entries; empty for other types. */
  readonly entries: readonly DirectoryBlock[]
}

/** A whole image's plan. */
export interface Layout {
  /** By inode, in the order of their offsets; the root is first. */
  readonly inodes: ReadonlyMap<Inode, PlacedInode>
  /** Directories that have blocks, in the order of these. */
  readonly directories: readonly PlacedInode[]
  /** Files, and symlinks with long targets, that have blocks of their own, in the order of these. */
  readonly files: readonly PlacedInode[]
  /** All blocks of the image. */
  readonly blocks: number
}

/** The order of files' data by rank: see `ErofsOptions.rank`. */
export type Rank = (file: FileNode) => number

/** What files of equal content have in common; nothing for files that share nothing. */
export type ContentKeys = ReadonlyMap<PlacedInode, string>

/**
 * More than this is not put behind its inode but into a block of its own: the gap that it would leave at the end of
 * the block before it would be as large as what it saves.
 */
const inlineBytesMax = blockBytes / 2

/**
 * Plans the image of `tree`, each file with blocks of its own.
 *
 * @throws RangeError when it would have more blocks than their 32-bit number can count (16 TiB), for a rank that is
 *   no number, or for extended attributes that are too large; TypeError for those that EROFS cannot hold
 */
export function layoutOf(tree: FileTree, rank: Rank): Layout {
  let offset = superblockOffset + superblockBytes
  const inodes = new Map<Inode, PlacedInode>()
  for (const inode of inodesOf(tree)) {
    const placed = place(inode, offset)
    inodes.set(inode, placed)
    offset = placed.offset + headBytes(placed) + placed.inlineBytes
  }
  const withBlocks = [...inodes.values()].filter(({ blocks }) => blocks > 0)
  const directories = withBlocks.filter(({ inode }) => inode.node.type === 'directory')
  const files = inOrder(
    withBlocks.filter(({ inode }) => inode.node.type !== 'directory'),
    rank,
  )
  const blocks = assignBlocks(Math.ceil(offset / blockBytes), [...directories, ...files])
  if (blocks > blocksMax) {
    throw new RangeError(`the image would have ${blocks} blocks of 4 KiB, EROFS holds ${blocksMax} at most`)
  }
  return { inodes, directories, files, blocks }
}

/** Plans again: of the files with one key the first in their order has blocks, to which the others point too. */
export function shareBlocks(layout: Layout, keys: ContentKeys): Layout {
  const owners = new Map<string | PlacedInode, PlacedInode>()
  for (const file of layout.files) {
    const key = keys.get(file) ?? file
    if (!owners.has(key)) owners.set(key, file)
  }
  const files = [...owners.values()]
  const [first] = [...layout.directories, ...layout.files]
  const blocks = first ? assignBlocks(first.address, [...layout.directories, ...files]) : layout.blocks
  for (const file of layout.files) file.address = owners.get(keys.get(file) ?? file)?.address ?? noBlock
  return { ...layout, files, blocks }
}

/** Gives each its blocks from `firstBlock` on, one after another, and says where they end. */
function assignBlocks(firstBlock: number, inodes: readonly PlacedInode[]): number {
  let block = firstBlock
  for (const placed of inodes) {
    placed.address = block
    block += placed.blocks
  }
  return block
}

/** The number that directory entries and the superblock call an inode by. */
export function nidOf({ offset }: PlacedInode): number {
  return offset / slotBytes
}

/** Bytes of the inode alone. */
export function inodeBytes({ extended }: { readonly extended: boolean }): number {
  return extended ? extendedInodeBytes : compactInodeBytes
}

/** Bytes of the inode and its extended attributes, after which its inline data follows. */
export function headBytes({ extended, xattrs }: Pick<PlacedInode, 'extended' | 'xattrs'>): number {
  return inodeBytes({ extended }) + xattrs.byteLength
}

function place(inode: Inode, freeOffset: number): PlacedInode {
  const { node } = inode
  const entries = node.type === 'directory' ? directoryBlocks(inode) : []
  const last = entries.at(-1)
  const sizeBytes = last ? (entries.length - 1) * blockBytes + last.usedBytes : contentBytes(inode)
  // A directory's last block is known now; a file's last bytes only come after all others, too late for what
  // precedes them in the image. So only files that are inline as a whole are inline at all.
  const tailBytes = last ? last.usedBytes % blockBytes : sizeBytes
  const extended = !fitsCompact(inode, sizeBytes)
  const xattrs = encodeXattrs(node.path, node.xattrs)
  const roomBytes = blockBytes - headBytes({ extended, xattrs })
  const inlineBytes = tailBytes <= Math.min(inlineBytesMax, roomBytes) ? tailBytes : 0
  const address =
    node.type === 'char' || node.type === 'block' ? encodeDevice(node.major, node.minor) : noBlock
  return {
    inode,
    offset: slotFor(headBytes({ extended, xattrs }) + inlineBytes, freeOffset),
    extended,
    xattrs,
    sizeBytes,
    inlineBytes,
    blocks: Math.ceil((sizeBytes - inlineBytes) / blockBytes),
    address,
    entries,
  }
}

function fitsCompact({ node, links }: Inode, sizeBytes: number): boolean {
  const uint16Max = 0xffff
  return (
    node.mtimeSeconds === 0 &&
    node.uid <= uint16Max &&
    node.gid <= uint16Max &&
    links <= uint16Max &&
    sizeBytes <= 0xffff_ffff
  )
}

/** The first slot from `freeOffset` on from which `neededBytes` end in the same block. */
function slotFor(neededBytes: number, freeOffset: number): number {
  const slot = Math.ceil(freeOffset / slotBytes) * slotBytes
  return (slot % blockBytes) + neededBytes <= blockBytes ? slot : Math.ceil(slot / blockBytes) * blockBytes
}

function inOrder(files: PlacedInode[], rank: Rank): PlacedInode[] {
  const ranks = new Map<PlacedInode, number>()
  for (const file of files) {
    const { node } = file.inode
    const value = node.type === 'file' ? rank(node) : 0
    if (typeof value !== 'number' || Number.isNaN(value)) {
      throw new RangeError(`${node.path}: its rank is ${String(value)}, expected a number`)
    }
    ranks.set(file, value)
  }
  // Infinities may be compared, not subtracted. Sorting is stable: equal ranks stay in the order of their paths.
  return files.toSorted((left, right) => {
    const [before, after] = [ranks.get(left) ?? 0, ranks.get(right) ?? 0]
    return before < after ? -1 : before > after ? 1 : 0
  })
}
