// Brings an image's blocks to their place: what is there stays, what a donor has is copied, the rest is fetched. A
// block is hashed before it is written, so whatever stops this, the next time finds what is right by hashing again.
import { UpdateRefused } from '../refused.ts'
import { frameBytes } from '../release.ts'
import { unpackFrame } from '../release/frame.ts'
import type { SlotTarget } from '../slot.ts'
import type { Donors } from './donors.ts'
import { type Fetcher, forEachOf } from './fetcher.ts'
import { type HashTree, isBlock } from './hash-tree.ts'
import { blockBytes, type SealedImage } from './sealed-image.ts'
import { countGarbage, releaseMemory } from './memory.ts'
import { type Run, runsOf } from './tree.ts'

/** Blocks that are compared at a time, and fetched by one request: 256 KiB. */
const chunkBlocks = 64

/** What comparing a block leaves behind: views, and promises. */
const garbagePerBlock = 2048

/** Requests under way. A frame takes its packed and its unpacked size of memory, a range 256 KiB. */
const rangesAtOnce = 4
const framesAtOnce = 1

/** What a request costs besides its bytes: headers of HTTP, both ways. */
const requestBytes = 600

/** An image, its tree, and where to. */
export interface Filling {
  readonly image: SealedImage
  readonly tree: HashTree
  readonly target: SlotTarget
  readonly donors: Donors
  readonly fetcher: Fetcher
  readonly signal: AbortSignal
  /** Told of bytes that are in their place, and what it took to get them there. */
  readonly onProgress: (phase: 'compare' | 'fetch', doneBytes: number, totalBytes: number) => void
}

/**
 * Fills the target with the image's data. Nothing is flushed.
 *
 * @throws UpdateRefused `digest`, `size` when the source gives something else than was signed; SourceError
 */
export async function fill(filling: Filling): Promise<void> {
  const { image, onProgress } = filling
  const missing = await copyKnown(filling)
  const totalBytes = missing.length * blockBytes
  let doneBytes = 0
  const onDone = (blocks: number): void => {
    doneBytes += blocks * blockBytes
    onProgress('fetch', doneBytes, totalBytes)
  }
  onProgress('fetch', 0, totalBytes)
  const { frames, ranges } = plan(image, missing)
  await forEachOf(frames, framesAtOnce, async (frame) => {
    await fetchFrame(filling, frame)
    onDone(frame.missing.length)
  })
  await forEachOf(ranges, rangesAtOnce, async (run) => {
    await fetchRange(filling, run)
    onDone(run.count)
  })
}

/** Keeps and copies what is known, and tells what is not. */
async function copyKnown(filling: Filling): Promise<number[]> {
  const { image, signal, onProgress } = filling
  const memory = {
    there: new Uint8Array(chunkBlocks * blockBytes),
    wanted: new Uint8Array(chunkBlocks * blockBytes),
  }
  const missing: number[] = []
  for (let first = 0; first < image.dataBlocks; first += chunkBlocks) {
    signal.throwIfAborted()
    const count = Math.min(chunkBlocks, image.dataBlocks - first)
    for (const index of await copyChunk(filling, { first, count }, memory)) missing.push(first + index)
    countGarbage(count * garbagePerBlock)
    onProgress('compare', (first + count) * blockBytes, image.dataBlocks * blockBytes)
  }
  return missing
}

/** Memory for chunks, used again for each. */
interface ChunkMemory {
  readonly there: Uint8Array
  readonly wanted: Uint8Array
}

async function copyChunk(
  { image, tree, target, donors }: Filling,
  { first, count }: Run,
  memory: ChunkMemory,
): Promise<number[]> {
  const there = await target.read(first * blockBytes, count * blockBytes, memory.there)
  const { wanted } = memory
  const missing: number[] = []
  const copied: number[] = []
  for (let index = 0; index < count; index++) {
    const leaf = tree.leaf(first + index)
    if (isBlock(image.salt, there.subarray(index * blockBytes, (index + 1) * blockBytes), leaf)) continue
    const place = wanted.subarray(index * blockBytes, (index + 1) * blockBytes)
    const block = await donors.find(leaf, place)
    if (block === undefined) {
      missing.push(index)
      continue
    }
    if (block !== place) place.set(block)
    copied.push(index)
  }
  for (const run of runsOf(copied, count)) {
    const bytes = wanted.subarray(run.first * blockBytes, (run.first + run.count) * blockBytes)
    await target.write((first + run.first) * blockBytes, bytes)
  }
  return missing
}

/** A frame, and what of it is missing. */
interface FrameJob {
  readonly index: number
  readonly offset: number
  readonly missing: readonly number[]
}

/** Decides frame by frame what is less to fetch: the frame as a whole, or the missing blocks as they are. */
function plan(image: SealedImage, missing: readonly number[]): { frames: FrameJob[]; ranges: Run[] } {
  const perFrame = frameBytes / blockBytes
  const frames: FrameJob[] = []
  const ranges: Run[] = []
  let offset = 0
  let next = 0
  for (const [index, sizeBytes] of image.compressed.frames.entries()) {
    const start = next
    while (next < missing.length && (missing[next] ?? 0) < (index + 1) * perFrame) next++
    const blocks = missing.slice(start, next)
    const runs = runsOf(blocks, chunkBlocks)
    const rangesBytes = blocks.length * blockBytes + runs.length * requestBytes
    if (blocks.length > 0 && sizeBytes + requestBytes < rangesBytes)
      frames.push({ index, offset, missing: blocks })
    else ranges.push(...runs)
    offset += sizeBytes
  }
  return { frames, ranges }
}

async function fetchRange({ image, tree, target, fetcher }: Filling, { first, count }: Run): Promise<void> {
  const offset = first * blockBytes
  const length = Math.min(count * blockBytes, image.raw.sizeBytes - offset)
  const bytes = padded(await fetcher.fetch(image.raw.digest, offset, length), count * blockBytes)
  for (let index = 0; index < count; index++) {
    const block = bytes.subarray(index * blockBytes, (index + 1) * blockBytes)
    if (!isBlock(image.salt, block, tree.leaf(first + index))) throw notSigned(image, first + index)
  }
  await target.write(offset, bytes)
  releaseMemory(bytes)
}

async function fetchFrame({ image, tree, target, fetcher }: Filling, job: FrameJob): Promise<void> {
  const { digest, frames } = image.compressed
  const packed = await fetcher.fetch(digest, job.offset, frames[job.index] ?? 0)
  const firstByte = job.index * frameBytes
  const bytes = padded(unpack(image, packed, job.index), frameBytes)
  releaseMemory(packed)
  const at = (block: number): number => block * blockBytes - firstByte
  for (const block of job.missing) {
    const there = bytes.subarray(at(block), at(block + 1))
    if (!isBlock(image.salt, there, tree.leaf(block))) throw notSigned(image, block)
  }
  for (const { first, count } of runsOf(job.missing, chunkBlocks)) {
    await target.write(first * blockBytes, bytes.subarray(at(first), at(first + count)))
  }
  releaseMemory(bytes)
}

/** Unpacks a frame, into no more memory than it may take. */
function unpack(image: SealedImage, packed: Uint8Array, index: number): Uint8Array {
  try {
    return unpackFrame(packed, frameBytes)
  } catch (cause) {
    throw new UpdateRefused(
      'digest',
      `${image.name}: frame ${index} of ${image.compressed.digest}, as the source gave it, cannot be unpacked`,
      { cause },
    )
  }
}

/** The last block may be cut off; its digest is that of the block filled up with zeros. */
function padded(bytes: Uint8Array, sizeBytes: number): Uint8Array {
  if (bytes.length >= sizeBytes) return bytes
  const whole = new Uint8Array(sizeBytes)
  whole.set(bytes)
  return whole
}

function notSigned(image: SealedImage, block: number): UpdateRefused {
  return new UpdateRefused(
    'digest',
    `${image.name}: block ${block}, as the source gave it, is not the signed one`,
  )
}
