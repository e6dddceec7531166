// The processor's scheduler: policies, real-time priorities, which processors. All of it is a single thread's.
import { check } from './errno.ts'
import { bind } from './raw.ts'
import { s32, u32, u64 } from './raw/arguments.ts'
import { alloc } from './struct.ts'
import * as structs from './generated/structs/process.ts'

const raw = {
  yield: bind('sched_yield'),
  priorityMax: bind('sched_get_priority_max', 'int'),
  priorityMin: bind('sched_get_priority_min', 'int'),
  getaffinity: bind('sched_getaffinity', 'int', 'int', 'ptr'),
  setaffinity: bind('sched_setaffinity', 'int', 'int', 'ptr'),
  getattr: bind('sched_getattr', 'int', 'ptr', 'int', 'int'),
  setattr: bind('sched_setattr', 'int', 'ptr', 'int'),
  getparam: bind('sched_getparam', 'int', 'ptr'),
  setparam: bind('sched_setparam', 'int', 'ptr'),
  getscheduler: bind('sched_getscheduler', 'int'),
  setscheduler: bind('sched_setscheduler', 'int', 'int', 'ptr'),
  rrGetInterval: bind('sched_rr_get_interval', 'int', 'ptr'),
}

/** Bytes of a set of processors: 8192 of them, the most that a kernel is built for (`NR_CPUS`). */
const cpuSetSize = 1024

/**
 * `sched_yield()` — lets another thread of the same priority run.
 *
 * @see https://man7.org/linux/man-pages/man2/sched_yield.2.html
 */
export function sched_yield(): void {
  check(raw.yield(), 'sched_yield')
}

/**
 * `sched_get_priority_max(policy)` — the highest priority of a policy.
 *
 * @param policy - SCHED_FIFO, SCHED_RR: 99; the others have 0 alone
 * @throws {@link SysError} `EINVAL` no such policy
 * @see https://man7.org/linux/man-pages/man2/sched_get_priority_max.2.html
 */
export function sched_get_priority_max(policy: number): number {
  return check(raw.priorityMax(u32(policy, 'policy')), 'sched_get_priority_max')
}

/** `sched_get_priority_min(policy)` — the lowest priority of a policy; see {@link sched_get_priority_max}. */
export function sched_get_priority_min(policy: number): number {
  return check(raw.priorityMin(u32(policy, 'policy')), 'sched_get_priority_min')
}

/**
 * `sched_getaffinity(pid, cpusetsize, mask)` — the processors that a thread may run on, in ascending order.
 *
 * @param pid - a thread's id; 0 for the calling one
 * @throws {@link SysError} `ESRCH` no such thread
 * @see https://man7.org/linux/man-pages/man2/sched_setaffinity.2.html
 *
 * @example
 * ```ts
 * import { sched_getaffinity } from '@pkg/sys/scheduler'
 *
 * console.assert(sched_getaffinity(0).length > 0)
 * ```
 */
export function sched_getaffinity(pid: number): number[] {
  const mask = new Uint8Array(new ArrayBuffer(cpuSetSize))
  check(raw.getaffinity(s32(pid, 'pid'), cpuSetSize, mask), 'sched_getaffinity')
  const cpus: number[] = []
  for (const [index, byte] of mask.entries()) {
    for (let bit = 0; bit < 8; bit++) if ((byte & (1 << bit)) !== 0) cpus.push(index * 8 + bit)
  }
  return cpus
}

/**
 * `sched_setaffinity(pid, cpusetsize, mask)` — sets the processors that a thread may run on.
 *
 * Changes one thread alone: the engine's others go on where they may; a child inherits.
 *
 * @throws {@link SysError} `EINVAL` none of them is there; `EPERM` another's; RangeError for what is no processor
 * @see https://man7.org/linux/man-pages/man2/sched_setaffinity.2.html
 */
export function sched_setaffinity(pid: number, cpus: readonly number[]): void {
  const mask = new Uint8Array(new ArrayBuffer(cpuSetSize))
  for (const cpu of cpus) {
    if (!Number.isInteger(cpu) || cpu < 0 || cpu >= cpuSetSize * 8)
      throw new RangeError(`not a processor: ${cpu}`)
    mask[cpu >> 3] = (mask[cpu >> 3] ?? 0) | (1 << (cpu & 7))
  }
  check(raw.setaffinity(s32(pid, 'pid'), cpuSetSize, mask), 'sched_setaffinity')
}

/** How a thread is scheduled: `struct sched_attr`. */
export interface SchedAttr {
  /** SCHED_OTHER (0), SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_IDLE, SCHED_DEADLINE. */
  sched_policy: number
  /** SCHED_FLAG_*. */
  sched_flags?: bigint
  /** −20 … 19, for SCHED_OTHER and SCHED_BATCH. */
  sched_nice?: number
  /** 1 … 99, for SCHED_FIFO and SCHED_RR. */
  sched_priority?: number
  /** For SCHED_DEADLINE, nanoseconds; for the others since Linux 6.12 the length of a slice. */
  sched_runtime?: bigint
  /** For SCHED_DEADLINE, nanoseconds. */
  sched_deadline?: bigint
  /** For SCHED_DEADLINE, nanoseconds. */
  sched_period?: bigint
}

/**
 * `sched_getattr(pid, attr, size, flags)` — how a thread is scheduled.
 *
 * @param pid - a thread's id; 0 for the calling one
 * @throws {@link SysError} `ESRCH` no such thread
 * @see https://man7.org/linux/man-pages/man2/sched_setattr.2.html
 */
export function sched_getattr(pid: number): Required<SchedAttr> {
  const attr = alloc(structs.sched_attr)
  check(raw.getattr(s32(pid, 'pid'), attr.bytes, attr.bytes.length, 0), 'sched_getattr')
  return {
    sched_policy: attr.get('sched_policy'),
    sched_flags: attr.get('sched_flags'),
    sched_nice: attr.get('sched_nice'),
    sched_priority: attr.get('sched_priority'),
    sched_runtime: attr.get('sched_runtime'),
    sched_deadline: attr.get('sched_deadline'),
    sched_period: attr.get('sched_period'),
  }
}

/**
 * `sched_setattr(pid, attr, flags)` — sets how a thread is scheduled. Changes one thread alone.
 *
 * @throws {@link SysError} `EPERM` without CAP_SYS_NICE; `EINVAL`; `EBUSY` no room for that deadline
 * @see https://man7.org/linux/man-pages/man2/sched_setattr.2.html
 */
export function sched_setattr(pid: number, attr: SchedAttr): void {
  const struct = alloc(structs.sched_attr)
  struct.set('size', struct.bytes.length)
  struct.set('sched_policy', attr.sched_policy)
  struct.set('sched_flags', u64(attr.sched_flags ?? 0, 'sched_flags'))
  struct.set('sched_nice', attr.sched_nice ?? 0)
  struct.set('sched_priority', attr.sched_priority ?? 0)
  struct.set('sched_runtime', u64(attr.sched_runtime ?? 0, 'sched_runtime'))
  struct.set('sched_deadline', u64(attr.sched_deadline ?? 0, 'sched_deadline'))
  struct.set('sched_period', u64(attr.sched_period ?? 0, 'sched_period'))
  check(raw.setattr(s32(pid, 'pid'), struct.bytes, 0), 'sched_setattr')
}

/**
 * `sched_getparam(pid, param)` — a thread's real-time priority; 0 for policies without.
 *
 * @see https://man7.org/linux/man-pages/man2/sched_setparam.2.html
 */
export function sched_getparam(pid: number): number {
  const priority = new Int32Array(new ArrayBuffer(4))
  check(raw.getparam(s32(pid, 'pid'), priority), 'sched_getparam')
  return priority[0] ?? 0
}

/** `sched_setparam(pid, param)` — sets a thread's real-time priority, within its policy. One thread alone. */
export function sched_setparam(pid: number, priority: number): void {
  check(raw.setparam(s32(pid, 'pid'), parameters(priority)), 'sched_setparam')
}

/**
 * `sched_getscheduler(pid)` — a thread's policy, with SCHED_RESET_ON_FORK where that is set.
 *
 * @see https://man7.org/linux/man-pages/man2/sched_setscheduler.2.html
 */
export function sched_getscheduler(pid: number): number {
  return check(raw.getscheduler(s32(pid, 'pid')), 'sched_getscheduler')
}

/**
 * `sched_setscheduler(pid, policy, param)` — sets a thread's policy and real-time priority. Changes one thread alone.
 *
 * @param priority - 1 … 99 for SCHED_FIFO and SCHED_RR, else 0
 * @throws {@link SysError} `EPERM` without CAP_SYS_NICE; `EINVAL`
 * @see https://man7.org/linux/man-pages/man2/sched_setscheduler.2.html
 */
export function sched_setscheduler(pid: number, policy: number, priority: number): void {
  const result = raw.setscheduler(s32(pid, 'pid'), u32(policy, 'policy'), parameters(priority))
  check(result, 'sched_setscheduler')
}

/** `struct sched_param` has one field. */
function parameters(priority: number): Int32Array {
  const words = new Int32Array(new ArrayBuffer(4))
  words[0] = u32(priority, 'priority')
  return words
}

/**
 * `sched_rr_get_interval(pid, tp)` — how long a thread may run before the next of its priority, in nanoseconds.
 *
 * @see https://man7.org/linux/man-pages/man2/sched_rr_get_interval.2.html
 */
export function sched_rr_get_interval(pid: number): bigint {
  const time = new BigInt64Array(new ArrayBuffer(16))
  check(raw.rrGetInterval(s32(pid, 'pid'), time), 'sched_rr_get_interval')
  return (time[0] ?? 0n) * 1_000_000_000n + (time[1] ?? 0n)
}
