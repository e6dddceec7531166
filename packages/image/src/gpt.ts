/**
 * GUID partition tables: the primary one behind a protective MBR at the disk's beginning, its backup at the end.
 *
 * What is written: revision 1.0, 128 entries of 128 bytes, blocks of 512 to 4096 bytes, no boot code. Nothing depends on
 * the clock, the host or chance. What is read: any number and size of entries within 1 MiB; of two tables the primary
 * one if it is whole, else the backup.
 *
 * @see https://uefi.org/specs/UEFI/2.10/05_GUID_Partition_Table_Format.html
 */
import type { FileContent } from './stream/content.ts'
import { diskPieces, filledPartitions } from './gpt/disk-stream.ts'
import type { GptDisk } from './gpt/disk-stream.ts'
import { placePartitions } from './gpt/place.ts'
import type { NewGptPartition } from './gpt/place.ts'
import { readWith } from './gpt/reader.ts'
import type { Gpt } from './gpt/reader.ts'
import { checkSector, makeTables, measuresOf } from './gpt/tables.ts'
import type { GptOptions, GptTables } from './gpt/tables.ts'
import { bytesAccess } from './random-access.ts'
import type { RandomAccess } from './random-access.ts'
import { counted } from './stream/progress.ts'
import type { PassOptions } from './stream/progress.ts'

export type { GptDisk } from './gpt/disk-stream.ts'
export { GptError } from './gpt/error.ts'
export type { GptPartition } from './gpt/format.ts'
export type { NewGptPartition, PlacedGptPartition } from './gpt/place.ts'
export type { Gpt } from './gpt/reader.ts'
export type { GptOptions, GptTables } from './gpt/tables.ts'
export { partitionAttributes, partitionTypes } from './gpt/types.ts'

/** How a disk is divided. */
export interface GptDiskOptions {
  /** The whole disk, a multiple of the block. */
  readonly sizeBytes: number
  /** GUID of the disk. */
  readonly diskGuid: string
  /** At most 128. */
  readonly partitions: readonly NewGptPartition[]
  /** Size of a logical block: 512 to 4096. A table in other blocks than the disk's is none. Default: 512. */
  readonly sectorBytes?: number
  /** Partitions that ask for no place begin at multiples of this. Default: 1 MiB, which suits flash memory. */
  readonly alignBytes?: number
}

/** How tables are written in place. */
export interface InstallGptOptions {
  /**
   * The copy that is written last: the one that is whole now, `'backup'` where {@link readGpt} found a problem with the
   * primary. Default: `'primary'`.
   */
  readonly last?: 'primary' | 'backup'
}

/** A device or file that tables are written on. */
export interface GptTarget {
  /** Writes all of `bytes` at `offsetBytes`. */
  write(bytes: Uint8Array, offsetBytes: number): void | Promise<void>
  /** Returns when all that was written is on the medium: fsync(2). */
  flush(): void | Promise<void>
}

/**
 * Divides a disk: gives each partition its place, and makes the tables.
 *
 * @throws TypeError a name or GUID is none, or two partitions have the same GUID; RangeError sizes that are no multiples
 *   of the block, partitions that have no room, overlap or share a number
 *
 * @example
 * ```ts
 * import { gptDisk, partitionTypes } from '@pkg/image/gpt'
 * import { namedGuid } from '@pkg/image/guid'
 *
 * const disk = gptDisk({
 *   sizeBytes: 1024 ** 3,
 *   diskGuid: namedGuid('hello'),
 *   partitions: [
 *     { name: 'esp', type: partitionTypes.esp, guid: namedGuid('hello/esp'), sizeBytes: 64 * 1024 ** 2 },
 *     { name: 'data', type: partitionTypes.var, guid: namedGuid('hello/data') },
 *   ],
 * })
 * for (const { name, firstLba, lastLba } of disk.partitions) console.log(name, firstLba, lastLba)
 * // esp 2048 133119
 * // data 133120 2095103
 * ```
 */
export function gptDisk(options: GptDiskOptions): GptDisk {
  const { sizeBytes, diskGuid, sectorBytes = 512, alignBytes = 1024 * 1024 } = options
  const measures = measuresOf(sizeBytes, sectorBytes)
  if (sizeBytes % sectorBytes !== 0)
    throw new RangeError(`sizeBytes: ${sizeBytes} is no multiple of the block of ${sectorBytes} bytes`)
  const partitions = placePartitions(options.partitions, measures, alignBytes)
  const tables = makeTables({ sizeBytes, diskGuid, sectorBytes, partitions })
  return { sizeBytes, sectorBytes, diskGuid, partitions, ...tables }
}

/**
 * Makes the tables of a disk whose partitions have their places: what {@link readGpt} read, with other GUIDs or on a
 * disk that has grown.
 *
 * @throws TypeError a name or GUID is none, or two partitions have the same GUID; RangeError partitions that do not fit,
 *   overlap, or share a number
 *
 * @example
 * ```ts
 * import { partitionTypes, writeGpt } from '@pkg/image/gpt'
 *
 * const partition = { number: 1, name: 'esp', type: partitionTypes.esp, attributes: 0n }
 * const { primary, backupOffsetBytes } = writeGpt({
 *   sizeBytes: 64 * 1024 ** 2,
 *   diskGuid: '5f6ad4a0-2c5d-4b8e-9f3a-3f0a3c0b6e11',
 *   partitions: [{ ...partition, guid: '0f0e0d0c-0b0a-4908-8706-050403020100', firstLba: 2048, lastLba: 100_000 }],
 * })
 * console.log(primary.length, backupOffsetBytes) // 17408 67091968
 * ```
 */
export function writeGpt(options: GptOptions): GptTables {
  return makeTables(options)
}

/**
 * Reads the partition table of a disk: the primary one, or the backup when that is damaged.
 *
 * A table is whole when signature, revision and checksums are right, header, entries and partitions lie where they may,
 * and no partitions overlap. Reads nothing but the tables.
 *
 * @param disk - all of it: the backup is at its end
 * @param options - `sectorBytes` is the size of a logical block; by default 512 is tried, then 4096
 * @throws GptError neither can be used, saying what is wrong with each; rejects as `disk.read` does
 *
 * @example
 * ```ts
 * import { gptDisk, partitionTypes, readGpt } from '@pkg/image/gpt'
 * import { namedGuid } from '@pkg/image/guid'
 *
 * const partitions = [{ name: 'data', type: partitionTypes.linux, guid: namedGuid('data') }]
 * const disk = gptDisk({ sizeBytes: 4 * 1024 ** 2, diskGuid: namedGuid('disk'), partitions })
 * const bytes = new Uint8Array(disk.sizeBytes)
 * bytes.set(disk.backup, disk.backupOffsetBytes)
 * const table = await readGpt(bytes)
 * console.log(table.partitions[0]?.name, table.primaryProblem) // data no GPT header
 * ```
 */
export async function readGpt(
  disk: Uint8Array | RandomAccess,
  options: { readonly sectorBytes?: number } = {},
): Promise<Gpt> {
  const { sectorBytes } = options
  if (sectorBytes !== undefined) checkSector(sectorBytes)
  const access = disk instanceof Uint8Array ? bytesAccess(disk) : disk
  return await readWith(access, sectorBytes === undefined ? [512, 4096] : [sectorBytes])
}

/**
 * Writes the tables of a disk in use so that at every moment one of them is whole: the backup, a flush, the primary, a
 * flush. Where only the backup is whole, it is the other way round: see {@link InstallGptOptions.last}.
 *
 * Blocks: no (awaited), as far as `target` does not.
 *
 * @throws what `target` throws; the copy that was to be written last may then be untouched
 *
 * @example
 * ```ts
 * import { installGpt, readGpt, writeGpt } from '@pkg/image/gpt'
 * import { namedGuid } from '@pkg/image/guid'
 *
 * const disk = new Uint8Array(8 * 1024 ** 2)
 * const sizeBytes = disk.byteLength
 * const target = {
 *   write: (bytes: Uint8Array, offsetBytes: number) => disk.set(bytes, offsetBytes),
 *   flush: () => {},
 * }
 * await installGpt(writeGpt({ sizeBytes, diskGuid: namedGuid('a'), partitions: [] }), target)
 *
 * const { partitions, primaryProblem } = await readGpt(disk)
 * const renamed = writeGpt({ sizeBytes, diskGuid: namedGuid('b'), partitions })
 * await installGpt(renamed, target, { last: primaryProblem === undefined ? 'primary' : 'backup' })
 * ```
 */
export async function installGpt(
  tables: GptTables,
  target: GptTarget,
  options: InstallGptOptions = {},
): Promise<void> {
  const writePrimary = async (): Promise<void> => {
    await target.write(tables.primary, 0)
    await target.flush()
  }
  if (options.last === 'backup') await writePrimary()
  await target.write(tables.backup, tables.backupOffsetBytes)
  await target.flush()
  if (options.last !== 'backup') await writePrimary()
}

/**
 * Writes a whole disk as a stream: tables, the contents of partitions, and zeros for all the rest.
 *
 * Streams: memory in use is one chunk. Chunks may be views of the same zeros, of the tables, or of content that was
 * given as bytes: do not change them.
 *
 * @param contents - what partitions begin with, by their numbers: bytes, files, or what `prepareFat`, `prepareErofs` … gave
 * @throws TypeError or RangeError at the call for contents that have no partition or are larger than theirs. While
 *   iterating: an Error naming the partition when a source gives more or fewer bytes than it promised
 *
 * @example
 * ```ts
 * import { gptDisk, partitionTypes, writeDisk } from '@pkg/image/gpt'
 * import { namedGuid } from '@pkg/image/guid'
 *
 * const partitions = [{ name: 'data', type: partitionTypes.linux, guid: namedGuid('data') }]
 * const disk = gptDisk({ sizeBytes: 4 * 1024 ** 2, diskGuid: namedGuid('disk'), partitions })
 * let sizeBytes = 0
 * for await (const chunk of writeDisk(disk, { 1: new TextEncoder().encode('hello') })) sizeBytes += chunk.byteLength
 * console.log(sizeBytes) // 4194304
 * ```
 */
export function writeDisk(
  disk: GptDisk,
  contents: Readonly<Record<number, FileContent>>,
  options: PassOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const filled = filledPartitions(disk, contents)
  return counted(diskPieces(disk, filled, options.signal), options.onProgress)
}
