// Calls on open file descriptors: bytes in and out, pipes, duplicates, control, flushing.
import { F_DUPFD_CLOEXEC, F_GETFL, F_SETFL, O_CLOEXEC, O_NONBLOCK } from './generated/constants/open.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber, OwnedFd } from './fd.ts'
import { bind } from './raw.ts'
import { bytes, cString, s64, u32 } from './raw/arguments.ts'

export { fcntl_ofd_getlk, fcntl_ofd_setlk, fcntl_ofd_setlkw, flock, type RangeLock } from './io/locks.ts'
export {
  type Cachestat,
  cachestat,
  fadvise64,
  fallocate,
  type FileRange,
  readahead,
  sync_file_range,
} from './io/space.ts'
export { copy_file_range, sendfile, splice, tee, type TransferEnd, vmsplice } from './io/transfer.ts'
export { preadv, preadv2, pwritev, pwritev2, readv, writev } from './io/vectors.ts'

const raw = {
  read: bind('read', 'checked_i32', 'ptr', 'checked_i32'),
  write: bind('write', 'checked_i32', 'ptr', 'checked_i32'),
  pread64: bind('pread64', 'checked_i32', 'ptr', 'checked_i32', 'int'),
  pwrite64: bind('pwrite64', 'checked_i32', 'ptr', 'checked_i32', 'int'),
  lseek: bind('lseek', 'int', 'int', 'int'),
  pipe2: bind('pipe2', 'ptr', 'int'),
  close: bind('close', 'int'),
  closeRange: bind('close_range', 'int', 'int', 'int'),
  dup: bind('dup', 'int'),
  dup3: bind('dup3', 'int', 'int', 'int'),
  fcntl: bind('fcntl', 'int', 'int', 'int'),
  ioctl: bind('ioctl', 'int', 'int', 'int'),
  ioctlPointer: bind('ioctl', 'int', 'int', 'ptr'),
  ftruncate: bind('ftruncate', 'int', 'int'),
  fsync: bind('fsync', 'int'),
  fdatasync: bind('fdatasync', 'int'),
  syncfs: bind('syncfs', 'int'),
  sync: bind('sync'),
  memfdCreate: bind('memfd_create', 'ptr', 'int'),
}

/** More than this no call moves (include/linux/fs.h, `MAX_RW_COUNT`); the rest of a larger buffer is left alone. */
const MAX_RW_COUNT = 0x7fff_f000

/**
 * `read(fd, buf, count)` — reads up to `buffer.length` bytes into `buffer`; returns how many, 0 at the end.
 *
 * Blocks: yes, unless the file is O_NONBLOCK.
 *
 * @throws {@link SysError} `EAGAIN` nothing there yet; `EISDIR` a directory; `EBADF` not open for reading
 * @see https://man7.org/linux/man-pages/man2/read.2.html
 */
export function read(fd: AsFd, buffer: Uint8Array): number {
  return check(raw.read(fdNumber(fd), bytes(buffer), Math.min(buffer.length, MAX_RW_COUNT)), 'read')
}

/**
 * `write(fd, buf, count)` — writes from `buffer`; returns how many bytes were taken, which may be fewer.
 *
 * Blocks: yes, unless the file is O_NONBLOCK.
 *
 * @throws {@link SysError} `EAGAIN` no room now; `EPIPE` no reader; `ENOSPC` no room on the disk
 * @see https://man7.org/linux/man-pages/man2/write.2.html
 */
export function write(fd: AsFd, buffer: Uint8Array): number {
  return check(raw.write(fdNumber(fd), bytes(buffer), Math.min(buffer.length, MAX_RW_COUNT)), 'write')
}

/**
 * Writes all of `buffer`, however many `write` calls it takes. For files and blocking descriptors.
 *
 * @throws {@link SysError} as {@link write}; some of the bytes may have been written
 */
export function writeAll(fd: AsFd, buffer: Uint8Array): void {
  for (let done = 0; done < buffer.length;) done += write(fd, buffer.subarray(done))
}

/**
 * `pread64(fd, buf, count, offset)` — reads at `offset` (bytes) without moving the file position.
 *
 * Blocks: on slow media.
 *
 * @throws {@link SysError} `ESPIPE` a pipe or socket; `EINVAL` a negative offset
 * @see https://man7.org/linux/man-pages/man2/pread.2.html
 */
export function pread64(fd: AsFd, buffer: Uint8Array, offset: number | bigint): number {
  return check(
    raw.pread64(fdNumber(fd), bytes(buffer), Math.min(buffer.length, MAX_RW_COUNT), s64(offset, 'offset')),
    'pread64',
  )
}

/**
 * `pwrite64(fd, buf, count, offset)` — writes at `offset` (bytes) without moving the file position.
 *
 * Blocks: on slow media.
 *
 * @throws {@link SysError} `ESPIPE` a pipe or socket; `ENOSPC` no room on the disk
 * @see https://man7.org/linux/man-pages/man2/pwrite.2.html
 */
export function pwrite64(fd: AsFd, buffer: Uint8Array, offset: number | bigint): number {
  return check(
    raw.pwrite64(fdNumber(fd), bytes(buffer), Math.min(buffer.length, MAX_RW_COUNT), s64(offset, 'offset')),
    'pwrite64',
  )
}

/**
 * `lseek(fd, offset, whence)` — moves the file position; returns the new one in bytes.
 *
 * @throws {@link SysError} `ESPIPE` a pipe or socket; `ENXIO` no data after `offset` (SEEK_DATA)
 * @see https://man7.org/linux/man-pages/man2/lseek.2.html
 */
export function lseek(fd: AsFd, offset: number | bigint, whence: number): number {
  return check(raw.lseek(fdNumber(fd), s64(offset, 'offset'), u32(whence, 'whence')), 'lseek')
}

/** The two ends of a pipe. */
export interface Pipe extends Disposable {
  /** The end to read from. */
  read: OwnedFd
  /** The end to write to. */
  write: OwnedFd
}

/**
 * `pipe2(pipefd, flags)` — makes a pipe; both ends are close-on-exec in any case.
 *
 * @param flags - O_NONBLOCK, O_DIRECT (packets)
 * @throws {@link SysError} `EMFILE` too many open files
 * @see https://man7.org/linux/man-pages/man2/pipe.2.html
 *
 * @example
 * ```ts
 * import { pipe2, read, write } from '@pkg/sys/io'
 *
 * using pipe = pipe2(0)
 * write(pipe.write, new TextEncoder().encode('hello'))
 * const buffer = new Uint8Array(16)
 * console.assert(read(pipe.read, buffer) === 5)
 * ```
 */
export function pipe2(flags: number): Pipe {
  const pair = new Int32Array(new ArrayBuffer(8))
  check(raw.pipe2(pair, u32(flags, 'flags') | O_CLOEXEC), 'pipe2')
  const [readEnd, writeEnd] = pair as unknown as [number, number]
  const pipe = { read: new OwnedFd(readEnd), write: new OwnedFd(writeEnd) }
  return {
    ...pipe,
    [Symbol.dispose]() {
      pipe.read.close()
      pipe.write.close()
    },
  }
}

/**
 * `close(fd)` — closes a bare number. For owned descriptors use `OwnedFd.close`.
 *
 * @throws {@link SysError} `EBADF` not open; after any other error it is closed all the same
 * @see https://man7.org/linux/man-pages/man2/close.2.html
 */
export function close(fd: number): void {
  check(raw.close(fdNumber(fd)), 'close')
}

/**
 * `close_range(first, last, flags)` — makes all descriptors from `first` to `last` close-on-exec. Since: Linux 5.11.
 *
 * CLOSE_RANGE_CLOEXEC is always set: closing what others own, the engine's event loop among them, would break them.
 *
 * @param last - included; default: the largest
 * @see https://man7.org/linux/man-pages/man2/close_range.2.html
 */
export function close_range(first: number, last = 0x7fff_ffff): void {
  const CLOSE_RANGE_CLOEXEC = 4
  check(raw.closeRange(u32(first, 'first'), u32(last, 'last'), CLOSE_RANGE_CLOEXEC), 'close_range')
}

/**
 * `dup(oldfd)` — another descriptor for the same file, at the lowest free number and not close-on-exec. `duplicate` is
 * what most want.
 *
 * @throws {@link SysError} `EMFILE` too many
 * @see https://man7.org/linux/man-pages/man2/dup.2.html
 */
export function dup(oldfd: AsFd): OwnedFd {
  return new OwnedFd(check(raw.dup(fdNumber(oldfd)), 'dup'))
}

/**
 * `dup3(oldfd, newfd, flags)` — makes the number `newfd` refer to the file of `oldfd`, closing what it was.
 *
 * @param flags - O_CLOEXEC or 0
 * @throws {@link SysError} `EINVAL` when both numbers are equal
 * @see https://man7.org/linux/man-pages/man2/dup.2.html
 */
export function dup3(oldfd: AsFd, newfd: number, flags: number): void {
  check(raw.dup3(fdNumber(oldfd), fdNumber(newfd), u32(flags, 'flags')), 'dup3')
}

/**
 * `fcntl(fd, F_DUPFD_CLOEXEC, 3)` — another descriptor, close-on-exec and above stdio, for the file of `fd`.
 *
 * @see https://man7.org/linux/man-pages/man2/fcntl.2.html
 */
export function duplicate(fd: AsFd): OwnedFd {
  return new OwnedFd(check(raw.fcntl(fdNumber(fd), F_DUPFD_CLOEXEC, 3), 'fcntl'))
}

/**
 * `fcntl(fd, cmd, arg)` — a command with an integer argument; returns the kernel's number.
 *
 * @see https://man7.org/linux/man-pages/man2/fcntl.2.html
 */
export function fcntl(fd: AsFd, command: number, argument: number): number {
  return check(raw.fcntl(fdNumber(fd), u32(command, 'command'), s64(argument, 'argument')), 'fcntl')
}

/** Sets or clears O_NONBLOCK on the open file description of `fd` (shared with its duplicates). */
export function setNonBlocking(fd: AsFd, nonBlocking: boolean): void {
  const flags = fcntl(fd, F_GETFL, 0)
  fcntl(fd, F_SETFL, nonBlocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK)
}

/**
 * `ioctl(fd, request, argument)` — a device's own request; returns the kernel's number.
 *
 * @param argument - an integer, or the memory that the request reads or writes. The caller answers for its
 * size: the kernel trusts the request's number.
 * @throws {@link SysError} `ENOTTY` the file knows no such request
 * @see https://man7.org/linux/man-pages/man2/ioctl.2.html
 */
export function ioctl(fd: AsFd, request: number, argument: number | Uint8Array = 0): number {
  const number = fdNumber(fd)
  const code = u32(request, 'request')
  return check(
    typeof argument === 'number'
      ? raw.ioctl(number, code, s64(argument, 'argument'))
      : raw.ioctlPointer(number, code, bytes(argument, 'argument')),
    'ioctl',
  )
}

/**
 * `ftruncate(fd, length)` — makes the file `lengthBytes` long, cutting it or adding a hole.
 *
 * @throws {@link SysError} `EINVAL` not a file opened for writing; `EFBIG` too long
 * @see https://man7.org/linux/man-pages/man2/truncate.2.html
 */
export function ftruncate(fd: AsFd, lengthBytes: number | bigint): void {
  check(raw.ftruncate(fdNumber(fd), s64(lengthBytes, 'lengthBytes')), 'ftruncate')
}

/**
 * `fsync(fd)` — returns when the file's data and metadata are on the disk. Blocks for as long as that takes.
 *
 * @throws {@link SysError} `EIO` data was lost; `EROFS`, `EINVAL` the file cannot be flushed
 * @see https://man7.org/linux/man-pages/man2/fsync.2.html
 */
export function fsync(fd: AsFd): void {
  check(raw.fsync(fdNumber(fd)), 'fsync')
}

/** `fdatasync(fd)` — {@link fsync} without metadata that is not needed to read the data back. Blocks. */
export function fdatasync(fd: AsFd): void {
  check(raw.fdatasync(fdNumber(fd)), 'fdatasync')
}

/**
 * `syncfs(fd)` — flushes the file system that holds `fd`. Blocks.
 *
 * @throws {@link SysError} `EIO` a write failed since the file was opened (since Linux 5.8)
 * @see https://man7.org/linux/man-pages/man2/syncfs.2.html
 */
export function syncfs(fd: AsFd): void {
  check(raw.syncfs(fdNumber(fd)), 'syncfs')
}

/** `sync()` — flushes all file systems. Blocks; never fails. */
export function sync(): void {
  raw.sync()
}

/**
 * `memfd_create(name, flags)` — an anonymous file in memory, close-on-exec in any case.
 *
 * @param name - shown in /proc/self/fd; at most 249 bytes
 * @param flags - MFD_ALLOW_SEALING, MFD_HUGETLB …
 * @see https://man7.org/linux/man-pages/man2/memfd_create.2.html
 */
export function memfd_create(name: string, flags: number): OwnedFd {
  const MFD_CLOEXEC = 1
  return new OwnedFd(
    check(raw.memfdCreate(cString(name, 'name'), u32(flags, 'flags') | MFD_CLOEXEC), 'memfd_create', name),
  )
}
