// Timers that send signals, and sleeping.
import { SIGEV_NONE, SIGEV_SIGNAL } from '../generated/constants/signal.ts'
import { check } from '../errno.ts'
import { bind } from '../raw.ts'
import { timeOf, u32 } from '../raw/arguments.ts'

const raw = {
  timerCreate: bind('timer_create', 'int', 'ptr', 'ptr'),
  timerSettime: bind('timer_settime', 'int', 'int', 'ptr', 'ptr'),
  timerGettime: bind('timer_gettime', 'int', 'ptr'),
  timerGetoverrun: bind('timer_getoverrun', 'int'),
  timerDelete: bind('timer_delete', 'int'),
  getitimer: bind('getitimer', 'int', 'ptr'),
  setitimer: bind('setitimer', 'int', 'ptr', 'ptr'),
  nanosleep: bind('nanosleep', 'ptr', 'ptr'),
  clockNanosleep: bind('clock_nanosleep', 'int', 'int', 'ptr', 'ptr'),
}

const second = 1_000_000_000n

/** When a timer expires. */
export interface TimerSpec {
  /** First expiry, nanoseconds from now, or on the clock with an ABSTIME flag; 0n: not at all. */
  valueNs: bigint
  /** Time between later expiries; 0n for none. */
  intervalNs?: bigint
}

function words(count: number): BigInt64Array {
  return new BigInt64Array(new ArrayBuffer(8 * count))
}

/** `struct __kernel_itimerspec`: interval, then value. */
export function encodeTimerSpec(spec: TimerSpec): BigInt64Array {
  const [interval, value] = [timeOf(spec.intervalNs ?? 0n, 'intervalNs'), timeOf(spec.valueNs, 'valueNs')]
  const struct = words(4)
  struct.set([interval / second, interval % second, value / second, value % second])
  return struct
}

/** What {@link encodeTimerSpec} makes, read back. */
export function decodeTimerSpec(struct: BigInt64Array): Required<TimerSpec> {
  const [intervalS = 0n, intervalNs = 0n, valueS = 0n, valueNs = 0n] = struct
  return { valueNs: valueS * second + valueNs, intervalNs: intervalS * second + intervalNs }
}

/**
 * `timer_create(clockid, sevp, timerid)` — makes a timer of this process that sends a signal when it expires; returns
 * its id. Timers as descriptors are simpler to wait for: `timerfd_create`.
 *
 * @param signal - sent with `value` (see `watchSignals`, SI_TIMER); 0: none is, and the timer can only be asked
 * @throws {@link SysError} `EINVAL` no such clock or signal; `EAGAIN` too many
 * @see https://man7.org/linux/man-pages/man2/timer_create.2.html
 */
export function timer_create(clockid: number, signal: number, value = 0): number {
  // struct sigevent (asm-generic/siginfo.h): value, signo, notify; 64 bytes.
  const event = new DataView(new ArrayBuffer(64))
  event.setInt32(0, u32(value, 'value'), true)
  event.setInt32(8, u32(signal, 'signal'), true)
  event.setInt32(12, signal === 0 ? SIGEV_NONE : SIGEV_SIGNAL, true)
  const id = new Int32Array(new ArrayBuffer(4))
  check(raw.timerCreate(u32(clockid, 'clockid'), event, id), 'timer_create')
  return id[0] ?? 0
}

/**
 * `timer_settime(timerid, flags, new_value, old_value)` — arms or disarms a timer; returns what was left before.
 *
 * @param flags - TIMER_ABSTIME (1): `valueNs` is a time of the clock
 * @throws {@link SysError} `EINVAL` no such timer
 * @see https://man7.org/linux/man-pages/man2/timer_settime.2.html
 */
export function timer_settime(timer: number, flags: number, spec: TimerSpec): Required<TimerSpec> {
  const old = words(4)
  const value = encodeTimerSpec(spec)
  check(raw.timerSettime(u32(timer, 'timer'), u32(flags, 'flags'), value, old), 'timer_settime')
  return decodeTimerSpec(old)
}

/** `timer_gettime(timerid, curr_value)` — what is left until a timer expires. */
export function timer_gettime(timer: number): Required<TimerSpec> {
  const value = words(4)
  check(raw.timerGettime(u32(timer, 'timer'), value), 'timer_gettime')
  return decodeTimerSpec(value)
}

/**
 * `timer_getoverrun(timerid)` — how often a timer expired between its last signal and its delivery.
 *
 * @see https://man7.org/linux/man-pages/man2/timer_getoverrun.2.html
 */
export function timer_getoverrun(timer: number): number {
  return check(raw.timerGetoverrun(u32(timer, 'timer')), 'timer_getoverrun')
}

/** `timer_delete(timerid)` — removes a timer. */
export function timer_delete(timer: number): void {
  check(raw.timerDelete(u32(timer, 'timer')), 'timer_delete')
}

/** A time in microseconds, rounded up: 0 means something else. */
function secondsAndMicroseconds(timeNs: bigint, name: string): [bigint, bigint] {
  const timeUs = (timeOf(timeNs, name) + 999n) / 1000n
  return [timeUs / 1_000_000n, timeUs % 1_000_000n]
}

/** `struct itimerval` in microseconds, as nanoseconds. */
function decodeInterval(struct: BigInt64Array): Required<TimerSpec> {
  const [intervalS = 0n, intervalUs = 0n, valueS = 0n, valueUs = 0n] = struct
  return { valueNs: valueS * second + valueUs * 1000n, intervalNs: intervalS * second + intervalUs * 1000n }
}

/**
 * `getitimer(which, curr_value)` — what is left of one of the three timers that each process has.
 *
 * @param which - ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF
 * @see https://man7.org/linux/man-pages/man2/getitimer.2.html
 */
export function getitimer(which: number): Required<TimerSpec> {
  const value = words(4)
  check(raw.getitimer(u32(which, 'which'), value), 'getitimer')
  return decodeInterval(value)
}

/**
 * `setitimer(which, new_value, old_value)` — arms one of the process's timers: SIGALRM, SIGVTALRM or SIGPROF when it
 * expires, which end a process that does not watch them. Returns what was left before. Times are rounded up to the
 * microsecond: less than one does not disarm.
 *
 * @see https://man7.org/linux/man-pages/man2/getitimer.2.html
 */
export function setitimer(which: number, spec: TimerSpec): Required<TimerSpec> {
  // struct itimerval, in microseconds.
  const struct = words(4)
  struct.set([
    ...secondsAndMicroseconds(spec.intervalNs ?? 0n, 'intervalNs'),
    ...secondsAndMicroseconds(spec.valueNs, 'valueNs'),
  ])
  const old = words(4)
  check(raw.setitimer(u32(which, 'which'), struct, old), 'setitimer')
  return decodeInterval(old)
}

/**
 * `nanosleep(duration, rem)` — sleeps, blocking this thread: nothing else of it runs meanwhile. `Bun.sleep` does not
 * block.
 *
 * @throws {@link SysError} `EINTR` a signal came first
 * @see https://man7.org/linux/man-pages/man2/nanosleep.2.html
 */
export function nanosleep(durationNs: bigint): void {
  const time = timeOf(durationNs, 'durationNs')
  const struct = words(2)
  struct.set([time / second, time % second])
  check(raw.nanosleep(struct, null), 'nanosleep')
}

/**
 * `clock_nanosleep(clockid, flags, request, remain)` — sleeps by a clock, blocking this thread.
 *
 * @param flags - TIMER_ABSTIME (1): until `timeNs` of the clock
 * @throws {@link SysError} `EINTR`; `EINVAL`, `EOPNOTSUPP` such a clock cannot be slept by
 * @see https://man7.org/linux/man-pages/man2/clock_nanosleep.2.html
 */
export function clock_nanosleep(clockid: number, flags: number, timeNs: bigint): void {
  const time = timeOf(timeNs, 'timeNs')
  const struct = words(2)
  struct.set([time / second, time % second])
  const result = raw.clockNanosleep(u32(clockid, 'clockid'), u32(flags, 'flags'), struct, null)
  check(result, 'clock_nanosleep')
}
