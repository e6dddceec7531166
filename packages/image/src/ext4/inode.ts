/**
 * Inodes as bytes.
 *
 * @see https://docs.kernel.org/filesystems/ext4/dynamic.html#index-nodes
 */
import { crc32c } from '../checksum/crc32c.ts'
import { inodeBytes, linksMax, setLow16High16, setLow32High16, setLow32High32, viewOf } from './format.ts'

/** Flags of an inode (`EXT4_INDEX_FL`, `EXT4_EXTENTS_FL`). */
export const inodeFlags = { index: 0x1000, extents: 0x8_0000 } as const

/** An inode's numbers. */
export interface InodeFields {
  /** Type and permission bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly sizeBytes: number
  /** For all of its times, 0 to {@link timeSecondsMax}. */
  readonly timeSeconds: number
  readonly links: number
  /** All blocks that belong to it, those that tell of other blocks included. */
  readonly blocks: number
  readonly flags: number
  /** Up to 60 bytes: the root of its extents, a short symlink's target, a device's number. */
  readonly root: Uint8Array
  /** What follows the fields: extended attributes, at most 96 bytes. */
  readonly xattrs?: Uint8Array
  /** The block with more of them; 0 without. */
  readonly xattrBlock?: number
}

/** Bytes of fields after the first 128, without those of projects: what kernels want (`s_want_extra_isize`). */
export const extraBytes = 32

/** 2446-05-10: the signed 32 bits of a time have two more bits above them. */
export const timeSecondsMax: number = 2 ** 34 - 2 ** 31 - 1

const rootOffset = 0x28
const checksumLowOffset = 0x7c
const checksumHighOffset = 0x82

/** Writes an inode at `offset` of a table's block; `seed` is that of its own checksums. */
export function encodeInode(block: Uint8Array, offset: number, inode: InodeFields, seed: number): void {
  const bytes = block.subarray(offset, offset + inodeBytes)
  const view = viewOf(bytes)
  view.setUint16(0x00, inode.mode, true)
  setLow16High16(view, 0x02, 0x78, inode.uid)
  setLow16High16(view, 0x18, 0x7a, inode.gid)
  setLow32High32(view, 0x04, 0x6c, inode.sizeBytes)
  view.setUint16(0x1a, inode.links > linksMax ? 1 : inode.links, true)
  // Counted in sectors of 512 bytes.
  setLow32High16(view, 0x1c, 0x74, inode.blocks * 8)
  view.setUint32(0x20, inode.flags, true)
  bytes.set(inode.root, rootOffset)
  view.setUint16(0x80, extraBytes, true)
  setLow32High16(view, 0x68, 0x76, inode.xattrBlock ?? 0)
  if (inode.xattrs) bytes.set(inode.xattrs, 0x80 + extraBytes)
  for (const [low, extra] of timeOffsets) encodeTime(view, low, extra, inode.timeSeconds)
  setLow16High16(view, checksumLowOffset, checksumHighOffset, crc32c(bytes, seed))
}

/** Where atime, ctime, mtime and crtime have their 32 bits, and their more significant ones with nanoseconds. */
const timeOffsets = [
  [0x08, 0x8c],
  [0x0c, 0x84],
  [0x10, 0x88],
  [0x90, 0x94],
] as const

function encodeTime(view: DataView, low: number, extra: number, seconds: number): void {
  view.setUint32(low, seconds % 2 ** 32, true)
  // What the lower 32 bits, read as a signed number, lack.
  view.setUint32(extra, (seconds - (seconds | 0)) / 2 ** 32, true)
}
