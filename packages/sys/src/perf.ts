// perf_event_open: counters of the processor and of the kernel.
import {
  PERF_EVENT_IOC_DISABLE,
  PERF_EVENT_IOC_ENABLE,
  PERF_EVENT_IOC_RESET,
  PERF_FLAG_FD_CLOEXEC,
} from './generated/constants/perf.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber, OwnedFd } from './fd.ts'
import { bind } from './raw.ts'
import { s32, u32, u64 } from './raw/arguments.ts'
import { alloc } from './struct.ts'
import * as structs from './generated/structs/perf.ts'

const raw = {
  open: bind('perf_event_open', 'ptr', 'int', 'int', 'int', 'int'),
  read: bind('read', 'int', 'ptr', 'int'),
  ioctl: bind('ioctl', 'int', 'int', 'int'),
}

/** What to count: the fields of `struct perf_event_attr` that counting needs. */
export interface PerfEventOptions {
  /** PERF_TYPE_HARDWARE, PERF_TYPE_SOFTWARE, PERF_TYPE_TRACEPOINT … */
  type: number
  /** PERF_COUNT_HW_INSTRUCTIONS, PERF_COUNT_SW_PAGE_FAULTS …, by the type. */
  config: number | bigint
  /** The thread; 0: the calling one; −1: all, on `cpu`. */
  pid?: number
  /** The processor; −1: any. Default: −1. */
  cpu?: number
  /** The leader of a group. */
  group?: AsFd
  /** Begins only with {@link perf_event_enable}. */
  disabled?: boolean
  /** Counts children that are made later too. */
  inherit?: boolean
  /** Leaves the kernel's own work out, which needs no privilege where perf_event_paranoid is 2. */
  excludeKernel?: boolean
}

/** Bits of the flags word of `struct perf_event_attr`, at offset 40 (linux/perf_event.h). */
const attrBits = { disabled: 1n << 0n, inherit: 1n << 1n, exclude_kernel: 1n << 5n, exclude_hv: 1n << 6n }
const attrBitsOffset = 40

/**
 * `perf_event_open(attr, pid, cpu, group_fd, flags)` — a counter, close-on-exec.
 *
 * Needs: CAP_PERFMON, as /proc/sys/kernel/perf_event_paranoid says.
 *
 * @throws {@link SysError} `EACCES`, `EPERM`; `ENOENT` no such counter here; `EOPNOTSUPP`; `ESRCH`
 * @see https://man7.org/linux/man-pages/man2/perf_event_open.2.html
 *
 * @example
 * ```ts no-run
 * import { PERF_COUNT_SW_PAGE_FAULTS, PERF_TYPE_SOFTWARE } from '@pkg/sys/constants'
 * import { perf_event_open, perf_event_read } from '@pkg/sys/perf'
 *
 * using faults = perf_event_open({ type: PERF_TYPE_SOFTWARE, config: PERF_COUNT_SW_PAGE_FAULTS })
 * new Uint8Array(1 << 24).fill(1)
 * console.log(perf_event_read(faults), 'page faults')
 * ```
 */
export function perf_event_open(options: PerfEventOptions): OwnedFd {
  const { pid = 0, cpu = -1, group, disabled = false, inherit = false, excludeKernel = false } = options
  const attr = alloc(structs.perf_event_attr)
  attr.set('type', u32(options.type, 'type'))
  attr.set('size', attr.bytes.length)
  attr.set('config', u64(options.config, 'config'))
  const bits =
    (disabled ? attrBits.disabled : 0n) |
    (inherit ? attrBits.inherit : 0n) |
    (excludeKernel ? attrBits.exclude_kernel | attrBits.exclude_hv : 0n)
  new DataView(attr.bytes.buffer).setBigUint64(attrBitsOffset, bits, true)
  const leader = group === undefined ? -1 : fdNumber(group)
  const result = raw.open(attr.bytes, s32(pid, 'pid'), s32(cpu, 'cpu'), leader, PERF_FLAG_FD_CLOEXEC)
  return new OwnedFd(check(result, 'perf_event_open'))
}

/** What a counter of {@link perf_event_open} has counted. */
export function perf_event_read(fd: AsFd): bigint {
  const count = new BigUint64Array(new ArrayBuffer(8))
  check(raw.read(fdNumber(fd), count, 8), 'read')
  return count[0] ?? 0n
}

/** `ioctl(fd, PERF_EVENT_IOC_ENABLE, 0)` — begins to count. */
export function perf_event_enable(fd: AsFd): void {
  check(raw.ioctl(fdNumber(fd), PERF_EVENT_IOC_ENABLE, 0), 'ioctl')
}

/** `ioctl(fd, PERF_EVENT_IOC_DISABLE, 0)` — ceases to count. */
export function perf_event_disable(fd: AsFd): void {
  check(raw.ioctl(fdNumber(fd), PERF_EVENT_IOC_DISABLE, 0), 'ioctl')
}

/** `ioctl(fd, PERF_EVENT_IOC_RESET, 0)` — sets a counter to 0. */
export function perf_event_reset(fd: AsFd): void {
  check(raw.ioctl(fdNumber(fd), PERF_EVENT_IOC_RESET, 0), 'ioctl')
}
