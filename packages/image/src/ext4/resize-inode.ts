/**
 * The resize inode, by which the kernel finds room for the descriptors of new groups when the file system grows: in
 * the old scheme of block numbers, its one doubly indirect block names the blocks kept after the descriptors, and each
 * of these names the ones of the same place in the copies.
 *
 * @see https://elixir.bootlin.com/linux/v6.1/source/fs/ext4/resize.c (verify_reserved_gdb, add_new_gdb)
 */
import { addressesPerBlock, blockBytes, groupBlocks, viewOf } from './format.ts'
import { backupGroups } from './geometry.ts'
import type { Geometry } from './geometry.ts'
import type { InodeFields } from './inode.ts'

/** A file's first blocks are named in its inode, 12 of them; then come one indirect and one doubly indirect block. */
const directBlocks = 12
const doublyIndirectIndex = 13

/** The largest file that one doubly indirect block can have; e2fsck expects it. */
const sizeBytes = (directBlocks + addressesPerBlock + addressesPerBlock ** 2) * blockBytes

/** The inode, whose own block is `resizeBlock`. */
export function resizeInode(geometry: Geometry, resizeBlock: number, timeSeconds: number): InodeFields {
  const root = new Uint8Array(4 * (doublyIndirectIndex + 1))
  viewOf(root).setUint32(4 * doublyIndirectIndex, resizeBlock, true)
  return {
    mode: 0o100_600,
    uid: 0,
    gid: 0,
    sizeBytes,
    timeSeconds,
    links: 1,
    blocks: 1 + geometry.reservedBlocks * (1 + backupGroups(geometry).length),
    flags: 0,
    root,
  }
}

/** The doubly indirect block: where the kept blocks are, each at the index of the descriptors that it will hold. */
export function encodeResizeBlock({ descriptorBlocks, reservedBlocks }: Geometry): Uint8Array {
  const block = new Uint8Array(blockBytes)
  const view = viewOf(block)
  for (let index = 0; index < reservedBlocks; index++) {
    const kept = descriptorBlocks + index
    view.setUint32(4 * (kept % addressesPerBlock), 1 + kept, true)
  }
  return block
}

/** What is in the kept blocks until they are needed: the numbers of those in the copies. */
export function* encodeReservedBlocks(geometry: Geometry): Generator<Uint8Array, void, undefined> {
  const backups = backupGroups(geometry)
  for (let index = 0; index < geometry.reservedBlocks; index++) {
    const number = 1 + geometry.descriptorBlocks + index
    const block = new Uint8Array(blockBytes)
    const view = viewOf(block)
    for (const [entry, group] of backups.entries())
      view.setUint32(4 * entry, group * groupBlocks + number, true)
    yield block
  }
}
