/**
 * Blessing: the boot has succeeded, so the slot gets all its tries back. The counter is renewed and not removed: a
 * slot whose files have rotted since would be tried for ever without one, and with it the other slot comes at last.
 *
 * @see https://systemd.io/AUTOMATIC_BOOT_ASSESSMENT
 */
import { checkUki } from '@pkg/image/uki'
import { BlockDevice } from '../storage/block-device.ts'
import type { BootPartition } from './boot-partition.ts'
import { freshEntryName, parseEntryName } from './entry-name.ts'
import { LOADER_VENDOR, readVariableText } from './variables.ts'

/** What is known of the booted entry. */
export interface BootedEntry {
  /** Its folder on the partition, with slashes: `/EFI/Linux`. */
  readonly folder: string
  /** Its file as it is now. */
  readonly file: string
  /** The slot. */
  readonly slot: string
}

/** The entry that was booted, from the path that the loader gives; null where nothing is counted. */
export function bootedEntry(
  path: string | null = readVariableText('LoaderBootCountPath', LOADER_VENDOR),
): BootedEntry | null {
  const [, folder, file = ''] = /^(.*)\/([^/]+)$/.exec(path?.replaceAll('\\', '/') ?? '') ?? []
  const name = parseEntryName(file)
  return folder === undefined || name === null ? null : { folder, file, slot: name.slot }
}

/**
 * Gives the booted slot its tries back, when its file is still what it was: one that has rotted since it was loaded
 * would not be loaded again. Returns when the disk knows.
 *
 * @returns the name that the entry has now
 * @throws UkiError the file is damaged; FatError, SysError it cannot be read or renamed; the counter is as it was
 */
export async function bless(partition: BootPartition, entry: BootedEntry): Promise<string> {
  const fresh = freshEntryName(entry.slot)
  if (entry.file === fresh) return fresh
  const path = `${entry.folder}/${entry.file}`
  await partition.use(async (root) => {
    using file = new BlockDevice(`${root}${path}`, 'read')
    await checkUki(file)
  })
  await partition.rename(path, fresh)
  return fresh
}
