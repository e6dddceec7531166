/**
 * Values as text, with cycles, shared references and the built-in classes kept: what structured cloning carries.
 * vitest's workers need it (a task knows its suite, which knows its tasks), and the engines' own format will not do:
 * the host may be Node and the guest is Bun, whose `node:v8` write different bytes.
 *
 * The text is JSON: a table of objects, in which a value that is an object is a reference `[index]`.
 */

/** A JSON value that stands for one of ours: itself, or, as an array, a reference or a value JSON does not have. */
type Slot = string | number | boolean | null | [number] | [Special] | ['n', string]

/** Primitives without a JSON form. */
type Special = 'u' | 'NaN' | 'Infinity' | '-Infinity' | '-0'

/** One object of the table: its kind and its content. */
type Row =
  | ['o', Record<string, Slot>]
  | ['a', Slot[]]
  | ['d', number | null]
  | ['m', [Slot, Slot][]]
  | ['s', Slot[]]
  | ['r', string, string]
  | ['b', string, string]
  | ['w', Slot]
  | ['e', Record<string, Slot>]

/** Classes whose instances travel as bytes. */
const BINARY: Readonly<Record<string, (buffer: ArrayBuffer) => object>> = {
  ArrayBuffer: (buffer) => buffer,
  DataView: (buffer) => new DataView(buffer),
  Int8Array: (buffer) => new Int8Array(buffer),
  Uint8Array: (buffer) => new Uint8Array(buffer),
  Uint8ClampedArray: (buffer) => new Uint8ClampedArray(buffer),
  Int16Array: (buffer) => new Int16Array(buffer),
  Uint16Array: (buffer) => new Uint16Array(buffer),
  Int32Array: (buffer) => new Int32Array(buffer),
  Uint32Array: (buffer) => new Uint32Array(buffer),
  Float32Array: (buffer) => new Float32Array(buffer),
  Float64Array: (buffer) => new Float64Array(buffer),
  BigInt64Array: (buffer) => new BigInt64Array(buffer),
  BigUint64Array: (buffer) => new BigUint64Array(buffer),
}

/**
 * Writes `value` as text for {@link decodeValue}.
 *
 * Own enumerable string keys travel; prototypes other than the built-in ones do not. Of an error its name, message,
 * stack, the errors in it and own fields travel.
 *
 * @throws TypeError a function, a symbol or an object whose content cannot travel (a promise, a WeakMap) is in it
 */
export function encodeValue(value: unknown): string {
  const indexes = new Map<object, number>()
  const objects: object[] = []
  const slot = (inner: unknown): Slot => {
    if (typeof inner !== 'object' || inner === null) return primitive(inner)
    let index = indexes.get(inner)
    if (index === undefined) {
      index = objects.push(inner) - 1
      indexes.set(inner, index)
    }
    return [index]
  }
  const root = slot(value)
  const rows: Row[] = []
  // The list grows while it is walked: no recursion, so no depth is too deep.
  for (let index = 0; index < objects.length; index++) rows.push(row(objects[index] as object, slot))
  return JSON.stringify([root, rows])
}

/** Reads what {@link encodeValue} wrote. */
export function decodeValue(text: string): unknown {
  const [root, rows] = JSON.parse(text) as [Slot, Row[]]
  const objects = rows.map((one) => empty(one))
  const value = (slot: Slot): unknown =>
    Array.isArray(slot) && typeof slot[0] === 'number' ? objects[slot[0]] : readPrimitive(slot)
  for (const [index, one] of rows.entries()) fill(objects[index] as object, one, value)
  return value(root)
}

function primitive(value: unknown): Slot {
  switch (typeof value) {
    case 'undefined':
      return ['u']
    case 'bigint':
      return ['n', value.toString()]
    case 'number':
      if (Object.is(value, -0)) return ['-0']
      return Number.isFinite(value) ? value : [nonFinite(value)]
    case 'string':
    case 'boolean':
      return value
    case 'object':
      return null
    default:
      throw new TypeError(`a ${typeof value} cannot be sent to or from a guest: ${String(value)}`)
  }
}

function readPrimitive(slot: Slot): unknown {
  if (!Array.isArray(slot)) return slot
  return slot[0] === 'n' ? BigInt(slot[1]) : special(slot[0] as Special)
}

function nonFinite(value: number): Special {
  if (Number.isNaN(value)) return 'NaN'
  return value > 0 ? 'Infinity' : '-Infinity'
}

function special(word: Special): unknown {
  return word === 'u' ? undefined : Number(word)
}

function row(object: object, slot: (value: unknown) => Slot): Row {
  if (Array.isArray(object)) return ['a', Array.from(object, slot)]
  if (object instanceof Date) return ['d', Number.isNaN(object.getTime()) ? null : object.getTime()]
  if (object instanceof Map)
    return ['m', Array.from(object, ([key, value]) => [slot(key), slot(value)] as [Slot, Slot])]
  if (object instanceof Set) return ['s', Array.from(object, slot)]
  if (object instanceof RegExp) return ['r', object.source, object.flags]
  if (ArrayBuffer.isView(object))
    return ['b', binaryName(object), base64(object.buffer, object.byteOffset, object.byteLength)]
  if (object instanceof ArrayBuffer) return ['b', 'ArrayBuffer', base64(object, 0, object.byteLength)]
  if (object instanceof Error) {
    const { name, message, stack } = object
    const hidden: Record<string, unknown> = { name, message, stack }
    for (const key of REFERENCES) if (key in object) hidden[key] = Reflect.get(object, key)
    return ['e', fields(Object.assign(hidden, object), slot)]
  }
  if (BOXES.some((box) => object instanceof box)) return ['w', slot(object.valueOf())]
  const tag = tagOf(object)
  if (!PLAIN.has(tag)) throw new TypeError(`a ${tag} cannot be sent to or from a guest`)
  return ['o', fields(object, slot)]
}

/** Classes of primitives in an object. */
const BOXES = [Boolean, Number, String, BigInt] as const

/** Tags of objects that are no more than their fields, whatever their class. */
const PLAIN: ReadonlySet<string> = new Set(['Object', 'Arguments'])

function tagOf(object: object): string {
  return Object.prototype.toString.call(object).slice(8, -1)
}

function fields(object: object, slot: (value: unknown) => Slot): Record<string, Slot> {
  const result: Record<string, Slot> = Object.create(null) as Record<string, Slot>
  for (const [key, value] of Object.entries(object)) result[key] = slot(value)
  return result
}

function binaryName(view: ArrayBufferView): string {
  const name = tagOf(view)
  return name in BINARY ? name : 'Uint8Array'
}

function base64(buffer: ArrayBufferLike, offset: number, length: number): string {
  return Buffer.from(buffer as ArrayBuffer, offset, length).toString('base64')
}

/** The object of a row, still without what refers to others. */
function empty(one: Row): object {
  switch (one[0]) {
    case 'o':
      return {}
    case 'a':
      return []
    case 'd':
      return new Date(one[1] ?? Number.NaN)
    case 'm':
      return new Map()
    case 's':
      return new Set()
    case 'r':
      return new RegExp(one[1], one[2])
    case 'b': {
      const bytes = Uint8Array.from(Buffer.from(one[2], 'base64'))
      return (BINARY[one[1]] ?? ((buffer) => new Uint8Array(buffer)))(bytes.buffer)
    }
    case 'w':
      return Object(readPrimitive(one[1])) as object
    case 'e':
      return new Error()
  }
}

function fill(object: object, one: Row, value: (slot: Slot) => unknown): void {
  switch (one[0]) {
    case 'o':
      for (const [key, slot] of Object.entries(one[1])) define(object, key, value(slot), true)
      break
    case 'e':
      for (const [key, slot] of Object.entries(one[1])) define(object, key, value(slot), !HIDDEN.has(key))
      break
    case 'a':
      for (const slot of one[1]) (object as unknown[]).push(value(slot))
      break
    case 'm':
      for (const [key, slot] of one[1]) (object as Map<unknown, unknown>).set(value(key), value(slot))
      break
    case 's':
      for (const slot of one[1]) (object as Set<unknown>).add(value(slot))
      break
  }
}

/** What of an error refers to others, in those of the language. */
const REFERENCES = ['cause', 'errors', 'error', 'suppressed'] as const

/** Fields that an error has without showing them. */
const HIDDEN: ReadonlySet<string> = new Set(['name', 'message', 'stack', ...REFERENCES])

/** Assigns, and does not fall for `__proto__`. */
function define(object: object, key: string, value: unknown, enumerable: boolean): void {
  if (enumerable && key !== '__proto__') (object as Record<string, unknown>)[key] = value
  else Object.defineProperty(object, key, { value, enumerable, writable: true, configurable: true })
}
