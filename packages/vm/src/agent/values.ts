/** Values between host and guest: what structured cloning carries, with errors as instances of their own classes. */
import { errorTree } from './error-tree.ts'
import { decodeValue, encodeValue } from '../vitest/clone.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/**
 * The bytes of a value.
 *
 * @throws TypeError a function or a symbol is in it
 */
export function encode(value: unknown): Uint8Array {
  return encoder.encode(encodeValue(value))
}

/** The value of {@link encode}'s bytes. */
export function decode(bytes: Uint8Array): unknown {
  return restoreClass(decodeValue(decoder.decode(bytes)))
}

/** SuppressedError is not in Node 20. */
const errorClasses: ReadonlyMap<string, Error> = new Map(
  [
    ...[TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError, AggregateError],
    ...('SuppressedError' in globalThis ? [SuppressedError] : []),
  ].map((each) => [each.name, each.prototype]),
)

/** An error and those in it become instances of the built-in class that their name says. */
function restoreClass(value: unknown): unknown {
  for (const error of errorTree(value)) {
    const prototype = errorClasses.get(error.name)
    if (prototype) Object.setPrototypeOf(error, prototype)
  }
  return value
}
