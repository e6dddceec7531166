// The root of a slot: an EROFS image of everything, sealed by a hash tree that follows it.
import { type ErofsImage, prepareErofs } from '@pkg/image/erofs'
import type { FileTree } from '@pkg/image/tree'
import { VerityHasher, type VerityTree } from '@pkg/image/verity'
import { frameBytes } from '@pkg/update/release'
import { sha256 } from '@pkg/vm/host'
import type { NameOfPiece } from '../build/compressed-size.ts'
import { veritySalt } from './guids.ts'

/** A root that is ready to be written. */
export interface SealedRoot {
  /** The superblock's uuid: by it stage 1 finds the root. */
  readonly imageId: string
  /** What the kernel checks each block with. */
  readonly verity: VerityTree
  /** Image and hash tree. */
  readonly sizeBytes: number
  /** Tells equal pieces of different roots by their hash tree; the last ones, with parts of the tree in them, have no name. */
  readonly nameOfPiece: NameOfPiece
  /** Starts a pass over image and hash tree. */
  open(): AsyncGenerator<Uint8Array, void, undefined>
}

/** Seals a tree. Reads all its files twice. */
export async function sealRoot(tree: FileTree, appliance: string): Promise<SealedRoot> {
  const image = await prepareErofs(tree, { rank })
  const verity = await hashesOf(image, veritySalt(appliance))
  return {
    imageId: image.uuid,
    verity,
    sizeBytes: image.sizeBytes + verity.sizeBytes,
    nameOfPiece: (index) => nameOfPiece(verity, index),
    async *open() {
      yield* image.open()
      yield* verity.bytes()
    },
  }
}

async function hashesOf(image: ErofsImage, salt: Uint8Array): Promise<VerityTree> {
  const hasher = new VerityHasher({ salt, uuid: image.uuid })
  for await (const chunk of image.open()) hasher.update(chunk)
  return hasher.finish()
}

/** Blocks of a piece of a release. */
const pieceBlocks = frameBytes / 4096

function nameOfPiece(verity: VerityTree, index: number): string | undefined {
  const first = index * pieceBlocks
  if (first + pieceBlocks > verity.dataBlocks) return undefined
  const digests = Array.from({ length: pieceBlocks }, (_, block) => verity.leaf(first + block))
  return sha256(Buffer.concat(digests))
}

/**
 * What is large and seldom changes comes first, what every build changes last: an update then moves few blocks. The
 * runtime, what comes from packages, the kernel's modules, the appliance's own.
 */
function rank({ path }: { path: string }): number {
  if (path === '/bin/bun') return 0
  if (path.startsWith('/usr/lib/solo/') || path.startsWith('/sbin/init') || path.startsWith('/etc/')) return 3
  return path.startsWith('/lib/modules/') ? 2 : 1
}
