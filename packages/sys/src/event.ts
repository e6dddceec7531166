// Descriptors that become readable by themselves: counters and timers; and waiting for several, which
// blocks this thread: for waiting beside other work see `reactor`.
import { EFD_CLOEXEC, TFD_CLOEXEC } from './generated/constants/event.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber, OwnedFd } from './fd.ts'
import { bind } from './raw.ts'
import { u32 } from './raw/arguments.ts'
import { decodeTimerSpec, encodeTimerSpec, type TimerSpec } from './time/timers.ts'

export { epoll_create1, epoll_ctl, epoll_pwait, epoll_pwait2, type EpollEvent } from './event/epoll.ts'
export { type Pollfd, ppoll } from './event/poll.ts'

const raw = {
  eventfd2: bind('eventfd2', 'int', 'int'),
  timerfdCreate: bind('timerfd_create', 'int', 'int'),
  timerfdGettime: bind('timerfd_gettime', 'int', 'ptr'),
  timerfdSettime: bind('timerfd_settime', 'int', 'int', 'ptr', 'ptr'),
}

/**
 * `eventfd2(initval, flags)` — a counter: each write of eight bytes adds to it, a read takes it. Close-on-exec.
 *
 * @param flags - EFD_NONBLOCK, EFD_SEMAPHORE
 * @see https://man7.org/linux/man-pages/man2/eventfd.2.html
 */
export function eventfd2(initval: number, flags = 0): OwnedFd {
  return new OwnedFd(
    check(raw.eventfd2(u32(initval, 'initval'), u32(flags, 'flags') | EFD_CLOEXEC), 'eventfd2'),
  )
}

/**
 * `timerfd_create(clockid, flags)` — a timer that is readable when it has expired. Close-on-exec.
 *
 * @param flags - TFD_NONBLOCK
 * @see https://man7.org/linux/man-pages/man2/timerfd_create.2.html
 */
export function timerfd_create(clockid: number, flags = 0): OwnedFd {
  const result = raw.timerfdCreate(u32(clockid, 'clockid'), u32(flags, 'flags') | TFD_CLOEXEC)
  return new OwnedFd(check(result, 'timerfd_create'))
}

/**
 * `timerfd_settime(fd, flags, new_value, old_value)` — arms a timer; returns what was left before.
 *
 * @param flags - TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET
 * @throws {@link SysError} `EINVAL` no timer; RangeError for a negative time
 * @see https://man7.org/linux/man-pages/man2/timerfd_create.2.html
 */
export function timerfd_settime(fd: AsFd, flags: number, spec: TimerSpec): Required<TimerSpec> {
  const old = new BigInt64Array(new ArrayBuffer(32))
  const result = raw.timerfdSettime(fdNumber(fd), u32(flags, 'flags'), encodeTimerSpec(spec), old)
  check(result, 'timerfd_settime')
  return decodeTimerSpec(old)
}

/** `timerfd_gettime(fd, curr_value)` — what is left until a timer expires. */
export function timerfd_gettime(fd: AsFd): Required<TimerSpec> {
  const value = new BigInt64Array(new ArrayBuffer(32))
  check(raw.timerfdGettime(fdNumber(fd), value), 'timerfd_gettime')
  return decodeTimerSpec(value)
}
