// Moving bytes between descriptors inside the kernel.
import { check } from '../errno.ts'
import { type AsFd, fdNumber } from '../fd.ts'
import { liveMapping } from '../memory/mapping.ts'
import type { Mapping } from '../memory.ts'
import { bind } from '../raw.ts'
import { size, s64, u32 } from '../raw/arguments.ts'

const raw = {
  copyFileRange: bind('copy_file_range', 'int', 'ptr', 'int', 'ptr', 'int', 'int'),
  sendfile: bind('sendfile', 'int', 'int', 'ptr', 'int'),
  splice: bind('splice', 'int', 'ptr', 'int', 'ptr', 'int', 'int'),
  tee: bind('tee', 'int', 'int', 'int', 'int'),
  vmsplice: bind('vmsplice', 'int', 'ptr', 'int', 'int'),
}

/** A place in a descriptor: with an offset (bytes), or without one at the file position, which moves. */
export interface TransferEnd {
  /** The file, pipe or socket. */
  fd: AsFd
  /** Where in a file; none for pipes and sockets. */
  offset?: number | bigint
}

/** The offset as the kernel reads it; it writes the new one back, which nobody needs. */
function offsetOf({ offset }: TransferEnd): BigInt64Array | null {
  if (offset === undefined) return null
  const word = new BigInt64Array(new ArrayBuffer(8))
  word[0] = BigInt(s64(offset, 'offset'))
  return word
}

/**
 * `copy_file_range(fd_in, off_in, fd_out, off_out, size, flags)` — copies between files, sharing blocks or on the server
 * where the file system can; returns how many bytes, 0 at the end.
 *
 * Blocks: on slow media. Since: Linux 4.5; between file systems 5.3.
 *
 * @throws {@link SysError} `EXDEV` file systems that cannot; `EINVAL` overlapping ranges, or no regular file
 * @see https://man7.org/linux/man-pages/man2/copy_file_range.2.html
 */
export function copy_file_range(from: TransferEnd, to: TransferEnd, sizeBytes: number, flags = 0): number {
  const result = raw.copyFileRange(
    fdNumber(from.fd),
    offsetOf(from),
    fdNumber(to.fd),
    offsetOf(to),
    size(sizeBytes, 'sizeBytes'),
    u32(flags, 'flags'),
  )
  return check(result, 'copy_file_range')
}

/**
 * `sendfile(out_fd, in_fd, offset, count)` — sends part of a file; returns how many bytes, at most 2 GiB a call.
 *
 * Blocks: yes, unless the target is non-blocking.
 *
 * @throws {@link SysError} `EAGAIN` no room now; `EINVAL` the source cannot be mapped
 * @see https://man7.org/linux/man-pages/man2/sendfile.2.html
 */
export function sendfile(to: AsFd, from: TransferEnd, sizeBytes: number): number {
  const result = raw.sendfile(fdNumber(to), fdNumber(from.fd), offsetOf(from), size(sizeBytes, 'sizeBytes'))
  return check(result, 'sendfile')
}

/**
 * `splice(fd_in, off_in, fd_out, off_out, size, flags)` — moves bytes between a pipe and anything else, without a copy
 * where that can be; returns how many, 0 at the end.
 *
 * Blocks: yes, without SPLICE_F_NONBLOCK.
 *
 * @throws {@link SysError} `EINVAL` neither is a pipe; `EAGAIN`; `ESPIPE` an offset for a pipe
 * @see https://man7.org/linux/man-pages/man2/splice.2.html
 *
 * @example
 * ```ts
 * import { AT_FDCWD, O_RDONLY } from '@pkg/sys/constants'
 * import { openat } from '@pkg/sys/fs'
 * import { pipe2, splice } from '@pkg/sys/io'
 *
 * using file = openat(AT_FDCWD, '/etc/hostname', O_RDONLY)
 * using pipe = pipe2(0)
 * console.assert(splice({ fd: file, offset: 0 }, { fd: pipe.write }, 4096) > 0)
 * ```
 */
export function splice(from: TransferEnd, to: TransferEnd, sizeBytes: number, flags = 0): number {
  const result = raw.splice(
    fdNumber(from.fd),
    offsetOf(from),
    fdNumber(to.fd),
    offsetOf(to),
    size(sizeBytes, 'sizeBytes'),
    u32(flags, 'flags'),
  )
  return check(result, 'splice')
}

/**
 * `tee(fd_in, fd_out, size, flags)` — copies what is in one pipe into another, and leaves it there; returns how much.
 *
 * @throws {@link SysError} `EINVAL` both ends of one pipe, or no pipe; `EAGAIN` with SPLICE_F_NONBLOCK
 * @see https://man7.org/linux/man-pages/man2/tee.2.html
 */
export function tee(from: AsFd, to: AsFd, sizeBytes: number, flags = 0): number {
  return check(
    raw.tee(fdNumber(from), fdNumber(to), size(sizeBytes, 'sizeBytes'), u32(flags, 'flags')),
    'tee',
  )
}

/**
 * `vmsplice(fd, iov, nr_segs, flags)` — puts the pages of a mapping into a pipe, or copies from the pipe into it; returns
 * how many bytes.
 *
 * The pipe keeps the pages themselves: what is written to the mapping before they are read shows in the pipe. Memory of
 * the engine's heap is not taken for that reason: it may be other data's by then.
 *
 * @param mapping - from `mmap`
 * @param sizeBytes - how much of it, from its begin; default: all
 * @param flags - SPLICE_F_NONBLOCK
 * @throws {@link SysError} `EBADF` no pipe; `EAGAIN` no room now
 * @see https://man7.org/linux/man-pages/man2/vmsplice.2.html
 */
export function vmsplice(
  pipe: AsFd,
  mapping: Mapping,
  sizeBytes: number = mapping.bytes.length,
  flags = 0,
): number {
  const SPLICE_F_GIFT = 8
  const options = u32(flags, 'flags')
  if ((options & SPLICE_F_GIFT) !== 0) throw new RangeError('vmsplice: the pages cannot be given away')
  if (size(sizeBytes, 'sizeBytes') > liveMapping(mapping).bytes.length) {
    throw new RangeError(`sizeBytes: the mapping has ${mapping.bytes.length}`)
  }
  const vector = new BigUint64Array(new ArrayBuffer(16))
  vector.set([BigInt(mapping.address), BigInt(sizeBytes)])
  return check(raw.vmsplice(fdNumber(pipe), vector, 1, options), 'vmsplice')
}
