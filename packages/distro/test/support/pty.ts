// A command at a terminal, as people have it: by script(1), which makes one.
import { spawn } from 'node:child_process'

const WAIT_MS = 60_000

/** A command that runs at a terminal. */
export interface Terminal {
  /** Resolves when the terminal shows it. */
  waitFor(pattern: RegExp): Promise<void>
  /** Types a line. */
  type(line: string): void
  /** Resolves with all that was shown, and the exit status. */
  readonly ended: Promise<{ readonly status: number | null; readonly text: string }>
}

/** Starts it. */
export function atTerminal(command: readonly string[], env: NodeJS.ProcessEnv): Terminal {
  const quoted = command.map((word) => `'${word.replaceAll("'", String.raw`'\\''`)}'`).join(' ')
  const child = spawn('script', ['--quiet', '--return', '--command', quoted, '/dev/null'], {
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let text = ''
  const waiting = new Set<() => void>()
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    for (const look of waiting) look()
  })
  return {
    type: (line) => void child.stdin.write(`${line}\r`),
    ended: new Promise((resolve) => child.on('close', (status) => resolve({ status, text }))),
    async waitFor(pattern) {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      const look = (): void => {
        if (pattern.test(text)) resolve()
      }
      const fail = (why: string): void => reject(new Error(`${why} before ${pattern}:\n${text}`))
      const timer = setTimeout(() => fail('the time was over'), WAIT_MS)
      child.on('close', () => fail('it ended'))
      waiting.add(look)
      look()
      await promise.finally(() => {
        clearTimeout(timer)
        waiting.delete(look)
      })
    },
  }
}
