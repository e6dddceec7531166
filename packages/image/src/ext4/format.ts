/** Numbers of ext4's on-disk format that more than one structure needs, and how numbers are stored. */

/** Bytes of a block: the only size that is written, and the largest that kernels with 4 KiB pages mount. */
export const blockBytes = 4096

/** Blocks of a group: as many as one block of bits can tell of. */
export const groupBlocks: number = 8 * blockBytes

/** Bytes of an inode: 128 as in ext2, 32 more fields (`i_extra_isize`), and room for attributes. */
export const inodeBytes = 256

/** Bytes of a group descriptor with the feature 64bit. */
export const descriptorBytes = 64

/** Descriptors of one block. */
export const descriptorsPerBlock: number = blockBytes / descriptorBytes

/** Block numbers of one block, as inodes without extents keep them (`EXT4_ADDR_PER_BLOCK`). */
export const addressesPerBlock: number = blockBytes / 4

/** Where the superblock begins in the first block: after room for a boot sector. */
export const superblockOffset = 1024

/** Bytes of a superblock. */
export const superblockBytes = 1024

/** Inodes with fixed numbers (`EXT4_ROOT_INO` and so on in fs/ext4/ext4.h). */
export const inodeNumbers = { root: 2, resize: 7, journal: 8, lostAndFound: 11, firstOther: 12 } as const

/** The first inode that is not reserved (`EXT4_GOOD_OLD_FIRST_INO`); mke2fs gives it to lost+found. */
export const firstInode = 11

/** The most names of a file, and of links that a directory counts: with more its count is 1 (`EXT4_LINK_MAX`). */
export const linksMax = 65_000

/** Consecutive blocks of the file system. */
export interface Run {
  readonly start: number
  readonly blocks: number
}

/** Bytes and the place where they belong. */
export interface Piece {
  /** In the file system. */
  readonly offsetBytes: number
  readonly bytes: Uint8Array
}

/** A view to read and write numbers of any size. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Writes a number of more than 32 bits as its low half and, elsewhere, the rest in 16 bits. */
export function setLow32High16(view: DataView, lowOffset: number, highOffset: number, value: number): void {
  view.setUint32(lowOffset, value % 2 ** 32, true)
  view.setUint16(highOffset, Math.floor(value / 2 ** 32), true)
}

/** Writes a number of up to 53 bits as two of 32. */
export function setLow32High32(view: DataView, lowOffset: number, highOffset: number, value: number): void {
  view.setUint32(lowOffset, value % 2 ** 32, true)
  view.setUint32(highOffset, Math.floor(value / 2 ** 32), true)
}

/** Writes a number of 32 bits as two halves. */
export function setLow16High16(view: DataView, lowOffset: number, highOffset: number, value: number): void {
  view.setUint16(lowOffset, value & 0xffff, true)
  view.setUint16(highOffset, value >>> 16, true)
}
