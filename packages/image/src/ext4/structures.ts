/** The groups' structures as bytes: copies of the superblock, descriptors, bitmaps, inode tables. */
import { blockBytes } from './format.ts'
import type { Piece } from './format.ts'
import { flexGroupsFrom, groupStart, hasSuperblock, isFlexStart, placesOf } from './geometry.ts'
import { blockBitmap, encodeDescriptors, groupUse, inodeBitmap } from './groups.ts'
import { tableBlocks } from './inode-table.ts'
import type { InodeContext } from './inode-table.ts'
import { encodeReservedBlocks } from './resize-inode.ts'
import type { Settings } from './settings.ts'
import { encodeSuperblock } from './superblock.ts'
import type { SuperblockFields } from './superblock.ts'

/** What structures are made from. */
export interface StructureContext extends InodeContext {
  readonly settings: Pick<Settings, 'timeSeconds' | 'zeroed'>
  readonly superblock: SuperblockFields
}

/** All structures but the superblock itself, in the order of their places. */
export function* structures(context: StructureContext): Generator<Piece, void, undefined> {
  const { layout, settings, seed } = context
  const { geometry } = layout
  const descriptors = encodeDescriptors(layout, seed, settings.zeroed)
  for (let group = 0; group < geometry.groups; group++) {
    if (hasSuperblock(group)) {
      const start = groupStart(group)
      if (group > 0) yield at(start, inBlock(encodeSuperblock(context.superblock, group)))
      yield at(start + 1, descriptors)
      if (group === 0)
        yield* consecutive(start + 1 + geometry.descriptorBlocks, encodeReservedBlocks(geometry))
    }
    if (isFlexStart(geometry, group)) yield* flexStructures(context, group)
  }
}

/** Bitmaps and inode tables of a group and those after it that lie together. */
function* flexStructures(context: StructureContext, first: number): Generator<Piece, void, undefined> {
  const { layout } = context
  const { geometry } = layout
  const groups = Array.from({ length: flexGroupsFrom(geometry, first) }, (_, index) => {
    const group = first + index
    return { group, places: placesOf(geometry, group), use: groupUse(layout, group) }
  })
  for (const { group, places, use } of groups)
    if (use.hasBlockBitmap) yield at(places.blockBitmap, blockBitmap(geometry, group, use))
  for (const { places, use } of groups)
    if (use.hasInodeBitmap) yield at(places.inodeBitmap, inodeBitmap(geometry, use))
  for (const { group, places, use } of groups)
    yield* consecutive(places.inodeTable, tableBlocks(context, group, use.inodes))
}

/** Blocks one after another. */
export function* consecutive(start: number, blocks: Iterable<Uint8Array>): Generator<Piece, void, undefined> {
  let block = start
  for (const bytes of blocks) yield at(block++, bytes)
}

/** A piece at a block's beginning. */
export function at(block: number, bytes: Uint8Array): Piece {
  return { offsetBytes: block * blockBytes, bytes }
}

function inBlock(bytes: Uint8Array): Uint8Array {
  const block = new Uint8Array(blockBytes)
  block.set(bytes)
  return block
}
