/** Both copies of a table, from partitions that have their places. */
import { crc32 } from '../checksum/crc32.ts'
import { encodeEntries, encodeHeader, entryBytes, entryCount, nameUnitsMax, protectiveMbr } from './format.ts'
import type { GptPartition, Header } from './format.ts'
import { parseGuid, unusedGuid } from './guid.ts'

/** A table to be written. */
export interface GptOptions {
  /** Size of the disk; a rest of less than a block is not used. */
  readonly sizeBytes: number
  /** GUID of the disk. */
  readonly diskGuid: string
  /** The partitions; they must not overlap, nor reach into the tables. */
  readonly partitions: readonly GptPartition[]
  /** Size of a logical block: a power of 2 from 512 to 4096. Default: 512. */
  readonly sectorBytes?: number
}

/** The bytes of a table. */
export interface GptTables {
  /** MBR, header and entries, to be written at the disk's beginning. The MBR has no boot code. */
  readonly primary: Uint8Array
  /** Entries and header, to be written at `backupOffsetBytes`: the disk's end. */
  readonly backup: Uint8Array
  /** Where the backup begins. */
  readonly backupOffsetBytes: number
  /** The first byte that a partition may have. */
  readonly firstUsableBytes: number
  /** The first byte after the last that a partition may have. */
  readonly endUsableBytes: number
}

/** A disk's measures, in blocks. */
export interface Measures {
  readonly sectorBytes: number
  readonly sectors: number
  readonly entriesSectors: number
  readonly firstUsableLba: number
  readonly lastUsableLba: number
}

/**
 * A disk's measures, with room for both tables.
 *
 * @throws RangeError the disk is too small
 */
export function measuresOf(sizeBytes: number, sectorBytes: number): Measures {
  checkSector(sectorBytes)
  const sectors = Math.floor(sizeBytes / sectorBytes)
  const entriesSectors = Math.ceil((entryCount * entryBytes) / sectorBytes)
  const firstUsableLba = 2 + entriesSectors
  const lastUsableLba = sectors - 2 - entriesSectors
  if (!Number.isSafeInteger(sizeBytes) || lastUsableLba < firstUsableLba)
    throw new RangeError(`sizeBytes: ${sizeBytes} has no room for two tables and a partition`)
  return { sectorBytes, sectors, entriesSectors, firstUsableLba, lastUsableLba }
}

/**
 * Checks the size of a block.
 *
 * @throws RangeError it is none of 512 to 4096
 */
export function checkSector(sectorBytes: number): void {
  if (![512, 1024, 2048, 4096].includes(sectorBytes))
    throw new RangeError(`sectorBytes: expected 512, 1024, 2048 or 4096, got ${sectorBytes}`)
}

/**
 * Makes both copies.
 *
 * @throws TypeError or RangeError naming the partition
 */
export function makeTables({ sizeBytes, diskGuid, partitions, sectorBytes = 512 }: GptOptions): GptTables {
  const measures = measuresOf(sizeBytes, sectorBytes)
  const { sectors, entriesSectors, firstUsableLba, lastUsableLba } = measures
  checkGuid('diskGuid', diskGuid)
  checkPartitions(partitions, measures)
  const entries = encodeEntries(partitions)
  const entriesCrc = crc32(entries)
  const common = { firstUsableLba, lastUsableLba, diskGuid, entryCount, entryBytes, entriesCrc }
  const last = sectors - 1
  const backupEntries = last - entriesSectors
  const primary = new Uint8Array((2 + entriesSectors) * sectorBytes)
  primary.set(protectiveMbr(sectors, sectorBytes), 0)
  const primaryHeader: Header = { ...common, ownLba: 1, otherLba: last, entriesLba: 2 }
  primary.set(encodeHeader(primaryHeader, sectorBytes), sectorBytes)
  primary.set(entries, 2 * sectorBytes)
  const backup = new Uint8Array((1 + entriesSectors) * sectorBytes)
  backup.set(entries, 0)
  const backupHeader: Header = { ...common, ownLba: last, otherLba: 1, entriesLba: backupEntries }
  backup.set(encodeHeader(backupHeader, sectorBytes), entriesSectors * sectorBytes)
  return {
    primary,
    backup,
    backupOffsetBytes: backupEntries * sectorBytes,
    firstUsableBytes: firstUsableLba * sectorBytes,
    endUsableBytes: (lastUsableLba + 1) * sectorBytes,
  }
}

function checkPartitions(partitions: readonly GptPartition[], measures: Measures): void {
  const { firstUsableLba, lastUsableLba } = measures
  const numbers = new Set<number>()
  const guids = new Map<string, number>()
  for (const partition of partitions) {
    const { number, firstLba, lastLba } = partition
    checkPartition(partition)
    if (numbers.has(number)) throw new RangeError(`partition ${number} is there twice`)
    numbers.add(number)
    const guid = partition.guid.toLowerCase()
    const other = guids.get(guid)
    if (other !== undefined)
      throw new TypeError(`partitions ${other} and ${number} have the same GUID, ${guid}`)
    guids.set(guid, number)
    if (firstLba < firstUsableLba || lastLba > lastUsableLba)
      throw new RangeError(
        `partition ${number}: blocks ${firstLba} to ${lastLba} leave ${firstUsableLba} to ${lastUsableLba}`,
      )
  }
  const clash = overlap(partitions)
  if (clash !== undefined) throw new RangeError(clash)
}

function checkPartition({ number, name, guid, type, firstLba, lastLba, attributes }: GptPartition): void {
  const what = `partition ${number}`
  if (!(Number.isInteger(number) && number >= 1 && number <= entryCount))
    throw new RangeError(`${what}: expected a number from 1 to ${entryCount}`)
  checkGuid(`${what}: guid`, guid)
  checkGuid(`${what}: type`, type)
  if (type === unusedGuid) throw new TypeError(`${what}: the type of all zeros marks an unused entry`)
  if (name.length > nameUnitsMax || name.includes('\0') || !name.isWellFormed())
    throw new TypeError(
      `${what}: name ${JSON.stringify(name)} is not up to ${nameUnitsMax} units of UTF-16 without NUL`,
    )
  if (typeof attributes !== 'bigint' || BigInt.asUintN(64, attributes) !== attributes)
    throw new RangeError(`${what}: attributes ${String(attributes)} are no bigint of 64 bits`)
  if (!Number.isSafeInteger(firstLba) || !Number.isSafeInteger(lastLba) || firstLba > lastLba)
    throw new RangeError(`${what}: blocks ${firstLba} to ${lastLba} are no range`)
}

function checkGuid(what: string, guid: string): void {
  try {
    parseGuid(guid)
  } catch (error) {
    throw new TypeError(`${what}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  }
}

/** Which two partitions overlap, in words. */
export function overlap(partitions: readonly GptPartition[]): string | undefined {
  const sorted = partitions.toSorted((a, b) => a.firstLba - b.firstLba)
  for (const [index, next] of sorted.entries()) {
    const before = sorted[index - 1]
    if (before !== undefined && next.firstLba <= before.lastLba)
      return `partitions ${before.number} and ${next.number} overlap`
  }
  return undefined
}
