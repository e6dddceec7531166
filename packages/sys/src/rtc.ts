// The clock of the mainboard, which goes on while the machine is off, by typed requests.
import { RTC_RD_TIME, RTC_SET_TIME, RTC_WKALM_RD, RTC_WKALM_SET } from './generated/constants/device.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber } from './fd.ts'
import { bind } from './raw.ts'
import { alloc } from './struct.ts'
import * as structs from './generated/structs/device.ts'

const raw = bind('ioctl', 'int', 'int', 'ptr')

/** A time in the fields of the kernel's `struct rtc_time`. Whether it is UTC is up to the machine: Linux keeps it so. */
export interface RtcTime {
  /** Seconds, 0 to 59. */
  tm_sec: number
  /** Minutes, 0 to 59. */
  tm_min: number
  /** Hours, 0 to 23. */
  tm_hour: number
  /** Day of the month, from 1. */
  tm_mday: number
  /** Month, from 0. */
  tm_mon: number
  /** Years since 1900. */
  tm_year: number
}

const fields = ['tm_sec', 'tm_min', 'tm_hour', 'tm_mday', 'tm_mon', 'tm_year'] as const

/**
 * `ioctl(fd, RTC_RD_TIME, rtc_time)` — what a clock shows.
 *
 * @param fd - /dev/rtc0
 * @throws {@link SysError} `EINVAL` the clock has lost its time; `ENOTTY` no clock
 * @see https://man7.org/linux/man-pages/man4/rtc.4.html
 *
 * @example
 * ```ts no-run
 * import { AT_FDCWD, O_RDONLY } from '@pkg/sys/constants'
 * import { openat } from '@pkg/sys/fs'
 * import { ioctl_rtc_rd_time } from '@pkg/sys/rtc'
 *
 * using clock = openat(AT_FDCWD, '/dev/rtc0', O_RDONLY)
 * const { tm_year, tm_mon, tm_mday, tm_hour, tm_min, tm_sec } = ioctl_rtc_rd_time(clock)
 * console.log(new Date(Date.UTC(tm_year + 1900, tm_mon, tm_mday, tm_hour, tm_min, tm_sec)))
 * ```
 */
export function ioctl_rtc_rd_time(fd: AsFd): RtcTime {
  const struct = alloc(structs.rtc_time)
  check(raw(fdNumber(fd), RTC_RD_TIME, struct.bytes), 'ioctl')
  return {
    tm_sec: struct.get('tm_sec'),
    tm_min: struct.get('tm_min'),
    tm_hour: struct.get('tm_hour'),
    tm_mday: struct.get('tm_mday'),
    tm_mon: struct.get('tm_mon'),
    tm_year: struct.get('tm_year'),
  }
}

/**
 * `ioctl(fd, RTC_SET_TIME, rtc_time)` — sets a clock. Needs: CAP_SYS_TIME.
 *
 * @throws {@link SysError} `EINVAL` no such time; `EACCES`
 */
export function ioctl_rtc_set_time(fd: AsFd, time: RtcTime): void {
  const struct = alloc(structs.rtc_time)
  for (const field of fields) struct.set(field, time[field])
  check(raw(fdNumber(fd), RTC_SET_TIME, struct.bytes), 'ioctl')
}

/** When a clock wakes the machine. */
export interface RtcAlarm {
  /** Whether it will. */
  enabled: boolean
  /** Whether it has, and nobody has taken notice yet. */
  pending: boolean
  /** When. */
  time: RtcTime
}

/**
 * `ioctl(fd, RTC_WKALM_RD, rtc_wkalrm)` — when a clock wakes the machine.
 *
 * @throws {@link SysError} `EINVAL` it cannot
 */
export function ioctl_rtc_wkalm_rd(fd: AsFd): RtcAlarm {
  const struct = alloc(structs.rtc_wkalrm)
  check(raw(fdNumber(fd), RTC_WKALM_RD, struct.bytes), 'ioctl')
  return {
    enabled: struct.get('enabled') !== 0,
    pending: struct.get('pending') !== 0,
    time: {
      tm_sec: struct.get('time.tm_sec'),
      tm_min: struct.get('time.tm_min'),
      tm_hour: struct.get('time.tm_hour'),
      tm_mday: struct.get('time.tm_mday'),
      tm_mon: struct.get('time.tm_mon'),
      tm_year: struct.get('time.tm_year'),
    },
  }
}

/**
 * `ioctl(fd, RTC_WKALM_SET, rtc_wkalrm)` — has a clock wake the machine, also from being off where the hardware can; it
 * becomes readable then, too. Needs: CAP_SYS_TIME.
 *
 * @param time - null: it wakes no more
 * @throws {@link SysError} `EINVAL` the time is past, or the clock has no alarm; `EACCES`
 */
export function ioctl_rtc_wkalm_set(fd: AsFd, time: RtcTime | null): void {
  const struct = alloc(structs.rtc_wkalrm)
  const at = time ?? ioctl_rtc_rd_time(fd)
  for (const field of fields) struct.set(`time.${field}`, at[field])
  struct.set('enabled', time === null ? 0 : 1)
  check(raw(fdNumber(fd), RTC_WKALM_SET, struct.bytes), 'ioctl')
}
