/** Gives partitions their places: where they ask for one, or after the one before. */
import type { GptPartition } from './format.ts'
import type { Measures } from './tables.ts'

/** A partition that is to have a place. */
export interface NewGptPartition {
  /** At most 36 units of UTF-16; may be empty. */
  readonly name: string
  /** GUID of its type, see {@link partitionTypes}. */
  readonly type: string
  /** Its own GUID, which no other partition anywhere should have. */
  readonly guid: string
  /**
   * Where it begins, in bytes from the disk's beginning: a multiple of the block. Default: the next multiple of
   * `alignBytes` after the partition before it in the list.
   */
  readonly startBytes?: number
  /**
   * A multiple of the block. Default: up to the next partition with a `startBytes`, or else to the last multiple of
   * `alignBytes` that can be used.
   */
  readonly sizeBytes?: number
  /** 64 bits, see {@link partitionAttributes}. Default: none. */
  readonly attributes?: bigint
  /** Its number, from 1: its place in the table. Default: its place in the list. */
  readonly number?: number
}

/** A partition in its place. */
export interface PlacedGptPartition extends GptPartition {
  /** Where it begins, in bytes from the disk's beginning. */
  readonly startBytes: number
  /** How long it is. */
  readonly sizeBytes: number
}

/**
 * Gives each partition its place, in the order of the list.
 *
 * @throws RangeError naming the partition that has no room, or whose place is no multiple of the block
 */
export function placePartitions(
  partitions: readonly NewGptPartition[],
  measures: Measures,
  alignBytes: number,
): readonly PlacedGptPartition[] {
  const { sectorBytes } = measures
  if (!Number.isSafeInteger(alignBytes) || alignBytes < sectorBytes || alignBytes % sectorBytes !== 0)
    throw new RangeError(
      `alignBytes: expected a multiple of the block of ${sectorBytes} bytes, got ${alignBytes}`,
    )
  const placed: PlacedGptPartition[] = []
  let endBytes = measures.firstUsableLba * sectorBytes
  for (const [index, { name, type, guid, attributes = 0n, ...wishes }] of partitions.entries()) {
    const number = wishes.number ?? index + 1
    const startBytes = wishes.startBytes ?? Math.ceil(endBytes / alignBytes) * alignBytes
    const sizeBytes = wishes.sizeBytes ?? roomAt(startBytes, partitions, measures, alignBytes)
    for (const [field, value] of Object.entries({ startBytes, sizeBytes })) {
      if (!Number.isSafeInteger(value) || value % sectorBytes !== 0)
        throw new RangeError(`partition ${number}: ${field} ${value} is no multiple of ${sectorBytes}`)
    }
    if (sizeBytes <= 0)
      throw new RangeError(`partition ${number}: nothing is left for it at byte ${startBytes}`)
    endBytes = startBytes + sizeBytes
    const [firstLba, lastLba] = [startBytes / sectorBytes, endBytes / sectorBytes - 1]
    placed.push({ number, name, type, guid, firstLba, lastLba, attributes, startBytes, sizeBytes })
  }
  return placed
}

function roomAt(
  startBytes: number,
  partitions: readonly NewGptPartition[],
  { lastUsableLba, sectorBytes }: Measures,
  alignBytes: number,
): number {
  const usableEnd = (lastUsableLba + 1) * sectorBytes
  const starts = partitions.map((other) => other.startBytes ?? Infinity)
  const nextStart = Math.min(...starts.filter((start) => start > startBytes))
  return Math.min(nextStart, Math.floor(usableEnd / alignBytes) * alignBytes) - startBytes
}
