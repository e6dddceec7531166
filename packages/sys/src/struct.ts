/**
 * Reads and writes kernel structs by the names of their fields, from a layout of `@pkg/sys/structs`.
 *
 * The memory is always a plain ArrayBuffer: its address does not change, so a pointer to it may be stored in
 * another struct for as long as the view is referenced. (The engine may move a small typed array that has none.)
 *
 * @module
 */

/** A scalar of C: unsigned, signed, big-endian (`__be16`) or a pointer (an address, as `u64`). */
export type FieldType =
  | 'u8'
  | 'u16'
  | 'u32'
  | 'u64'
  | 's8'
  | 's16'
  | 's32'
  | 's64'
  | 'be16'
  | 'be32'
  | 'be64'
  | 'ptr'

/** Type, offset in bytes, and for an array the number of elements; 0 elements: all bytes to the end of the memory. */
export type Field = readonly [type: FieldType, offset: number, count?: number]

/** The layout of a struct. */
export interface StructLayout {
  /** `sizeof`, in bytes. */
  readonly size: number
  /** The fields by name. */
  readonly fields: Readonly<Record<string, Field>>
}

/** Names of the fields of `L`. */
export type FieldName<L extends StructLayout> = keyof L['fields'] & string

type ScalarValue<T> = T extends 'u64' | 's64' | 'be64' | 'ptr' ? bigint : number
type ScalarInput<T> = T extends 'u64' | 's64' | 'be64' | 'ptr' ? bigint | number : number

/** What {@link StructView.get} returns: number; bigint for 64 bits; bytes for `u8` arrays; otherwise an array. */
export type FieldValue<F> = F extends readonly [infer T, number]
  ? ScalarValue<T>
  : F extends readonly [infer T, number, number]
    ? T extends 'u8'
      ? Uint8Array<ArrayBuffer>
      : ScalarValue<T>[]
    : FieldValueOfAny

type FieldValueOfAny = number | bigint | Uint8Array<ArrayBuffer> | (number | bigint)[]

/** What {@link StructView.set} takes: 64-bit fields also take a safe integer. */
export type FieldInput<F> = F extends readonly [infer T, number]
  ? ScalarInput<T>
  : F extends readonly [infer T, number, number]
    ? T extends 'u8'
      ? Uint8Array
      : readonly ScalarInput<T>[]
    : number | bigint | Uint8Array | readonly (number | bigint)[]

/** A struct in memory. */
export interface StructView<L extends StructLayout = StructLayout> {
  /** The layout that names the fields. */
  readonly layout: L
  /** The struct's memory; its `byteLength` is at least `layout.size`. Changes show in both directions. */
  readonly bytes: Uint8Array<ArrayBuffer>
  /**
   * The value of a field. A `u8` array is a window onto the memory, other arrays are copies.
   *
   * @throws TypeError for a name that the layout lacks
   */
  get<K extends FieldName<L>>(field: K): FieldValue<L['fields'][K]>
  /**
   * Writes a field. An array that is shorter than the field is followed by zeros.
   *
   * @throws RangeError when the value does not fit; TypeError for a wrong type or a name that the layout lacks.
   *   Nothing has been written then.
   */
  set<K extends FieldName<L>>(field: K, value: FieldInput<L['fields'][K]>): void
  /** Zeros the memory. */
  clear(): void
}

interface ScalarCodec {
  readonly size: number
  /** Least and greatest value; bigint for 64 bits. */
  readonly least: number | bigint
  readonly greatest: number | bigint
  read(data: DataView, at: number): number | bigint
  write(data: DataView, at: number, value: never): void
}

const U64_MAX = 0xffffffffffffffffn

function narrow(size: 1 | 2 | 4, signed: boolean, littleEndian = true): ScalarCodec {
  const values = 2 ** (size * 8)
  const bits = size === 1 ? 8 : size === 2 ? 16 : 32
  const [getter, setter] = [
    `get${signed ? 'Int' : 'Uint'}${bits}`,
    `set${signed ? 'Int' : 'Uint'}${bits}`,
  ] as const
  type Getter = 'getUint32'
  type Setter = 'setUint32'
  return {
    size,
    least: signed ? -values / 2 : 0,
    greatest: signed ? values / 2 - 1 : values - 1,
    read: (data, at) => data[getter as Getter](at, littleEndian),
    write: (data, at, value: number) => data[setter as Setter](at, value, littleEndian),
  }
}

function wide(signed: boolean, littleEndian = true): ScalarCodec {
  return {
    size: 8,
    least: signed ? -(2n ** 63n) : 0n,
    greatest: signed ? 2n ** 63n - 1n : U64_MAX,
    read: (data, at) => (signed ? data.getBigInt64(at, littleEndian) : data.getBigUint64(at, littleEndian)),
    write: (data, at, value: bigint) =>
      signed ? data.setBigInt64(at, value, littleEndian) : data.setBigUint64(at, value, littleEndian),
  }
}

type Codecs = Readonly<Record<FieldType, ScalarCodec>>

let codecs: Codecs | undefined

// Both architectures are little-endian.
const makeCodecs = (): Codecs => ({
  u8: narrow(1, false),
  u16: narrow(2, false),
  u32: narrow(4, false),
  u64: wide(false),
  s8: narrow(1, true),
  s16: narrow(2, true),
  s32: narrow(4, true),
  s64: wide(true),
  be16: narrow(2, false, false),
  be32: narrow(4, false, false),
  be64: wide(false, false),
  ptr: wide(false),
})

const codecOf = (type: FieldType): ScalarCodec => (codecs ??= makeCodecs())[type]

/** `value` in the form that the codec writes, or an error that names the field. */
function checked(codec: ScalarCodec, type: FieldType, name: string, value: unknown): never {
  const isWide = typeof codec.least === 'bigint'
  const fits = typeof value === 'number' || (isWide && typeof value === 'bigint')
  if (!fits)
    throw new TypeError(
      `${name} is ${type}: expected ${isWide ? 'a bigint or an integer' : 'a number'}, got ${typeof value}`,
    )
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw new RangeError(`${name} is ${type}: ${value} is no safe integer`)
  }
  if (value < codec.least || value > codec.greatest) {
    // The bitwise operators of JavaScript give signed results.
    const hint = type === 'u32' && value < 0 && value >= -0x80000000 ? '; write (flags) >>> 0' : ''
    throw new RangeError(`${name} is ${type}: ${value} is not in ${codec.least} to ${codec.greatest}${hint}`)
  }
  return (isWide ? BigInt(value) : value) as never
}

class View<L extends StructLayout> implements StructView<L> {
  readonly layout: L
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly #data: DataView

  constructor(layout: L, bytes: Uint8Array<ArrayBuffer>) {
    this.layout = layout
    this.bytes = bytes
    this.#data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get<K extends FieldName<L>>(name: K): FieldValue<L['fields'][K]> {
    const [type, offset, count] = this.#field(name)
    const codec = codecOf(type)
    if (count === undefined) return codec.read(this.#data, offset) as FieldValue<L['fields'][K]>
    const length = this.#length(codec, offset, count)
    if (type === 'u8') return this.bytes.subarray(offset, offset + length) as FieldValue<L['fields'][K]>
    const values = Array.from({ length }, (_, index) => codec.read(this.#data, offset + index * codec.size))
    return values as FieldValue<L['fields'][K]>
  }

  set<K extends FieldName<L>>(name: K, value: FieldInput<L['fields'][K]>): void {
    const [type, offset, count] = this.#field(name)
    const codec = codecOf(type)
    if (count === undefined) {
      codec.write(this.#data, offset, checked(codec, type, name, value))
      return
    }
    const length = this.#length(codec, offset, count)
    const isBytes = value instanceof Uint8Array
    if (type === 'u8' ? !isBytes : !Array.isArray(value)) {
      throw new TypeError(
        `${name} is ${type}[${length}]: expected ${type === 'u8' ? 'a Uint8Array' : 'an array'}`,
      )
    }
    const values = value as Uint8Array | readonly unknown[]
    if (values.length > length)
      throw new RangeError(`${name} is ${type}[${length}]: ${values.length} elements do not fit`)
    const ready = isBytes
      ? undefined
      : Array.from(values, (one, index) => checked(codec, type, `${name}[${index}]`, one))
    if (isBytes) this.bytes.set(value, offset)
    else ready?.forEach((one, index) => codec.write(this.#data, offset + index * codec.size, one))
    this.bytes.fill(0, offset + values.length * codec.size, offset + length * codec.size)
  }

  clear(): void {
    this.bytes.fill(0)
  }

  #field(name: string): Field {
    const field = Object.hasOwn(this.layout.fields, name) ? this.layout.fields[name] : undefined
    if (!field) throw new TypeError(`the struct has no field ${JSON.stringify(name)}`)
    return field
  }

  /** Elements of an array field; a flexible one goes on to the end of the memory. */
  #length(codec: ScalarCodec, offset: number, count: number): number {
    return count > 0 ? count : Math.floor((this.bytes.byteLength - offset) / codec.size)
  }
}

/**
 * A zeroed struct in memory of its own.
 *
 * @param extraBytes - room after the struct for a flexible array member or for what follows in the message
 * @throws RangeError when `extraBytes` is negative or no integer
 * @example
 * ```ts
 * import { alloc } from '@pkg/sys/struct'
 * import { sockaddr_in } from '@pkg/sys/structs'
 * const address = alloc(sockaddr_in)
 * address.set('sin_port', 8080) // __be16: written big-endian
 * if (address.bytes[2] !== 0x1f) throw new Error('8080 is 0x1f90')
 * ```
 */
export function alloc<const L extends StructLayout>(layout: L, extraBytes = 0): StructView<L> {
  if (!Number.isSafeInteger(extraBytes) || extraBytes < 0) {
    throw new RangeError(`extraBytes must be an integer of 0 or more: ${extraBytes}`)
  }
  return new View(layout, new Uint8Array(new ArrayBuffer(layout.size + extraBytes)))
}

/**
 * A struct in existing memory: what the kernel has written into a buffer. The view reaches to the end of `bytes`.
 *
 * @param bytes - backed by an ArrayBuffer; a view of a SharedArrayBuffer is a TypeError
 * @param offset - where the struct begins in `bytes`; need not be aligned
 * @throws RangeError when the struct does not fit
 * @example
 * ```ts
 * import { view } from '@pkg/sys/struct'
 * import { inotify_event } from '@pkg/sys/structs'
 * const event = view(inotify_event, new Uint8Array(32), 8)
 * event.get('name').length // 8: the rest of the bytes
 * ```
 */
export function view<const L extends StructLayout>(layout: L, bytes: Uint8Array, offset = 0): StructView<L> {
  if (!(bytes instanceof Uint8Array)) throw new TypeError('bytes must be a Uint8Array')
  if (!(bytes.buffer instanceof ArrayBuffer)) throw new TypeError('bytes must be backed by an ArrayBuffer')
  if (!Number.isSafeInteger(offset) || offset < 0 || offset + layout.size > bytes.byteLength) {
    throw new RangeError(
      `a struct of ${layout.size} bytes does not fit at ${offset} of ${bytes.byteLength} bytes`,
    )
  }
  return new View(layout, new Uint8Array(bytes.buffer, bytes.byteOffset + offset, bytes.byteLength - offset))
}
