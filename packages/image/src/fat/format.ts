/** What the structures of FAT have in common: sizes, bits and limits. Clauses are those of fatgen103 (FAT, 2000). */

/** FAT with entries of 16 or of 32 bits, of which 28 are used. */
export type FatType = 'fat16' | 'fat32'

/** A directory's entries, long names in pieces included, are all of this size. */
export const entryBytes = 32

/** A directory has no more entries than 2 MiB hold (6.5). */
export const entriesMax = 65_536

/** A file has no more bytes, since its size is a number of 32 bits. */
export const fileBytesMax = 0xffff_ffff

/** Attributes of a directory entry (6). */
export const attribute = {
  readOnly: 0x01,
  hidden: 0x02,
  system: 0x04,
  volumeLabel: 0x08,
  directory: 0x10,
  archive: 0x20,
  /** All of the lower four: a piece of a long name. */
  longName: 0x0f,
  longNameMask: 0x3f,
} as const

/** The first number that is a cluster: 0 and 1 have other meanings. */
export const firstCluster = 2

/** What an entry of the table says when nothing follows. */
export const endOfChain: Record<FatType, number> = { fat16: 0xffff, fat32: 0x0fff_ffff }

/** From this number on entries that others wrote say the same (4). */
export const endOfChainMin: Record<FatType, number> = { fat16: 0xfff8, fat32: 0x0fff_fff8 }

/** How many bytes an entry of the table takes. */
export const tableEntryBytes: Record<FatType, number> = { fat16: 2, fat32: 4 }

/**
 * How many clusters there may be: their number alone tells the types apart, below 4085 it is FAT12 and from 65525 on
 * FAT32. Some programs are off by a few, so the specification asks to keep 16 away (3.5).
 */
export const clustersMin: Record<FatType, number> = { fat16: 4085 + 16, fat32: 65_525 + 16 }

/** How many there may be at most. The last cluster of FAT32 has the number 0x0ffffff6. */
export const clustersMax: Record<FatType, number> = { fat16: 65_524 - 16, fat32: 0x0fff_fff5 }

/** A view of bytes for numbers of several bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
