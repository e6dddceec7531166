// What is installed, told alike for the root and the kernel image: blocks, and a hash tree over them.
import { verityLevels, type VerityLevel } from '@pkg/image/verity'
import type { BlobReference, CompressedBlob, Release } from '../release.ts'

/** Bytes of a block, of data and of the tree. */
export const blockBytes = 4096

/** An image of blocks whose digests are known by the root of a tree. */
export interface SealedImage {
  /** What messages call it. */
  readonly name: string
  /** The blob of its raw bytes, and how many there are: the last block may be filled up with zeros. */
  readonly raw: BlobReference
  readonly compressed: CompressedBlob
  /** The blob that has the tree, and where in it. */
  readonly tree: { readonly digest: string; readonly offset: number }
  /** How many blocks there are, without the tree. */
  readonly dataBlocks: number
  /** The tree's levels, leaves first. */
  readonly levels: readonly VerityLevel[]
  /** The tree's root. */
  readonly hash: Uint8Array
  readonly salt: Uint8Array
}

/** The root of a release: its tree follows the data in the same blob. */
export function rootImage({ root }: Release): SealedImage {
  return {
    name: 'the root',
    raw: root,
    compressed: root.compressed,
    tree: { digest: root.digest, offset: (root.dataBlocks + 1) * blockBytes },
    dataBlocks: root.dataBlocks,
    levels: verityLevels(root.dataBlocks),
    hash: Buffer.from(root.hash, 'hex'),
    salt: Buffer.from(root.salt, 'hex'),
  }
}

/** The kernel image of a release. */
export function bootImage({ root, uki }: Release): SealedImage {
  const dataBlocks = Math.ceil(uki.sizeBytes / blockBytes)
  return {
    name: 'the kernel image',
    raw: uki,
    compressed: uki.compressed,
    tree: { digest: uki.tree.digest, offset: 0 },
    dataBlocks,
    levels: verityLevels(dataBlocks),
    hash: Buffer.from(uki.hash, 'hex'),
    salt: Buffer.from(root.salt, 'hex'),
  }
}

/** How many blocks all levels have together. */
export function treeBlocksOf(levels: readonly VerityLevel[]): number {
  return levels.reduce((sum, { blocks }) => sum + blocks, 0)
}
