// Descriptors as numbers: closing many, giving one the lowest free number.
import { check } from '../errno.ts'
import { type AsFd, fdNumber, OwnedFd } from '../fd.ts'
import { bind } from '../raw.ts'
import { u32 } from '../raw/arguments.ts'

const raw = {
  close: bind('close', 'int'),
  closeRange: bind('close_range', 'int', 'int', 'int'),
  dup: bind('dup', 'int'),
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
