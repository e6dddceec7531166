/**
 * The superblock, and its copies.
 *
 * @see https://docs.kernel.org/filesystems/ext4/globals.html#super-block
 */
import { crc32c } from '../checksum/crc32c.ts'
import {
  descriptorBytes,
  firstInode,
  groupBlocks,
  inodeBytes,
  inodeNumbers,
  setLow32High32,
  superblockBytes,
  viewOf,
} from './format.ts'
import type { Geometry } from './geometry.ts'
import { halfMd4 } from './htree.ts'
import { extraBytes } from './inode.ts'

/** What a superblock says besides the geometry. */
export interface SuperblockFields {
  readonly geometry: Geometry
  readonly uuid: Uint8Array
  /** At most 16 bytes. */
  readonly volumeName: Uint8Array
  readonly hashSeed: Uint8Array
  readonly timeSeconds: number
  /** Blocks that only root may use. */
  readonly reservedBlocks: number
  readonly freeBlocks: number
  readonly freeInodes: number
  /** The root of the journal's extents, kept here in case its inode is lost. */
  readonly journalRoot: Uint8Array
  readonly journalSizeBytes: number
}

const magic = 0xef53

/** has_journal, ext_attr, resize_inode, dir_index. */
const compatibleFeatures = 0x4 | 0x8 | 0x10 | 0x20

/** filetype, extent, 64bit, flex_bg. */
const incompatibleFeatures = 0x2 | 0x40 | 0x80 | 0x200

/** sparse_super, large_file, huge_file, dir_nlink, extra_isize, metadata_csum. */
const readOnlyFeatures = 0x1 | 0x2 | 0x8 | 0x20 | 0x40 | 0x400

/** Mount options that hold unless others are given: user_xattr and acl, as mke2fs sets them. */
const defaultMountOptions = 0x4 | 0x8

/** Names are hashed as bytes without sign (`EXT2_FLAGS_UNSIGNED_HASH`). */
const unsignedHash = 0x2

/** The superblock as its copy in a group has it; `group` is 0 for the one that is mounted. */
export function encodeSuperblock(fields: SuperblockFields, group: number): Uint8Array {
  const bytes = new Uint8Array(superblockBytes)
  const view = viewOf(bytes)
  const { geometry, timeSeconds } = fields
  encodeSizes(view, fields)
  for (const offset of [0x30, 0x40, 0x108]) view.setUint32(offset, timeSeconds, true) // Written, checked, made.
  view.setInt16(0x36, -1, true) // No check after a number of mounts.
  view.setUint16(0x38, magic, true)
  view.setUint16(0x3a, 1, true) // Cleanly unmounted.
  view.setUint16(0x3c, 1, true) // Errors are logged, and one goes on.
  view.setUint32(0x4c, 1, true) // Revision 1: with features and inodes of any size.
  view.setUint32(0x54, firstInode, true)
  view.setUint16(0x58, inodeBytes, true)
  view.setUint16(0x5a, group, true)
  view.setUint32(0x5c, compatibleFeatures, true)
  view.setUint32(0x60, incompatibleFeatures, true)
  view.setUint32(0x64, readOnlyFeatures, true)
  bytes.set(fields.uuid, 0x68)
  bytes.set(fields.volumeName, 0x78)
  view.setUint16(0xce, geometry.reservedBlocks, true)
  view.setUint32(0xe0, inodeNumbers.journal, true)
  bytes.set(fields.hashSeed, 0xec)
  view.setUint8(0xfc, halfMd4)
  view.setUint8(0xfd, 1) // What follows at 0x10c is the journal's root.
  view.setUint16(0xfe, descriptorBytes, true)
  view.setUint32(0x100, defaultMountOptions, true)
  bytes.set(fields.journalRoot, 0x10c)
  setLow32High32(view, 0x14c, 0x148, fields.journalSizeBytes)
  view.setUint16(0x15c, extraBytes, true)
  view.setUint16(0x15e, extraBytes, true)
  view.setUint32(0x160, unsignedHash, true)
  view.setUint8(0x174, geometry.flexGroupsLog2)
  view.setUint8(0x175, 1) // Checksums are CRC-32C.
  view.setUint32(0x3fc, crc32c(bytes.subarray(0, 0x3fc)), true)
  return bytes
}

function encodeSizes(
  view: DataView,
  { geometry, reservedBlocks, freeBlocks, freeInodes }: SuperblockFields,
): void {
  view.setUint32(0x00, geometry.inodesPerGroup * geometry.groups, true)
  setLow32High32(view, 0x04, 0x150, geometry.blocks)
  setLow32High32(view, 0x08, 0x154, reservedBlocks)
  setLow32High32(view, 0x0c, 0x158, freeBlocks)
  view.setUint32(0x10, freeInodes, true)
  view.setUint32(0x18, 2, true) // Blocks, and the clusters that they would be taken in, of 2² KiB.
  view.setUint32(0x1c, 2, true)
  view.setUint32(0x20, groupBlocks, true)
  view.setUint32(0x24, groupBlocks, true)
  view.setUint32(0x28, geometry.inodesPerGroup, true)
}
