// Signals without handlers: queueing them with a value, blocking them in a thread, taking them by hand.
import { SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK } from '../generated/constants/signal.ts'
import { check, isSysError } from '../errno.ts'
import { bind } from '../raw.ts'
import { s32, timespec, u32 } from '../raw/arguments.ts'
import { decodeSiginfo, type Siginfo } from './siginfo.ts'

const raw = {
  sigqueueinfo: bind('rt_sigqueueinfo', 'int', 'int', 'ptr'),
  tgsigqueueinfo: bind('rt_tgsigqueueinfo', 'int', 'int', 'int', 'ptr'),
  sigpending: bind('rt_sigpending', 'ptr', 'int'),
  sigprocmask: bind('rt_sigprocmask', 'int', 'ptr', 'ptr', 'int'),
  sigtimedwait: bind('rt_sigtimedwait', 'ptr', 'ptr', 'ptr', 'int'),
  getuid: bind('getuid'),
  getpid: bind('getpid'),
}

/** Bytes of the kernel's signal set. */
const signalSetSize = 8

/** `struct siginfo` of a queued signal (asm-generic/siginfo.h): signo, errno, code, then pid, uid, value at 16. */
function queued(signal: number, value: number): DataView {
  const SI_QUEUE = -1
  const info = new DataView(new ArrayBuffer(128))
  info.setInt32(0, signal, true)
  info.setInt32(8, SI_QUEUE, true)
  info.setInt32(16, raw.getpid(), true)
  info.setUint32(20, raw.getuid(), true)
  info.setInt32(24, u32(value, 'value'), true)
  return info
}

/**
 * `rt_sigqueueinfo(pid, sig, info)` — sends a signal with a 32-bit value to a process, as sigqueue(3) does.
 *
 * @throws {@link SysError} `EAGAIN` too many are queued; `ESRCH`; `EPERM`; `EINVAL`
 * @see https://man7.org/linux/man-pages/man2/rt_sigqueueinfo.2.html
 */
export function rt_sigqueueinfo(pid: number, signal: number, value: number): void {
  const info = queued(u32(signal, 'signal'), value)
  check(raw.sigqueueinfo(s32(pid, 'pid'), signal, info), 'rt_sigqueueinfo', String(pid))
}

/** `rt_tgsigqueueinfo(tgid, tid, sig, info)` — {@link rt_sigqueueinfo} to one thread of a process. */
export function rt_tgsigqueueinfo(tgid: number, tid: number, signal: number, value: number): void {
  const info = queued(u32(signal, 'signal'), value)
  check(
    raw.tgsigqueueinfo(s32(tgid, 'tgid'), s32(tid, 'tid'), signal, info),
    'rt_tgsigqueueinfo',
    String(tid),
  )
}

function encode(signals: readonly number[]): BigUint64Array {
  const set = new BigUint64Array(new ArrayBuffer(signalSetSize))
  for (const signal of signals) {
    if (!Number.isInteger(signal) || signal < 1 || signal > 64)
      throw new RangeError(`not a signal: ${signal}`)
    set[0] = (set[0] ?? 0n) | (1n << BigInt(signal - 1))
  }
  return set
}

function decode(set: BigUint64Array): number[] {
  const word = set[0] ?? 0n
  return Array.from({ length: 64 }, (_, index) => index + 1).filter(
    (signal) => (word >> BigInt(signal - 1)) & 1n,
  )
}

/**
 * `rt_sigpending(set, sigsetsize)` — the signals that wait for the calling thread or the process, and are blocked.
 *
 * @see https://man7.org/linux/man-pages/man2/sigpending.2.html
 */
export function rt_sigpending(): number[] {
  const set = new BigUint64Array(new ArrayBuffer(signalSetSize))
  check(raw.sigpending(set, signalSetSize), 'rt_sigpending')
  return decode(set)
}

/**
 * `rt_sigprocmask(how, set, oldset, sigsetsize)` — changes which signals the calling thread blocks; returns those before.
 *
 * Changes this thread alone: a signal to the process goes to another that does not block it. The engine needs some of
 * its own (SIGPWR stops threads for the collector): block single ones, not all.
 *
 * @param how - SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK
 * @see https://man7.org/linux/man-pages/man2/sigprocmask.2.html
 */
export function rt_sigprocmask(how: number, signals: readonly number[]): number[] {
  if (![SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK].includes(how)) throw new RangeError(`how: ${how}`)
  const old = new BigUint64Array(new ArrayBuffer(signalSetSize))
  check(raw.sigprocmask(how, encode(signals), old, signalSetSize), 'rt_sigprocmask')
  return decode(old)
}

/**
 * `rt_sigtimedwait(set, info, timeout, sigsetsize)` — takes a signal that is blocked; null when none came in time.
 *
 * Blocks this thread for up to `timeoutNs`. Signals to the process may go to another thread: block them in the first one,
 * before the engine makes others, or send them to the thread (`tgkill`).
 *
 * @throws {@link SysError} `EINTR` another signal came first
 * @see https://man7.org/linux/man-pages/man2/sigwaitinfo.2.html
 */
export function rt_sigtimedwait(signals: readonly number[], timeoutNs: number | bigint): Siginfo | null {
  const info = new DataView(new ArrayBuffer(128))
  const time = timespec(timeoutNs, 'timeoutNs')
  try {
    check(raw.sigtimedwait(encode(signals), info, time, signalSetSize), 'rt_sigtimedwait')
    return decodeSiginfo(info, 0)
  } catch (error) {
    if (isSysError(error, 'EAGAIN')) return null
    throw error
  }
}
