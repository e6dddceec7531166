/** What of a thrown value can be sent when the whole of it cannot: an error keeps all of its fields that can. */
import { encode } from './values.ts'

/** How much of a message or a stack is kept in a copy, in characters: it must fit into a message to the other side. */
const TEXT_LIMIT = 64 << 10

/** Fields of an error that it has without showing them, beside its name, message and stack. */
const REFERENCES = ['cause', 'errors', 'error', 'suppressed'] as const

/** A value in a few words, whatever it is: `String` throws for an object without a prototype, for one. */
export function wordsOf(value: unknown): string {
  try {
    return String(value).slice(0, TEXT_LIMIT)
  } catch {
    return 'a value without a string form was thrown'
  }
}

/**
 * A copy of an error, and of the errors in it, without the fields that cannot travel; anything else in words. Errors
 * that are frozen have copies that are not.
 */
export function travellingCopy(error: unknown): unknown {
  return error instanceof Error ? copyOf(error, new Map()) : new Error(wordsOf(error))
}

function copyOf(error: Error, copies: Map<Error, Error>): Error {
  const known = copies.get(error)
  if (known) return known
  const copy = new Error(wordsOf(read(error, 'message')))
  copies.set(error, copy)
  for (const key of ['name', 'stack']) {
    const text = read(error, key)
    if (typeof text === 'string') define(copy, key, text.slice(0, TEXT_LIMIT), false)
  }
  const shown = Object.keys(error)
  for (const key of new Set([...REFERENCES, ...shown])) {
    if (!(key in error) || key === 'name' || key === 'message' || key === 'stack') continue
    const value = travelling(read(error, key), copies)
    if (value !== CANNOT) define(copy, key, value, shown.includes(key))
  }
  return copy
}

const CANNOT = Symbol('cannot travel')

function travelling(value: unknown, copies: Map<Error, Error>): unknown {
  if (value instanceof Error) return copyOf(value, copies)
  if (Array.isArray(value))
    return value.map((each) => travelling(each, copies)).filter((each) => each !== CANNOT)
  try {
    encode(value)
    return value
  } catch {
    return CANNOT
  }
}

function read(object: object, key: string): unknown {
  try {
    return Reflect.get(object, key)
  } catch {
    return CANNOT
  }
}

function define(object: object, key: string, value: unknown, enumerable: boolean): void {
  Object.defineProperty(object, key, { value, enumerable, writable: true, configurable: true })
}
