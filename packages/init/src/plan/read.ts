/**
 * Reading JSON values of unknown shape: each function takes a value and the path of its key, gives back a
 * value of the wanted type, and notes what is wrong instead of throwing, so that one run reports all mistakes.
 */

/** One mistake in a plan. */
export interface PlanProblem {
  /** The path of the key, as one would write it in TypeScript: `services[1].command[0]`. Empty for the whole. */
  readonly path: string
  /** What should have been there. */
  readonly expected: string
  /** What was there, cut to a readable length. */
  readonly found: string
}

/** Where the functions of this file put the mistakes they meet. */
export type Problems = PlanProblem[]

/** (uid_t) -1 means "leave unchanged" in setresuid(2), so it is no user. */
export const maxId = 0xffff_fffe

/** setTimeout's longest delay, 24.8 days; a longer one would fire at once. */
export const maxTimeMs = 0x7fff_ffff

/** A JSON object whose keys have been checked. */
export type JsonObject = Record<string, unknown>

/** Shows a value in an error message: JSON, cut at 60 characters. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing'
  const text = JSON.stringify(value) ?? typeof value
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

/** Notes one mistake. */
export function report(problems: Problems, path: string, expected: string, value: unknown): void {
  problems.push({ path, expected, found: show(value) })
}

/** The path of a key below another path. */
export function below(path: string, key: string): string {
  const step = /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`
  return path === '' && step.startsWith('.') ? key : `${path}${step}`
}

/** An object; keys that are not in `known` are mistakes, because a misspelt key must not be ignored. */
export function readObject(
  problems: Problems,
  path: string,
  value: unknown,
  known: readonly string[],
): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    report(problems, path, 'an object', value)
    return {}
  }
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) report(problems, below(path, key), `one of ${known.join(', ')}`, key)
  }
  return { ...value }
}

/** A string that `pattern` accepts. No NUL byte is ever accepted: the kernel would cut the string there. */
export function readString(
  problems: Problems,
  path: string,
  value: unknown,
  expected = 'a string',
  pattern: RegExp = /^/,
): string {
  if (typeof value === 'string' && !value.includes('\0') && pattern.test(value)) return value
  report(
    problems,
    path,
    value === '' || typeof value !== 'string' ? expected : `${expected}, without NUL`,
    value,
  )
  return ''
}

/** A whole number between `least` and `most`. */
export function readInteger(
  problems: Problems,
  path: string,
  value: unknown,
  least: number,
  most: number,
): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
  report(problems, path, `a whole number from ${least} to ${most}`, value)
  return least
}

/** `true` or `false`. */
export function readBoolean(problems: Problems, path: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value
  report(problems, path, 'true or false', value)
  return false
}

/** An array, each item read by `item` with its own path. */
export function readArray<T>(
  problems: Problems,
  path: string,
  value: unknown,
  item: (path: string, value: unknown) => T,
): T[] {
  if (Array.isArray(value)) return value.map((each: unknown, index) => item(`${path}[${index}]`, each))
  report(problems, path, 'an array', value)
  return []
}

/** An object of strings whose keys `keyPattern` accepts. */
export function readRecord(
  problems: Problems,
  path: string,
  value: unknown,
  expectedKey: string,
  keyPattern: RegExp,
): Record<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    report(problems, path, 'an object of strings', value)
    return {}
  }
  const result: Record<string, string> = {}
  for (const [key, each] of Object.entries(value)) {
    if (!keyPattern.test(key)) report(problems, below(path, key), expectedKey, key)
    result[key] = readString(problems, below(path, key), each)
  }
  return result
}
