/** A whole disk as one stream: tables, and between them the contents of partitions. */
import { contentSizeBytes, readContent } from '../stream/content.ts'
import type { FileContent } from '../stream/content.ts'
import type { PlacedGptPartition } from './place.ts'
import type { GptTables } from './tables.ts'

const zerosBytesMax = 256 * 1024

/** A disk that is divided. */
export interface GptDisk extends GptTables {
  /** The whole disk, a multiple of the block. */
  readonly sizeBytes: number
  /** Size of a logical block. */
  readonly sectorBytes: number
  /** GUID of the disk. */
  readonly diskGuid: string
  /** In the order in which they were asked for. */
  readonly partitions: readonly PlacedGptPartition[]
}

/** A partition and what goes into it. */
interface Filled {
  readonly partition: PlacedGptPartition
  readonly content: FileContent
}

/**
 * Finds each content its partition.
 *
 * @throws TypeError or RangeError for contents that have no partition or are larger than it
 */
export function filledPartitions(
  disk: GptDisk,
  contents: Readonly<Record<number, FileContent>>,
): readonly Filled[] {
  const filled: Filled[] = []
  for (const [number, content] of Object.entries(contents)) {
    const partition = disk.partitions.find((other) => other.number === Number(number))
    if (!partition) throw new TypeError(`contents for partition ${number}, which the disk does not have`)
    const sizeBytes = contentSizeBytes(content)
    if (sizeBytes > partition.sizeBytes) {
      throw new RangeError(
        `partition ${number} (${partition.name}): contents of ${sizeBytes} bytes, but it has ${partition.sizeBytes}`,
      )
    }
    filled.push({ partition, content })
  }
  return filled.toSorted((left, right) => left.partition.firstLba - right.partition.firstLba)
}

/** All bytes of a disk from the first to the last. */
export async function* diskPieces(
  disk: GptDisk,
  filled: readonly Filled[],
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  signal?.throwIfAborted()
  const zeros = new Uint8Array(zerosBytesMax)
  let doneBytes = disk.primary.byteLength
  yield disk.primary
  function* zerosUpTo(endBytes: number): Generator<Uint8Array, void, undefined> {
    while (doneBytes < endBytes) {
      signal?.throwIfAborted()
      const piece = zeros.subarray(0, endBytes - doneBytes)
      doneBytes += piece.byteLength
      yield piece
    }
  }
  for (const { partition, content } of filled) {
    yield* zerosUpTo(partition.startBytes)
    yield* readContent(content, `partition ${partition.number} (${partition.name})`, signal)
    doneBytes += contentSizeBytes(content)
  }
  yield* zerosUpTo(disk.backupOffsetBytes)
  yield disk.backup
}
