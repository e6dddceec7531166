// Watchdogs: devices that restart a machine which no longer says that it is well, by typed requests.
import {
  WDIOC_GETBOOTSTATUS,
  WDIOC_GETSUPPORT,
  WDIOC_GETTIMELEFT,
  WDIOC_GETTIMEOUT,
  WDIOC_KEEPALIVE,
  WDIOC_SETOPTIONS,
  WDIOC_SETTIMEOUT,
} from './generated/constants/device.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber } from './fd.ts'
import { bind } from './raw.ts'
import { fromCString, u32 } from './raw/arguments.ts'
import { alloc } from './struct.ts'
import * as structs from './generated/structs/device.ts'

const raw = bind('ioctl', 'int', 'int', 'ptr')

/** The kernel's `int` that a request reads, writes, or both. */
function exchange(fd: AsFd, request: number, value = 0): number {
  const word = new Int32Array(new ArrayBuffer(4))
  word[0] = value
  check(raw(fdNumber(fd), request, word), 'ioctl')
  return word[0]
}

/** What a watchdog is. */
export interface WatchdogInfo {
  /** WDIOF_SETTIMEOUT, WDIOF_MAGICCLOSE, WDIOF_PRETIMEOUT …: what it can. */
  options: number
  /** The version of its firmware. */
  firmware_version: number
  /** Its name: `i6300ESB timer`. */
  identity: string
}

/**
 * `ioctl(fd, WDIOC_GETSUPPORT, watchdog_info)` — what a watchdog is and can.
 *
 * @param fd - /dev/watchdog0. To open it starts it; to close it stops it only after a `V` was written, where the driver
 * is WDIOF_MAGICCLOSE
 * @throws {@link SysError} `ENOTTY` no watchdog
 * @see https://docs.kernel.org/watchdog/watchdog-api.html
 *
 * @example
 * ```ts no-run
 * import { AT_FDCWD, O_WRONLY } from '@pkg/sys/constants'
 * import { openat } from '@pkg/sys/fs'
 * import { write } from '@pkg/sys/io'
 * import { ioctl_wdioc_getsupport, ioctl_wdioc_keepalive, ioctl_wdioc_settimeout } from '@pkg/sys/watchdog'
 *
 * using watchdog = openat(AT_FDCWD, '/dev/watchdog0', O_WRONLY)
 * console.log(ioctl_wdioc_getsupport(watchdog).identity, ioctl_wdioc_settimeout(watchdog, 60))
 * for (let minute = 0; minute < 10; minute++) {
 *   ioctl_wdioc_keepalive(watchdog)
 *   await Bun.sleep(20_000)
 * }
 * write(watchdog, new TextEncoder().encode('V'))
 * ```
 */
export function ioctl_wdioc_getsupport(fd: AsFd): WatchdogInfo {
  const struct = alloc(structs.watchdog_info)
  check(raw(fdNumber(fd), WDIOC_GETSUPPORT, struct.bytes), 'ioctl')
  return {
    options: struct.get('options'),
    firmware_version: struct.get('firmware_version'),
    identity: fromCString(struct.get('identity')),
  }
}

/** `ioctl(fd, WDIOC_KEEPALIVE)` — says that the machine is well: the watchdog counts anew. */
export function ioctl_wdioc_keepalive(fd: AsFd): void {
  exchange(fd, WDIOC_KEEPALIVE)
}

/** `ioctl(fd, WDIOC_GETTIMEOUT, &timeout)` — seconds without a word after which the machine is restarted. */
export function ioctl_wdioc_gettimeout(fd: AsFd): number {
  return exchange(fd, WDIOC_GETTIMEOUT)
}

/**
 * `ioctl(fd, WDIOC_SETTIMEOUT, &timeout)` — sets after how many seconds the machine is restarted; returns what the
 * hardware made of it.
 *
 * @throws {@link SysError} `EINVAL` more or less than it can; `EOPNOTSUPP` it has a fixed time
 */
export function ioctl_wdioc_settimeout(fd: AsFd, seconds: number): number {
  return exchange(fd, WDIOC_SETTIMEOUT, u32(seconds, 'seconds'))
}

/** `ioctl(fd, WDIOC_GETTIMELEFT, &left)` — seconds until the machine is restarted; `EOPNOTSUPP` it does not tell. */
export function ioctl_wdioc_gettimeleft(fd: AsFd): number {
  return exchange(fd, WDIOC_GETTIMELEFT)
}

/** `ioctl(fd, WDIOC_GETBOOTSTATUS, &status)` — why the machine was started: WDIOF_CARDRESET when by the watchdog. */
export function ioctl_wdioc_getbootstatus(fd: AsFd): number {
  return exchange(fd, WDIOC_GETBOOTSTATUS)
}

/**
 * `ioctl(fd, WDIOC_SETOPTIONS, &options)` — stops or starts a watchdog.
 *
 * @param options - WDIOS_DISABLECARD, WDIOS_ENABLECARD
 * @throws {@link SysError} `EINVAL` neither; `EBUSY` it cannot be stopped
 */
export function ioctl_wdioc_setoptions(fd: AsFd, options: number): void {
  exchange(fd, WDIOC_SETOPTIONS, u32(options, 'options'))
}
