/**
 * Where everything lies: inode numbers, and the blocks of directories, files and journal, in the order of these
 * numbers. Needs sizes only, no content.
 */
import { contentBytes, inodesOf } from '../erofs/inodes.ts'
import type { Inode } from '../erofs/inodes.ts'
import type { DirectoryNode, FileTree } from '../tree.ts'
import { Allocation } from './allocation.ts'
import { directoryShape } from './directory.ts'
import { inodeRootBytes, treeBlockCount } from './extent-tree.ts'
import { blockBytes, groupBlocks, inodeNumbers, linksMax } from './format.ts'
import type { Run } from './format.ts'
import { geometryOf, inodesPerGroupMax, lastGroupBlocksMin } from './geometry.ts'
import type { Geometry } from './geometry.ts'
import { timeSecondsMax } from './inode.ts'
import { defaultJournalBlocks } from './journal.ts'
import type { Settings } from './settings.ts'
import { splitXattrs } from './xattrs.ts'

/** The blocks of a file, and of the tree that tells where they are. */
export interface Placed {
  /** Its blocks in their order. */
  readonly runs: readonly Run[]
  /** Blocks of its extent tree outside of the inode. */
  readonly treeBlocks: readonly number[]
}

/** An inode of the tree with its place. */
export interface PlacedInode extends Placed {
  readonly inode: Inode
  readonly number: number
  readonly sizeBytes: number
  /** Whether it is a directory with an index. */
  readonly indexed: boolean
  /** The block with those of its extended attributes that the inode has no room for; 0 without. */
  readonly xattrBlock: number
}

/** A whole file system's plan. */
export interface Layout {
  readonly geometry: Geometry
  /** In the order of their numbers. */
  readonly inodes: readonly PlacedInode[]
  readonly numberOf: (inode: Inode) => number
  readonly journal: Placed
  /** The one block that belongs to the resize inode besides the room for descriptors. */
  readonly resizeBlock: number
  /** All inodes up to this one are in use or reserved. */
  readonly lastInode: number
  /** All blocks before this one are in use, and from it on only the structures of groups. */
  readonly usedEnd: number
}

/** So many blocks lost+found has, so that e2fsck finds room there (mke2fs: 16 KiB). */
export const lostAndFoundBlocks = 4

const lostAndFoundPath = '/lost+found'

/** Symlinks shorter than this lie in their inodes. */
const longTargetBytes = inodeRootBytes

/**
 * Plans the file system.
 *
 * @throws RangeError when the tree does not fit, with the size that would do; for times, numbers of links, extended
 *   attributes and directories beyond what ext4 has; TypeError when /lost+found is no directory, or for attributes
 *   that ext4 does not have
 */
export function layoutOf(tree: FileTree, settings: Settings): Layout {
  const inodes = allInodes(tree, settings.timeSeconds)
  checkLimits(inodes)
  const attempt = attemptOf(inodes, settings, settings.sizeBytes)
  if (attempt.missingBlocks === 0) return attempt.layout
  throw new RangeError(
    `sizeBytes is ${settings.sizeBytes}: ${inodes.length} files and directories with a journal of ` +
      `${attempt.journalBlocks * blockBytes} bytes need at least ${leastSizeBytes(inodes, settings, attempt)}`,
  )
}

/** A plan for one size, which may be too small. */
interface Attempt {
  readonly layout: Layout
  readonly journalBlocks: number
  readonly missingBlocks: number
}

function attemptOf(inodes: readonly Inode[], settings: Settings, sizeBytes: number): Attempt {
  const geometry = geometryOf({
    sizeBytes,
    inodes: inodeCount(inodes, settings, sizeBytes),
    growableBytes: settings.growableBytes ?? sizeBytes * defaultGrowth,
  })
  const allocation = new Allocation(geometry)
  const resizeBlock = allocation.take(1)[0]?.start ?? 0
  const journalBlocks = settings.journalBlocks ?? defaultJournalBlocks(geometry.blocks)
  const journal = place(allocation, journalBlocks)
  const placed = new Map<Inode, PlacedInode>()
  for (const [number, inode] of numbered(inodes))
    placed.set(inode, placeInode(allocation, inode, number, settings))
  const layout: Layout = {
    geometry,
    inodes: [...placed.values()],
    numberOf: (inode) => numberIn(placed, inode),
    journal,
    resizeBlock,
    lastInode: lastInodeOf(inodes),
    usedEnd: allocation.usedEnd,
  }
  return { layout, journalBlocks, missingBlocks: allocation.missingBlocks }
}

/** Descriptors can be added up to so many times the size, as mke2fs leaves room for them. */
const defaultGrowth = 1024

/** The smallest size that is enough, found from below: a larger file system also has more structures. */
function leastSizeBytes(inodes: readonly Inode[], settings: Settings, tooSmall: Attempt): number {
  let attempt = tooSmall
  let triedBlocks = Math.floor(settings.sizeBytes / blockBytes)
  while (attempt.missingBlocks > 0) {
    const { geometry } = attempt.layout
    const wasCut = geometry.blocks < triedBlocks
    // Up to where a last group is large enough to be used, a larger size makes no larger file system.
    const more = wasCut
      ? Math.max(attempt.missingBlocks, lastGroupBlocksMin(geometry, geometry.groups))
      : attempt.missingBlocks
    triedBlocks = Math.max(triedBlocks + 1, geometry.blocks + more)
    attempt = attemptOf(inodes, settings, triedBlocks * blockBytes)
  }
  return triedBlocks * blockBytes
}

function inodeCount(inodes: readonly Inode[], settings: Settings, sizeBytes: number): number {
  const needed = lastInodeOf(inodes)
  if (settings.inodes === undefined) {
    const fullGroups = Math.max(1, Math.floor(sizeBytes / blockBytes / groupBlocks))
    const byRatio = Math.floor(sizeBytes / settings.bytesPerInode)
    return Math.max(needed, Math.min(byRatio, fullGroups * inodesPerGroupMax))
  }
  if (settings.inodes >= needed) return settings.inodes
  throw new RangeError(
    `inodes is ${settings.inodes}: ${inodes.length} files and directories need at least ${needed}`,
  )
}

function lastInodeOf(inodes: readonly Inode[]): number {
  // All but the root and lost+found.
  return inodeNumbers.firstOther - 1 + inodes.length - 2
}

/** The tree's inodes, the root first, and lost+found, which is made where the tree has none. */
function allInodes(tree: FileTree, timeSeconds: number): Inode[] {
  const inodes = inodesOf(tree)
  const existing = inodes.find(({ node }) => node.path === lostAndFoundPath)
  if (existing?.node.type === 'directory') return inodes
  const [root] = inodes
  if (!root) throw new Error('a tree without a root')
  if (existing || tree.has(lostAndFoundPath)) {
    throw new TypeError(
      `${lostAndFoundPath}: must be a directory, e2fsck puts into it what has lost its name`,
    )
  }
  const common = { path: lostAndFoundPath, mode: 0o700, uid: 0, gid: 0, mtimeSeconds: timeSeconds }
  const node: DirectoryNode = { type: 'directory', ...common }
  const made: Inode = { node, number: inodes.length + 1, links: 2, entries: [], parent: root }
  root.entries.push({ name: lostAndFoundPath.slice(1), inode: made })
  root.links += 1
  return [...inodes, made]
}

function* numbered(inodes: readonly Inode[]): Generator<[number: number, inode: Inode], void, undefined> {
  const isLostAndFound = ({ node }: Inode): boolean => node.path === lostAndFoundPath
  const lostAndFound = inodes.find(isLostAndFound)
  const [root, ...others] = inodes
  if (!root || !lostAndFound) throw new Error('a plan without root or lost+found')
  yield [inodeNumbers.root, root]
  yield [inodeNumbers.lostAndFound, lostAndFound]
  let number: number = inodeNumbers.firstOther
  for (const inode of others) if (inode !== lostAndFound) yield [number++, inode]
}

function placeInode(
  allocation: Allocation,
  inode: Inode,
  number: number,
  { hashSeed }: Pick<Settings, 'hashSeed'>,
): PlacedInode {
  const { inBlock } = splitXattrs(inode.node.path, inode.node.xattrs)
  const xattrBlock = inBlock.length > 0 ? (allocation.take(1)[0]?.start ?? 0) : 0
  const base = { inode, number, indexed: false, xattrBlock }
  if (inode.node.type === 'directory') {
    const blocksMin = number === inodeNumbers.lostAndFound ? lostAndFoundBlocks : 1
    const { indexed, blocks } = directoryShape(inode, { hashSeed, blocksMin })
    return { ...base, indexed, sizeBytes: blocks * blockBytes, ...place(allocation, blocks) }
  }
  const sizeBytes = contentBytes(inode)
  const isInInode = inode.node.type === 'symlink' && sizeBytes < longTargetBytes
  return { ...base, sizeBytes, ...place(allocation, isInInode ? 0 : Math.ceil(sizeBytes / blockBytes)) }
}

const noBlocks: readonly number[] = []

/** The tree's blocks lie behind those that they tell of: only then is it known how many runs there are. */
function place(allocation: Allocation, blocks: number): Placed {
  const runs = allocation.take(blocks)
  const treeBlocks = treeBlockCount(runs)
  // One array for nearly all: they are as many as there are files.
  if (treeBlocks === 0) return { runs, treeBlocks: noBlocks }
  return { runs, treeBlocks: allocation.take(treeBlocks).flatMap((run) => numbersOf(run)) }
}

function numbersOf({ start, blocks }: Run): number[] {
  return Array.from({ length: blocks }, (_, index) => start + index)
}

function numberIn(placed: ReadonlyMap<Inode, PlacedInode>, inode: Inode): number {
  const number = placed.get(inode)?.number
  if (number === undefined) throw new Error(`${inode.node.path}: named in a directory and not in the layout`)
  return number
}

function checkLimits(inodes: readonly Inode[]): void {
  for (const { node, links } of inodes) {
    if (node.mtimeSeconds > timeSecondsMax) {
      throw new RangeError(
        `${node.path}: mtimeSeconds is ${node.mtimeSeconds}, ext4 has ${timeSecondsMax} at most`,
      )
    }
    if (node.type !== 'directory' && links > linksMax) {
      throw new RangeError(`${node.path}: has ${links} names, ext4 has ${linksMax} at most`)
    }
  }
}
