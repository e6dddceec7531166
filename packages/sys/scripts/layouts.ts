/** The layouts of the selected structs, from the type information (BTF) that the compiler puts into an object. */
import type { Architecture, Toolchain } from './headers.ts'
import type { FieldType } from './selection.ts'

/** A field: type, offset in bytes, and for an array the number of its elements (0: the rest of the bytes). */
export type Field = readonly [type: FieldType, offset: number, count?: number]

export interface Layout {
  readonly size: number
  readonly fields: Readonly<Record<string, Field>>
}

export function collectLayouts(_kernel: Record<Architecture, Toolchain>, _libc: Toolchain): Map<string, { x64?: Layout; arm64?: Layout }> {
  return new Map()
}
