// Brings the missing blocks of an image to their place: what a donor has is copied, the rest is fetched. A block is
// hashed before it is written, so whatever stops this, the next time finds what is right by hashing again.
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

/** Blocks that are copied at a time, and fetched by one request: 256 KiB. */
const chunkBlocks = 64

/** What looking for a block leaves behind: views, and promises. */
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
  /** The blocks that are not in their place, rising. */
  readonly missing: readonly number[]
  readonly donors: Donors
  readonly fetcher: Fetcher
  readonly signal: AbortSignal
  /** Told, by a part of the image's bytes, how far copying is. */
  readonly onCopied: (doneBytes: number) => void
  /** Told how much of what nobody else had has been fetched. */
  readonly onFetched: (doneBytes: number, totalBytes: number) => void
}

/**
 * Fills the target with the image's data. Nothing is flushed.
 *
 * @throws UpdateRefused `digest`, `size` when the source gives something else than was signed; SourceError
 */
export async function fill(filling: Filling): Promise<void> {
  const { image, onFetched } = filling
  const missing = await copyKnown(filling)
  const totalBytes = missing.length * blockBytes
  let doneBytes = 0
  const onDone = (blocks: number): void => {
    doneBytes += blocks * blockBytes
    onFetched(doneBytes, totalBytes)
  }
  onFetched(0, totalBytes)
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

/** Copies what is known, and tells what is not. */
async function copyKnown(filling: Filling): Promise<number[]> {
  const { image, signal, onCopied } = filling
  const memory = new Uint8Array(chunkBlocks * blockBytes)
  const unknown: number[] = []
  for (const run of runsOf(filling.missing, chunkBlocks)) {
    signal.throwIfAborted()
    for (const index of await copyRun(filling, run, memory)) unknown.push(run.first + index)
    countGarbage(run.count * garbagePerBlock)
    onCopied((run.first + run.count) * blockBytes)
  }
  onCopied(image.dataBlocks * blockBytes)
  return unknown
}

/** @param memory - for the blocks, used again for each run */
async function copyRun(
  { tree, target, donors }: Filling,
  { first, count }: Run,
  memory: Uint8Array,
): Promise<number[]> {
  const digests = Array.from({ length: count }, (_, index) => tree.leaf(first + index))
  const copied = await donors.findAll(digests, memory)
  for (const run of runsOf(copied, count)) {
    const bytes = memory.subarray(run.first * blockBytes, (run.first + run.count) * blockBytes)
    await target.write((first + run.first) * blockBytes, bytes)
  }
  const known = new Set(copied)
  return [...digests.keys()].filter((index) => !known.has(index))
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
