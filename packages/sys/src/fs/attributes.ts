// Attributes of files beyond what statx and fchmodat do: times, flags, by descriptor, into a buffer that is used again.
import { check } from '../errno.ts'
import { type AsFd, dirfdNumber, fdNumber } from '../fd.ts'
import { bind } from '../raw.ts'
import { cString, optionalCString, s64, u32, u64 } from '../raw/arguments.ts'
import { alloc, type StructView } from '../struct.ts'
import * as structs from '../generated/structs/file.ts'
import { structMemory } from './struct-memory.ts'

const raw = {
  statx: bind('statx', 'checked_i32', 'ptr', 'checked_i32', 'checked_i32', 'ptr'),
  fstat: bind('fstat', 'int', 'ptr'),
  newfstatat: bind('newfstatat', 'int', 'ptr', 'ptr', 'int'),
  fstatfs: bind('fstatfs', 'int', 'ptr'),
  fchmod: bind('fchmod', 'int', 'int'),
  fchmodat2: bind('fchmodat2', 'int', 'ptr', 'int', 'int'),
  fchown: bind('fchown', 'int', 'int', 'int'),
  truncate: bind('truncate', 'ptr', 'int'),
  utimensat: bind('utimensat', 'int', 'ptr', 'ptr', 'int'),
  fileGetattr: bind('file_getattr', 'int', 'ptr', 'ptr', 'int', 'int'),
  fileSetattr: bind('file_setattr', 'int', 'ptr', 'ptr', 'int', 'int'),
}

/** Memory of {@link statx_into}: make it with `alloc(structs.statx)`, read its fields with `get`. */
export type StatxBuffer = StructView<typeof structs.statx>

/**
 * `statx(dirfd, pathname, flags, mask, statxbuf)` — `statx` into a struct that is used again: nothing is allocated but
 * the path, and only the fields that are asked for are read.
 *
 * @throws {@link SysError} as `statx`; TypeError for a struct of another kind
 * @see https://man7.org/linux/man-pages/man2/statx.2.html
 *
 * @example
 * ```ts
 * import { AT_FDCWD, STATX_SIZE } from '@pkg/sys/constants'
 * import { statx_into } from '@pkg/sys/fs'
 * import { alloc } from '@pkg/sys/struct'
 * import { statx } from '@pkg/sys/structs'
 *
 * const buffer = alloc(statx)
 * for (const path of ['/etc/passwd', '/etc/group']) {
 *   statx_into(AT_FDCWD, path, 0, STATX_SIZE, buffer)
 *   console.log(path, buffer.get('stx_size'))
 * }
 * ```
 */
export function statx_into(
  dirfd: AsFd,
  path: string,
  flags: number,
  mask: number,
  buffer: StatxBuffer,
): void {
  const memory = structMemory(buffer, structs.statx, 'buffer')
  const at = dirfdNumber(dirfd)
  check(raw.statx(at, cString(path), u32(flags, 'flags'), u32(mask, 'mask'), memory), 'statx', path)
}

/**
 * `fstat(fd, statbuf)` — an open file's `struct stat`. `statx` says more.
 *
 * @see https://man7.org/linux/man-pages/man2/fstat.2.html
 */
export function fstat(fd: AsFd): StructView<typeof structs.stat> {
  const result = alloc(structs.stat)
  check(raw.fstat(fdNumber(fd), result.bytes), 'fstat')
  return result
}

/**
 * `newfstatat(dirfd, pathname, statbuf, flags)` — the `struct stat` of a path. `statx` says more.
 *
 * @param flags - AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_NO_AUTOMOUNT
 * @see https://man7.org/linux/man-pages/man2/fstatat.2.html
 */
export function newfstatat(dirfd: AsFd, path: string, flags = 0): StructView<typeof structs.stat> {
  const result = alloc(structs.stat)
  check(
    raw.newfstatat(dirfdNumber(dirfd), cString(path), result.bytes, u32(flags, 'flags')),
    'newfstatat',
    path,
  )
  return result
}

/**
 * `fstatfs(fd, buf)` — `statfs` of the file system that holds an open file.
 *
 * @see https://man7.org/linux/man-pages/man2/statfs.2.html
 */
export function fstatfs(fd: AsFd): StructView<typeof structs.statfs> {
  const result = alloc(structs.statfs)
  check(raw.fstatfs(fdNumber(fd), result.bytes), 'fstatfs')
  return result
}

/**
 * `fchmod(fd, mode)` — sets an open file's permission bits.
 *
 * @throws {@link SysError} `EPERM` another's file; `EBADF` opened with O_PATH
 * @see https://man7.org/linux/man-pages/man2/chmod.2.html
 */
export function fchmod(fd: AsFd, mode: number): void {
  check(raw.fchmod(fdNumber(fd), u32(mode, 'mode')), 'fchmod')
}

/**
 * `fchmodat2(dirfd, pathname, mode, flags)` — sets permission bits, with AT_SYMLINK_NOFOLLOW not through a link, with
 * AT_EMPTY_PATH of an O_PATH descriptor. Since: Linux 6.6.
 *
 * @throws {@link SysError} `EOPNOTSUPP` a link has none; `ENOSYS` an older kernel
 * @see https://man7.org/linux/man-pages/man2/chmod.2.html
 */
export function fchmodat2(dirfd: AsFd, path: string, mode: number, flags: number): void {
  const at = dirfdNumber(dirfd)
  check(raw.fchmodat2(at, cString(path), u32(mode, 'mode'), u32(flags, 'flags')), 'fchmodat2', path)
}

/**
 * `fchown(fd, owner, group)` — sets an open file's owner and group; −1 leaves one as it is. Needs: CAP_CHOWN.
 *
 * @see https://man7.org/linux/man-pages/man2/chown.2.html
 */
export function fchown(fd: AsFd, owner: number, group: number): void {
  check(raw.fchown(fdNumber(fd), u32(owner, 'owner'), u32(group, 'group')), 'fchown')
}

/**
 * `truncate(path, length)` — makes the file at `path` `lengthBytes` long.
 *
 * @throws {@link SysError} `EISDIR`; `ETXTBSY` a program that runs; `EINVAL` a negative length
 * @see https://man7.org/linux/man-pages/man2/truncate.2.html
 */
export function truncate(path: string, lengthBytes: number | bigint): void {
  check(raw.truncate(cString(path), s64(lengthBytes, 'lengthBytes')), 'truncate', path)
}

/** A time for {@link utimensat}: nanoseconds since 1970; `'now'`; `'omit'` to leave it as it is. */
export type FileTime = bigint | 'now' | 'omit'

/** linux/stat.h: values of tv_nsec. */
const UTIME_NOW = 0x3fff_ffffn
const UTIME_OMIT = 0x3fff_fffen
const second = 1_000_000_000n

/**
 * `utimensat(dirfd, pathname, times, flags)` — sets when a file was read and written last.
 *
 * @param path - null: `dirfd` itself
 * @param flags - AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH
 * @throws {@link SysError} `EPERM` another's file; `EACCES` `'now'` without write permission. RangeError for a time whose
 * seconds 64 bits do not hold; those that the file system does not keep become the nearest that it does
 * @see https://man7.org/linux/man-pages/man2/utimensat.2.html
 */
export function utimensat(
  dirfd: AsFd,
  path: string | null,
  times: { accessNs: FileTime; modificationNs: FileTime },
  flags = 0,
): void {
  const words = new BigInt64Array(new ArrayBuffer(32))
  for (const [index, time] of [times.accessNs, times.modificationNs].entries()) {
    const [seconds, nanoseconds] = timespecOf(time)
    words.set([seconds, nanoseconds], index * 2)
  }
  const at = dirfdNumber(dirfd)
  const result = raw.utimensat(at, optionalCString(path, 'path'), words, u32(flags, 'flags'))
  check(result, 'utimensat', path ?? undefined)
}

function timespecOf(time: FileTime): [bigint, bigint] {
  if (time === 'now') return [0n, UTIME_NOW]
  if (time === 'omit') return [0n, UTIME_OMIT]
  if (typeof time !== 'bigint') throw new TypeError(`not a time: ${String(time)}`)
  // Floors: a time before 1970 has negative seconds and positive nanoseconds.
  const nanoseconds = ((time % second) + second) % second
  const seconds = (time - nanoseconds) / second
  if (BigInt.asIntN(64, seconds) !== seconds)
    throw new RangeError(`not a time that the kernel counts: ${time}`)
  return [seconds, nanoseconds]
}

/** A file's flags and project: `struct file_attr`. */
export interface FileAttr {
  /** FS_XFLAG_*: FS_XFLAG_IMMUTABLE, FS_XFLAG_APPEND, FS_XFLAG_NODUMP, FS_XFLAG_DAX … */
  fa_xflags: bigint
  /** Bytes that the file grows by. */
  fa_extsize: number
  /** The project, for quotas. */
  fa_projid: number
  /** Bytes that a shared block is copied by, with FS_XFLAG_COWEXTSIZE. */
  fa_cowextsize: number
  /** How many pieces the file has on the disk, where the file system says so; cannot be set. */
  fa_nextents: number
}

/**
 * `file_getattr(dirfd, pathname, attr, size, at_flags)` — a file's flags and project. Since: Linux 6.17.
 *
 * @param flags - AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH
 * @throws {@link SysError} `EOPNOTSUPP` the file system has none; `ENOSYS` an older kernel
 * @see https://docs.kernel.org/filesystems/api-summary.html
 */
export function file_getattr(dirfd: AsFd, path: string, flags = 0): FileAttr {
  const attr = alloc(structs.file_attr)
  const { bytes } = attr
  const at = dirfdNumber(dirfd)
  check(raw.fileGetattr(at, cString(path), bytes, bytes.length, u32(flags, 'flags')), 'file_getattr', path)
  return {
    fa_xflags: attr.get('fa_xflags'),
    fa_extsize: attr.get('fa_extsize'),
    fa_projid: attr.get('fa_projid'),
    fa_cowextsize: attr.get('fa_cowextsize'),
    fa_nextents: attr.get('fa_nextents'),
  }
}

/**
 * `file_setattr(dirfd, pathname, attr, size, at_flags)` — sets what {@link file_getattr} reads, all of it but the pieces. Since: Linux
 * 6.17. Needs: CAP_LINUX_IMMUTABLE for FS_XFLAG_IMMUTABLE and FS_XFLAG_APPEND.
 *
 * @throws {@link SysError} `EPERM`; `EOPNOTSUPP`
 */
export function file_setattr(
  dirfd: AsFd,
  path: string,
  attr: Omit<FileAttr, 'fa_nextents'>,
  flags = 0,
): void {
  const struct = alloc(structs.file_attr)
  struct.set('fa_xflags', u64(attr.fa_xflags, 'fa_xflags'))
  struct.set('fa_extsize', attr.fa_extsize)
  struct.set('fa_projid', attr.fa_projid)
  struct.set('fa_cowextsize', attr.fa_cowextsize)
  const { bytes } = struct
  const at = dirfdNumber(dirfd)
  check(raw.fileSetattr(at, cString(path), bytes, bytes.length, u32(flags, 'flags')), 'file_setattr', path)
}
