// The clock's own state: how it is steered, and the old calls in microseconds.
import { check } from '../errno.ts'
import { bind } from '../raw.ts'
import { s32, timeOf, u32 } from '../raw/arguments.ts'
import { alloc, type StructView } from '../struct.ts'
import * as structs from '../generated/structs/time.ts'

const raw = {
  adjtimex: bind('adjtimex', 'ptr'),
  clockAdjtime: bind('clock_adjtime', 'int', 'ptr'),
  gettimeofday: bind('gettimeofday', 'ptr', 'ptr'),
  settimeofday: bind('settimeofday', 'ptr', 'ptr'),
}

/** `struct timex` and the state of the clock. */
export interface ClockState {
  /** TIME_OK, TIME_INS (a leap second comes), TIME_ERROR (not synchronised) … */
  state: number
  /** All that the kernel says: `offset`, `freq`, `maxerror`, `status`, `tick`, `tai` … */
  timex: StructView<typeof structs.__kernel_timex>
}

/**
 * `clock_adjtime(clockid, buf)` — how a clock is steered, and with `change` steers it. Needs: CAP_SYS_TIME to change.
 *
 * @param change - sets fields of the struct, `modes` (ADJ_FREQUENCY, ADJ_OFFSET, ADJ_SETOFFSET …) among them
 * @throws {@link SysError} `EPERM`; `EINVAL` a value that cannot be; `EOPNOTSUPP` no such clock
 * @see https://man7.org/linux/man-pages/man2/adjtimex.2.html
 *
 * @example
 * ```ts
 * import { CLOCK_REALTIME } from '@pkg/sys/constants'
 * import { clock_adjtime } from '@pkg/sys/time'
 *
 * const { timex } = clock_adjtime(CLOCK_REALTIME)
 * console.log(`${timex.get('tick')} µs a tick, TAI − UTC ${timex.get('tai')} s`)
 * ```
 */
export function clock_adjtime(clockid: number, change?: (timex: ClockState['timex']) => void): ClockState {
  const timex = alloc(structs.__kernel_timex)
  change?.(timex)
  const state = check(raw.clockAdjtime(u32(clockid, 'clockid'), timex.bytes), 'clock_adjtime')
  return { state, timex }
}

/** `adjtimex(buf)` — {@link clock_adjtime} of CLOCK_REALTIME. */
export function adjtimex(change?: (timex: ClockState['timex']) => void): ClockState {
  const timex = alloc(structs.__kernel_timex)
  change?.(timex)
  const state = check(raw.adjtimex(timex.bytes), 'adjtimex')
  return { state, timex }
}

/** The kernel's time zone, which only FAT and the clock of the mainboard heed. */
export interface KernelTimezone {
  /** Minutes west of Greenwich. */
  tz_minuteswest: number
  /** Unused; kept as it is set. */
  tz_dsttime: number
}

/**
 * `gettimeofday(tv, tz)` — the time, in microseconds since 1970, and the kernel's time zone. `clock_gettime` is finer.
 *
 * @see https://man7.org/linux/man-pages/man2/gettimeofday.2.html
 */
export function gettimeofday(): { timeUs: bigint; timezone: KernelTimezone } {
  const time = new BigInt64Array(new ArrayBuffer(16))
  const zone = new Int32Array(new ArrayBuffer(8))
  check(raw.gettimeofday(time, zone), 'gettimeofday')
  return {
    timeUs: (time[0] ?? 0n) * 1_000_000n + (time[1] ?? 0n),
    timezone: { tz_minuteswest: zone[0] ?? 0, tz_dsttime: zone[1] ?? 0 },
  }
}

/**
 * `settimeofday(tv, tz)` — sets the clock, the kernel's time zone, or both. Needs: CAP_SYS_TIME.
 *
 * The first call after boot that sets a zone other than 0 moves the clock by it. `clock_settime` is finer.
 *
 * @throws {@link SysError} `EPERM`; `EINVAL`; RangeError for a negative time or more than 64 bits
 * @see https://man7.org/linux/man-pages/man2/gettimeofday.2.html
 */
export function settimeofday(value: { timeUs?: bigint; timezone?: KernelTimezone }): void {
  const { timeUs, timezone } = value
  const time = timeUs === undefined ? null : new BigInt64Array(new ArrayBuffer(16))
  if (timeUs !== undefined) {
    timeOf(timeUs, 'timeUs')
    time?.set([timeUs / 1_000_000n, timeUs % 1_000_000n])
  }
  const zone = timezone === undefined ? null : new Int32Array(new ArrayBuffer(8))
  if (timezone !== undefined)
    zone?.set([s32(timezone.tz_minuteswest, 'tz_minuteswest'), s32(timezone.tz_dsttime, 'tz_dsttime')])
  check(raw.settimeofday(time, zone), 'settimeofday')
}
