// Calls that name files: opening, making, removing, asking about.
import { O_CLOEXEC } from './generated/constants/open.ts'
import { check } from './errno.ts'
import { type AsFd, dirfdNumber, fdNumber, OwnedFd } from './fd.ts'
import { bind } from './raw.ts'
import { cString, fromCString, u32 } from './raw/arguments.ts'

export {
  type FileAttr,
  type FileTime,
  fchmod,
  fchmodat2,
  fchown,
  file_getattr,
  file_setattr,
  fstat,
  fstatfs,
  newfstatat,
  statx_into,
  type StatxBuffer,
  truncate,
  utimensat,
} from './fs/attributes.ts'
export {
  faccessat2,
  type FileHandle,
  getcwd,
  name_to_handle_at,
  open_by_handle_at,
  openat2,
  type OpenHow,
  umask,
} from './fs/open.ts'
export { type Statfs, statfs, type Statx, statx } from './fs/stat.ts'

const raw = {
  openat: bind('openat', 'int', 'ptr', 'int', 'int'),
  mkdirat: bind('mkdirat', 'int', 'ptr', 'int'),
  mknodat: bind('mknodat', 'int', 'ptr', 'int', 'int'),
  unlinkat: bind('unlinkat', 'int', 'ptr', 'int'),
  renameat2: bind('renameat2', 'int', 'ptr', 'int', 'ptr', 'int'),
  symlinkat: bind('symlinkat', 'ptr', 'int', 'ptr'),
  linkat: bind('linkat', 'int', 'ptr', 'int', 'ptr', 'int'),
  readlinkat: bind('readlinkat', 'int', 'ptr', 'ptr', 'int'),
  fchmodat: bind('fchmodat', 'int', 'ptr', 'int'),
  fchownat: bind('fchownat', 'int', 'ptr', 'int', 'int', 'int'),
  faccessat: bind('faccessat', 'int', 'ptr', 'int'),
  getdents64: bind('getdents64', 'int', 'ptr', 'int'),
  fchdir: bind('fchdir', 'int'),
  chdir: bind('chdir', 'ptr'),
  chroot: bind('chroot', 'ptr'),
}

/**
 * `openat(dirfd, pathname, flags, mode)` — opens the file at `path`, close-on-exec in any case.
 *
 * Blocks: on slow media, and for a fifo until its other end is open.
 *
 * @param dirfd - where a relative path begins; AT_FDCWD for the working directory
 * @param mode - permission bits of a file that O_CREAT or O_TMPFILE makes; the umask is taken away
 * @throws {@link SysError} `ENOENT` no such file; `EACCES` not allowed; `EEXIST` with O_EXCL; `ELOOP` with
 * O_NOFOLLOW
 * @see https://man7.org/linux/man-pages/man2/open.2.html
 *
 * @example
 * ```ts
 * import { AT_FDCWD, O_RDONLY } from '@pkg/sys/constants'
 * import { isSysError } from '@pkg/sys/errno'
 * import { openat } from '@pkg/sys/fs'
 *
 * try {
 *   using file = openat(AT_FDCWD, '/none', O_RDONLY)
 * } catch (error) {
 *   console.assert(isSysError(error, 'ENOENT') && error.path === '/none')
 * }
 * ```
 */
export function openat(dirfd: AsFd, path: string, flags: number, mode = 0): OwnedFd {
  const result = raw.openat(
    dirfdNumber(dirfd),
    cString(path),
    u32(flags, 'flags') | O_CLOEXEC,
    u32(mode, 'mode'),
  )
  return new OwnedFd(check(result, 'openat', path))
}

/**
 * `mkdirat(dirfd, pathname, mode)` — makes a directory.
 *
 * @param mode - permission bits; the umask is taken away
 * @throws {@link SysError} `EEXIST` something is there; `ENOENT` its parent is not
 * @see https://man7.org/linux/man-pages/man2/mkdir.2.html
 */
export function mkdirat(dirfd: AsFd, path: string, mode: number): void {
  check(raw.mkdirat(dirfdNumber(dirfd), cString(path), u32(mode, 'mode')), 'mkdirat', path)
}

/**
 * `mknodat(dirfd, pathname, mode, dev)` — makes a device, fifo, socket or file.
 *
 * Needs: CAP_MKNOD for devices.
 *
 * @param mode - S_IFCHR, S_IFBLK, S_IFIFO … and permission bits; the umask is taken away
 * @param dev - from {@link makedev}, for devices
 * @throws {@link SysError} `EPERM` not allowed here; `EEXIST` something is there
 * @see https://man7.org/linux/man-pages/man2/mknod.2.html
 */
export function mknodat(dirfd: AsFd, path: string, mode: number, dev = 0): void {
  check(raw.mknodat(dirfdNumber(dirfd), cString(path), u32(mode, 'mode'), u32(dev, 'dev')), 'mknodat', path)
}

/**
 * A device number as mknod(2) takes it.
 *
 * The kernel's encoding, `new_encode_dev` in include/linux/kdev_t.h: 12 bits of major, 20 of minor.
 *
 * @example
 * ```ts
 * import { makedev } from '@pkg/sys/fs'
 *
 * console.assert(makedev(1, 3) === 0x103) // /dev/null
 * ```
 */
export function makedev(major: number, minor: number): number {
  if (!Number.isInteger(major) || major < 0 || major > 0xfff) throw new RangeError(`major: ${major}`)
  if (!Number.isInteger(minor) || minor < 0 || minor > 0xfffff) throw new RangeError(`minor: ${minor}`)
  return ((minor & 0xff) | (major << 8) | ((minor & 0xfff00) << 12)) >>> 0
}

/**
 * `unlinkat(dirfd, pathname, flags)` — removes a name; with AT_REMOVEDIR an empty directory.
 *
 * @throws {@link SysError} `ENOENT`; `EISDIR` without AT_REMOVEDIR; `ENOTEMPTY`; `EBUSY` a mount point
 * @see https://man7.org/linux/man-pages/man2/unlink.2.html
 */
export function unlinkat(dirfd: AsFd, path: string, flags = 0): void {
  check(raw.unlinkat(dirfdNumber(dirfd), cString(path), u32(flags, 'flags')), 'unlinkat', path)
}

/**
 * `renameat2(olddirfd, oldpath, newdirfd, newpath, flags)` — renames, replacing what was there atomically.
 *
 * @param flags - RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT
 * @throws {@link SysError} `EXDEV` another mount; `EEXIST` with RENAME_NOREPLACE
 * @see https://man7.org/linux/man-pages/man2/rename.2.html
 */
export function renameat2(olddirfd: AsFd, oldpath: string, newdirfd: AsFd, newpath: string, flags = 0): void {
  const result = raw.renameat2(
    dirfdNumber(olddirfd),
    cString(oldpath, 'oldpath'),
    dirfdNumber(newdirfd),
    cString(newpath, 'newpath'),
    u32(flags, 'flags'),
  )
  check(result, 'renameat2', `${oldpath} → ${newpath}`)
}

/**
 * `symlinkat(target, newdirfd, linkpath)` — makes a symbolic link at `linkpath` that says `target`.
 *
 * @throws {@link SysError} `EEXIST` something is there
 * @see https://man7.org/linux/man-pages/man2/symlink.2.html
 */
export function symlinkat(target: string, newdirfd: AsFd, linkpath: string): void {
  const result = raw.symlinkat(
    cString(target, 'target'),
    dirfdNumber(newdirfd),
    cString(linkpath, 'linkpath'),
  )
  check(result, 'symlinkat', linkpath)
}

/**
 * `linkat(olddirfd, oldpath, newdirfd, newpath, flags)` — gives a file another name.
 *
 * @param flags - AT_SYMLINK_FOLLOW, AT_EMPTY_PATH
 * @throws {@link SysError} `EXDEV` another mount; `EEXIST` something is there; `EPERM` a directory
 * @see https://man7.org/linux/man-pages/man2/link.2.html
 */
export function linkat(olddirfd: AsFd, oldpath: string, newdirfd: AsFd, newpath: string, flags = 0): void {
  const result = raw.linkat(
    dirfdNumber(olddirfd),
    cString(oldpath, 'oldpath'),
    dirfdNumber(newdirfd),
    cString(newpath, 'newpath'),
    u32(flags, 'flags'),
  )
  check(result, 'linkat', `${oldpath} → ${newpath}`)
}

/** The kernel's PATH_MAX (linux/limits.h), NUL included. */
const PATH_MAX = 4096

/**
 * `readlinkat(dirfd, pathname, buf, bufsiz)` — what a symbolic link says.
 *
 * @throws {@link SysError} `EINVAL` not a symbolic link
 * @see https://man7.org/linux/man-pages/man2/readlink.2.html
 */
export function readlinkat(dirfd: AsFd, path: string): string {
  const buffer = new Uint8Array(PATH_MAX)
  const size = check(raw.readlinkat(dirfdNumber(dirfd), cString(path), buffer, PATH_MAX), 'readlinkat', path)
  return new TextDecoder().decode(buffer.subarray(0, size))
}

/**
 * `fchmodat(dirfd, pathname, mode)` — sets permission bits. Follows symbolic links.
 *
 * @see https://man7.org/linux/man-pages/man2/chmod.2.html
 */
export function fchmodat(dirfd: AsFd, path: string, mode: number): void {
  check(raw.fchmodat(dirfdNumber(dirfd), cString(path), u32(mode, 'mode')), 'fchmodat', path)
}

/**
 * `fchownat(dirfd, pathname, owner, group, flags)` — sets owner and group; −1 leaves one as it is.
 *
 * @param flags - AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH
 * @throws {@link SysError} `EPERM` without CAP_CHOWN
 * @see https://man7.org/linux/man-pages/man2/chown.2.html
 */
export function fchownat(dirfd: AsFd, path: string, owner: number, group: number, flags = 0): void {
  const result = raw.fchownat(
    dirfdNumber(dirfd),
    cString(path),
    u32(owner, 'owner'),
    u32(group, 'group'),
    u32(flags, 'flags'),
  )
  check(result, 'fchownat', path)
}

/**
 * `faccessat(dirfd, pathname, mode)` — whether the real user may do `mode` (R_OK, W_OK, X_OK, F_OK).
 *
 * @throws {@link SysError} other errors than `EACCES`, `EROFS`, `ENOENT` and `ENOTDIR`, which answer false
 * @see https://man7.org/linux/man-pages/man2/access.2.html
 */
export function faccessat(dirfd: AsFd, path: string, mode: number): boolean {
  const EACCES = 13
  const answersNo = [-EACCES, /* EROFS */ -30, /* ENOENT */ -2, /* ENOTDIR */ -20]
  const result = raw.faccessat(dirfdNumber(dirfd), cString(path), u32(mode, 'mode'))
  if (answersNo.includes(result)) return false
  check(result, 'faccessat', path)
  return true
}

/** One name in a directory. */
export interface DirectoryEntry {
  d_ino: bigint
  /** DT_REG, DT_DIR, DT_LNK …; DT_UNKNOWN (0) where the file system does not say. */
  d_type: number
  d_name: string
}

/** Bytes asked for at once: what glibc's readdir uses. */
const directoryBufferSize = 32_768

/**
 * `getdents64(fd, dirp, count)` — the names in an open directory, `.` and `..` left out.
 *
 * The position moves with the iteration: open the directory again to read it again.
 *
 * @throws {@link SysError} `ENOTDIR` not a directory
 * @see https://man7.org/linux/man-pages/man2/getdents.2.html
 */
export function* getdents64(fd: AsFd): Generator<DirectoryEntry, void, void> {
  const buffer = new Uint8Array(new ArrayBuffer(directoryBufferSize))
  const data = new DataView(buffer.buffer)
  for (;;) {
    const size = check(raw.getdents64(fdNumber(fd), buffer, buffer.length), 'getdents64')
    if (size === 0) return
    for (let at = 0; at < size;) {
      // struct linux_dirent64 (include/linux/dirent.h): u64 ino, s64 off, u16 reclen, u8 type, name.
      const recordLength = data.getUint16(at + 16, true)
      const d_name = fromCString(buffer.subarray(at + 19, at + recordLength))
      if (d_name !== '.' && d_name !== '..') {
        yield { d_ino: data.getBigUint64(at, true), d_type: data.getUint8(at + 18), d_name }
      }
      at += recordLength
    }
  }
}

/** `fchdir(fd)` — makes an open directory the working directory of the whole process. */
export function fchdir(fd: AsFd): void {
  check(raw.fchdir(fdNumber(fd)), 'fchdir')
}

/** `chdir(path)` — makes `path` the working directory of the whole process. */
export function chdir(path: string): void {
  check(raw.chdir(cString(path)), 'chdir', path)
}

/**
 * `chroot(path)` — makes `path` the root directory of the whole process. Needs: CAP_SYS_CHROOT.
 *
 * The working directory stays where it was: `chdir('/')` next.
 *
 * @see https://man7.org/linux/man-pages/man2/chroot.2.html
 */
export function chroot(path: string): void {
  check(raw.chroot(cString(path)), 'chroot', path)
}
