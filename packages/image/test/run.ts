/** Runs other people's tools, which judge what this package writes. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

export interface RunResult {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a tool to its end; a missing tool is an error, not a skip. Times and texts are UTC and C. */
export function run(
  command: readonly [string, ...string[]],
  options: { readonly input?: Uint8Array; readonly cwd?: string; readonly env?: Record<string, string> } = {},
): RunResult {
  const [file, ...args] = command
  const result = spawnSync(file, args, {
    ...(options.input ? { input: options.input } : {}),
    ...(options.cwd ? { cwd: options.cwd } : {}),
    env: {
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      LC_ALL: 'C',
      TZ: 'UTC',
      ...options.env,
    },
    maxBuffer: 256 * 1024 * 1024,
  })
  if (result.error) throw new Error(`${file}: cannot be run (apt package missing?)`, { cause: result.error })
  return { status: result.status, stdout: result.stdout.toString(), stderr: result.stderr.toString() }
}

/** Like {@link run}, and fails unless the exit status is 0. */
export function runOk(
  command: readonly [string, ...string[]],
  options: Parameters<typeof run>[1] = {},
): string {
  const { status, stdout, stderr } = run(command, options)
  if (status !== 0) throw new Error(`${command.join(' ')}: exit status ${String(status)}: ${stderr}${stdout}`)
  return stdout
}

/** A folder that is gone when the test is over. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'solo-image-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** All bytes of a stream. */
export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(Buffer.concat(await Array.fromAsync(chunks)))
}
