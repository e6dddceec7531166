/** The command in a process of its own, for tests. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))

/** Starts `solo vm` with these words in a folder. */
export function startCommand(words: readonly string[], cwd: string): ChildProcess {
  return spawn(process.execPath, [main, ...words], { stdio: 'pipe', cwd })
}

/** What a command left. */
export interface CommandEnd {
  readonly status: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

/** Runs `solo vm` with these words in a folder, gives it `input`, and waits for its end. */
export async function runCommand(
  words: readonly string[],
  cwd: string,
  input: Uint8Array | string = '',
): Promise<CommandEnd> {
  const child = startCommand(words, cwd)
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  child.stdout?.on('data', (bytes: Buffer) => stdout.push(bytes))
  child.stderr?.on('data', (bytes: Buffer) => stderr.push(bytes))
  child.stdin?.end(input)
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() }
}
