// Runs TypeScript in a process of its own: for what changes the whole process, may crash it, or needs a wrapper
// such as strace or unshare around it.
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { join } from 'node:path'

/** How {@link runScript} runs its code. */
export interface ScriptOptions {
  /** A command that is given Bun's as its last arguments. */
  wrapper?: readonly string[]
  env?: Readonly<Record<string, string>>
}

/** Machines that are emulated want more. */
const limitMs = Number(process.env['SOLO_SCRIPT_LIMIT_MS'] ?? 120_000)

const packageFolder = join(import.meta.dirname, '..')

/** Runs `code`, a module that may import `@pkg/sys/…`, and returns how it ended and what it wrote. */
export function runScript(code: string, options: ScriptOptions = {}): SpawnSyncReturns<string> {
  const [command, ...parameters] = [...(options.wrapper ?? []), process.execPath, '-e', code]
  return spawnSync(command, parameters, {
    cwd: packageFolder,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', ...options.env },
    maxBuffer: 1 << 26,
    timeout: limitMs,
    killSignal: 'SIGKILL',
  })
}

/** What `code` wrote to standard output as JSON; an error with all that it said when it failed. */
export function scriptResult(code: string, options: ScriptOptions = {}): unknown {
  const { status, signal, stdout, stderr, error } = runScript(code, options)
  if (status !== 0) {
    throw new Error(
      `the script ended with ${status ?? signal}: ${error?.message ?? ''}\n${stderr}\n${stdout}`,
    )
  }
  return JSON.parse(stdout)
}
