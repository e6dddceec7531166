// Turning what callers pass into what the kernel takes, and refusing what it would misread.

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/**
 * `text` as a C string. Passed to a call as a view, so the engine may move it until the call is made.
 *
 * @throws TypeError for a NUL byte: the kernel would read a shorter string than the caller wrote
 */
export function cString(text: string, name = 'path'): Uint8Array {
  if (typeof text !== 'string') throw new TypeError(`${name} must be a string`)
  if (text.includes('\0')) throw new TypeError(`${name} contains a NUL byte: ${JSON.stringify(text)}`)
  return encoder.encode(`${text}\0`)
}

/** The text of a NUL-terminated field of a kernel struct; all of it when there is no NUL. */
export function fromCString(field: Uint8Array): string {
  const end = field.indexOf(0)
  return decoder.decode(end < 0 ? field : field.subarray(0, end))
}

/**
 * `value`, if it is an unsigned integer of 32 bits: flags, modes, ids. −1 stands for all ones, as in C.
 *
 * @throws RangeError otherwise; TypeError for something that is no number
 */
export function u32(value: number, name: string): number {
  if (typeof value !== 'number') throw new TypeError(`${name} must be a number`)
  if (!Number.isInteger(value) || value < -0x80000000 || value > 0xffffffff) {
    throw new RangeError(`${name} must be a 32-bit integer: ${value}`)
  }
  return value
}

/**
 * `value`, if it is a signed integer of 32 bits: process ids, timeouts. An unsigned one would wrap: 2³² − 1 is −1 to the
 * kernel, which `kill` takes for everybody.
 *
 * @throws RangeError otherwise; TypeError for something that is no number
 */
export function s32(value: number, name: string): number {
  if (typeof value !== 'number') throw new TypeError(`${name} must be a number`)
  if (!Number.isInteger(value) || value < -0x80000000 || value > 0x7fffffff) {
    throw new RangeError(`${name} must be a signed 32-bit integer: ${value}`)
  }
  return value
}

/**
 * Nanoseconds as a `struct __kernel_timespec`: seconds, nanoseconds. A negative time is for the kernel to refuse.
 *
 * @throws TypeError for what is neither a number nor a bigint; RangeError for a fraction, or more than 64 bits
 */
export function timespec(timeNs: number | bigint, name: string): BigInt64Array {
  if (typeof timeNs !== 'bigint' && typeof timeNs !== 'number')
    throw new TypeError(`${name} must be nanoseconds, a bigint or a number`)
  const time = BigInt(s64(timeNs, name))
  const words = new BigInt64Array(new ArrayBuffer(16))
  words.set([time / 1_000_000_000n, time % 1_000_000_000n])
  return words
}

/**
 * `time`, if it is a bigint from 0 to 2⁶³ − 1: what the kernel counts times in.
 *
 * @throws TypeError for what is no bigint; RangeError for one that is out of range
 */
export function timeOf(time: bigint, name: string): bigint {
  if (typeof time !== 'bigint') throw new TypeError(`${name} must be a bigint`)
  if (time < 0n || time >= 2n ** 63n) throw new RangeError(`${name}: ${time}`)
  return time
}

/**
 * `value`, if it is an integer that a 64-bit signed register holds: offsets, lengths.
 *
 * @throws RangeError otherwise
 */
export function s64(value: number | bigint, name: string): number | bigint {
  const fits = typeof value === 'bigint' ? BigInt.asIntN(64, value) === value : Number.isSafeInteger(value)
  if (!fits) throw new RangeError(`${name} must be a 64-bit integer: ${value}`)
  return value
}

/**
 * `buffer`, if it is a byte array.
 *
 * @throws TypeError otherwise: an address or an untyped array here would let the kernel write anywhere
 */
export function bytes(buffer: Uint8Array, name = 'buffer'): Uint8Array {
  if (!(buffer instanceof Uint8Array)) throw new TypeError(`${name} must be a Uint8Array`)
  return buffer
}

/** {@link cString}, or a null pointer for null. */
export function optionalCString(text: string | null, name: string): Uint8Array | null {
  return text === null ? null : cString(text, name)
}

/**
 * `value`, if it is a safe integer of 0 or more: counts and sizes of memory.
 *
 * @throws RangeError otherwise
 */
export function size(value: number, name: string): number {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${name} must be a size: ${value}`)
  return value
}

/**
 * `value`, if it is an integer of 64 bits, signed or not, as a bigint: masks, ids, addresses.
 *
 * @throws RangeError otherwise
 */
export function u64(value: number | bigint, name: string): bigint {
  if (typeof value !== 'bigint' && !Number.isSafeInteger(value)) {
    throw new RangeError(`${name} must be a 64-bit integer: ${String(value)}`)
  }
  const wide = BigInt(value)
  if (wide < -(2n ** 63n) || wide >= 2n ** 64n)
    throw new RangeError(`${name} must be a 64-bit integer: ${wide}`)
  return BigInt.asUintN(64, wide)
}
