// Finds what of an image is in its place already, by hashing it. Nothing is written: what the medium has lost is known
// before anything is taken from the slot.
import { digestOf } from '@pkg/image/verity'
import type { SlotTarget } from '../slot.ts'
import { type HashTree, isBlock } from './hash-tree.ts'
import { readBlocks } from './medium.ts'
import { countGarbage } from './memory.ts'
import { blockBytes, type SealedImage } from './sealed-image.ts'

/** Blocks that are compared at a time: 256 KiB. */
const chunkBlocks = 64

const zeros = new Uint8Array(blockBytes)

/** What comparing a block leaves behind: views, and promises. */
const garbagePerBlock = 2048

/** An image, its tree, and where to. */
export interface Comparing {
  readonly image: SealedImage
  readonly tree: HashTree
  readonly target: SlotTarget
  readonly signal: AbortSignal
  /** Told of bytes that have been looked at. */
  readonly onCompared: (doneBytes: number) => void
}

/** Blocks that are to be written, by their numbers on the target, rising. */
export interface Compared {
  /** All of them. */
  readonly missing: readonly number[]
  /** Those of them that the medium has lost. */
  readonly lost: readonly number[]
}

/** Compares the image's data with what is there. */
export async function compareData({ image, tree, target, signal, onCompared }: Comparing): Promise<Compared> {
  const memory = new Uint8Array(chunkBlocks * blockBytes)
  const missing: number[] = []
  const lost: number[] = []
  const ofZeros = digestOf(image.salt, zeros)
  // A slot that was never written has nothing else, and to see that takes a tenth of hashing it.
  const isThere = (bytes: Uint8Array, digest: Uint8Array): boolean =>
    Buffer.compare(bytes, zeros) === 0
      ? Buffer.compare(digest, ofZeros) === 0
      : isBlock(image.salt, bytes, digest)
  for (let first = 0; first < image.dataBlocks; first += chunkBlocks) {
    signal.throwIfAborted()
    const count = Math.min(chunkBlocks, image.dataBlocks - first)
    for (const [index, there] of (await readBlocks(target, { first, count }, memory)).entries()) {
      const block = first + index
      if (there === undefined) lost.push(block)
      if (there === undefined || !isThere(there, tree.leaf(block))) missing.push(block)
    }
    countGarbage(count * garbagePerBlock)
    onCompared((first + count) * blockBytes)
  }
  return { missing, lost }
}

/** Compares bytes, whole blocks of them, with what is there from a block on. */
export async function compareBytes(
  target: SlotTarget,
  firstBlock: number,
  bytes: Uint8Array,
): Promise<Compared> {
  const memory = new Uint8Array(chunkBlocks * blockBytes)
  const missing: number[] = []
  const lost: number[] = []
  const blocks = bytes.length / blockBytes
  for (let first = 0; first < blocks; first += chunkBlocks) {
    const run = { first: firstBlock + first, count: Math.min(chunkBlocks, blocks - first) }
    for (const [index, there] of (await readBlocks(target, run, memory)).entries()) {
      const wanted = bytes.subarray((first + index) * blockBytes, (first + index + 1) * blockBytes)
      if (there === undefined) lost.push(run.first + index)
      if (there === undefined || Buffer.compare(there, wanted) !== 0) missing.push(run.first + index)
    }
  }
  return { missing, lost }
}
