/** The boot entries on the boot partition: which there are, of which release, and how one loses its tries. */
import { readUki, readUkiText } from '@pkg/image/uki'
import { isSysError } from '@pkg/sys/errno'
import { namesIn } from '../shell/folder.ts'
import { BlockDevice } from '../storage/block-device.ts'
import type { BootPartition } from './boot-partition.ts'
import { parseEntryName, spentEntryName, triedEntryName, type EntryName } from './entry-name.ts'
import { EFIVARS, LOADER_VENDOR, readVariable } from './variables.ts'

/** Where the loader looks for kernel images. */
export const ENTRY_FOLDER = '/EFI/Linux'

/** One entry. */
export interface BootEntry extends EntryName {
  /** Its file in {@link ENTRY_FOLDER}. */
  readonly file: string
}

/** What the kernel image of an entry says of its release. */
export interface EntryRelease {
  /** What people read; null where it does not say. */
  readonly version: string | null
  /** The release counter; null where it does not say. */
  readonly counter: number | null
}

/** An entry and what it is of. */
export type KnownEntry = BootEntry & EntryRelease

/** All entries of a mounted boot partition. */
export function listEntries(root: string): BootEntry[] {
  return namesIn(`${root}${ENTRY_FOLDER}`).flatMap((file) => {
    const name = parseEntryName(file)
    return name === null ? [] : [{ ...name, file }]
  })
}

/** Whether the loader would start an entry before one that has run out of tries. */
export function hasTries({ left }: Pick<BootEntry, 'left'>): boolean {
  return left !== 0
}

/**
 * The slots of which the loader had an entry when it started this boot: it has none of a file that it could not read, or
 * that is no kernel image for its machine. Null where it does not say, or cannot be understood: it is only a hint.
 *
 * @param folder - efivarfs
 * @see https://systemd.io/BOOT_LOADER_INTERFACE (LoaderEntries)
 */
export function slotsOfLoader(folder: string = EFIVARS): ReadonlySet<string> | null {
  try {
    const value = readVariable('LoaderEntries', LOADER_VENDOR, folder)
    if (value === null) return null
    const files = new TextDecoder('utf-16le').decode(value).split('\0')
    return new Set(files.flatMap((file) => parseEntryName(file)?.slot ?? []))
  } catch (error) {
    // The kernel's for a variable that the firmware has damaged.
    if (isSysError(error)) return null
    throw error
  }
}

/** Of which release an entry is; of a damaged one nothing is known. */
export async function releaseOf(root: string, { file }: BootEntry): Promise<EntryRelease> {
  try {
    using opened = new BlockDevice(`${root}${ENTRY_FOLDER}/${file}`, 'read')
    const fields = osRelease((await readUkiText(opened, await readUki(opened), '.osrel')) ?? '')
    const counter = Number(fields.get('IMAGE_VERSION'))
    return {
      version: fields.get('VERSION_ID') ?? null,
      counter: Number.isSafeInteger(counter) && counter > 0 ? counter : null,
    }
  } catch {
    return { version: null, counter: null }
  }
}

/** Entries with their releases. */
export async function withReleases(root: string, entries: readonly BootEntry[]): Promise<KnownEntry[]> {
  const known: KnownEntry[] = []
  for (const entry of entries) known.push(Object.assign({}, entry, await releaseOf(root, entry)))
  return known
}

/** The fields of os-release(5); of quotes only those around a whole value, which is what builds write. */
function osRelease(text: string): Map<string, string> {
  const lines = text.split('\n').flatMap((line) => {
    const [, name, value] = /^([A-Z_]+)=(.*)$/.exec(line) ?? []
    return name === undefined || value === undefined
      ? []
      : [[name, value.replace(/^(["'])(.*)\1$/, '$2')] as const]
  })
  return new Map(lines)
}

/** Takes all tries from an entry, and returns when the disk knows. */
export async function spend(partition: BootPartition, { file, slot }: BootEntry): Promise<void> {
  const spent = spentEntryName(slot)
  if (file !== spent) await partition.rename(`${ENTRY_FOLDER}/${file}`, spent)
}

/** Takes one try from an entry that has some, as the loader would have, and returns when the disk knows. */
export async function countTry(partition: BootPartition, entry: BootEntry): Promise<void> {
  await partition.rename(`${ENTRY_FOLDER}/${entry.file}`, triedEntryName(entry))
}
