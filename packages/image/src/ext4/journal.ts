/**
 * The journal's first block. The rest need not be written: an empty journal is not read, and what a later recovery
 * finds behind its end does not pass for transactions (see {@link journalSequence}).
 *
 * @see https://docs.kernel.org/filesystems/ext4/journal.html#super-block
 */
import { crc32c } from '../checksum/crc32c.ts'
import { blockBytes, viewOf } from './format.ts'

/** The fewest blocks of a journal: the kernel refuses one with fewer (`JBD2_MIN_JOURNAL_BLOCKS`). */
export const journalBlocksMin = 1024

/** The most blocks that mke2fs gives a journal. */
export const journalBlocksMax = 10_240_000

/** Bytes of the journal's superblock. */
const superblockBytes = 1024

const magic = 0xc03b_3998
const superblockVersion2 = 4
const crc32cType = 4

/** 64bit and csum_v3 (`JBD2_FEATURE_INCOMPAT_64BIT`, `JBD2_FEATURE_INCOMPAT_CSUM_V3`). */
const incompatibleFeatures = 0x2 | 0x10

/** Sizes from which a file system's journal is so large, in blocks (`ext2fs_default_journal_size` of e2fsprogs 1.47). */
const defaults = [
  [32_768 * 1024, 262_144],
  [16_384 * 1024, 131_072],
  [8192 * 1024, 65_536],
  [4096 * 1024, 32_768],
  [512 * 1024, 16_384],
  [256 * 1024, 8192],
  [32_768, 4096],
] as const

/** The blocks of the journal that mke2fs would make. */
export function defaultJournalBlocks(blocks: number): number {
  return defaults.find(([from]) => blocks >= from)?.[1] ?? journalBlocksMin
}

/** The journal's first block: an empty journal of `blocks` blocks. All its numbers are big-endian. */
export function encodeJournalSuperblock(blocks: number, uuid: Uint8Array): Uint8Array {
  const block = new Uint8Array(blockBytes)
  const view = viewOf(block)
  view.setUint32(0x00, magic)
  view.setUint32(0x04, superblockVersion2)
  view.setUint32(0x0c, blockBytes)
  view.setUint32(0x10, blocks)
  view.setUint32(0x14, 1) // The log begins in the second block.
  view.setUint32(0x18, journalSequence(uuid))
  view.setUint32(0x28, incompatibleFeatures)
  block.set(uuid, 0x30)
  view.setUint32(0x40, 1) // One file system uses it.
  view.setUint8(0x50, crc32cType)
  view.setUint32(0xfc, crc32c(block.subarray(0, superblockBytes)))
  return block
}

/**
 * The number of the first transaction. mke2fs begins at 1: where a journal lay before, old transactions with the
 * numbers of new ones could then follow these. Their checksums begin with the uuid of their time; that numbers begin
 * elsewhere for each uuid is a second reason why they do not pass.
 */
function journalSequence(uuid: Uint8Array): number {
  return (crc32c(uuid) & 0x3fff_ffff) + 1
}
