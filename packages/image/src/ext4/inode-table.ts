/** The used blocks of the groups' inode tables. */
import { typeBits } from '../tree/mode.ts'
import { encodeDevice } from '../erofs/format.ts'
import { inodeSeed } from './checksum.ts'
import { encodeTree } from './extent-tree.ts'
import { blockBytes, inodeBytes, inodeNumbers } from './format.ts'
import type { Run } from './format.ts'
import { inodesPerBlock } from './geometry.ts'
import { encodeInode, inodeFlags } from './inode.ts'
import type { InodeFields } from './inode.ts'
import type { Layout, Placed, PlacedInode } from './layout.ts'
import { resizeInode } from './resize-inode.ts'
import type { Settings } from './settings.ts'
import { encodeInodeXattrs, splitXattrs } from './xattrs.ts'

/** What inodes are made from. */
export interface InodeContext {
  readonly layout: Layout
  readonly settings: Pick<Settings, 'timeSeconds'>
  /** Of the file system's checksums. */
  readonly seed: number
}

/** The blocks of a group's table that have inodes in use or reserved, `used` of them. */
export function* tableBlocks(
  context: InodeContext,
  group: number,
  used: number,
): Generator<Uint8Array, void, undefined> {
  const before = group * context.layout.geometry.inodesPerGroup
  for (let first = 0; first < used; first += inodesPerBlock) {
    const block = new Uint8Array(blockBytes)
    for (let index = 0; index < inodesPerBlock; index++) {
      const number = before + first + index + 1
      const fields = inodeOf(context, number)
      if (fields) encodeInode(block, index * inodeBytes, fields, inodeSeed(context.seed, number))
    }
    yield block
  }
}

/** The root of the journal's extents. */
export function journalRoot({ layout, seed }: Pick<InodeContext, 'layout' | 'seed'>): Uint8Array {
  return rootOf(layout.journal, inodeSeed(seed, inodeNumbers.journal))
}

/** Blocks of a file and of the tree that tells of them. */
export function placedBlocks({ runs, treeBlocks }: Placed): number {
  return blocksOf(runs) + treeBlocks.length
}

/** All blocks of some runs. */
export function blocksOf(runs: readonly Run[]): number {
  return runs.reduce((sum, { blocks }) => sum + blocks, 0)
}

/** An inode's fields; undefined for those that nothing has, whose bytes are all zeros. */
function inodeOf(context: InodeContext, number: number): InodeFields | undefined {
  const { layout, settings } = context
  switch (number) {
    case inodeNumbers.resize:
      return resizeInode(layout.geometry, layout.resizeBlock, settings.timeSeconds)
    case inodeNumbers.journal:
      return journalInode(context)
    default: {
      const placed = placedInode(layout, number)
      return placed && treeInode(placed, context.seed)
    }
  }
}

/** Numbers are given without gaps, but for the reserved ones after the root. */
function placedInode({ inodes }: Layout, number: number): PlacedInode | undefined {
  if (number === inodeNumbers.root) return inodes[0]
  return number < inodeNumbers.lostAndFound ? undefined : inodes[number - inodeNumbers.lostAndFound + 1]
}

function journalInode(context: InodeContext): InodeFields {
  const { journal } = context.layout
  return {
    mode: 0o100_600,
    uid: 0,
    gid: 0,
    sizeBytes: blocksOf(journal.runs) * blockBytes,
    timeSeconds: context.settings.timeSeconds,
    links: 1,
    blocks: placedBlocks(journal),
    flags: inodeFlags.extents,
    root: journalRoot(context),
  }
}

function treeInode(placed: PlacedInode, seed: number): InodeFields {
  const { inode, number, sizeBytes, indexed } = placed
  const { node, links } = inode
  const common = {
    mode: typeBits[node.type] | node.mode,
    uid: node.uid,
    gid: node.gid,
    sizeBytes,
    timeSeconds: node.mtimeSeconds,
    links,
    blocks: placedBlocks(placed) + (placed.xattrBlock > 0 ? 1 : 0),
    xattrs: encodeInodeXattrs(splitXattrs(node.path, node.xattrs).inInode),
    xattrBlock: placed.xattrBlock,
  }
  const isInInode = node.type === 'symlink' && placed.runs.length === 0
  if (node.type === 'file' || node.type === 'directory' || (node.type === 'symlink' && !isInInode)) {
    const flags = inodeFlags.extents | (indexed ? inodeFlags.index : 0)
    return { ...common, flags, root: rootOf(placed, inodeSeed(seed, number)) }
  }
  if (node.type === 'symlink') return { ...common, flags: 0, root: new TextEncoder().encode(node.target) }
  const root = node.type === 'fifo' ? new Uint8Array() : deviceRoot(node.major, node.minor)
  return { ...common, flags: 0, root }
}

function rootOf({ runs, treeBlocks }: Placed, seed: number): Uint8Array {
  return encodeTree(runs, treeBlocks, seed).root
}

/** A device's number: in the first word as old systems have it if it fits, else in the second. */
function deviceRoot(major: number, minor: number): Uint8Array {
  const isOld = major < 256 && minor < 256
  const number = isOld ? (major << 8) | minor : encodeDevice(major, minor)
  const words = new DataView(new ArrayBuffer(8))
  words.setUint32(isOld ? 0 : 4, number, true)
  return new Uint8Array(words.buffer)
}
