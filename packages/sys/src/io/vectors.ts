// Reading and writing several buffers at once.
import { check } from '../errno.ts'
import { type AsFd, fdNumber } from '../fd.ts'
import { bind } from '../raw.ts'
import { s64, u32 } from '../raw/arguments.ts'
import { withVectors } from '../raw/vectors.ts'

const raw = {
  readv: bind('readv', 'int', 'ptr', 'int'),
  writev: bind('writev', 'int', 'ptr', 'int'),
  preadv: bind('preadv', 'int', 'ptr', 'int', 'int', 'int'),
  pwritev: bind('pwritev', 'int', 'ptr', 'int', 'int', 'int'),
  preadv2: bind('preadv2', 'int', 'ptr', 'int', 'int', 'int', 'int'),
  pwritev2: bind('pwritev2', 'int', 'ptr', 'int', 'int', 'int', 'int'),
}

/**
 * `readv(fd, iov, iovcnt)` — reads into one buffer after the other; returns how many bytes.
 *
 * Blocks: yes, unless the file is O_NONBLOCK.
 *
 * @throws {@link SysError} as `read`; RangeError for more than 1024 buffers
 * @see https://man7.org/linux/man-pages/man2/readv.2.html
 */
export function readv(fd: AsFd, buffers: readonly Uint8Array[]): number {
  const number = fdNumber(fd)
  return check(
    withVectors(buffers, (vectors, count) => raw.readv(number, vectors, count)),
    'readv',
  )
}

/**
 * `writev(fd, iov, iovcnt)` — writes several buffers as one; returns how many bytes were taken.
 *
 * @throws {@link SysError} as `write`; RangeError for more than 1024 buffers
 * @see https://man7.org/linux/man-pages/man2/writev.2.html
 *
 * @example
 * ```ts
 * import { pipe2, read, writev } from '@pkg/sys/io'
 *
 * using pipe = pipe2(0)
 * const [header, body] = ['a: b\n\n', 'text'].map((part) => new TextEncoder().encode(part))
 * writev(pipe.write, [header!, body!])
 * console.assert(read(pipe.read, new Uint8Array(64)) === 10)
 * ```
 */
export function writev(fd: AsFd, buffers: readonly Uint8Array[]): number {
  const number = fdNumber(fd)
  return check(
    withVectors(buffers, (vectors, count) => raw.writev(number, vectors, count)),
    'writev',
  )
}

/**
 * `preadv(fd, iov, iovcnt, offset)` — {@link readv} at `offset` (bytes), without moving the file position.
 *
 * @throws {@link SysError} `ESPIPE` a pipe or socket
 * @see https://man7.org/linux/man-pages/man2/preadv.2.html
 */
export function preadv(fd: AsFd, buffers: readonly Uint8Array[], offset: number | bigint): number {
  const [number, at] = [fdNumber(fd), s64(offset, 'offset')]
  // The offset is one register on 64-bit machines; its high half is the fifth argument, unused there.
  return check(
    withVectors(buffers, (vectors, count) => raw.preadv(number, vectors, count, at, 0)),
    'preadv',
  )
}

/**
 * `pwritev(fd, iov, iovcnt, offset)` — {@link writev} at `offset` (bytes), without moving the file position.
 *
 * @throws {@link SysError} `ESPIPE` a pipe or socket
 * @see https://man7.org/linux/man-pages/man2/pwritev.2.html
 */
export function pwritev(fd: AsFd, buffers: readonly Uint8Array[], offset: number | bigint): number {
  const [number, at] = [fdNumber(fd), s64(offset, 'offset')]
  return check(
    withVectors(buffers, (vectors, count) => raw.pwritev(number, vectors, count, at, 0)),
    'pwritev',
  )
}

/**
 * `preadv2(fd, iov, iovcnt, offset, flags)` — {@link preadv} with flags for this one call.
 *
 * @param offset - −1: the file position, which moves
 * @param flags - RWF_NOWAIT (only what is in memory), RWF_HIPRI, RWF_DONTCACHE …
 * @throws {@link SysError} `EAGAIN` RWF_NOWAIT would have to wait; `EOPNOTSUPP` a flag that the file does not know
 * @see https://man7.org/linux/man-pages/man2/preadv2.2.html
 */
export function preadv2(
  fd: AsFd,
  buffers: readonly Uint8Array[],
  offset: number | bigint,
  flags: number,
): number {
  const [number, at, options] = [fdNumber(fd), s64(offset, 'offset'), u32(flags, 'flags')]
  return check(
    withVectors(buffers, (vectors, count) => raw.preadv2(number, vectors, count, at, 0, options)),
    'preadv2',
  )
}

/**
 * `pwritev2(fd, iov, iovcnt, offset, flags)` — {@link pwritev} with flags for this one call.
 *
 * @param offset - −1: the file position, which moves
 * @param flags - RWF_DSYNC, RWF_SYNC, RWF_APPEND, RWF_NOAPPEND, RWF_ATOMIC …
 * @throws {@link SysError} `EOPNOTSUPP` a flag that the file does not know
 * @see https://man7.org/linux/man-pages/man2/pwritev2.2.html
 */
export function pwritev2(
  fd: AsFd,
  buffers: readonly Uint8Array[],
  offset: number | bigint,
  flags: number,
): number {
  const [number, at, options] = [fdNumber(fd), s64(offset, 'offset'), u32(flags, 'flags')]
  return check(
    withVectors(buffers, (vectors, count) => raw.pwritev2(number, vectors, count, at, 0, options)),
    'pwritev2',
  )
}
