/** A planned file system: its superblock, and everything else in the order of its place. */
import type { FileTree } from '../tree.ts'
import { filesystemSeed } from './checksum.ts'
import { contents } from './contents.ts'
import { blockBytes, superblockOffset } from './format.ts'
import type { Piece } from './format.ts'
import { freeOf } from './groups.ts'
import { journalRoot, blocksOf } from './inode-table.ts'
import { layoutOf } from './layout.ts'
import { mergePieces, packPieces } from './pieces.ts'
import type { Settings } from './settings.ts'
import { structures } from './structures.ts'
import type { StructureContext } from './structures.ts'
import { encodeSuperblock } from './superblock.ts'

/** What is known of a file system before any content is read. */
export interface Filesystem {
  readonly sizeBytes: number
  /** The first block, with the superblock. */
  readonly superblock: Piece
  /** All the rest, in chunks of whole blocks, in the order of their places. */
  readonly rest: (signal?: AbortSignal) => AsyncGenerator<Piece, void, undefined>
}

/**
 * Plans a file system.
 *
 * @throws as {@link layoutOf} does
 */
export function filesystemOf(tree: FileTree, settings: Settings): Filesystem {
  const layout = layoutOf(tree, settings)
  const { geometry } = layout
  const seed = filesystemSeed(settings.uuid)
  const { uuid, volumeName, hashSeed, timeSeconds } = settings
  const context: StructureContext = {
    layout,
    settings,
    seed,
    superblock: {
      geometry,
      uuid,
      volumeName,
      hashSeed,
      timeSeconds,
      reservedBlocks: Math.floor((geometry.blocks * settings.reservedPercent) / 100),
      ...freeOf(layout),
      journalRoot: journalRoot({ layout, seed }),
      journalSizeBytes: blocksOf(layout.journal.runs) * blockBytes,
    },
  }
  const firstBlock = new Uint8Array(blockBytes)
  firstBlock.set(encodeSuperblock(context.superblock, 0), superblockOffset)
  return {
    sizeBytes: geometry.blocks * blockBytes,
    superblock: { offsetBytes: 0, bytes: firstBlock },
    rest: (signal) =>
      packPieces(mergePieces(structures(context), contents({ layout, settings, seed }, signal)), signal),
  }
}
