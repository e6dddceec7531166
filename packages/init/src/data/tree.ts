/** Folders with all that is in them: measured, and removed. By descriptors, so that no link leads elsewhere. */
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  RESOLVE_NO_SYMLINKS,
  S_IFDIR,
  S_IFMT,
  STATX_BASIC_STATS,
} from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import type { OwnedFd } from '@pkg/sys/fd'
import { getdents64, openat, openat2, statx, unlinkat, type Statx } from '@pkg/sys/fs'
import type { Breath } from './breath.ts'
import type { Room } from './files.ts'

/** What {@link statx} counts blocks in (statx(2)). */
const BLOCK_BYTES = 512

/** A name in a folder, and what it is of. */
export interface Entry {
  /** The name. */
  readonly name: string
  /** What it is of; of a symbolic link the link. */
  readonly stat: Statx
}

/** What is in a folder. The names are read before the first is given, since the caller may change the folder. */
export function* entriesOf(folder: OwnedFd): Generator<Entry, void, void> {
  for (const { d_name: name } of [...getdents64(folder)]) {
    if (name !== '.' && name !== '..') yield { name, stat: statOf(folder, name) }
  }
}

/** What a name is of; of a symbolic link the link. */
export function statOf(folder: OwnedFd, name: string): Statx {
  return statx(folder, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS)
}

/** Whether it is a folder. */
export function isFolder({ stx_mode }: Statx): boolean {
  return (stx_mode & S_IFMT) === S_IFDIR
}

/** Opens a folder. A link on the way, which a service may have made, is an error: PID 1 is root. */
export function openFolder(path: string): OwnedFd {
  const how = { flags: O_RDONLY | O_DIRECTORY, resolve: RESOLVE_NO_SYMLINKS }
  try {
    return openat2(AT_FDCWD, path, how)
  } catch (error) {
    if (isSysError(error, 'ELOOP') || isSysError(error, 'ENOTDIR'))
      throw new Error(`${path}: expected a folder, and no link on the way to it`, { cause: error })
    throw error
  }
}

/** Opens a folder in a folder. */
export function openBelow(folder: OwnedFd, name: string): OwnedFd {
  return openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
}

/** Which file it is: the same for all names of one. */
export function identityOf({ stx_dev_major, stx_dev_minor, stx_ino }: Statx): string {
  return `${stx_dev_major}:${stx_dev_minor}:${stx_ino}`
}

/**
 * What a copy of a folder would take.
 *
 * @param seen - files of several names that are counted already
 */
export async function measureTree(folder: OwnedFd, seen: Set<string>, breath: Breath): Promise<Room> {
  let [sizeBytes, files] = [4096, 1]
  for (const { name, stat } of entriesOf(folder)) {
    await breath()
    if (isFolder(stat)) {
      using inner = openBelow(folder, name)
      const room = await measureTree(inner, seen, breath)
      sizeBytes += room.sizeBytes
      files += room.files
      continue
    }
    if (stat.stx_nlink > 1) {
      const identity = identityOf(stat)
      if (seen.has(identity)) continue
      seen.add(identity)
    }
    sizeBytes += Number(stat.stx_blocks) * BLOCK_BYTES
    files += 1
  }
  return { sizeBytes, files }
}

/** Removes what has this name, if there is something, with all that is in it. */
export async function removeTree(parent: OwnedFd, name: string, breath: Breath): Promise<void> {
  await breath()
  try {
    if (!isFolder(statOf(parent, name))) return unlinkat(parent, name)
  } catch (error) {
    if (isSysError(error, 'ENOENT')) return
    throw error
  }
  {
    using folder = openBelow(parent, name)
    for (const { name: each } of entriesOf(folder)) await removeTree(folder, each, breath)
  }
  unlinkat(parent, name, AT_REMOVEDIR)
}
