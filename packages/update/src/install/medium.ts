// Blocks that the medium has lost. A power cut while a sector is written leaves one that cannot be read until it is
// written again, on flash as on disks; it lies in what was being written, so nothing is lost with it but the block.
import { setImmediate } from 'node:timers/promises'
import type { RandomAccess } from '@pkg/image/random-access'
import type { BlockReader, SlotTarget } from '../slot.ts'
import { blockBytes } from './sealed-image.ts'
import { type Run, runsOf } from './tree.ts'

/**
 * What reading a lost block gives. Through the page cache it is EIO whatever the disk said (mm/filemap.c,
 * `filemap_read_folio`); past it the disk's own words (block/blk-core.c, `blk_errors`): EIO, ENODATA for the medium,
 * EILSEQ for protection, EREMOTEIO for the target; file systems say EBADMSG and EUCLEAN of their checksums. ENODEV,
 * ENXIO, ENOLINK and ETIMEDOUT are none: they speak of the disk as a whole, or of the way to it.
 */
const mediaErrors: ReadonlySet<unknown> = new Set([
  'EIO',
  'ENODATA',
  'EILSEQ',
  'EREMOTEIO',
  'EBADMSG',
  'EUCLEAN',
])

/** So much is written at a time. */
const runBlocksMax = 64

/** The medium has other bytes than were written to it, or none that can be read. */
export class MediumError extends Error {
  override name = 'MediumError'
}

/** Whether reading has failed for what it read, as far as an error tells: a disk that is gone gives EIO as well. */
function isMediaError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && mediaErrors.has(error.code)
}

/**
 * A block; undefined when the medium has lost it.
 *
 * @param into - memory that may be used for it
 */
export async function readBlock(
  access: BlockReader,
  block: number,
  into?: Uint8Array,
): Promise<Uint8Array | undefined> {
  try {
    return await access.read(block * blockBytes, blockBytes, into)
  } catch (error) {
    if (isMediaError(error)) return undefined
    throw error
  }
}

/**
 * Blocks that follow one another, each undefined when the medium has lost it: that of them one cannot be read says
 * nothing of the others.
 *
 * @param into - memory that may be used for them
 */
export async function readBlocks(
  access: RandomAccess | BlockReader,
  { first, count }: Run,
  into?: Uint8Array,
): Promise<(Uint8Array | undefined)[]> {
  try {
    const bytes = await access.read(first * blockBytes, count * blockBytes, into)
    return Array.from({ length: count }, (_, index) => blockOf(bytes, index))
  } catch (error) {
    if (!isMediaError(error)) throw error
  }
  const blocks: (Uint8Array | undefined)[] = []
  for (let index = 0; index < count; index++) {
    // A disk may try for seconds before it gives a sector up; single blocks are read without a pause.
    await setImmediate()
    blocks.push(await readBlock(access, first + index, into && blockOf(into, index)))
  }
  return blocks
}

function blockOf(bytes: Uint8Array, index: number): Uint8Array {
  return bytes.subarray(index * blockBytes, (index + 1) * blockBytes)
}

/** How messages call a block of what is written to. */
export function placeOf(target: SlotTarget, slot: string, block: number): string {
  return `${slot}, block ${block} of ${target.name ?? 'its partition'} (from byte ${block * blockBytes} on)`
}

/**
 * Reads what was written, past the kernel's memory.
 *
 * @param into - memory that may be used for it
 * @throws MediumError for a block that cannot be read
 */
export async function readBack(
  target: SlotTarget,
  slot: string,
  { first, count }: Run,
  into?: Uint8Array,
): Promise<Uint8Array> {
  try {
    return await target.readDirect(first * blockBytes, count * blockBytes, into)
  } catch (error) {
    if (!isMediaError(error)) throw error
  }
  const blocks: Uint8Array[] = []
  for (let block = first; block < first + count; block++) {
    try {
      blocks.push(await target.readDirect(block * blockBytes, blockBytes))
    } catch (cause) {
      if (!isMediaError(cause)) throw cause
      throw unreadable(target, slot, block, cause)
    }
  }
  return Buffer.concat(blocks)
}

/**
 * Writes zeros over lost blocks, in which nobody has anything to lose, and reads them back.
 *
 * @param blocks - rising
 * @throws MediumError when the medium does not take them: it is failing, or gone
 */
export async function mend(target: SlotTarget, slot: string, blocks: readonly number[]): Promise<void> {
  for (const run of runsOf(blocks, runBlocksMax)) {
    try {
      await target.write(run.first * blockBytes, new Uint8Array(run.count * blockBytes))
      await target.flush()
    } catch (cause) {
      throw unreadable(target, slot, run.first, cause)
    }
    await readBack(target, slot, run)
  }
}

function unreadable(target: SlotTarget, slot: string, block: number, cause: unknown): MediumError {
  return new MediumError(
    `${placeOf(target, slot, block)} cannot be read, also after writing: the disk is failing, or gone`,
    { cause },
  )
}
