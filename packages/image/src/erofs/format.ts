/** The on-disk structures of EROFS: superblock, inodes and directory entries as bytes. All numbers little-endian. */
import { typeBits } from '../tree/mode.ts'
import { crc32c } from '../checksum/crc32c.ts'

/** Bytes of a block: the only size that kernels before 6.4 mount on machines with 4 KiB pages. */
export const blockBytes = 4096

/** Where the superblock begins: after room for a boot sector. */
export const superblockOffset = 1024

/** Bytes of a superblock without extension slots. */
export const superblockBytes = 128

/** Inodes begin at multiples of this; an inode's number (nid) is its offset divided by it. */
export const slotBytes = 32

/** Bytes of an inode with 16-bit owners and link count, 32-bit size, and the image's time as its own. */
export const compactInodeBytes = 32

/** Bytes of an inode with all its fields in full and a time of its own. */
export const extendedInodeBytes = 64

/** Bytes of a directory entry without its name. */
export const entryBytes = 12

/** The address of the data of an inode that has no block. */
export const noBlock = 0xffff_ffff

/** The most blocks that an image may have: their number is a 32-bit field and {@link noBlock} is taken. */
export const blocksMax = 0xffff_fffe

/** The longest volume name: `mkfs.erofs -L` keeps a NUL at the end of the 16 bytes. */
export const volumeNameBytesMax = 15

/** The first number of a superblock. */
export const magic = 0xe0f5_e1e2
const checksumOffset = superblockOffset + 4
const uuidOffset = superblockOffset + 48
const uuidBytes = 16

/** EROFS_FEATURE_COMPAT_SB_CHKSUM and EROFS_FEATURE_COMPAT_MTIME: times are those of the content, not of the inode. */
const compatibleFeatures = 0x1 | 0x2

/** A node's type in directory entries (enum of FT_… in fs_types.h). */
export const entryTypes = { file: 1, directory: 2, char: 3, block: 4, fifo: 5, symlink: 7 } as const

/** A kind of node that an image can hold. */
export type ErofsType = keyof typeof entryTypes

/** The numbers of a superblock that differ from image to image, its identity apart. */
export interface Superblock {
  readonly rootNid: number
  readonly inodes: number
  readonly blocks: number
  /** At most {@link volumeNameBytesMax} bytes. */
  readonly volumeName: Uint8Array
}

/** The numbers of an inode. */
export interface InodeFields {
  readonly type: ErofsType
  /** Whether it takes {@link extendedInodeBytes}, not {@link compactInodeBytes}. */
  readonly extended: boolean
  /** Whether the end of its data, less than a block, follows the inode and its attributes. */
  readonly inline: boolean
  /** What the inode says of the bytes of its extended attributes: see `xattrCount`. */
  readonly xattrCount: number
  /** Permission bits. */
  readonly mode: number
  readonly links: number
  readonly sizeBytes: number
  /** First block of its data, {@link noBlock} without; a device's number for devices. */
  readonly address: number
  /** Counted from 1; what stat(2) shows on 32-bit systems only. */
  readonly number: number
  readonly uid: number
  readonly gid: number
  readonly mtimeSeconds: number
}

/** Writes the superblock into the image's first block, without uuid and checksum: see {@link seal}. */
export function encodeSuperblock(block: Uint8Array, superblock: Superblock): void {
  const view = viewOf(block)
  view.setUint32(superblockOffset, magic, true)
  view.setUint32(superblockOffset + 8, compatibleFeatures, true)
  view.setUint8(superblockOffset + 12, Math.log2(blockBytes))
  view.setUint16(superblockOffset + 14, superblock.rootNid, true)
  view.setBigUint64(superblockOffset + 16, BigInt(superblock.inodes), true)
  // Bytes 24 to 35: the time that compact inodes have, 0. Inodes begin in block 0 (byte 40), shared xattrs nowhere.
  view.setUint32(superblockOffset + 36, superblock.blocks, true)
  block.set(superblock.volumeName, superblockOffset + 64)
}

/** Writes the uuid, and the checksum of all of the first block from the superblock on. */
export function seal(block: Uint8Array, uuid: Uint8Array): void {
  unseal(block)
  block.set(uuid, uuidOffset)
  viewOf(block).setUint32(checksumOffset, crc32c(block.subarray(superblockOffset)), true)
}

/** Zeros what {@link seal} writes. */
export function unseal(block: Uint8Array): void {
  block.fill(0, uuidOffset, uuidOffset + uuidBytes)
  block.fill(0, checksumOffset, checksumOffset + 4)
}

/** The first block with a checksum of 0, in memory of its own: over this the checksum is taken. */
export function unsealChecksum(block: Uint8Array): Uint8Array {
  const bare = new Uint8Array(block)
  bare.fill(0, checksumOffset, checksumOffset + 4)
  return bare
}

/** How many blocks an image has, by its first; undefined when that has no superblock of EROFS with 4 KiB blocks. */
export function decodeBlocks(block: Uint8Array): number | undefined {
  const view = viewOf(block)
  if (block.byteLength < blockBytes || view.getUint32(superblockOffset, true) !== magic) return undefined
  const sameBlockSize = view.getUint8(superblockOffset + 12) === Math.log2(blockBytes)
  return sameBlockSize ? view.getUint32(superblockOffset + 36, true) : undefined
}

/** Writes an inode at `offset` of `block`. */
export function encodeInode(block: Uint8Array, offset: number, inode: InodeFields): void {
  const view = viewOf(block)
  // Bit 0: extended. Bits 1 to 3: EROFS_INODE_FLAT_PLAIN 0, EROFS_INODE_FLAT_INLINE 2.
  view.setUint16(offset, (inode.extended ? 1 : 0) | (inode.inline ? 2 << 1 : 0), true)
  view.setUint16(offset + 2, inode.xattrCount, true)
  view.setUint16(offset + 4, typeBits[inode.type] | inode.mode, true)
  view.setUint32(offset + 16, inode.address, true)
  view.setUint32(offset + 20, inode.number, true)
  if (inode.extended) {
    view.setBigUint64(offset + 8, BigInt(inode.sizeBytes), true)
    view.setUint32(offset + 24, inode.uid, true)
    view.setUint32(offset + 28, inode.gid, true)
    view.setBigUint64(offset + 32, BigInt(inode.mtimeSeconds), true)
    view.setUint32(offset + 44, inode.links, true)
  } else {
    view.setUint16(offset + 6, inode.links, true)
    view.setUint32(offset + 8, inode.sizeBytes, true)
    view.setUint16(offset + 24, inode.uid, true)
    view.setUint16(offset + 26, inode.gid, true)
  }
}

/** An entry of a directory as it is written. */
export interface EntryFields {
  readonly name: Uint8Array
  readonly nid: number
  readonly type: ErofsType
}

/** Writes one block's worth of a directory at `offset` of `block`: the entries, then their names without NULs. */
export function encodeEntries(block: Uint8Array, offset: number, entries: readonly EntryFields[]): void {
  const view = viewOf(block)
  let nameOffset = entries.length * entryBytes
  for (const [index, { name, nid, type }] of entries.entries()) {
    const at = offset + index * entryBytes
    view.setBigUint64(at, BigInt(nid), true)
    view.setUint16(at + 8, nameOffset, true)
    view.setUint8(at + 10, entryTypes[type])
    block.set(name, offset + nameOffset)
    nameOffset += name.byteLength
  }
}

/** A device's number as inodes store it (new_encode_dev in linux/kdev_t.h): the minor's low byte, major, the rest. */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
