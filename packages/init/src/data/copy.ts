/**
 * Copies of folders, true to owners, modes, times of modification, extended attributes (and so access lists and
 * capabilities), holes and hard links. Of symbolic links no extended attributes are copied, and of no file the flags of
 * chattr(1): programs keep no data in those.
 */
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  SEEK_DATA,
  SEEK_HOLE,
} from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import type { OwnedFd } from '@pkg/sys/fd'
import {
  fchmod,
  fchmodat,
  fchown,
  fchownat,
  linkat,
  makedev,
  mkdirat,
  mknodat,
  openat,
  readlinkat,
  symlinkat,
  utimensat,
  type Statx,
} from '@pkg/sys/fs'
import { copy_file_range, ftruncate, lseek, syncfs } from '@pkg/sys/io'
import { fgetxattr, flistxattr, fsetxattr } from '@pkg/sys/xattr'
import type { Breath } from './breath.ts'
import { entriesOf, identityOf, isFolder, openBelow, openFolder, statOf } from './tree.ts'

/** What is copied at once: a slow disk takes it in a moment. */
const CHUNK_BYTES = 1024 * 1024

/** After so much the disk is waited for: at the end the wait would be as long as memory is large. */
const UNSYNCED_BYTES_MAX = 8 * CHUNK_BYTES
const UNSYNCED_FILES_MAX = 512

/**
 * Makes `to`, and in it a copy of each folder, by its place in the list (null: none); returns when the disk has it.
 *
 * @throws Error a folder that is a mount point, or has one in it
 */
export async function copyFolders(
  folders: readonly (string | null)[],
  to: string,
  breath: Breath,
): Promise<void> {
  mkdirat(AT_FDCWD, to, 0o700)
  using target = openat(AT_FDCWD, to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  const { stx_dev_major, stx_dev_minor } = statOf(target, '.')
  const copier = new Copier(target, makedev(stx_dev_major, stx_dev_minor), breath)
  for (const [index, path] of folders.entries()) {
    if (path === null) continue
    using source = openFolder(path)
    await copier.folder(source, { parent: target, name: String(index), path: String(index) })
  }
  syncfs(target)
}

/** Where a copy goes. */
interface Place {
  readonly parent: OwnedFd
  readonly name: string
  /** The way to it from the top. */
  readonly path: string
}

class Copier {
  readonly #top: OwnedFd
  readonly #device: number
  readonly #breath: Breath
  /** Where the first copy of a file with several names is. */
  readonly #linked = new Map<string, string>()
  #unsyncedBytes = 0
  #unsyncedFiles = 0

  constructor(top: OwnedFd, device: number, breath: Breath) {
    this.#top = top
    this.#device = device
    this.#breath = breath
  }

  async folder(source: OwnedFd, { parent, name, path }: Place): Promise<void> {
    const stat = statOf(source, '.')
    if (makedev(stat.stx_dev_major, stat.stx_dev_minor) !== this.#device)
      throw new Error(
        `${path}: expected a folder of the same file system as its snapshot, found a mount point`,
      )
    mkdirat(parent, name, 0o700)
    using target = openBelow(parent, name)
    for (const entry of entriesOf(source)) {
      const place = { parent: target, name: entry.name, path: `${path}/${entry.name}` }
      if (isFolder(entry.stat)) {
        using inner = openBelow(source, entry.name)
        await this.folder(inner, place)
      } else await this.#entry(source, entry.stat, place)
    }
    dress(source, target, stat)
    await this.#written(0)
  }

  /** Anything but a folder. */
  async #entry(source: OwnedFd, stat: Statx, { parent, name, path }: Place): Promise<void> {
    const identity = identityOf(stat)
    const first = stat.stx_nlink > 1 ? this.#linked.get(identity) : undefined
    if (first !== undefined) {
      linkat(this.#top, first, parent, name)
      return await this.#written(0)
    }
    const kind = stat.stx_mode & S_IFMT
    if (kind === S_IFREG) await this.#file(source, stat, { parent, name, path })
    else if (kind === S_IFLNK) {
      symlinkat(readlinkat(source, name), parent, name)
      dressNameless(parent, name, stat)
    } else {
      mknodat(parent, name, stat.stx_mode, makedev(stat.stx_rdev_major, stat.stx_rdev_minor))
      dressNameless(parent, name, stat)
      fchmodat(parent, name, stat.stx_mode & 0o7777)
    }
    if (stat.stx_nlink > 1) this.#linked.set(identity, path)
    await this.#written(0)
  }

  async #file(folder: OwnedFd, stat: Statx, { parent, name }: Place): Promise<void> {
    using source = openat(folder, name, O_RDONLY | O_NOFOLLOW)
    using target = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
    ftruncate(target, stat.stx_size)
    const sizeBytes = Number(stat.stx_size)
    for (let at = nextData(source, 0); at < sizeBytes;) {
      const endBytes = lseek(source, at, SEEK_HOLE)
      while (at < endBytes) {
        const wanted = Math.min(endBytes - at, CHUNK_BYTES)
        const copied = copy_file_range({ fd: source, offset: at }, { fd: target, offset: at }, wanted)
        if (copied === 0) throw new Error(`${name}: ended at ${at} of ${sizeBytes} bytes while it was copied`)
        at += copied
        await this.#written(copied)
      }
      at = nextData(source, at)
    }
    dress(source, target, stat)
  }

  async #written(sizeBytes: number): Promise<void> {
    this.#unsyncedBytes += sizeBytes
    this.#unsyncedFiles += sizeBytes === 0 ? 1 : 0
    if (this.#unsyncedBytes >= UNSYNCED_BYTES_MAX || this.#unsyncedFiles >= UNSYNCED_FILES_MAX) {
      syncfs(this.#top)
      this.#unsyncedBytes = 0
      this.#unsyncedFiles = 0
    }
    await this.#breath()
  }
}

/** Where the next data begin; Infinity where only a hole, or nothing, follows. */
function nextData(file: OwnedFd, offset: number): number {
  try {
    return lseek(file, offset, SEEK_DATA)
  } catch (error) {
    if (isSysError(error, 'ENXIO')) return Infinity
    throw error
  }
}

/** What a file or folder is beside its content, in the order in which no step undoes one before it. */
function dress(source: OwnedFd, target: OwnedFd, stat: Statx): void {
  fchown(target, stat.stx_uid, stat.stx_gid)
  fchmod(target, stat.stx_mode & 0o7777)
  // After the owner, a change of which takes a file's capabilities away.
  for (const name of flistxattr(source)) fsetxattr(target, name, fgetxattr(source, name))
  utimensat(target, null, timesOf(stat))
}

/** The same for what cannot be opened without consequences. */
function dressNameless(parent: OwnedFd, name: string, stat: Statx): void {
  fchownat(parent, name, stat.stx_uid, stat.stx_gid, AT_SYMLINK_NOFOLLOW)
  utimensat(parent, name, timesOf(stat), AT_SYMLINK_NOFOLLOW)
}

function timesOf({ stx_mtime_nsec }: Statx): { accessNs: 'omit'; modificationNs: bigint } {
  return { accessNs: 'omit', modificationNs: stx_mtime_nsec }
}
