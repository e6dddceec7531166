// Descriptors that become readable by themselves: counters and timers. For waiting see `reactor`.
import { EFD_CLOEXEC, TFD_CLOEXEC } from './generated/constants/event.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber, OwnedFd } from './fd.ts'
import { bind } from './raw.ts'
import { u32 } from './raw/arguments.ts'
import { alloc } from './struct.ts'
import * as structs from './structs.ts'

const raw = {
  eventfd2: bind('eventfd2', 'int', 'int'),
  timerfdCreate: bind('timerfd_create', 'int', 'int'),
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

/** When a timer expires. */
export interface TimerSpec {
  /** First expiry, nanoseconds from now, or on the clock with TFD_TIMER_ABSTIME; 0n disarms. */
  valueNs: bigint
  /** Time between later expiries; 0n for none. */
  intervalNs?: bigint
}

/**
 * `timerfd_settime(fd, flags, new_value, old_value)` — arms a timer.
 *
 * @param flags - TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET
 * @see https://man7.org/linux/man-pages/man2/timerfd_create.2.html
 */
export function timerfd_settime(fd: AsFd, flags: number, spec: TimerSpec): void {
  const value = alloc(structs.__kernel_itimerspec)
  const second = 1_000_000_000n
  value.set('it_value.tv_sec', spec.valueNs / second)
  value.set('it_value.tv_nsec', spec.valueNs % second)
  value.set('it_interval.tv_sec', (spec.intervalNs ?? 0n) / second)
  value.set('it_interval.tv_nsec', (spec.intervalNs ?? 0n) % second)
  check(raw.timerfdSettime(fdNumber(fd), u32(flags, 'flags'), value.bytes, null), 'timerfd_settime')
}
