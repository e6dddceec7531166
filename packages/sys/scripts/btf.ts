/**
 * Reads BTF, the type information that `gcc -gbtf` puts into an object: exact names, types and offsets of all
 * members, for whatever machine the object is.
 * @see https://docs.kernel.org/bpf/btf.html
 */

/** A member of a struct or union. Bit fields have `bits`; they have no address of their own. */
export interface Member {
  readonly name: string
  readonly type: number
  readonly offset: number
  readonly bits: number
}

export type BtfType =
  | { readonly kind: 'int'; readonly name: string; readonly size: number; readonly signed: boolean }
  | { readonly kind: 'pointer' }
  | { readonly kind: 'array'; readonly type: number; readonly count: number }
  | {
      readonly kind: 'struct' | 'union'
      readonly name: string
      readonly size: number
      readonly members: readonly Member[]
    }
  | { readonly kind: 'enum'; readonly size: number }
  | { readonly kind: 'alias'; readonly name: string; readonly type: number }
  | { readonly kind: 'other' }

const BTF_MAGIC = 0xeb9f
const kinds = {
  int: 1,
  ptr: 2,
  array: 3,
  struct: 4,
  union: 5,
  enum: 6,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
} as const
/** Bytes after the common 12, of the kinds that are skipped: [fixed, per entry]. */
const skipped: Readonly<Record<number, readonly [number, number]>> = {
  6: [0, 8],
  7: [0, 0],
  12: [0, 0],
  13: [0, 8],
  14: [4, 0],
  15: [0, 12],
  16: [0, 0],
  17: [4, 0],
  18: [0, 0],
  19: [0, 12],
}

/** All types of a `.BTF` section; the index is the type's id, 0 is void. */
export function readBtf(section: Uint8Array): BtfType[] {
  const data = new DataView(section.buffer, section.byteOffset, section.byteLength)
  const u32 = (at: number): number => data.getUint32(at, true)
  if (data.getUint16(0, true) !== BTF_MAGIC)
    throw new Error('not BTF: the compiler must know -gbtf (gcc 12 or newer)')
  const headerSize = u32(4)
  const typesEnd = headerSize + u32(8) + u32(12)
  const strings = headerSize + u32(16)
  const text = (offset: number): string => {
    const start = strings + offset
    return new TextDecoder().decode(section.subarray(start, section.indexOf(0, start)))
  }
  const types: BtfType[] = [{ kind: 'other' }]
  let at = headerSize + u32(8)
  while (at < typesEnd) {
    const name = text(u32(at))
    const info = u32(at + 4)
    const sizeOrType = u32(at + 8)
    const [count, kind, flag] = [info & 0xffff, (info >>> 24) & 31, info >>> 31]
    at += 12
    if (kind === kinds.int) {
      types.push({ kind: 'int', name, size: sizeOrType, signed: ((u32(at) >>> 24) & 1) === 1 })
      at += 4
    } else if (kind === kinds.array) {
      types.push({ kind: 'array', type: u32(at), count: u32(at + 8) })
      at += 12
    } else if (kind === kinds.struct || kind === kinds.union) {
      const members: Member[] = []
      for (let index = 0; index < count; index++, at += 12) {
        const position = u32(at + 8)
        const bits = flag ? position >>> 24 : 0
        members.push({
          name: text(u32(at)),
          type: u32(at + 4),
          bits,
          offset: (flag ? position & 0xffffff : position) / 8,
        })
      }
      types.push({ kind: kind === kinds.struct ? 'struct' : 'union', name, size: sizeOrType, members })
    } else if (kind === kinds.ptr) types.push({ kind: 'pointer' })
    else if (kind === kinds.typedef || (kind >= kinds.volatile && kind <= kinds.restrict) || kind === 18) {
      types.push({ kind: 'alias', name: kind === kinds.typedef ? name : '', type: sizeOrType })
    } else {
      const [fixed, each] = skipped[kind] ?? raiseUnknown(kind)
      types.push(kind === kinds.enum ? { kind: 'enum', size: sizeOrType } : { kind: 'other' })
      at += fixed + each * count
    }
  }
  return types
}

function raiseUnknown(kind: number): never {
  throw new Error(`BTF kind ${kind} is newer than this reader`)
}
