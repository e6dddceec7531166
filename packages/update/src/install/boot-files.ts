// The files of the free slot on the boot partition. There is one at any time: a boot entry, or the same file under a
// name that no loader takes for an entry while it is changed. So nothing is allocated and nothing freed, but for the
// first release of a slot and for a new size: on a FAT that a power cut leaves half written, that is what goes wrong.
import { parseEntryName } from '@pkg/init/disk-marks'
import { VerityHasher } from '@pkg/image/verity'
import { bytesAccess } from '@pkg/image/random-access'
import { UpdateRefused } from '../refused.ts'
import type { BlockReader, BootFileEntry, BootPartition } from '../slot.ts'
import type { Donor } from './donors.ts'
import { countGarbage } from './memory.ts'
import { blockBytes } from './sealed-image.ts'

/** For the table's clusters and the folder's. */
const slackBytes = 64 * 1024

/** The slot's files, and those of others. */
export interface BootFiles {
  /** Entries of the slot: one; more only after a power cut within a rename. */
  readonly entries: readonly BootFileEntry[]
  /** The file that is being changed, or was when something stopped it. */
  readonly temporary: BootFileEntry | undefined
  /** Entries of the other slot. */
  readonly others: readonly BootFileEntry[]
}

/** The name of a slot's file while it is changed. Short: all names of the folder shall fit into one sector. */
export function temporaryName(slot: string): string {
  return `${slot}.new`
}

/** Sorts the folder's files. */
export async function readBootFiles(boot: BootPartition, slot: string): Promise<BootFiles> {
  const files = await boot.list()
  const slotOf = ({ name }: BootFileEntry): string | undefined => parseEntryName(name)?.slot
  return {
    entries: files.filter((file) => slotOf(file) === slot),
    temporary: files.find(({ name }) => name === temporaryName(slot)),
    others: files.filter((file) => slotOf(file) !== undefined && slotOf(file) !== slot),
  }
}

/** All files of the slot. */
function ownFiles({ entries, temporary }: BootFiles): readonly BootFileEntry[] {
  return temporary === undefined ? entries : [temporary, ...entries]
}

/** The file that {@link removeEntry} keeps; undefined where the slot begins anew. */
function keptFile(files: BootFiles, damaged: ReadonlySet<string> = new Set()): BootFileEntry | undefined {
  const [first, ...more] = ownFiles(files)
  // Two names may be one chain of clusters: whatever is done to one happens to the other.
  return more.length > 0 || first === undefined || damaged.has(first.name) ? undefined : first
}

/**
 * Checks that the kernel image will fit.
 *
 * @throws UpdateRefused `space`
 */
export async function checkRoom(boot: BootPartition, files: BootFiles, sizeBytes: number): Promise<void> {
  // Of several only one is counted, as they may be one.
  const ownBytes = Math.max(0, ...ownFiles(files).map((file) => file.sizeBytes))
  const roomBytes = Math.max(0, (await boot.freeBytes()) + ownBytes - slackBytes)
  if (sizeBytes <= roomBytes) return
  throw new UpdateRefused(
    'space',
    `the kernel image has ${sizeBytes} bytes, the boot partition has room for ${roomBytes}`,
  )
}

/**
 * Makes the slot have no boot entry. Its file is kept, under the temporary name, when there is one that can be read.
 *
 * @param damaged - names of files that cannot
 */
export async function removeEntry(
  boot: BootPartition,
  slot: string,
  files: BootFiles,
  damaged: ReadonlySet<string>,
): Promise<void> {
  const kept = keptFile(files, damaged)
  if (kept === undefined) for (const { name } of ownFiles(files)) await boot.remove(name)
  else if (kept !== files.temporary) await boot.rename(kept.name, temporaryName(slot))
  await boot.sync()
}

/** Files that blocks of a kernel image may be copied from, open until this is disposed of. */
export interface BootDonors extends AsyncDisposable {
  readonly donors: readonly Donor[]
  /** Names of files that cannot be read to their end: a power cut may leave one that is longer than its clusters. */
  readonly damaged: ReadonlySet<string>
}

/** Opens the kernel images that are there, and makes their trees. What cannot be read is left out. */
export async function openBootDonors(
  boot: BootPartition,
  files: BootFiles,
  salt: Uint8Array,
): Promise<BootDonors> {
  const own = keptFile(files)
  await using opened = new AsyncDisposableStack()
  const donors: Donor[] = []
  const damaged = new Set<string>()
  for (const { name } of own === undefined ? files.others : [...files.others, own]) {
    // One that is damaged will be removed, and must not be open then: vfat frees the clusters of a removed file when it
    // is closed, and a chain with a gap in it leads into those that the new file has been given meanwhile.
    await using attempt = new AsyncDisposableStack()
    try {
      const file = attempt.use(await boot.read(name))
      const donor = await treeOver(file, salt)
      if (donor !== undefined) donors.push(donor)
      opened.use(attempt.move())
    } catch {
      damaged.add(name)
    }
  }
  const open = opened.move()
  return { donors, damaged, [Symbol.asyncDispose]: () => open.disposeAsync() }
}

/** So much is read at a time. */
const readBytes = 64 * blockBytes

async function treeOver(access: BlockReader, salt: Uint8Array): Promise<Donor | undefined> {
  const dataBlocks = Math.floor(access.sizeBytes / blockBytes)
  // Also what is behind the last whole block: making the file longer begins with reading it.
  await access.read(dataBlocks * blockBytes, access.sizeBytes % blockBytes)
  if (dataBlocks < 2) return undefined
  const hasher = new VerityHasher({ salt, uuid: '00000000-0000-0000-0000-000000000000' })
  const end = dataBlocks * blockBytes
  const memory = new Uint8Array(readBytes)
  for (let offset = 0; offset < end; offset += readBytes) {
    hasher.update(await access.read(offset, Math.min(readBytes, end - offset), memory))
  }
  countGarbage(end / 8)
  const tree = hasher.finish()
  const blocks = Buffer.concat([...tree.bytes()])
  return { access, dataBlocks, tree: bytesAccess(blocks), treeStartBlock: 1 }
}
