/**
 * What each group knows of itself: its descriptor and the bits of its blocks and inodes.
 *
 * Blocks and inodes are given out in order, so what a group has in use is a prefix of it. Groups with nothing in use
 * but a copy of the superblock are marked as uninitialized: their bitmaps are not read, and not written.
 *
 * @see https://docs.kernel.org/filesystems/ext4/globals.html#block-group-descriptors
 */
import { crc32c } from '../checksum/crc32c.ts'
import { littleEndian } from './checksum.ts'
import { blockBytes, descriptorBytes, groupBlocks, setLow16High16, setLow32High32, viewOf } from './format.ts'
import { blocksOfGroup, groupStart, placesOf, structureBlocks, superblockBlocks } from './geometry.ts'
import type { Geometry } from './geometry.ts'
import type { Layout } from './layout.ts'

/** Flags of a group (`EXT4_BG_INODE_UNINIT`, `EXT4_BG_BLOCK_UNINIT`, `EXT4_BG_INODE_ZEROED`). */
const groupFlags = { inodesUnused: 0x1, blocksUnused: 0x2, tableZeroed: 0x4 } as const

const checksumOffset = 0x1e

/** What a group has in use. */
export interface GroupUse {
  /** Its first blocks, which are in use. */
  readonly blocks: number
  /** Its first inodes, which are in use or reserved. */
  readonly inodes: number
  /** Whether its bitmap of blocks is written. */
  readonly hasBlockBitmap: boolean
  /** Whether its bitmap of inodes is written. */
  readonly hasInodeBitmap: boolean
}

/** What of a group is in use. */
export function groupUse({ geometry, lastInode, usedEnd }: Layout, group: number): GroupUse {
  const filled = Math.min(blocksOfGroup(geometry, group), usedEnd - groupStart(group))
  const blocks = Math.max(structureBlocks(geometry, group), filled)
  const { inodesPerGroup } = geometry
  const inodes = Math.min(inodesPerGroup, Math.max(0, lastInode - group * inodesPerGroup))
  // The last group's bitmap has bits of blocks that there are not, which are set: mke2fs always writes it.
  const isLast = group === geometry.groups - 1
  return {
    blocks,
    inodes,
    hasBlockBitmap: isLast || blocks > superblockBlocks(geometry, group),
    hasInodeBitmap: inodes > 0,
  }
}

/** The bits of a group's blocks. */
export function blockBitmap(geometry: Geometry, group: number, { blocks }: GroupUse): Uint8Array {
  return bitmap(blocks, blocksOfGroup(geometry, group))
}

/** The bits of a group's inodes. */
export function inodeBitmap({ inodesPerGroup }: Geometry, { inodes }: GroupUse): Uint8Array {
  return bitmap(inodes, inodesPerGroup)
}

/** How many inodes and blocks of all groups are free. */
export function freeOf(layout: Layout): { readonly freeBlocks: number; readonly freeInodes: number } {
  const { geometry, lastInode } = layout
  let freeBlocks = 0
  for (let group = 0; group < geometry.groups; group++)
    freeBlocks += blocksOfGroup(geometry, group) - groupUse(layout, group).blocks
  return { freeBlocks, freeInodes: geometry.inodesPerGroup * geometry.groups - lastInode }
}

/**
 * All groups' descriptors, in whole blocks.
 *
 * @param seed - of the file system's checksums
 * @param zeroed - whether inode tables are zeros where they are not written
 */
export function encodeDescriptors(layout: Layout, seed: number, zeroed: boolean): Uint8Array {
  const { geometry } = layout
  const bytes = new Uint8Array(geometry.descriptorBlocks * blockBytes)
  const directories = directoriesByGroup(layout)
  for (let group = 0; group < geometry.groups; group++) {
    const descriptor = bytes.subarray(group * descriptorBytes, (group + 1) * descriptorBytes)
    const use = groupUse(layout, group)
    encodeDescriptor(descriptor, geometry, group, use, directories[group] ?? 0)
    encodeBitmapChecksums(descriptor, geometry, group, use, seed)
    const view = viewOf(descriptor)
    if (zeroed) view.setUint16(0x12, view.getUint16(0x12, true) | groupFlags.tableZeroed, true)
    view.setUint16(checksumOffset, crc32c(descriptor, crc32c(littleEndian(group), seed)) & 0xffff, true)
  }
  return bytes
}

function encodeDescriptor(
  descriptor: Uint8Array,
  geometry: Geometry,
  group: number,
  use: GroupUse,
  directories: number,
): void {
  const view = viewOf(descriptor)
  const places = placesOf(geometry, group)
  const freeInodes = geometry.inodesPerGroup - use.inodes
  setLow32High32(view, 0x00, 0x20, places.blockBitmap)
  setLow32High32(view, 0x04, 0x24, places.inodeBitmap)
  setLow32High32(view, 0x08, 0x28, places.inodeTable)
  setLow16High16(view, 0x0c, 0x2c, blocksOfGroup(geometry, group) - use.blocks)
  setLow16High16(view, 0x0e, 0x2e, freeInodes)
  setLow16High16(view, 0x10, 0x30, directories)
  // The end of the inode table that has never been used: all that is free.
  setLow16High16(view, 0x1c, 0x32, freeInodes)
  const unused =
    (use.hasInodeBitmap ? 0 : groupFlags.inodesUnused) | (use.hasBlockBitmap ? 0 : groupFlags.blocksUnused)
  view.setUint16(0x12, unused, true)
}

function encodeBitmapChecksums(
  descriptor: Uint8Array,
  geometry: Geometry,
  group: number,
  use: GroupUse,
  seed: number,
): void {
  const view = viewOf(descriptor)
  if (use.hasBlockBitmap) setLow16High16(view, 0x18, 0x38, crc32c(blockBitmap(geometry, group, use), seed))
  if (use.hasInodeBitmap) {
    const bits = inodeBitmap(geometry, use).subarray(0, geometry.inodesPerGroup / 8)
    setLow16High16(view, 0x1a, 0x3a, crc32c(bits, seed))
  }
}

function directoriesByGroup({ geometry, inodes }: Layout): Uint32Array {
  const directories = new Uint32Array(geometry.groups)
  for (const { inode, number } of inodes) {
    const group = Math.floor((number - 1) / geometry.inodesPerGroup)
    if (inode.node.type === 'directory') directories[group] = (directories[group] ?? 0) + 1
  }
  return directories
}

/** A block of bits: set for the first `used` things, and for those beyond `existing`. */
function bitmap(used: number, existing: number): Uint8Array {
  const bits = new Uint8Array(blockBytes)
  setBits(bits, 0, used)
  setBits(bits, existing, groupBlocks)
  return bits
}

function setBits(bits: Uint8Array, from: number, end: number): void {
  let index = from
  for (; index < end && index % 8 !== 0; index++)
    bits[index >> 3] = (bits[index >> 3] ?? 0) | (1 << (index % 8))
  const wholeEnd = Math.max(index, end - (end % 8))
  bits.fill(0xff, index >> 3, wholeEnd >> 3)
  for (index = wholeEnd; index < end; index++) bits[index >> 3] = (bits[index >> 3] ?? 0) | (1 << (index % 8))
}
