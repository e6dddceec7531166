// From a folder to an appliance: find solo.config.ts, run it, check what it exports.
import { join, resolve } from 'node:path'
import { displayPath, kindOf } from '@pkg/vm/host'
import type { ApplianceConfig } from '../config.ts'
import { ConfigError, type Problem, SoloError } from '../error.ts'
import { checkMeaning } from './check.ts'
import { unknownKey } from './expect.ts'
import { offerConfigModule } from './own-packages.ts'
import { applianceSchema } from './schema.ts'

/** A configuration that was checked, and where it lies. */
export interface LoadedAppliance {
  /** The project's folder, absolute; paths in the configuration are relative to it. */
  readonly folder: string
  /** The configuration's file, as messages name it. */
  readonly file: string
  /** The configuration. */
  readonly config: ApplianceConfig
}

/** Name of the file that is looked for. */
export const configName = 'solo.config.ts'

/**
 * Loads the appliance of a folder (or of a configuration file that is named).
 *
 * @throws ConfigError with every mistake in the file; SoloError with exit status 2 when there is none
 */
export async function loadAppliance(place: string): Promise<LoadedAppliance> {
  const kind = await kindOf(place)
  const file = resolve(kind === 'file' ? place : join(place, configName))
  const folder = resolve(file, '..')
  if ((await kindOf(file)) !== 'file') {
    const what = kind === undefined ? `there is no ${place}` : `there is no ${configName} in ${place}`
    throw new SoloError(`${what}: name the folder of an appliance, such as: solo build examples/hello`, {
      exitStatus: 2,
    })
  }
  const name = displayPath(file)
  return { folder, file: name, config: validateAppliance(await runConfig(file, name), folder, name) }
}

/**
 * Checks a configuration of unknown shape.
 *
 * @throws ConfigError with every mistake, in the order of the keys
 */
export function validateAppliance(value: unknown, folder: string, name: string): ApplianceConfig {
  const parsed = applianceSchema.safeParse(value)
  const problems = [...(parsed.error?.issues ?? []).flatMap(toProblems), ...checkMeaning(value, folder)]
  if (parsed.success && problems.length === 0) return parsed.data
  throw new ConfigError(name, oneEach(problems))
}

interface Issue {
  readonly code?: string
  readonly path: PropertyKey[]
  readonly message: string
  readonly keys?: string[]
}

function toProblems(issue: Issue): Problem[] {
  if (issue.code !== 'unrecognized_keys') return [{ path: pathText(issue.path), message: issue.message }]
  const known = issue.message.split('\0')
  return (issue.keys ?? []).map((key) => {
    return { path: pathText([...issue.path, key]), message: unknownKey(key, known) }
  })
}

/** `services[1].entry`, as one would write it. */
function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((key, index) => {
      if (typeof key === 'number') return `[${key}]`
      const word = String(key)
      if (!/^[A-Za-z_$][\w$]*$/.test(word)) return `[${JSON.stringify(word)}]`
      return index === 0 ? word : `.${word}`
    })
    .join('')
}

/** One message for each key is enough: the first says most. */
function oneEach(problems: readonly Problem[]): Problem[] {
  const byPath = new Map<string, Problem>()
  for (const problem of problems) if (!byPath.has(problem.path)) byPath.set(problem.path, problem)
  return [...byPath.values()]
}

async function runConfig(file: string, name: string): Promise<unknown> {
  let module: unknown
  offerConfigModule()
  try {
    module = await import(file)
  } catch (error) {
    throw new ConfigError(name, explainImport(error, file))
  }
  if (typeof module === 'object' && module !== null && 'default' in module) return module.default
  throw new ConfigError(name, [
    { path: '', message: 'expected export default defineAppliance({ … }), got no default export' },
  ])
}

/** What Bun says about a file that cannot be read or that throws, with file and line where there is one. */
function explainImport(error: unknown, file: string): Problem[] {
  const errors: unknown[] = error instanceof AggregateError ? error.errors : [error]
  return errors.map((each) => {
    const message = each instanceof Error ? each.message : messageOf(each)
    const place = placeOf(each, file)
    return { path: place, message: message.split('\n')[0] ?? '' }
  })
}

function messageOf(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'message' in value) return String(value.message)
  return `threw ${typeof value === 'string' ? JSON.stringify(value) : String(value)}`
}

function placeOf(error: unknown, file: string): string {
  if (typeof error !== 'object' || error === null) return ''
  const position = 'position' in error ? error.position : undefined
  if (typeof position === 'object' && position !== null && 'line' in position) {
    const where = 'file' in position && position.file !== file ? `${displayPath(String(position.file))} ` : ''
    return `${where}line ${String(position.line)}`
  }
  const stack = 'stack' in error ? String(error.stack) : ''
  for (const line of stack.split('\n')) {
    const match = /(?:\(|at )(\/[^():]+):(\d+):\d+\)?$/.exec(line.trim())
    if (match === null) continue
    return match[1] === file ? `line ${match[2]}` : `${displayPath(match[1] as string)} line ${match[2]}`
  }
  return ''
}
