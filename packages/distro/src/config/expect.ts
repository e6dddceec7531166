// Building blocks of the schema: each says in words what it expects, and no message repeats a secret.
import { z } from 'zod'

/** What zod hands to an error function, as far as it is used here. */
interface RawIssue {
  readonly input?: unknown
}

/** How a value is shown: enough to find it, and never the text of one that may be secret. */
export function shown(value: unknown, secret = false): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (typeof value === 'string') {
    if (secret) return 'other text'
    return value.length > 60 ? `text of ${value.length} characters` : JSON.stringify(value)
  }
  if (typeof value === 'number' || typeof value === 'boolean')
    return secret ? `a ${typeof value}` : String(value)
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

function expected(what: string, secret = false): (issue: RawIssue) => string {
  return ({ input }) => `expected ${what}, got ${shown(input, secret)}`
}

/** Text that matches a pattern; `what` is the end of "expected …". */
export function text(what: string, pattern: RegExp = /^[^\0]+$/, secret = false): z.ZodString {
  const error = expected(what, secret)
  return z.string({ error }).regex(pattern, { error })
}

/** A whole number in a range. */
export function integer(what: string, min: number, max: number): z.ZodNumber {
  const error = expected(`${what}, a whole number from ${min} to ${max}`)
  return z.number({ error }).int({ error }).min(min, { error }).max(max, { error })
}

/** A number in a range. */
export function number(what: string, min: number, max: number): z.ZodNumber {
  const error = expected(`${what}, a number from ${min} to ${max}`)
  return z.number({ error }).min(min, { error }).max(max, { error })
}

/** true or false. */
export function flag(): z.ZodBoolean {
  return z.boolean({ error: expected('true or false') })
}

/** One of some words; a near miss is named. */
export function oneOf<const Words extends readonly string[]>(
  words: Words,
): z.ZodEnum<{ [Word in Words[number]]: Word }> {
  return z.enum(words, {
    error: ({ input }) => {
      const near = typeof input === 'string' ? nearest(input, words) : undefined
      const hint = near === undefined ? '' : `; did you mean "${near}"?`
      return `expected ${words.map((word) => `"${word}"`).join(' or ')}, got ${shown(input)}${hint}`
    },
  })
}

/** A list. */
export function list<Item extends z.ZodType>(what: string, item: Item): z.ZodArray<Item> {
  return z.array(item, { error: expected(`an array of ${what}`) })
}

/** Names and texts, such as an environment; values are never shown. */
export function dictionary(what: string, key: RegExp): z.ZodRecord<z.ZodString, z.ZodString> {
  return z.record(z.string().regex(key), z.string({ error: expected('text', true) }), {
    error: (issue) =>
      issue.code === 'invalid_key'
        ? `expected a name of the form ${key.source}`
        : `expected an object of ${what}, got ${shown(issue.input)}`,
  })
}

/** An object with these keys and no others. */
export function object<Shape extends z.core.$ZodLooseShape>(
  what: string,
  shape: Shape,
): z.ZodObject<Shape, z.core.$strict> {
  return z.strictObject(shape, {
    error: (issue) => {
      // The known keys travel in the message: the final issue no longer knows its schema.
      if (issue.code === 'unrecognized_keys') return Object.keys(shape).join('\0')
      return `expected ${what}, got ${shown(issue.input)}`
    },
  })
}

/** What to say about a key that is unknown: the nearest known one, else all of them. */
export function unknownKey(key: string, known: readonly string[]): string {
  const near = nearest(key, known)
  return near === undefined
    ? `unknown key, expected one of ${known.join(', ')}`
    : `unknown key; did you mean "${near}"?`
}

/** The candidate that is nearest by edits, if any is near enough to have been meant. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const ranked = candidates
    .map((candidate) => ({ candidate, edits: editDistance(word.toLowerCase(), candidate.toLowerCase()) }))
    .toSorted((a, b) => a.edits - b.edits)
  const best = ranked[0]
  return best !== undefined && best.edits <= Math.max(1, Math.floor(word.length / 3))
    ? best.candidate
    : undefined
}

/** Levenshtein's distance with a swap of neighbours as one edit. */
function editDistance(a: string, b: string): number {
  let before: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1]
      let cost = Math.min(
        (above[column] as number) + 1,
        (current[column - 1] as number) + 1,
        (above[column - 1] as number) + (same ? 0 : 1),
      )
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      if (swapped) cost = Math.min(cost, (before[column - 2] as number) + 1)
      current.push(cost)
    }
    before = above
    above = current
  }
  return above[b.length] as number
}
