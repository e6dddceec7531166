// The seam to Bun's FFI: the only folder that knows `bun:ffi`. What leaves it is plain numbers, buffers and functions, so that
// another runtime's FFI could stand behind it.
import type * as BunFfi from 'bun:ffi'

let loaded: typeof BunFfi | undefined

/**
 * Bun's FFI, loaded with the first call: nobody else has it, and elsewhere all can be imported; and to load it would be a
 * third of what the import of an area costs.
 *
 * @throws TypeError under another runtime
 */
export function bunFfi(): typeof BunFfi {
  if (loaded !== undefined) return loaded
  // Not there at all before Node 20.16.
  loaded = process.getBuiltinModule?.('bun:ffi') as typeof BunFfi | undefined
  if (loaded === undefined)
    throw new TypeError('@pkg/sys makes system calls under Bun alone: there is no bun:ffi here')
  return loaded
}

/**
 * How an argument travels: `int` is a 64-bit integer, `ptr` the address of a buffer, a raw address or null. `checked_i32` is
 * an integer of 32 bits that the caller has looked at: it is faster by some nanoseconds, and takes whatever it is given
 * for a number, undefined for 0, a descriptor.
 */
export type ArgumentType = 'int' | 'checked_i32' | 'ptr'

/** Memory that a call may be handed: a view (the call sees its current address), a raw address, or null. */
export type Memory = ArrayBufferView | number | null

/** What a caller passes for an {@link ArgumentType}. */
export type Argument<T extends ArgumentType> = T extends 'ptr' ? Memory : number | bigint

/** A callable machine-code address. It returns the 64-bit result register as a signed number. */
export type NativeFunction<T extends readonly ArgumentType[]> = (
  ...parameters: { [K in keyof T]: Argument<T[K]> }
) => number

/**
 * Makes machine code at `address` callable with up to six arguments in the C calling convention.
 *
 * Costs 3–6 µs: keep the result.
 */
export function nativeFunction<const T extends readonly ArgumentType[]>(
  address: number,
  types: T,
): NativeFunction<T> {
  const { CFunction, FFIType } = bunFfi()
  // `i64_fast` keeps −14 as −14; as `ptr` or `u64` a negative result would become a huge bigint.
  const ffiTypes = { int: FFIType.i64_fast, checked_i32: FFIType.i32, ptr: FFIType.ptr }
  const definition = {
    ptr: address as BunFfi.Pointer,
    args: types.map((type) => ffiTypes[type]),
    returns: FFIType.i64_fast,
  }
  return CFunction(definition) as unknown as NativeFunction<T>
}

/**
 * The address of the first byte of `view`.
 *
 * It stays valid only for memory that the engine cannot move: a view over `new ArrayBuffer(n)` that is kept
 * alive, or a mapping. A small `new Uint8Array(n)` moves when its `buffer` is first touched.
 */
export function addressOf(view: ArrayBufferView): number {
  return (loaded ?? bunFfi()).ptr(view as Uint8Array)
}

/** `sizeBytes` of this process's memory at `address`, without a copy. The caller keeps the mapping alive. */
export function memoryAt(address: number, sizeBytes: number): ArrayBuffer {
  return bunFfi().toArrayBuffer(address, 0, sizeBytes)
}

/** The two calls of the C library that are needed before the first system call can be made without it. */
interface BootstrapCalls {
  mmap(address: null, length: number, protection: number, flags: number, fd: number, offset: number): number
  mprotect(address: number, length: number, protection: number): number
}

/** What the C library is called, by its kinds. */
export const libraryNames: readonly string[] = [
  'libc.so.6',
  `libc.musl-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.so.1`,
]

function openBootstrapCalls(): BootstrapCalls {
  const { dlopen, FFIType } = bunFfi()
  let cause: unknown
  for (const name of libraryNames) {
    try {
      const library = dlopen(name, {
        mmap: { args: ['ptr', 'u64', 'i32', 'i32', 'i32', 'i64'], returns: FFIType.i64_fast },
        mprotect: { args: ['ptr', 'u64', 'i32'], returns: 'i32' },
      })
      return library.symbols as unknown as BootstrapCalls
    } catch (error) {
      cause = error
    }
  }
  throw new Error(`no C library to map memory with (tried ${libraryNames.join(', ')})`, { cause })
}

const PROT_READ = 1
const PROT_WRITE = 2
const PROT_EXEC = 4
const MAP_PRIVATE_ANONYMOUS = 0x22

let bootstrapCalls: BootstrapCalls | undefined

/** Maps fresh pages of zeros for `sizeBytes` that stay for as long as the process lives; returns their address. */
export function mapMemory(sizeBytes: number): number {
  bootstrapCalls ??= openBootstrapCalls()
  const address = bootstrapCalls.mmap(null, sizeBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0)
  // mmap(2) of libc answers MAP_FAILED, which is −1.
  if (address <= 0) throw new Error(`cannot map ${sizeBytes} bytes`)
  return address
}

/**
 * Copies machine code into fresh pages and makes them executable; returns their address.
 *
 * The pages are writable first and executable then, never both, and are never written again: an already
 * running thunk or signal handler cannot be caught half-changed. On arm64 the kernel cleans the instruction
 * cache when a page first becomes executable (arch/arm64/mm/flush.c, `__sync_icache_dcache`), so code that is
 * never rewritten needs no maintenance of ours. The mapping lives as long as the process.
 */
export function mapCode(code: Uint8Array): number {
  bootstrapCalls ??= openBootstrapCalls()
  const address = mapMemory(code.length)
  new Uint8Array(memoryAt(address, code.length)).set(code)
  if (bootstrapCalls.mprotect(address, code.length, PROT_READ | PROT_EXEC) !== 0) {
    throw new Error('cannot make machine code executable (does a security policy forbid it?)')
  }
  return address
}

/** What a {@link workerThatCalls} passes: integers, null pointers and memory of its own. */
export type WorkerArgument = number | null | ArrayBuffer

/**
 * A worker thread that calls the machine code at `address` with these arguments each time it gets a message,
 * and posts the result. For calls that block. The code is a data URL: nothing to bundle, nothing to find.
 */
export function workerThatCalls(address: number, parameters: readonly WorkerArgument[]): Worker {
  const types = parameters.map((parameter) => (typeof parameter === 'number' ? 'i64_fast' : 'ptr'))
  const values = parameters.map((parameter) =>
    parameter instanceof ArrayBuffer ? `new Uint8Array(new ArrayBuffer(${parameter.byteLength}))` : parameter,
  )
  const source = `
    import { CFunction } from 'bun:ffi'
    const call = CFunction({ ptr: ${address}, args: ${JSON.stringify(types)}, returns: 'i64_fast' })
    const parameters = [${values.join()}]
    self.onmessage = () => postMessage(call(...parameters))`
  return new Worker(`data:text/javascript,${encodeURIComponent(source)}`)
}
