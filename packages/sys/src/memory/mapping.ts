// Mappings as objects: only one that mmap made and that is still there gets its address to the kernel.
import { check } from '../errno.ts'
import { bind } from '../raw.ts'
import { memoryAt } from '../raw/ffi.ts'

const munmap = bind('munmap', 'int', 'int')

/** A mapping. It is unmapped by its owner, never by the garbage collector. */
export interface Mapping extends Disposable {
  /** Of the first byte; a multiple of the page size. */
  readonly address: number
  /** The memory itself. Not to be touched after disposal: the process would crash. */
  readonly bytes: Uint8Array
}

/** Those that are mapped now. */
const live = new WeakSet<Mapping>()

/**
 * The handle of memory that was just mapped.
 *
 * @param unmap - gives it back, and throws when that is not possible; default: munmap(2)
 */
export function makeMapping(
  address: number,
  lengthBytes: number,
  unmap = (): void => void check(munmap(address, lengthBytes), 'munmap'),
): Mapping {
  const mapping: Mapping = {
    address,
    bytes: new Uint8Array(memoryAt(address, lengthBytes)),
    [Symbol.dispose]() {
      if (!live.has(mapping)) return
      unmap()
      live.delete(mapping)
    },
  }
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
