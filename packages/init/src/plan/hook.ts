/** Programs of a service that PID 1 runs at certain times. */
import { below, readArray, readInteger, readObject, readString, report, type Problems } from './read.ts'

/** A program that runs as the user of a service, to its end; nothing of it is left then. */
export interface HookPlan {
  /** Program and arguments; the program is an absolute path. */
  readonly command: readonly string[]
  /** It is killed, and has failed, after this time. */
  readonly timeoutMs: number
}

/** How long a hook has. */
export interface HookTime {
  /** When it says nothing. */
  readonly normalMs: number
  /** At most. */
  readonly mostMs: number
}

/** Reads a hook. */
export function readHook(
  problems: Problems,
  path: string,
  value: unknown,
  { normalMs, mostMs }: HookTime,
): HookPlan | null {
  if (value === null) return null
  const hook = readObject(problems, path, value, ['command', 'timeoutMs'])
  const command = readArray(problems, below(path, 'command'), hook['command'], (where, each) =>
    readString(problems, where, each),
  )
  if (Array.isArray(hook['command']) && !command[0]?.startsWith('/')) {
    report(problems, `${below(path, 'command')}[0]`, 'the absolute path of a program', command[0])
  }
  return {
    command,
    timeoutMs: readInteger(problems, below(path, 'timeoutMs'), hook['timeoutMs'] ?? normalMs, 1, mostMs),
  }
}
