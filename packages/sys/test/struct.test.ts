// The struct codec against DataView, which other people wrote.

import fc from 'fast-check'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { alloc, view, type FieldType, type StructLayout } from '../src/struct.ts'
import * as structs from '../src/structs.ts'

interface Reference {
  size: number
  values: fc.Arbitrary<number | bigint>
  read(data: DataView, at: number): number | bigint
  outside: (number | bigint)[]
}

const two = (bits: number): number => 2 ** bits
const unsigned = (bits: number): Pick<Reference, 'size' | 'values' | 'outside'> => ({
  size: bits / 8,
  values: fc.oneof(fc.integer({ min: 0, max: two(bits) - 1 }), fc.constantFrom(0, two(bits) - 1)),
  outside: [-1, two(bits), 0.5, NaN, Infinity],
})
const signed = (bits: number): Pick<Reference, 'size' | 'values' | 'outside'> => ({
  size: bits / 8,
  values: fc.oneof(
    fc.integer({ min: -two(bits - 1), max: two(bits - 1) - 1 }),
    fc.constantFrom(-two(bits - 1), two(bits - 1) - 1),
  ),
  outside: [-two(bits - 1) - 1, two(bits - 1), -0.5, NaN, -Infinity],
})
const wide = (least: bigint, greatest: bigint): Pick<Reference, 'size' | 'values' | 'outside'> => ({
  size: 8,
  values: fc.oneof(fc.bigInt({ min: least, max: greatest }), fc.constantFrom(least, greatest)),
  outside: [least - 1n, greatest + 1n, 2 ** 53, 0.5, NaN],
})

const u64 = wide(0n, 2n ** 64n - 1n)
const references: Record<FieldType, Reference> = {
  u8: { ...unsigned(8), read: (data, at) => data.getUint8(at) },
  u16: { ...unsigned(16), read: (data, at) => data.getUint16(at, true) },
  u32: { ...unsigned(32), read: (data, at) => data.getUint32(at, true) },
  u64: { ...u64, read: (data, at) => data.getBigUint64(at, true) },
  s8: { ...signed(8), read: (data, at) => data.getInt8(at) },
  s16: { ...signed(16), read: (data, at) => data.getInt16(at, true) },
  s32: { ...signed(32), read: (data, at) => data.getInt32(at, true) },
  s64: { ...wide(-(2n ** 63n), 2n ** 63n - 1n), read: (data, at) => data.getBigInt64(at, true) },
  be16: { ...unsigned(16), read: (data, at) => data.getUint16(at, false) },
  be32: { ...unsigned(32), read: (data, at) => data.getUint32(at, false) },
  be64: { ...u64, read: (data, at) => data.getBigUint64(at, false) },
  ptr: { ...u64, read: (data, at) => data.getBigUint64(at, true) },
}

const dataOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

describe.each(Object.entries(references))('a field of type %s', (type, reference) => {
  test('set() writes at its offset what DataView reads, and nothing else; get() gives it back', () => {
    fc.assert(
      fc.property(reference.values, fc.nat(9), fc.nat(7), fc.nat(255), (value, offset, base, filler) => {
        const layout: StructLayout = { size: 24, fields: { field: [type as FieldType, offset] } }
        const memory = new Uint8Array(40).fill(filler)
        const struct = view(layout, memory, base)
        struct.set('field', value)
        expect(reference.read(dataOf(memory), base + offset)).toBe(value)
        expect(struct.get('field')).toBe(value)
        const untouched = memory.filter((_, at) => at < base + offset || at >= base + offset + reference.size)
        expect(untouched.every((byte) => byte === filler)).toBe(true)
      }),
    )
  })

  test('an array of it keeps its elements in order, pads with zeros, and is no wider than its count', () => {
    fc.assert(
      fc.property(fc.array(reference.values, { maxLength: 5 }), fc.nat(3), (values, offset) => {
        const layout: StructLayout = { size: 64, fields: { list: [type as FieldType, offset, 5] } }
        const struct = alloc(layout)
        struct.bytes.fill(0xaa)
        struct.set('list', type === 'u8' ? Uint8Array.from(values as number[]) : values)
        const data = dataOf(struct.bytes)
        const expected = Array.from({ length: 5 }, (_, index) =>
          reference.read(data, offset + index * reference.size),
        )
        expect([...(struct.get('list') as Iterable<number | bigint>)]).toEqual(expected)
        expect(expected.slice(0, values.length)).toEqual(values)
        expect(expected.slice(values.length).every((value) => Number(value) === 0)).toBe(true)
        expect(struct.bytes[offset + 5 * reference.size]).toBe(0xaa)
      }),
    )
  })

  test('set() refuses a value that does not fit with RangeError and leaves the memory alone', () => {
    const struct = alloc<StructLayout>({ size: 8, fields: { field: [type as FieldType, 0] } })
    struct.bytes.fill(0x55)
    for (const value of reference.outside)
      expect(() => struct.set('field', value), String(value)).toThrow(RangeError)
    for (const value of ['1', null, undefined, true, {}, new Uint8Array(1)]) {
      expect(() => struct.set('field', value as never)).toThrow(TypeError)
    }
    if (reference.size < 8) expect(() => struct.set('field', 1n)).toThrow(TypeError)
    expect(struct.bytes.every((byte) => byte === 0x55)).toBe(true)
  })
})

describe('alloc()', () => {
  test('gives zeroed memory of the size of the struct, backed by an ArrayBuffer of its own', () => {
    const struct = alloc(structs.statx)
    expect(struct.bytes.byteLength).toBe(256)
    expect(struct.bytes.buffer).toBeInstanceOf(ArrayBuffer)
    expect(struct.bytes.buffer.byteLength).toBe(256)
    expect(struct.bytes.every((byte) => byte === 0)).toBe(true)
  })

  test('adds room for a flexible array member, which reaches to the end of the memory', () => {
    const struct = alloc(structs.inotify_event, 10)
    struct.set('name', new Uint8Array([1, 2, 3]))
    expect([...struct.get('name')]).toEqual([1, 2, 3, 0, 0, 0, 0, 0, 0, 0])
    expect(() => struct.set('name', new Uint8Array(11))).toThrow(RangeError)
  })

  test('refuses a negative or broken number of extra bytes', () => {
    for (const extra of [-1, 0.5, NaN, Infinity])
      expect(() => alloc(structs.iovec, extra)).toThrow(RangeError)
  })
})

describe('view()', () => {
  test('shows the memory that it was given, in both directions', () => {
    const memory = new Uint8Array(20)
    const struct = view(structs.nlmsghdr, memory, 4)
    memory[4] = 16
    expect(struct.get('nlmsg_len')).toBe(16)
    struct.set('nlmsg_type', 0x1234)
    expect([...memory.subarray(8, 10)]).toEqual([0x34, 0x12])
  })

  test('refuses memory that is too short, a bad offset, shared memory and what is no byte array', () => {
    const { nlmsghdr } = structs
    expect(() => view(nlmsghdr, new Uint8Array(15))).toThrow(
      'a struct of 16 bytes does not fit at 0 of 15 bytes',
    )
    for (const offset of [1, -1, 0.5, NaN])
      expect(() => view(nlmsghdr, new Uint8Array(16), offset)).toThrow(RangeError)
    expect(() => view(nlmsghdr, new Uint8Array(new SharedArrayBuffer(16)))).toThrow(TypeError)
    expect(() => view(nlmsghdr, [] as unknown as Uint8Array)).toThrow(TypeError)
  })
})

describe('StructView', () => {
  test('a byte array field is a window: writing to it changes the struct', () => {
    const struct = alloc(structs.new_utsname)
    struct.get('release')[0] = 0x36
    expect(struct.bytes[130]).toBe(0x36)
    expect(struct.get('release').byteLength).toBe(65)
  })

  test('set() of an array refuses the whole when one element does not fit', () => {
    const struct = alloc(structs.seccomp_data)
    expect(() => struct.set('args', [1n, 2n, -1n])).toThrow(
      'args[2] is u64: -1 is not in 0 to 18446744073709551615',
    )
    expect(struct.get('args')).toEqual([0n, 0n, 0n, 0n, 0n, 0n])
    expect(() =>
      struct.set(
        'args',
        Array.from({ length: 7 }, () => 0n),
      ),
    ).toThrow('7 elements do not fit')
    expect(() => struct.set('args', 1n as never)).toThrow(TypeError)
  })

  test('set() of bytes refuses arrays of numbers, and shorter bytes clear the rest', () => {
    const struct = alloc(structs.sockaddr_un)
    struct.set('sun_path', new Uint8Array(108).fill(1))
    struct.set('sun_path', new TextEncoder().encode('/run/x'))
    expect(struct.get('sun_path').lastIndexOf(1)).toBe(-1)
    expect(() => struct.set('sun_path', [1, 2] as never)).toThrow(TypeError)
    expect(() => struct.set('sun_path', new Uint8Array(109))).toThrow(RangeError)
  })

  test('set() explains a negative u32, the result of a bitwise operator', () => {
    expect(() => alloc(structs.epoll_event).set('events', 1 << 31)).toThrow('write (flags) >>> 0')
  })

  test('64-bit fields take safe integers and give bigints', () => {
    const struct = alloc(structs.clone_args)
    struct.set('flags', 0x2_0000_0000)
    expect(struct.get('flags')).toBe(0x2_0000_0000n)
    expect(() => struct.set('flags', 2 ** 53)).toThrow(RangeError)
  })

  test('a name that the layout lacks is a TypeError, names of Object.prototype too', () => {
    const struct = alloc(structs.iovec as StructLayout)
    for (const name of ['nothing', 'toString', '__proto__', 'constructor', '']) {
      expect(() => struct.get(name)).toThrow(TypeError)
      expect(() => struct.set(name, 0)).toThrow(TypeError)
    }
  })

  test('clear() zeros the memory, the extra bytes too', () => {
    const struct = alloc(structs.iovec, 4)
    struct.bytes.fill(9)
    struct.clear()
    expect(struct.bytes).toEqual(new Uint8Array(20))
  })

  test('fields have the types of their layout', () => {
    const struct = alloc(structs.io_uring_params)
    expectTypeOf(struct.get('sq_off.head')).toEqualTypeOf<number>()
    expectTypeOf(alloc(structs.dm_ioctl).get('version')).toEqualTypeOf<number[]>()
    expectTypeOf(alloc(structs.clone_args).get('flags')).toEqualTypeOf<bigint>()
    expectTypeOf(alloc(structs.sockaddr_un).get('sun_path')).toEqualTypeOf<Uint8Array<ArrayBuffer>>()
    expectTypeOf(alloc(structs.epoll_event).get('data')).toEqualTypeOf<bigint>()
    // @ts-expect-error the layout has no such field
    expect(() => struct.get('nothing')).toThrow(TypeError)
  })
})

describe('layouts', () => {
  const layouts: [string, StructLayout][] = Object.entries(structs).flatMap(
    ([name, layout]): [string, StructLayout][] => ('size' in layout ? [[name, layout]] : []),
  )

  test('every field of every layout lies inside its struct and can be read and written', () => {
    expect(layouts.length).toBeGreaterThan(200)
    for (const [name, layout] of layouts) {
      const struct = alloc(layout)
      for (const field of Object.keys(layout.fields)) {
        const value = struct.get(field)
        struct.set(field, value)
        expect(struct.get(field), `${name}.${field}`).toEqual(value)
      }
    }
  })

  test('of sockaddr_in writes port and address in network order', () => {
    const address = alloc(structs.sockaddr_in)
    address.set('sin_family', 2)
    address.set('sin_port', 8080)
    address.set('sin_addr.s_addr', 0x0a00020f)
    expect([...address.bytes.subarray(0, 8)]).toEqual([2, 0, 0x1f, 0x90, 10, 0, 2, 15])
  })
})
