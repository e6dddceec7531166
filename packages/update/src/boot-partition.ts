/** The boot partition's folder of entries as what an installation writes to. */
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  DT_REG,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  O_RDWR,
  RENAME_NOREPLACE,
  STATX_SIZE,
} from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import type { OwnedFd } from '@pkg/sys/fd'
import { getdents64, mkdirat, openat, renameat2, statfs, statx, unlinkat } from '@pkg/sys/fs'
import { fsync, syncfs } from '@pkg/sys/io'
import { mount } from '@pkg/mount/mount'
import { isMountPoint, readMountinfo } from '@pkg/mount/mountinfo'
import { unmount } from '@pkg/mount/unmount'
import type { BootFile, BootFileEntry, BootFileReader, BootPartition } from './slot.ts'
import { BlockFile } from './updater/block-file.ts'

/** Where a loader that follows the Boot Loader Specification looks for kernel images. */
const entriesFolder = ['EFI', 'Linux']

/**
 * Nobody but root, and nothing in it is a program to us. After an error (a power cut may leave two names for one chain
 * of clusters) vfat would make itself read-only; what lies on it is checked by us, block by block. vfat renames by a new
 * entry without clusters, which it fills in later: with `dirsync` the old one does not go before that is on the disk.
 */
const mountOptions = 'nosuid,nodev,noexec,umask=0077,errors=continue,dirsync'

/** What to mount where. */
export interface MountBootOptions {
  /** The boot partition: `/dev/vda1`. */
  readonly device: string
  /** Where to mount it; the folder is made when it is not there. */
  readonly mountPoint: string
  /** Whether it is only looked at: then not a byte of it is written, not even that it is in use. Default: `write`. */
  readonly access?: 'read' | 'write'
}

/** PID 1 has it mounted for a moment now and then, and the kernel knows no second mount that is written to otherwise. */
const busyMs = 10_000
const againMs = 50

/**
 * Mounts the boot partition for as long as it is needed; waits a moment while PID 1 has it.
 *
 * Blocks: while it is mounted. Needs: CAP_SYS_ADMIN.
 *
 * @throws SysError what mounting meets
 */
export async function mountBootPartition(options: MountBootOptions): Promise<BootPartition & Disposable> {
  const { device, mountPoint, access = 'write' } = options
  makeFolder(mountPoint, 0o700)
  unmountLeftBehind(mountPoint)
  await mountInTime(device, mountPoint, access === 'read' ? `ro,${mountOptions}` : mountOptions)
  try {
    let path = mountPoint
    for (const name of entriesFolder) {
      path = `${path}/${name}`
      if (access === 'write') makeFolder(path, 0o700)
    }
    return new BootFolder(path, () => unmount({ target: mountPoint }))
  } catch (error) {
    unmount({ target: mountPoint })
    throw error
  }
}

/**
 * Unmounts what one of our own that was killed has left at a mount point, as soon as nobody uses it: as long as it is
 * there, for reading only, PID 1 cannot write to that partition.
 *
 * Needs: CAP_SYS_ADMIN.
 *
 * @throws SysError `EPERM`
 */
export function unmountLeftBehind(mountPoint: string): void {
  while (isMountPoint(readMountinfo(), mountPoint)) unmount({ target: mountPoint, lazy: true })
}

async function mountInTime(device: string, target: string, vfatOptions: string): Promise<void> {
  const untilMs = performance.now() + busyMs
  for (;;) {
    try {
      return mount({ source: device, target, type: 'vfat', options: vfatOptions })
    } catch (error) {
      if (!isSysError(error, 'EBUSY') || performance.now() >= untilMs) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, againMs))
  }
}

/**
 * A folder of boot entries that is mounted already.
 *
 * @param path - absolute
 * @throws SysError `ENOENT` it is not there
 */
export function openBootFolder(path: string): BootPartition & Disposable {
  return new BootFolder(path, () => {})
}

class BootFolder implements BootPartition, Disposable {
  readonly #path: string
  readonly #folder: OwnedFd
  readonly #onClosed: () => void

  constructor(path: string, onClosed: () => void) {
    this.#path = path
    this.#folder = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    this.#onClosed = onClosed
  }

  list(): Promise<BootFileEntry[]> {
    // Anew each time: its position is at the end after the first.
    using folder = openat(AT_FDCWD, this.#path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    const names = [...getdents64(folder)]
      .filter(({ d_type }) => d_type === DT_REG)
      .map(({ d_name }) => d_name)
    const files = names.map((name) => {
      return { name, sizeBytes: Number(statx(folder, name, AT_SYMLINK_NOFOLLOW, STATX_SIZE).stx_size) }
    })
    return Promise.resolve(files)
  }

  freeBytes(): Promise<number> {
    const { f_bavail, f_bsize } = statfs(this.#path)
    return Promise.resolve(Number(f_bavail * f_bsize))
  }

  read(name: string): Promise<BootFileReader> {
    return Promise.resolve(this.#open(name, O_RDONLY))
  }

  write(name: string): Promise<BootFile> {
    return Promise.resolve(this.#open(name, O_RDWR | O_CREAT))
  }

  remove(name: string): Promise<void> {
    unlinkat(this.#folder, name)
    return Promise.resolve()
  }

  rename(from: string, to: string): Promise<void> {
    renameat2(this.#folder, from, this.#folder, to, RENAME_NOREPLACE)
    return Promise.resolve()
  }

  sync(): Promise<void> {
    syncfs(this.#folder)
    // vfat has no sync_fs: of its calls only fsync has the disk write its own cache (fs/fat/file.c, fat_file_fsync).
    fsync(this.#folder)
    return Promise.resolve()
  }

  [Symbol.dispose](): void {
    this.#folder.close()
    this.#onClosed()
  }

  #open(name: string, flags: number): BlockFile {
    const fd = openat(this.#folder, name, flags | O_CLOEXEC | O_NOFOLLOW, 0o600)
    return new BlockFile(`${this.#path}/${name}`, fd)
  }
}

function makeFolder(path: string, mode: number): void {
  try {
    mkdirat(AT_FDCWD, path, mode)
  } catch (error) {
    if (!isSysError(error, 'EEXIST')) throw error
  }
}
