/**
 * How a directory's entries fall into blocks.
 *
 * The kernel looks a name up by two binary searches, over the first names of the blocks and inside one block
 * (fs/erofs/namei.c), so all entries, `.` and `..` among them, must be in the order of their names' bytes.
 */
import { comparePaths } from '../tree.ts'
import { blockBytes, entryBytes } from './format.ts'
import type { Inode } from './inodes.ts'

/** An entry with its name as bytes. */
export interface EncodedEntry {
  readonly name: Uint8Array
  readonly inode: Inode
}

/** The entries of one block. */
export interface DirectoryBlock {
  readonly entries: readonly EncodedEntry[]
  /** Bytes of entries and names; the rest of the block is zeros. */
  readonly usedBytes: number
}

const encoder = new TextEncoder()

/** The blocks of a directory, at least one, each filled as far as whole entries go. */
export function directoryBlocks(directory: Inode): DirectoryBlock[] {
  const entries = [
    { name: '.', inode: directory },
    { name: '..', inode: directory.parent ?? directory },
    ...directory.entries,
  ].toSorted((left, right) => comparePaths(left.name, right.name))
  const blocks: DirectoryBlock[] = []
  let filling: EncodedEntry[] = []
  let usedBytes = 0
  for (const { name: text, inode } of entries) {
    const name = encoder.encode(text)
    const neededBytes = entryBytes + name.byteLength
    if (usedBytes + neededBytes > blockBytes) {
      blocks.push({ entries: filling, usedBytes })
      filling = []
      usedBytes = 0
    }
    filling.push({ name, inode })
    usedBytes += neededBytes
  }
  blocks.push({ entries: filling, usedBytes })
  return blocks
}
