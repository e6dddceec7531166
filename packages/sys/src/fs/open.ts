// Opening by other ways than openat: with rules for the path, and by handle.
import { AT_HANDLE_MNT_ID_UNIQUE, O_CLOEXEC } from '../generated/constants/open.ts'
import { check } from '../errno.ts'
import { type AsFd, dirfdNumber, OwnedFd } from '../fd.ts'
import { bind } from '../raw.ts'
import { bytes, cString, fromCString, u32, u64 } from '../raw/arguments.ts'
import { alloc } from '../struct.ts'
import * as structs from '../generated/structs/file.ts'

const raw = {
  openat2: bind('openat2', 'int', 'ptr', 'ptr', 'int'),
  nameToHandleAt: bind('name_to_handle_at', 'int', 'ptr', 'ptr', 'ptr', 'int'),
  openByHandleAt: bind('open_by_handle_at', 'int', 'ptr', 'int'),
  faccessat2: bind('faccessat2', 'int', 'ptr', 'int', 'int'),
  getcwd: bind('getcwd', 'ptr', 'int'),
  umask: bind('umask', 'int'),
}

/** How {@link openat2} opens: `struct open_how`. */
export interface OpenHow {
  /** O_*; unlike openat an unknown bit is an error. */
  flags: number
  /** Permission bits of a file that O_CREAT or O_TMPFILE makes. */
  mode?: number
  /** RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_XDEV, RESOLVE_CACHED. */
  resolve?: number
}

/**
 * `openat2(dirfd, pathname, how, size)` — opens, with rules for how the path is followed. Close-on-exec in any case.
 *
 * Since: Linux 5.6.
 *
 * @throws {@link SysError} `EXDEV` the path leads out of where it may; `ELOOP` a link where none may be; `EAGAIN` not
 * resolved from the cache, or a race with a rename: try again; otherwise as `openat`
 * @see https://man7.org/linux/man-pages/man2/openat2.2.html
 *
 * @example
 * ```ts
 * import { AT_FDCWD, O_DIRECTORY, O_RDONLY, RESOLVE_BENEATH } from '@pkg/sys/constants'
 * import { isSysError } from '@pkg/sys/errno'
 * import { openat, openat2 } from '@pkg/sys/fs'
 *
 * using folder = openat(AT_FDCWD, '.', O_DIRECTORY)
 * try {
 *   openat2(folder, '../../etc/passwd', { flags: O_RDONLY, resolve: RESOLVE_BENEATH })
 * } catch (error) {
 *   console.assert(isSysError(error, 'EXDEV'))
 * }
 * ```
 */
export function openat2(dirfd: AsFd, path: string, how: OpenHow): OwnedFd {
  const struct = alloc(structs.open_how)
  struct.set('flags', u64(u32(how.flags, 'flags') >>> 0, 'flags') | BigInt(O_CLOEXEC))
  struct.set('mode', u64(how.mode ?? 0, 'mode'))
  struct.set('resolve', u64(how.resolve ?? 0, 'resolve'))
  const result = raw.openat2(dirfdNumber(dirfd), cString(path), struct.bytes, struct.bytes.length)
  return new OwnedFd(check(result, 'openat2', path))
}

/** A file's name that survives renames, of use to who may open by it. */
export interface FileHandle {
  /** The kind of handle, by the file system's count. */
  handle_type: number
  /** What the file system says of the file, at most 128 bytes. */
  f_handle: Uint8Array
  /**
   * The mount that the path led to, as /proc/self/mountinfo counts; with AT_HANDLE_MNT_ID_UNIQUE as `statmount` does,
   * which takes it as a bigint.
   */
  mount_id: number
}

/** `MAX_HANDLE_SZ` (linux/exportfs.h), and the header of `struct file_handle` before the handle. */
const handleSizeMax = 128
const handleHeaderSize = 8

/**
 * `name_to_handle_at(dirfd, pathname, handle, mount_id, flags)` — a handle of a file.
 *
 * @param flags - AT_SYMLINK_FOLLOW, AT_EMPTY_PATH, AT_HANDLE_FID, AT_HANDLE_MNT_ID_UNIQUE (in kernels since Linux 6.12)
 * @throws {@link SysError} `EOPNOTSUPP` the file system has none
 * @see https://man7.org/linux/man-pages/man2/open_by_handle_at.2.html
 */
export function name_to_handle_at(dirfd: AsFd, path: string, flags = 0): FileHandle {
  const handle = new Uint8Array(new ArrayBuffer(handleHeaderSize + handleSizeMax))
  const header = new DataView(handle.buffer)
  header.setUint32(0, handleSizeMax, true)
  const mountId = new DataView(new ArrayBuffer(8))
  const at = dirfdNumber(dirfd)
  const isUnique = (flags & AT_HANDLE_MNT_ID_UNIQUE) !== 0
  check(
    raw.nameToHandleAt(at, cString(path), handle, mountId, u32(flags, 'flags')),
    'name_to_handle_at',
    path,
  )
  return {
    handle_type: header.getInt32(4, true),
    f_handle: handle.slice(handleHeaderSize, handleHeaderSize + header.getUint32(0, true)),
    // The kernel counts the unique ones from 2³¹ on, one a mount: none will ever be beyond the safe integers.
    mount_id: isUnique ? Number(mountId.getBigUint64(0, true)) : mountId.getInt32(0, true),
  }
}

/**
 * `open_by_handle_at(mount_fd, handle, flags)` — opens the file of a handle, close-on-exec in any case.
 *
 * Needs: CAP_DAC_READ_SEARCH.
 *
 * @param mountFd - any file of the mount
 * @throws {@link SysError} `ESTALE` the file is gone; `EPERM`
 * @see https://man7.org/linux/man-pages/man2/open_by_handle_at.2.html
 */
export function open_by_handle_at(
  mountFd: AsFd,
  handle: Pick<FileHandle, 'handle_type' | 'f_handle'>,
  flags: number,
): OwnedFd {
  const { length } = bytes(handle.f_handle, 'f_handle')
  if (length > handleSizeMax) throw new RangeError(`f_handle has ${length} bytes: at most ${handleSizeMax}`)
  const memory = new Uint8Array(new ArrayBuffer(handleHeaderSize + length))
  const header = new DataView(memory.buffer)
  header.setUint32(0, length, true)
  header.setInt32(4, u32(handle.handle_type, 'handle_type'), true)
  memory.set(handle.f_handle, handleHeaderSize)
  const result = raw.openByHandleAt(dirfdNumber(mountFd), memory, u32(flags, 'flags') | O_CLOEXEC)
  return new OwnedFd(check(result, 'open_by_handle_at'))
}

/**
 * `faccessat2(dirfd, pathname, mode, flags)` — throws unless the user may do `mode`.
 *
 * @param mode - R_OK, W_OK, X_OK, F_OK
 * @param flags - AT_EACCESS (the effective ids), AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH
 * @throws {@link SysError} `EACCES`, `EROFS`, `ENOENT`
 * @see https://man7.org/linux/man-pages/man2/access.2.html
 */
export function faccessat2(dirfd: AsFd, path: string, mode: number, flags = 0): void {
  const at = dirfdNumber(dirfd)
  check(raw.faccessat2(at, cString(path), u32(mode, 'mode'), u32(flags, 'flags')), 'faccessat2', path)
}

/**
 * `getcwd(buf, size)` — the working directory; `(unreachable)/…` when it is outside the root.
 *
 * @throws {@link SysError} `ENOENT` it was removed
 * @see https://man7.org/linux/man-pages/man2/getcwd.2.html
 */
export function getcwd(): string {
  const buffer = new Uint8Array(new ArrayBuffer(4096))
  check(raw.getcwd(buffer, buffer.length), 'getcwd')
  return fromCString(buffer)
}

/**
 * `umask(mask)` — sets the permission bits that new files do not get, of the whole process; returns those before.
 *
 * @see https://man7.org/linux/man-pages/man2/umask.2.html
 */
export function umask(mask: number): number {
  return raw.umask(u32(mask, 'mask'))
}
