// Futexes: sleeping until a word of memory changes, across threads and processes. `Atomics.wait` serves the engine's own.
import { FUTEX2_SIZE_U32, FUTEX_CMP_REQUEUE, FUTEX_WAIT, FUTEX_WAKE } from './generated/constants/futex.ts'
import { check } from './errno.ts'
import { liveMapping } from './memory/mapping.ts'
import type { Mapping } from './memory.ts'
import { bind } from './raw.ts'
import { s32, timespec, u32, u64 } from './raw/arguments.ts'

const raw = {
  futex: bind('futex', 'int', 'int', 'int', 'ptr', 'int', 'int'),
  futexRequeueOld: bind('futex', 'int', 'int', 'int', 'int', 'int', 'int'),
  wake: bind('futex_wake', 'int', 'int', 'int', 'int'),
  wait: bind('futex_wait', 'int', 'int', 'int', 'int', 'ptr', 'int'),
  waitv: bind('futex_waitv', 'ptr', 'int', 'int', 'ptr', 'int'),
  requeue: bind('futex_requeue', 'ptr', 'int', 'int', 'int'),
}

/** A 32-bit word of a mapping: `mmap` with MAP_SHARED, for other processes to see it. */
export interface FutexWord {
  /** The memory. */
  mapping: Mapping
  /** Bytes from its begin: a multiple of 4. */
  offset: number
}

const CLOCK_MONOTONIC = 1
const allBits = 0xffff_ffff

function addressOf({ mapping, offset }: FutexWord): number {
  const { address, bytes } = liveMapping(mapping)
  if (!Number.isInteger(offset) || offset < 0 || offset % 4 !== 0 || offset + 4 > bytes.length) {
    throw new RangeError(`offset: ${offset} is no word of the mapping`)
  }
  return address + offset
}

function optionalTime(timeNs: number | bigint | undefined): BigInt64Array | null {
  return timeNs === undefined ? null : timespec(timeNs, 'timeNs')
}

/**
 * `futex(uaddr, FUTEX_WAIT, val, timeout)` — sleeps while the word is `value`, until somebody wakes it. Blocks this thread.
 *
 * @param timeoutNs - how long at most; undefined: for ever
 * @throws {@link SysError} `EAGAIN` the word is another already; `ETIMEDOUT`; `EINTR`
 * @see https://man7.org/linux/man-pages/man2/futex.2.html
 */
export function futex_wait_relative(word: FutexWord, value: number, timeoutNs?: number | bigint): void {
  check(raw.futex(addressOf(word), FUTEX_WAIT, u32(value, 'value'), optionalTime(timeoutNs), 0, 0), 'futex')
}

/**
 * `futex(uaddr, FUTEX_WAKE, val)` — wakes at most `count` who sleep at the word; returns how many.
 *
 * @see https://man7.org/linux/man-pages/man2/futex.2.html
 */
export function futex_wake_all(word: FutexWord, count = 0x7fff_ffff): number {
  return check(raw.futex(addressOf(word), FUTEX_WAKE, s32(count, 'count'), null, 0, 0), 'futex')
}

/**
 * `futex(uaddr, FUTEX_CMP_REQUEUE, val, val2, uaddr2, val3)` — while the word is `value`: wakes `wake` who sleep there and
 * lets `move` others sleep at `target`; returns how many both are.
 *
 * @throws {@link SysError} `EAGAIN` the word is another
 * @see https://man7.org/linux/man-pages/man2/futex.2.html
 */
export function futex_cmp_requeue(
  word: FutexWord,
  value: number,
  target: FutexWord,
  counts: { wake: number; move: number },
): number {
  const { wake, move } = counts
  const result = raw.futexRequeueOld(
    addressOf(word),
    FUTEX_CMP_REQUEUE,
    s32(wake, 'wake'),
    s32(move, 'move'),
    addressOf(target),
    u32(value, 'value'),
  )
  return check(result, 'futex')
}

/**
 * `futex_wait(uaddr, val, mask, flags, timeout, clockid)` — sleeps while the word is `value`, until somebody wakes one of
 * the bits of `mask`. Blocks this thread. Since: Linux 6.7.
 *
 * @param deadlineNs - a time of CLOCK_MONOTONIC; undefined: for ever
 * @throws {@link SysError} `EAGAIN` the word is another already; `ETIMEDOUT`; `EINTR`
 */
export function futex_wait(
  word: FutexWord,
  value: number,
  deadlineNs?: number | bigint,
  mask: number = allBits,
): void {
  const result = raw.wait(
    addressOf(word),
    u32(value, 'value') >>> 0,
    u32(mask, 'mask') >>> 0,
    FUTEX2_SIZE_U32,
    optionalTime(deadlineNs),
    CLOCK_MONOTONIC,
  )
  check(result, 'futex_wait')
}

/**
 * `futex_wake(uaddr, mask, nr, flags)` — wakes at most `count` who sleep at the word for one of the bits of `mask`;
 * returns how many. Since: Linux 6.7.
 */
export function futex_wake(word: FutexWord, count = 0x7fff_ffff, mask: number = allBits): number {
  const result = raw.wake(addressOf(word), u32(mask, 'mask') >>> 0, s32(count, 'count'), FUTEX2_SIZE_U32)
  return check(result, 'futex_wake')
}

/** A word, and what it should be while one sleeps. */
export interface FutexWaiter extends FutexWord {
  /** 32 bits. */
  value: number
}

/** Array of `struct futex_waitv` (linux/futex.h): value, address, flags, reserved; 24 bytes each. */
function waiters(list: readonly FutexWaiter[]): DataView {
  const memory = new DataView(new ArrayBuffer(24 * list.length))
  for (const [index, waiter] of list.entries()) {
    memory.setBigUint64(index * 24, u64(u32(waiter.value, 'value') >>> 0, 'value'), true)
    memory.setBigUint64(index * 24 + 8, BigInt(addressOf(waiter)), true)
    memory.setUint32(index * 24 + 16, FUTEX2_SIZE_U32, true)
  }
  return memory
}

/**
 * `futex_waitv(waiters, nr_futexes, flags, timeout, clockid)` — sleeps at several words at once; returns the index of one
 * that was woken. Blocks this thread. Since: Linux 5.16.
 *
 * @param list - 1 to 128 words
 * @param deadlineNs - a time of CLOCK_MONOTONIC; undefined: for ever
 * @throws {@link SysError} `EAGAIN` one of the words is another already; `ETIMEDOUT`; `EINTR`
 */
export function futex_waitv(list: readonly FutexWaiter[], deadlineNs?: number | bigint): number {
  if (list.length < 1 || list.length > 128) throw new RangeError(`${list.length} words: 1 to 128`)
  const result = raw.waitv(waiters(list), list.length, 0, optionalTime(deadlineNs), CLOCK_MONOTONIC)
  return check(result, 'futex_waitv')
}

/**
 * `futex_requeue(waiters, flags, nr_wake, nr_requeue)` — while the first word is its value: wakes `wake` who sleep there and
 * lets `move` others sleep at the second; returns how many both are. Since: Linux 6.7.
 *
 * @throws {@link SysError} `EAGAIN` the word is another
 */
export function futex_requeue(
  from: FutexWaiter,
  to: FutexWord,
  counts: { wake: number; move: number },
): number {
  const pair = waiters([from, { ...to, value: 0 }])
  return check(raw.requeue(pair, 0, s32(counts.wake, 'wake'), s32(counts.move, 'move')), 'futex_requeue')
}
