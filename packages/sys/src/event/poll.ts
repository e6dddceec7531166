// poll: waiting for a few descriptors at once, without a set.
import { check } from '../errno.ts'
import { type AsFd, fdNumber } from '../fd.ts'
import { bind } from '../raw.ts'
import { timespec } from '../raw/arguments.ts'

const raw = bind('ppoll', 'ptr', 'int', 'ptr', 'ptr', 'int')

/** A descriptor, and what to watch for. */
export interface Pollfd {
  /** Any descriptor. */
  fd: AsFd
  /** POLLIN, POLLOUT, POLLPRI, POLLRDHUP. */
  events: number
}

/**
 * `ppoll(fds, nfds, tmo_p, sigmask, sigsetsize)` — waits until one of `fds` is ready; returns what each is, in their
 * order: 0 for those that are not, POLLNVAL for those that are not open.
 *
 * Blocks this thread, unless `timeoutNs` is 0.
 *
 * @param timeoutNs - undefined: for ever
 * @throws {@link SysError} `EINTR` a signal came first; RangeError for `events` of more than 16 bits
 * @see https://man7.org/linux/man-pages/man2/poll.2.html
 *
 * @example
 * ```ts
 * import { POLLIN } from '@pkg/sys/constants'
 * import { eventfd2, ppoll } from '@pkg/sys/event'
 *
 * using first = eventfd2(0)
 * using second = eventfd2(1)
 * const [, state] = ppoll([first, second].map((fd) => ({ fd, events: POLLIN })), 0n)
 * console.assert(state === POLLIN)
 * ```
 */
export function ppoll(fds: readonly Pollfd[], timeoutNs?: number | bigint): number[] {
  // struct pollfd: int fd, short events, short revents.
  const memory = new DataView(new ArrayBuffer(8 * Math.max(fds.length, 1)))
  for (const [index, { fd, events }] of fds.entries()) {
    memory.setInt32(index * 8, fdNumber(fd), true)
    if (!Number.isInteger(events) || events < 0 || events > 0xffff)
      throw new RangeError(`events must be an integer of 16 bits: ${String(events)}`)
    memory.setUint16(index * 8 + 4, events, true)
  }
  const time = timeoutNs === undefined ? null : timespec(timeoutNs, 'timeoutNs')
  check(raw(memory, fds.length, time, null, 8), 'ppoll')
  return fds.map((_, index) => memory.getUint16(index * 8 + 6, true))
}
