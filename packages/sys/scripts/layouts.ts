/** The layouts of the selected structs, from the type information (BTF) that the compiler puts into an object. */

import { readBtf, type BtfType } from './btf.ts'
import { compileObject, evaluate, readSection } from './evaluate.ts'
import type { Architecture, Toolchain } from './headers.ts'
import type { FieldType } from '../src/struct.ts'
import { kernelStructs, libcStructs, namedLayouts } from './selection/structs.ts'

/** A field: type, offset in bytes, and for an array the number of its elements (0: the rest of the bytes). */
export type Field = readonly [type: FieldType, offset: number, count?: number]

export interface Layout {
  readonly size: number
  readonly fields: Readonly<Record<string, Field>>
}

/** The C type of a selected struct: `struct x`, or as written when it says `union x`. */
export const typeName = (selected: string): string =>
  selected.includes(' ') ? selected : `struct ${selected}`

/** The exported name: `union bpf_attr` → `bpf_attr`. */
export const layoutName = (selected: string): string => selected.replace(/^union /, '')

/** Follows typedefs, const and volatile; keeps the last typedef's name, which tells `__be16` from `__u16`. */
function resolve(types: readonly BtfType[], id: number): { type: BtfType; alias: string } {
  let type = types[id] ?? { kind: 'other' as const }
  let alias = ''
  while (type.kind === 'alias') {
    if (/^__be(16|32|64)$/.test(type.name)) alias = type.name
    type = types[type.type] ?? { kind: 'other' }
  }
  return { type, alias }
}

function scalarOf(type: BtfType, alias: string): FieldType | undefined {
  if (alias) return alias.slice(2) as FieldType
  if (type.kind === 'pointer') return 'ptr'
  if (type.kind === 'enum') return `u${type.size * 8}` as FieldType
  if (type.kind !== 'int') return undefined
  // Plain char is signed on x86-64 and unsigned on arm64; in the kernel's structs it is always text.
  const signed = type.signed && type.name !== 'char'
  return `${signed ? 's' : 'u'}${type.size * 8}` as FieldType
}

/** Room that the kernel keeps for later: no field of ours, for a newer kernel moves, splits and renames it. */
const reserved = /(^|_)(padding|pad|spare|resvd?|reserved|unused)_?\d*$/

/** Lists the members with nested structs written out: `sq_off.head`. Anonymous members get no prefix, as in C. */
function flatten(
  types: readonly BtfType[],
  id: number,
  prefix: string,
  base: number,
  into: [string, Field][],
): void {
  const { type } = resolve(types, id)
  if (type.kind !== 'struct' && type.kind !== 'union') return
  for (const member of type.members) {
    // Bit fields have no address: whoever needs them takes the bytes.
    if (member.bits > 0 || reserved.test(member.name)) continue
    const name = `${prefix}${member.name}`
    const offset = base + member.offset
    let inner = resolve(types, member.type)
    let count: number | undefined
    while (inner.type.kind === 'array') {
      count = (count ?? 1) * inner.type.count
      inner = resolve(types, inner.type.type)
    }
    const scalar = scalarOf(inner.type, inner.alias)
    if (scalar !== undefined)
      into.push([name, count === undefined ? [scalar, offset] : [scalar, offset, count]])
    else if (inner.type.kind !== 'struct' && inner.type.kind !== 'union') continue
    // An address and a signal set are one value each, whatever struct C wraps them in.
    else if (inner.type.members.length === 1 && inner.type.members[0]?.name === 'sig')
      into.push([name, ['u64', offset]])
    else if (inner.type.name === 'in6_addr' && count === undefined) into.push([name, ['u8', offset, 16]])
    else if (count !== undefined) into.push([name, ['u8', offset, count * inner.type.size]])
    else flatten(types, member.type, member.name === '' ? prefix : `${name}.`, offset, into)
  }
}

function layoutsFromBtf(toolchain: Toolchain, selected: readonly string[]): Map<string, Layout> {
  const variables = selected.map((name, index) => `${typeName(name)} solo_struct_${index};`).join('\n')
  const types = readBtf(readSection(compileObject(toolchain, variables, ['-gbtf']), '.BTF'))
  const layouts = new Map<string, Layout>()
  for (const name of selected) {
    const id = types.findIndex(
      (type) => (type.kind === 'struct' || type.kind === 'union') && type.name === layoutName(name),
    )
    const type = types[id]
    if (!type || (type.kind !== 'struct' && type.kind !== 'union'))
      throw new Error(`no type information of ${typeName(name)}`)
    const fields: [string, Field][] = []
    flatten(types, id, '', 0, fields)
    layouts.set(layoutName(name), { size: type.size, fields: Object.fromEntries(fields) })
  }
  return layouts
}

/** Layouts whose fields are named in the selection, measured with offsetof and sizeof. */
function layoutsByName(toolchain: Toolchain): Map<string, Layout> {
  return new Map(
    Object.entries(namedLayouts).map(([name, { type, fields }]) => {
      const offsetOf = (field: string): string => `__builtin_offsetof(${type}, ${field})`
      const values = evaluate(toolchain, [`sizeof(${type})`, ...Object.keys(fields).map(offsetOf)])
      const measured = Object.entries(fields).map(([field, fieldType]): [string, Field] => {
        const offset = values.get(offsetOf(field))
        if (offset === undefined) throw new Error(`${type} has no field ${field}`)
        return [field, [fieldType, Number(offset)]]
      })
      return [name, { size: Number(values.get(`sizeof(${type})`)), fields: Object.fromEntries(measured) }]
    }),
  )
}

/** Every selected layout by its exported name. */
export function collectLayouts(
  kernel: Record<Architecture, Toolchain>,
  libc: Toolchain,
): Map<string, { x64: Layout; arm64: Layout }> {
  const all = (architecture: Architecture): Map<string, Layout> =>
    new Map([...layoutsFromBtf(kernel[architecture], kernelStructs), ...layoutsByName(kernel[architecture])])
  const x64 = all('x64')
  const arm64 = all('arm64')
  const layouts = new Map<string, { x64: Layout; arm64: Layout }>()
  for (const [name, layout] of x64) {
    const other = arm64.get(name)
    if (!other) throw new Error(`arm64 has no struct ${name}`)
    layouts.set(name, { x64: layout, arm64: other })
  }
  for (const [name, layout] of layoutsFromBtf(libc, libcStructs))
    layouts.set(name, { x64: layout, arm64: layout })
  return layouts
}
