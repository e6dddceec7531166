/**
 * The disk's partition table, as this machine wants it: GUIDs of its own, the last partition up to the disk's end, and
 * both copies whole. The image that was flashed may be on a hundred disks, of which two may meet in one machine, and
 * is smaller than each.
 */
import { type Gpt, type GptPartition, installGpt, readGpt, writeGpt } from '@pkg/image/gpt'
import { readText } from '../shell/text-file.ts'
import { BlockDevice } from './block-device.ts'
import { resizePartition } from './resize.ts'

/** What is to be changed. */
export interface TableWishes {
  /** The disk's GUID as the build wrote it: a disk that still has it gets GUIDs of its own. */
  readonly builtDiskGuid: string
  /** Whether another disk of the machine has the same GUIDs: then it gets its own in any case. */
  readonly hasTwin: boolean
  /** Name of the partition that grows; it must be the last one. */
  readonly growing: string
}

/** A table that was looked at. */
export interface SettledTable {
  readonly partitions: readonly GptPartition[]
  /** What was changed, in words; empty when all was as it should be. */
  readonly changes: readonly string[]
}

/** Partitions end at a multiple of this, as they begin at one. */
const ALIGN_BYTES = 1024 * 1024

/**
 * Reads a disk's table and changes what has to be changed.
 *
 * One copy is on the disk before the other is touched: whenever the power fails, one of them is whole. The kernel takes
 * the backup where the primary is torn (`gpt` on its command line).
 *
 * @param disk - the disk's name: `vda`
 * @throws GptError neither copy can be read; SysError the disk cannot be written
 */
export async function settleTable(disk: string, wishes: TableWishes): Promise<SettledTable> {
  const sectorBytes = Number(readText(`/sys/block/${disk}/queue/logical_block_size`))
  using device = new BlockDevice(`/dev/${disk}`, 'write')
  const table = await readGpt(device, { sectorBytes })
  const next = wanted(table, device.sizeBytes, wishes)
  if (next.changes.length === 0) return next
  const tables = writeGpt({
    sizeBytes: device.sizeBytes,
    sectorBytes,
    diskGuid: next.diskGuid,
    partitions: next.partitions,
  })
  const write = (bytes: Uint8Array, offsetBytes: number): void => device.write(offsetBytes, bytes)
  // The copy that is whole now goes last.
  const last = table.primaryProblem === undefined ? 'primary' : 'backup'
  await installGpt(tables, { write, flush: () => device.flush() }, { last })
  for (const { number, firstLba, lastLba } of next.partitions) {
    const before = table.partitions.find((partition) => partition.number === number)
    if (before?.lastLba === lastLba) continue
    resizePartition(`/dev/${disk}`, number, firstLba * sectorBytes, (lastLba + 1 - firstLba) * sectorBytes)
  }
  return next
}

/** The table as it should be. */
export function wanted(
  table: Gpt,
  diskBytes: number,
  { builtDiskGuid, hasTwin, growing }: TableWishes,
): SettledTable & { readonly diskGuid: string } {
  const changes: string[] = []
  if (table.primaryProblem !== undefined) changes.push(`primary table mended: ${table.primaryProblem}`)
  if (table.backupProblem !== undefined) changes.push(`backup table mended: ${table.backupProblem}`)
  let { diskGuid, partitions } = table
  if (diskGuid === builtDiskGuid || hasTwin) {
    changes.push(hasTwin ? 'GUIDs of its own, which a twin in this machine had too' : 'GUIDs of its own')
    diskGuid = crypto.randomUUID()
    partitions = partitions.map((partition) => Object.assign({}, partition, { guid: crypto.randomUUID() }))
  }
  const last = partitions.toSorted((a, b) => a.firstLba - b.firstLba).at(-1)
  const { endUsableBytes } = writeGpt({
    sizeBytes: diskBytes,
    sectorBytes: table.sectorBytes,
    diskGuid,
    partitions: [],
  })
  const lastLba = (endUsableBytes - (endUsableBytes % ALIGN_BYTES)) / table.sectorBytes - 1
  if (last?.name === growing && lastLba > last.lastLba) {
    changes.push(`${growing} grown to ${toMebibytes((lastLba + 1 - last.firstLba) * table.sectorBytes)} MiB`)
    partitions = partitions.map((partition) =>
      partition.number === last.number ? Object.assign({}, partition, { lastLba }) : partition,
    )
  }
  if (changes.length === 0 && !(table.copiesAgree && table.protectiveMbr)) changes.push('copies made equal')
  // The backup stays where the disk ended before, unless it is moved.
  const endLba = Math.floor(diskBytes / table.sectorBytes) - 1
  if (changes.length === 0 && table.backupLba !== endLba) changes.push('backup table moved to the end')
  return { diskGuid, partitions, changes }
}

function toMebibytes(bytes: number): number {
  return Math.floor(bytes / 1024 / 1024)
}
