// Clocks. Times are nanoseconds in a bigint.
import { check } from './errno.ts'
import { bind } from './raw.ts'
import { timeOf, u32 } from './raw/arguments.ts'

export {
  adjtimex,
  clock_adjtime,
  type ClockState,
  gettimeofday,
  type KernelTimezone,
  settimeofday,
} from './time/adjust.ts'
export {
  clock_nanosleep,
  getitimer,
  nanosleep,
  setitimer,
  timer_create,
  timer_delete,
  timer_getoverrun,
  timer_gettime,
  timer_settime,
  type TimerSpec,
} from './time/timers.ts'

const raw = {
  clockGettime: bind('clock_gettime', 'int', 'ptr'),
  clockSettime: bind('clock_settime', 'int', 'ptr'),
  clockGetres: bind('clock_getres', 'int', 'ptr'),
}

const nanosecondsPerSecond = 1_000_000_000n

/** `struct __kernel_timespec`: seconds, nanoseconds. */
const timespec = new BigInt64Array(new ArrayBuffer(16))

function fromTimespec(): bigint {
  return (timespec[0] ?? 0n) * nanosecondsPerSecond + (timespec[1] ?? 0n)
}

/**
 * `clock_gettime(clockid, tp)` — the time of a clock, in nanoseconds.
 *
 * @param clockid - CLOCK_REALTIME (since 1970), CLOCK_MONOTONIC, CLOCK_BOOTTIME (with suspend) …
 * @throws {@link SysError} `EINVAL` no such clock
 * @see https://man7.org/linux/man-pages/man2/clock_gettime.2.html
 *
 * @example
 * ```ts
 * import { CLOCK_BOOTTIME } from '@pkg/sys/constants'
 * import { clock_gettime } from '@pkg/sys/time'
 *
 * console.assert(clock_gettime(CLOCK_BOOTTIME) > 0n)
 * ```
 */
export function clock_gettime(clockid: number): bigint {
  check(raw.clockGettime(u32(clockid, 'clockid'), timespec), 'clock_gettime')
  return fromTimespec()
}

/**
 * `clock_settime(clockid, tp)` — sets a clock. Needs: CAP_SYS_TIME.
 *
 * @param timeNs - for CLOCK_REALTIME, nanoseconds since 1970
 * @throws {@link SysError} `EPERM`; `EINVAL` not settable, or before the machine's start; RangeError for more
 * than 64 bits
 */
export function clock_settime(clockid: number, timeNs: bigint): void {
  timeOf(timeNs, 'timeNs')
  timespec[0] = timeNs / nanosecondsPerSecond
  timespec[1] = timeNs % nanosecondsPerSecond
  check(raw.clockSettime(u32(clockid, 'clockid'), timespec), 'clock_settime')
}

/** `clock_getres(clockid, res)` — the resolution of a clock, in nanoseconds. */
export function clock_getres(clockid: number): bigint {
  check(raw.clockGetres(u32(clockid, 'clockid'), timespec), 'clock_getres')
  return fromTimespec()
}
