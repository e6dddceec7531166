// Refusing options of spawn that cannot be, in words that say what was expected.
import type { Rlimit, SpawnOptions } from '../spawn.ts'

/**
 * Looks at what is put into the child's memory or taken apart.
 *
 * @throws TypeError for what is of a wrong kind; RangeError for a number that cannot be
 */
export function validateOptions(options: SpawnOptions): void {
  if (!isRecord(options)) throw new TypeError('spawn: options must be an object')
  const { file, args, argv0, env, stdio, fds, rlimits, oomScoreAdj } = options
  if (typeof file !== 'string') throw wrong('file', 'a string', file)
  if (file === '') throw new TypeError('spawn: file is empty')
  if (args !== undefined) validateArguments(args)
  if (argv0 !== undefined && typeof argv0 !== 'string') throw wrong('argv0', 'a string', argv0)
  validateEnvironment(env)
  if (stdio !== undefined) validateStdio(stdio)
  if (fds !== undefined && !isRecord(fds)) throw wrong('fds', 'an object of descriptors by number', fds)
  if (rlimits !== undefined) validateLimits(rlimits)
  if (oomScoreAdj !== undefined) between(oomScoreAdj, -1000, 1000, 'oomScoreAdj')
}

function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The value itself is not shown: an environment or a list of arguments may hold secrets. */
function wrong(name: string, expected: string, value: unknown): TypeError {
  const type = typeof value === 'object' ? 'an object' : `a ${typeof value}`
  const kind = value === null ? 'null' : Array.isArray(value) ? 'a list' : type
  return new TypeError(
    `spawn: ${name} must be ${expected}: ${value === undefined ? 'it is missing' : `not ${kind}`}`,
  )
}

function validateArguments(args: readonly string[]): void {
  if (!Array.isArray(args)) throw wrong('args', 'a list of strings', args)
  for (const [index, one] of args.entries())
    if (typeof one !== 'string') throw wrong(`args[${index}]`, 'a string', one)
}

function validateEnvironment(env: SpawnOptions['env']): void {
  if (!isRecord(env)) throw wrong('env', 'an object of strings: the whole environment', env)
  for (const [name, value] of Object.entries(env)) {
    if (name === '' || name.includes('='))
      throw new TypeError(`env: not a variable's name: ${JSON.stringify(name)}`)
    if (value !== undefined && typeof value !== 'string') throw wrong(`env.${name}`, 'a string', value)
  }
}

function validateStdio(stdio: NonNullable<SpawnOptions['stdio']>): void {
  if (!Array.isArray(stdio) || stdio.length > 3)
    throw wrong('stdio', 'a list of three, of standard input, output and error', stdio)
  const list: readonly unknown[] = stdio
  for (const [index, one] of list.entries()) {
    if (typeof one === 'string' && !['null', 'inherit', 'pipe'].includes(one))
      throw wrong(`stdio[${index}]`, "'null', 'inherit', 'pipe' or a descriptor", one)
  }
}

function validateLimits(limits: readonly Rlimit[]): void {
  if (!Array.isArray(limits)) throw wrong('rlimits', 'a list of { resource, soft, hard }', limits)
  for (const [index, limit] of limits.entries()) {
    if (!isRecord(limit)) throw wrong(`rlimits[${index}]`, '{ resource, soft, hard }', limit)
    for (const name of ['resource', 'soft', 'hard'] as const) {
      const value: unknown = (limit as Rlimit)[name]
      if (typeof value !== 'number') throw wrong(`rlimits[${index}].${name}`, 'a number', value)
    }
  }
}

/**
 * `value`, if it is an integer from `min` to `max`.
 *
 * @throws RangeError otherwise
 */
export function between(value: number, min: number, max: number, name: string): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${name} must be an integer from ${min} to ${max}: ${String(value)}`)
  }
  return value
}
