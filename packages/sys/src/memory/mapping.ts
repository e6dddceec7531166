// Mappings as objects: only one that mmap made and that is still there gets its address to the kernel.
import { EINVAL } from '../generated/constants/errno.ts'
import { check } from '../errno.ts'
import { bind } from '../raw.ts'
import { memoryAt } from '../raw/ffi.ts'

const munmap = bind('munmap', 'int', 'int')

/** A mapping. It is unmapped by its owner, never by the garbage collector. The object cannot be changed. */
export interface Mapping extends Disposable {
  /** Of the first byte; a multiple of the page size. */
  readonly address: number
  /** The memory itself. Not to be touched after disposal: the process would crash. */
  readonly bytes: Uint8Array
}

/** Those that are mapped now. */
const live = new WeakSet<Mapping>()

/** How many calls in flight the kernel will read or write each mapping for. */
const holds = new WeakMap<Mapping, number>()

/** The sizes of huge pages that there are on x86-64 and arm64, ascending. */
const hugePageSizes = [2 ** 16, 2 ** 21, 2 ** 25, 2 ** 29, 2 ** 30, 2 ** 34]

/**
 * munmap(2). The kernel made a mapping of huge pages as long as whole ones are, and unmaps nothing less: the smallest
 * rounding that it takes is the mapping's own.
 */
function unmapAt(address: number, lengthBytes: number): void {
  let result = munmap(address, lengthBytes)
  for (const pageSize of hugePageSizes) {
    if (result !== -EINVAL) break
    result = munmap(address, Math.ceil(lengthBytes / pageSize) * pageSize)
  }
  check(result, 'munmap')
}

/**
 * The handle of memory that was just mapped.
 *
 * @param unmap - gives it back, and throws when that is not possible; default: munmap(2)
 */
export function makeMapping(
  address: number,
  lengthBytes: number,
  unmap = (): void => unmapAt(address, lengthBytes),
): Mapping {
  const mapping: Mapping = Object.freeze({
    address,
    bytes: new Uint8Array(memoryAt(address, lengthBytes)),
    [Symbol.dispose]() {
      if (!live.has(mapping)) return
      refuseHeld(mapping)
      unmap()
      live.delete(mapping)
    },
  })
  live.add(mapping)
  return mapping
}

/**
 * `mapping`, if `mmap` made it and it was not disposed.
 *
 * @throws TypeError otherwise: an address of the engine's own memory here would be its end
 */
export function liveMapping(mapping: Mapping): Mapping {
  if (!live.has(mapping)) throw new TypeError('not a mapping, or one that was disposed')
  return mapping
}

/** Says that the memory of `mapping` is somewhere else now, or nowhere. */
export function forgetMapping(mapping: Mapping): void {
  live.delete(mapping)
}

/** Keeps `mapping` where it is, for a call that the kernel makes by itself, until the result is called. */
export function holdMapping(mapping: Mapping): () => void {
  holds.set(mapping, (holds.get(liveMapping(mapping)) ?? 0) + 1)
  let held = true
  return () => {
    if (held) holds.set(mapping, (holds.get(mapping) ?? 1) - 1)
    held = false
  }
}

/**
 * Refuses to move or unmap what the kernel is about to read or write.
 *
 * @throws TypeError for a mapping that is held
 */
export function refuseHeld(mapping: Mapping): void {
  if ((holds.get(mapping) ?? 0) > 0)
    throw new TypeError(
      'the mapping is used by an operation in flight: wait for its result, or dispose the ring',
    )
}
