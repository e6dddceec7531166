// The raw layer: any system call by name, returning the kernel's number. Nothing here throws for a failed call.
import { isError } from './errno.ts'
import { type Probe, setProbe } from './errno/hints.ts'
import type { SyscallName } from './generated/syscalls.ts'
import { fromCString } from './raw/arguments.ts'
import { type ArgumentType, type Memory, type NativeFunction, nativeFunction } from './raw/ffi.ts'
import { syscallNumber } from './raw/number.ts'
import { thunkAddress } from './raw/thunks.ts'

export { addressOf, type Argument, type ArgumentType, type Memory, type NativeFunction } from './raw/ffi.ts'
export { type Architecture, currentArchitecture, syscallNumber } from './raw/number.ts'
export { type SyscallName } from './generated/syscalls.ts'

/**
 * Binds the system call `name` to a function with the given argument types, made on its first use.
 *
 * The function returns the kernel's number: a result, or −errno (−4095…−1). It costs what the call costs in C.
 *
 * @example
 * ```ts
 * import { bind } from '@pkg/sys/raw'
 *
 * const getppid = bind('getppid')
 * console.assert(getppid() === process.ppid)
 *
 * const close = bind('close', 'int')
 * console.assert(close(-1) === -9) // −EBADF
 * ```
 */
export function bind<const T extends readonly ArgumentType[]>(
  name: SyscallName,
  ...types: T
): NativeFunction<T> {
  return bound(name, types) as NativeFunction<T>
}

/** A closure of the arity, and no other: hundreds are made while a program starts. */
function bound(name: SyscallName, types: readonly ArgumentType[]): AnyNative {
  let native: AnyNative | undefined
  const call = (): AnyNative => (native ??= nativeCall(name, types))
  // Forwarding by rest parameters costs more than the system call's own entry.
  switch (types.length) {
    case 0:
      return () => (native ?? call())()
    case 1:
      return (a) => (native ?? call())(a)
    case 2:
      return (a, b) => (native ?? call())(a, b)
    case 3:
      return (a, b, c) => (native ?? call())(a, b, c)
    case 4:
      return (a, b, c, d) => (native ?? call())(a, b, c, d)
    case 5:
      return (a, b, c, d, e) => (native ?? call())(a, b, c, d, e)
    case 6:
      return (a, b, c, d, e, f) => (native ?? call())(a, b, c, d, e, f)
    default:
      throw new TypeError(`${name}: a system call has at most six arguments`)
  }
}

type AnyArgument = number | bigint | Memory | undefined
type AnyNative = (...parameters: AnyArgument[]) => number

function nativeCall(name: SyscallName, types: readonly ArgumentType[]): AnyNative {
  const native = nativeFunction(thunkAddress(syscallNumber(name)), types) as AnyNative
  // Not while this module loads: an import has no effect.
  setProbe(kernelProbe)
  return native
}

/** How errors learn what the process lacks. */
const kernelProbe: Probe = {
  effective() {
    // struct __user_cap_header_struct of version 3; two __user_cap_data_struct: effective, permitted, inheritable.
    const header = new Uint32Array([0x2008_0522, 0])
    const data = new Uint32Array(6)
    if (isError(syscall('capget', header, data))) return ~0n
    return BigInt(data[0] ?? 0) | (BigInt(data[3] ?? 0) << 32n)
  },
  release() {
    // struct new_utsname: fields of 65 bytes; the third is the release.
    const names = new Uint8Array(6 * 65)
    syscall('uname', names)
    return fromCString(names.subarray(2 * 65, 3 * 65))
  },
}

const callers = new Map<string, AnyNative>()

/**
 * Calls the system call `name` with up to six arguments and returns the kernel's number.
 *
 * For calls without a wrapper, and for probing; {@link bind} is faster. Numbers and bigints are passed as
 * integers, views as the address of their first byte, null as a null pointer.
 *
 * @throws TypeError for an argument of another type, or more than six
 *
 * @example
 * ```ts
 * import { syscall } from '@pkg/sys/raw'
 *
 * const bytes = new Uint8Array(new ArrayBuffer(16))
 * console.assert(syscall('getrandom', bytes, 16, 0) === 16)
 * console.assert(syscall('close', 12345) === -9) // −EBADF
 * ```
 */
export function syscall(name: SyscallName, ...parameters: (number | bigint | Memory)[]): number {
  if (parameters.length > 6) throw new TypeError(`${name}: a system call has at most six arguments`)
  const types = parameters.map((parameter, index) => argumentType(name, parameter, index))
  const key = `${name}:${types.join()}`
  let caller = callers.get(key)
  if (caller === undefined) {
    caller = nativeCall(name, types)
    callers.set(key, caller)
  }
  return caller(...parameters)
}

function argumentType(name: SyscallName, parameter: number | bigint | Memory, index: number): ArgumentType {
  if (typeof parameter === 'bigint' || Number.isSafeInteger(parameter)) return 'int'
  if (parameter === null || ArrayBuffer.isView(parameter)) return 'ptr'
  throw new TypeError(`${name}: argument ${index} must be a safe integer, a bigint, a view or null`)
}
