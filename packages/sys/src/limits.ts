// What processes may use and have used: resource limits, usage, priorities of processor and disk.
import { IOPRIO_CLASS_SHIFT, RLIM_INFINITY, RUSAGE_SELF } from './generated/constants/process.ts'
import { rusage } from './generated/structs/process.ts'
import { tms } from './generated/structs/time.ts'
import { check } from './errno.ts'
import { ioPriorityNumber } from './limits/io-priority.ts'
import { decodeRusage, type Rusage } from './limits/rusage.ts'
import { bind } from './raw.ts'
import { s32, u32 } from './raw/arguments.ts'
import { alloc } from './struct.ts'

export { decodeRusage, type Rusage } from './limits/rusage.ts'

const raw = {
  prlimit64: bind('prlimit64', 'int', 'int', 'ptr', 'ptr'),
  getrlimit: bind('getrlimit', 'int', 'ptr'),
  setrlimit: bind('setrlimit', 'int', 'ptr'),
  getrusage: bind('getrusage', 'int', 'ptr'),
  times: bind('times', 'ptr'),
  getpriority: bind('getpriority', 'int', 'int'),
  setpriority: bind('setpriority', 'int', 'int', 'int'),
  ioprioGet: bind('ioprio_get', 'int', 'int'),
  ioprioSet: bind('ioprio_set', 'int', 'int', 'int'),
}

/** A soft limit, and how far the process may raise it itself. Infinity for none. */
export interface ResourceLimit {
  /** What holds now. */
  soft: number
  /** What the soft one may become. */
  hard: number
}

function fromWord(word: bigint): number {
  return word === RLIM_INFINITY ? Infinity : Number(word)
}

function toWord(limit: number, name: string): bigint {
  if (limit === Infinity) return RLIM_INFINITY
  if (!Number.isSafeInteger(limit) || limit < 0) throw new RangeError(`${name}: ${limit}`)
  return BigInt(limit)
}

function encodeLimit(limit: ResourceLimit): BigUint64Array {
  const words = new BigUint64Array(new ArrayBuffer(16))
  words.set([toWord(limit.soft, 'soft'), toWord(limit.hard, 'hard')])
  return words
}

function decodeLimit(words: BigUint64Array): ResourceLimit {
  return { soft: fromWord(words[0] ?? 0n), hard: fromWord(words[1] ?? 0n) }
}

/**
 * `prlimit64(pid, resource, new_limit, old_limit)` — a resource limit of a process, and with `limit` sets it.
 *
 * @param pid - 0 for this process
 * @param resource - RLIMIT_NOFILE, RLIMIT_CORE, RLIMIT_MEMLOCK …
 * @returns the limit as it was before
 * @throws {@link SysError} `EPERM` another's process, or raising `hard` without CAP_SYS_RESOURCE; `EINVAL`; `ESRCH`
 * @see https://man7.org/linux/man-pages/man2/getrlimit.2.html
 *
 * @example
 * ```ts
 * import { RLIMIT_CORE, RLIMIT_NOFILE } from '@pkg/sys/constants'
 * import { prlimit64 } from '@pkg/sys/limits'
 *
 * const { hard } = prlimit64(0, RLIMIT_NOFILE)
 * prlimit64(0, RLIMIT_NOFILE, { soft: hard, hard })
 * prlimit64(0, RLIMIT_CORE, { soft: 0, hard: 0 })
 * ```
 */
export function prlimit64(pid: number, resource: number, limit?: ResourceLimit): ResourceLimit {
  const old = new BigUint64Array(new ArrayBuffer(16))
  const encoded = limit === undefined ? null : encodeLimit(limit)
  check(raw.prlimit64(s32(pid, 'pid'), u32(resource, 'resource'), encoded, old), 'prlimit64')
  return decodeLimit(old)
}

/** `getrlimit(resource, rlim)` — {@link prlimit64} of this process. */
export function getrlimit(resource: number): ResourceLimit {
  const words = new BigUint64Array(new ArrayBuffer(16))
  check(raw.getrlimit(u32(resource, 'resource'), words), 'getrlimit')
  return decodeLimit(words)
}

/** `setrlimit(resource, rlim)` — {@link prlimit64} of this process. */
export function setrlimit(resource: number, limit: ResourceLimit): void {
  check(raw.setrlimit(u32(resource, 'resource'), encodeLimit(limit)), 'setrlimit')
}

/**
 * `getrusage(who, usage)` — what this process, this thread or the children that were waited for have used.
 *
 * @param who - RUSAGE_SELF (default), RUSAGE_CHILDREN, RUSAGE_THREAD
 * @see https://man7.org/linux/man-pages/man2/getrusage.2.html
 */
export function getrusage(who: number = RUSAGE_SELF): Rusage {
  const struct = alloc(rusage)
  check(raw.getrusage(s32(who, 'who'), struct.bytes), 'getrusage')
  return decodeRusage(struct)
}

/** What {@link times} says, in ticks of a hundredth of a second. */
export interface Times {
  /** This process in programs and in the kernel. */
  tms_utime: bigint
  tms_stime: bigint
  /** The same of its children that were waited for. */
  tms_cutime: bigint
  tms_cstime: bigint
  /** Ticks since some time before the boot. */
  elapsed: number
}

/**
 * `times(buf)` — processor time of this process and its children. `getrusage` is finer.
 *
 * @see https://man7.org/linux/man-pages/man2/times.2.html
 */
export function times(): Times {
  const struct = alloc(tms)
  // Not checked: the result may be any number, and the call cannot fail with memory of ours.
  const elapsed = raw.times(struct.bytes)
  return {
    tms_utime: BigInt(struct.get('tms_utime')),
    tms_stime: BigInt(struct.get('tms_stime')),
    tms_cutime: BigInt(struct.get('tms_cutime')),
    tms_cstime: BigInt(struct.get('tms_cstime')),
    elapsed,
  }
}

/**
 * `getpriority(which, who)` — the nice value, −20 (first) to 19; of several, the most favourable.
 *
 * @param which - PRIO_PROCESS, PRIO_PGRP, PRIO_USER
 * @param who - an id, 0 for the caller's; PRIO_PROCESS is a single thread
 * @throws {@link SysError} `ESRCH` nobody
 * @see https://man7.org/linux/man-pages/man2/getpriority.2.html
 */
export function getpriority(which: number, who: number): number {
  // The kernel returns 20 − nice, so that no result looks like an error.
  return 20 - check(raw.getpriority(u32(which, 'which'), u32(who, 'who')), 'getpriority')
}

/**
 * `setpriority(which, who, prio)` — sets the nice value. PRIO_PROCESS changes one thread alone.
 *
 * @param nice - −20 … 19
 * @throws {@link SysError} `EACCES` lowering it without CAP_SYS_NICE; `EPERM` another's; `ESRCH`
 * @see https://man7.org/linux/man-pages/man2/setpriority.2.html
 */
export function setpriority(which: number, who: number, nice: number): void {
  check(raw.setpriority(u32(which, 'which'), u32(who, 'who'), s32(nice, 'nice')), 'setpriority')
}

/** A disk priority. */
export interface IoPriority {
  /** IOPRIO_CLASS_NONE, IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE. */
  class: number
  /** 0 (first) to 7. */
  level: number
}

/**
 * `ioprio_get(which, who)` — the disk priority; of several, the highest.
 *
 * @param which - IOPRIO_WHO_PROCESS (a thread), IOPRIO_WHO_PGRP, IOPRIO_WHO_USER
 * @throws {@link SysError} `ESRCH` nobody
 * @see https://man7.org/linux/man-pages/man2/ioprio_set.2.html
 */
export function ioprio_get(which: number, who: number): IoPriority {
  const value = check(raw.ioprioGet(u32(which, 'which'), u32(who, 'who')), 'ioprio_get')
  return { class: value >> IOPRIO_CLASS_SHIFT, level: value & 7 }
}

/**
 * `ioprio_set(which, who, ioprio)` — sets the disk priority. IOPRIO_WHO_PROCESS changes one thread alone.
 *
 * @throws {@link SysError} `EPERM` IOPRIO_CLASS_RT without CAP_SYS_ADMIN or CAP_SYS_NICE; `EINVAL`; `ESRCH`
 * @see https://man7.org/linux/man-pages/man2/ioprio_set.2.html
 */
export function ioprio_set(which: number, who: number, priority: IoPriority): void {
  const value = ioPriorityNumber(priority)
  check(raw.ioprioSet(u32(which, 'which'), u32(who, 'who'), value), 'ioprio_set')
}
