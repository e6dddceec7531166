/** Reads both copies of a table and judges each (UEFI 2.10, 5.3.2). */
import { crc32 } from '../checksum/crc32.ts'
import type { RandomAccess } from '../random-access.ts'
import { GptError } from './error.ts'
import { decodeEntries, decodeHeader, entryBytes as entryBytesMin, isProtectiveMbr } from './format.ts'
import type { GptPartition, Header } from './format.ts'
import { overlap } from './tables.ts'

/** A table that was read. */
export interface Gpt {
  /** GUID of the disk. */
  readonly diskGuid: string
  /** The partitions, in the order of their numbers. */
  readonly partitions: readonly GptPartition[]
  /** Size of a logical block that it was read with. */
  readonly sectorBytes: number
  /** Where the backup lies by the table that was taken. It is the disk's end, unless the disk has grown. */
  readonly backupLba: number
  /** What is wrong with the primary table, in words; undefined when it is whole. Then `partitions` is the backup's. */
  readonly primaryProblem: string | undefined
  /** What is wrong with the backup; undefined when it is whole. */
  readonly backupProblem: string | undefined
  /** Whether both are whole and say the same. */
  readonly copiesAgree: boolean
  /** Whether block 0 has the MBR without which Linux looks for no GPT, unless `gpt` is on its command line. */
  readonly protectiveMbr: boolean
}

/** A copy that is whole. */
interface Copy {
  readonly header: Header
  readonly partitions: readonly GptPartition[]
}

/** More than any table has; a damaged header must not have us read gigabytes. */
const entriesBytesMax = 1024 * 1024

/**
 * Reads a table in blocks of the first of these sizes in which the primary is whole; if there is none, the backup: at the
 * end of a disk there may be a backup that another system left, in blocks of another size.
 *
 * @throws {@link GptError} there is none
 */
export async function readWith(disk: RandomAccess, sectorSizes: readonly number[]): Promise<Gpt> {
  const problems: string[] = []
  let byBackup: Gpt | undefined
  for (const sectorBytes of sectorSizes) {
    const found = await readCopies(disk, sectorBytes)
    if (typeof found === 'string') {
      problems.push(sectorSizes.length > 1 ? `in blocks of ${sectorBytes}: ${found}` : found)
      continue
    }
    if (found.primaryProblem === undefined) return found
    byBackup ??= found
  }
  if (byBackup) return byBackup
  throw new GptError(`no partition table (GPT) that can be used: ${problems.join('; ')}`)
}

async function readCopies(disk: RandomAccess, sectorBytes: number): Promise<Gpt | string> {
  const primary = await readCopy(disk, 1, sectorBytes)
  // Where the primary says; if that cannot be asked, at the end, as the specification has it.
  const end = Math.floor(disk.sizeBytes / sectorBytes) - 1
  const backupLba = typeof primary === 'string' ? end : primary.header.otherLba
  const backup = await readCopy(disk, backupLba, sectorBytes)
  const [primaryProblem, backupProblem] = [problemOf(primary), problemOf(backup)]
  const taken = typeof primary === 'string' ? backup : primary
  if (typeof taken === 'string') return `primary: ${primaryProblem}; backup: ${taken}`
  return {
    diskGuid: taken.header.diskGuid,
    partitions: taken.partitions,
    sectorBytes,
    backupLba,
    primaryProblem,
    backupProblem,
    copiesAgree: typeof primary !== 'string' && typeof backup !== 'string' && agree(primary, backup),
    protectiveMbr: isProtectiveMbr(await disk.read(0, 512)),
  }
}

/** A copy's problem, if it is one. */
function problemOf(copy: Copy | string): string | undefined {
  return typeof copy === 'string' ? copy : undefined
}

/** Entries are compared by their checksum; each header must say where the other one is. */
function agree({ header: primary }: Copy, { header: backup }: Copy): boolean {
  const same = [
    'diskGuid',
    'firstUsableLba',
    'lastUsableLba',
    'entryCount',
    'entryBytes',
    'entriesCrc',
  ] as const
  return (
    same.every((field) => primary[field] === backup[field]) &&
    primary.otherLba === backup.ownLba &&
    backup.otherLba === primary.ownLba
  )
}

/** One copy, or in words what is wrong with it. */
async function readCopy(disk: RandomAccess, lba: number, sectorBytes: number): Promise<Copy | string> {
  const sectors = Math.floor(disk.sizeBytes / sectorBytes)
  if (lba < 1 || lba >= sectors) return `block ${lba} is not on the disk`
  const header = decodeHeader(await disk.read(lba * sectorBytes, sectorBytes), lba)
  if (typeof header === 'string') return header
  const problem = headerProblem(header, sectors, sectorBytes)
  if (problem !== undefined) return problem
  const bytes = header.entryCount * header.entryBytes
  const entries = await disk.read(header.entriesLba * sectorBytes, bytes)
  if (crc32(entries) !== header.entriesCrc) return 'entries with a wrong checksum'
  const partitions = decodeEntries(entries, header)
  const outside = partitions.find(
    ({ firstLba, lastLba }) =>
      firstLba > lastLba || firstLba < header.firstUsableLba || lastLba > header.lastUsableLba,
  )
  if (outside !== undefined) return `partition ${outside.number} is not within the usable blocks`
  return overlap(partitions) ?? { header, partitions }
}

/** What cannot be on a disk of so many blocks, although the checksum is right. */
function headerProblem(header: Header, sectors: number, sectorBytes: number): string | undefined {
  const { ownLba, firstUsableLba, lastUsableLba, entriesLba, entryCount, entryBytes } = header
  const bytes = entryCount * entryBytes
  // 128 times a power of two (table 5.5, SizeOfPartitionEntry).
  if (!Number.isInteger(Math.log2(entryBytes / entryBytesMin)) || entryBytes < entryBytesMin)
    return `${entryCount} entries of ${entryBytes} bytes`
  if (entryCount < 1 || bytes > entriesBytesMax) return `${entryCount} entries of ${entryBytes} bytes`
  if (firstUsableLba > lastUsableLba || lastUsableLba >= sectors)
    return `usable blocks ${firstUsableLba} to ${lastUsableLba} on a disk of ${sectors}`
  const lastEntriesLba = entriesLba + Math.ceil(bytes / sectorBytes) - 1
  if (entriesLba < 2 || lastEntriesLba >= sectors) return 'entries that are not on the disk'
  const isUsable = (first: number, last: number): boolean => first <= lastUsableLba && last >= firstUsableLba
  if (isUsable(entriesLba, lastEntriesLba) || isUsable(ownLba, ownLba))
    return 'a header or entries where partitions may be'
  if (entriesLba <= ownLba && ownLba <= lastEntriesLba) return 'entries over its own header'
  return undefined
}
