/** One entry of a directory as bytes. */
import type { Inode } from '../erofs/inodes.ts'
import { blockBytes, viewOf } from './format.ts'

/** A name in a directory, as bytes. */
export interface Entry {
  readonly name: Uint8Array
  readonly inode: Inode
}

/** An entry as it is written. */
export interface EntryFields {
  /** 0 for an entry that is not in use. */
  readonly inodeNumber: number
  /** From this entry to the next, or to the end of the block's entries. */
  readonly lengthBytes: number
  readonly name: Uint8Array
  readonly type: number
}

/** Bytes of an entry without its name. */
const headerBytes = 8

/** Bytes at the end of a block of entries with its checksum, in the shape of an entry without inode. */
export const tailBytes = 12

/** Bytes of a block that entries may take. */
export const entriesBytesMax: number = blockBytes - tailBytes

/** Types of nodes in entries (`EXT4_FT_REG_FILE` and so on in fs/ext4/ext4.h). */
export const entryTypes = { file: 1, directory: 2, char: 3, block: 4, fifo: 5, symlink: 7 } as const

/** The bytes that an entry takes: with its name filled up to a multiple of 4. */
export function entryBytes(name: Uint8Array): number {
  return headerBytes + ((name.byteLength + 3) & ~3)
}

/** Writes an entry at `offset` of `block`. */
export function encodeEntry(block: Uint8Array, offset: number, entry: EntryFields): void {
  const view = viewOf(block)
  view.setUint32(offset, entry.inodeNumber, true)
  view.setUint16(offset + 4, entry.lengthBytes, true)
  view.setUint8(offset + 6, entry.name.byteLength)
  view.setUint8(offset + 7, entry.type)
  block.set(entry.name, offset + headerBytes)
}

/** The name of a directory in itself. */
export const ownName: Uint8Array = new TextEncoder().encode('.')

/** The name in a directory of the one above it. */
export const parentName: Uint8Array = new TextEncoder().encode('..')
