// epoll: sets of descriptors that the kernel watches.
import { EPOLL_CLOEXEC, EPOLL_CTL_DEL } from '../generated/constants/event.ts'
import { check } from '../errno.ts'
import { type AsFd, fdNumber, OwnedFd } from '../fd.ts'
import { bind } from '../raw.ts'
import { s32, size, timespec, u32, u64 } from '../raw/arguments.ts'

const raw = {
  create1: bind('epoll_create1', 'int'),
  ctl: bind('epoll_ctl', 'int', 'int', 'int', 'ptr'),
  pwait: bind('epoll_pwait', 'int', 'ptr', 'int', 'int', 'ptr', 'int'),
  pwait2: bind('epoll_pwait2', 'int', 'ptr', 'int', 'ptr', 'ptr', 'int'),
}

// struct epoll_event (linux/eventpoll.h) is packed on x86-64 alone: 12 bytes there, 16 on arm64.
const eventSize = process.arch === 'x64' ? 12 : 16
const dataOffset = eventSize - 8

/** What happened, and to whom. */
export interface EpollEvent {
  /** EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR …, unsigned. */
  events: number
  /** What {@link epoll_ctl} was given. */
  data: bigint
}

/**
 * `epoll_create1(flags)` — an empty set, close-on-exec in any case.
 *
 * @throws {@link SysError} `EMFILE`
 * @see https://man7.org/linux/man-pages/man2/epoll_create.2.html
 */
export function epoll_create1(): OwnedFd {
  return new OwnedFd(check(raw.create1(EPOLL_CLOEXEC), 'epoll_create1'))
}

/**
 * `epoll_ctl(epfd, op, fd, event)` — puts a descriptor into a set, changes it there, or takes it out.
 *
 * @param operation - EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL
 * @param event - what to watch for (EPOLLIN …, EPOLLET, EPOLLONESHOT), and what to be told; unused for EPOLL_CTL_DEL
 * @throws {@link SysError} `EEXIST` it is there; `ENOENT` it is not; `EPERM` a file that is always ready; `ELOOP`
 * @see https://man7.org/linux/man-pages/man2/epoll_ctl.2.html
 */
export function epoll_ctl(epoll: AsFd, operation: number, fd: AsFd, event?: EpollEvent): void {
  if (event === undefined && operation !== EPOLL_CTL_DEL) throw new TypeError('event is missing')
  const struct = new DataView(new ArrayBuffer(eventSize))
  struct.setUint32(0, u32(event?.events ?? 0, 'events'), true)
  struct.setBigUint64(dataOffset, u64(event?.data ?? 0n, 'data'), true)
  check(raw.ctl(fdNumber(epoll), u32(operation, 'operation'), fdNumber(fd), struct), 'epoll_ctl')
}

function events(count: number): DataView {
  if (size(count, 'eventsMax') < 1 || count > 65_536) throw new RangeError(`eventsMax: ${count}`)
  return new DataView(new ArrayBuffer(count * eventSize))
}

function decode(memory: DataView, count: number): EpollEvent[] {
  return Array.from({ length: count }, (_, index) => ({
    events: memory.getUint32(index * eventSize, true),
    data: memory.getBigUint64(index * eventSize + dataOffset, true),
  }))
}

/**
 * `epoll_pwait(epfd, events, maxevents, timeout, sigmask, sigsetsize)` — waits until something of a set is ready.
 *
 * Blocks this thread, unless `timeoutMs` is 0; −1: for ever.
 *
 * @throws {@link SysError} `EINTR` a signal came first; RangeError for 2³¹ ms and more
 * @see https://man7.org/linux/man-pages/man2/epoll_wait.2.html
 */
export function epoll_pwait(epoll: AsFd, timeoutMs: number, eventsMax = 64): EpollEvent[] {
  const memory = events(eventsMax)
  const result = raw.pwait(fdNumber(epoll), memory, eventsMax, s32(timeoutMs, 'timeoutMs'), null, 8)
  return decode(memory, check(result, 'epoll_pwait'))
}

/**
 * `epoll_pwait2(epfd, events, maxevents, timeout, sigmask, sigsetsize)` — {@link epoll_pwait} to the nanosecond. Since:
 * Linux 5.11.
 *
 * @param timeoutNs - undefined: for ever
 */
export function epoll_pwait2(epoll: AsFd, timeoutNs?: number | bigint, eventsMax = 64): EpollEvent[] {
  const memory = events(eventsMax)
  const time = timeoutNs === undefined ? null : timespec(timeoutNs, 'timeoutNs')
  const result = raw.pwait2(fdNumber(epoll), memory, eventsMax, time, null, 8)
  return decode(memory, check(result, 'epoll_pwait2'))
}
