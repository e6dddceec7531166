// The memory of a struct that a caller hands in, for the kernel to write to or read from.
import type { StructLayout, StructView } from '../struct.ts'

/** Layouts of callers, and what was found equal to them: each area has its own copy of those that it uses. */
const equal = new WeakMap<StructLayout, StructLayout>()

function isSame(given: StructLayout | undefined, layout: StructLayout): boolean {
  if (given === layout) return true
  if (typeof given !== 'object' || given === null) return false
  if (equal.get(given) === layout) return true
  const areEqual = JSON.stringify([given.size, given.fields]) === JSON.stringify([layout.size, layout.fields])
  if (areEqual) equal.set(given, layout)
  return areEqual
}

/**
 * The bytes of `struct`, if it is one of `layout` and all there: its type says so, but nothing keeps a caller from
 * making such an object by hand, and the kernel would write beyond a smaller one.
 *
 * @throws TypeError otherwise
 */
export function structMemory<L extends StructLayout>(
  struct: StructView<L>,
  layout: L,
  name: string,
): Uint8Array {
  const isWhole = isSame(struct?.layout, layout) && struct.bytes instanceof Uint8Array
  if (!isWhole || struct.bytes.byteLength < layout.size)
    throw new TypeError(`${name} must be a whole struct, made with alloc`)
  return struct.bytes
}
