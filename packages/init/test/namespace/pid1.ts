/**
 * The real program as PID 1 of namespaces of its own, with a plan, and a driver: a root shell among the
 * services that runs what the test tells it.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chmodSync, closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'
import { asRoot, removeCgroup } from './cgroup.ts'

/**
 * One file, as in an image, and not below /tmp: in the mode of a machine PID 1 mounts a tmpfs there, and what it
 * imports later would be gone where the checkout is in /tmp.
 */
const program = bundled(fileURLToPath(new URL('../../src/main.ts', import.meta.url)))

function bundled(main: string): string {
  const folder = mkdtempSync('/var/tmp/solo-init-program-')
  afterAll(() => rmSync(folder, { recursive: true }))
  // PID 1 of a user namespace is somebody else.
  chmodSync(folder, 0o755)
  const file = join(folder, 'init.js')
  execFileSync(process.execPath, ['build', main, '--target', 'bun', '--outfile', file], { stdio: 'ignore' })
  return file
}

/** A test that is broken off disposes of nothing; the kernel does then. */
const dieWithUs = ['setpriv', '--pdeathsig', 'KILL']
const WAIT_MS = 40_000

/** How PID 1 ended, as unshare passes it on. */
export interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Pid1 extends AsyncDisposable {
  /** Its folder of sockets. */
  readonly run: string
  /** All lines so far. */
  readonly lines: readonly string[]
  /** Resolves with the first line, old or new, that matches. */
  waitFor(pattern: RegExp): Promise<string>
  /** Lets the driver, a root shell in the namespaces, evaluate a line of shell. */
  tell(command: string): void
  /** Resolves when PID 1 has ended. */
  readonly ended: Promise<End>
}

let count = 0

/**
 * Starts PID 1 with these services and the driver.
 *
 * @param before - shell commands in the namespaces, before PID 1
 */
export function startPid1(
  services: readonly object[],
  more: object = {},
  args: readonly string[] = [],
  extraNamespaces: readonly string[] = [],
  before: string = ':',
): Pid1 {
  // Not below /tmp: in the mode of a machine PID 1 mounts a tmpfs there.
  const folder = mkdtempSync('/var/tmp/solo-init-')
  // Services of other users connect to PID 1's sockets in it.
  chmodSync(folder, 0o755)
  const fifo = join(folder, 'commands')
  execFileSync('mkfifo', [fifo])
  const driver = {
    name: 'driver',
    command: ['/bin/sh', '-c', `while read -r line; do eval "$line"; done < ${fifo}`],
    uid: 0,
    gid: 0,
    stopTimeoutMs: 500,
  }
  const plan = join(folder, 'plan.json')
  writeFileSync(plan, JSON.stringify({ version: 1, services: [...services, driver], ...more }))
  // Read and write: neither side's open waits for the other.
  const commands = openSync(fifo, 'r+')
  const cgroup = `solo-test-${process.pid}-${count++}`
  const options = ['--plan', plan, '--cgroup', cgroup, '--run', folder, ...args]
  const child = run(extraNamespaces, before, options)
  const output = collect(child)
  return {
    run: folder,
    lines: output.lines,
    waitFor: output.waitFor,
    tell: (command) => void writeSync(commands, `${command}\n`),
    ended: output.ended,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await output.ended
      closeSync(commands)
      rmSync(folder, { recursive: true })
      await removeCgroup(cgroup)
    },
  }
}

function run(extraNamespaces: readonly string[], before: string, args: readonly string[]): ChildProcess {
  const namespaces = ['--pid', '--fork', '--kill-child', '--mount', '--mount-proc', '--net', '--uts', '--ipc']
  const [file = '', ...rest] = [
    ...asRoot,
    ...dieWithUs,
    'unshare',
    ...namespaces,
    ...extraNamespaces,
    ...['/bin/sh', '-c', `${before} && exec "$0" "$@"`],
    process.execPath,
    program,
    ...args,
  ]
  return spawn(file, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
}

function collect(child: ChildProcess): Pick<Pid1, 'lines' | 'waitFor' | 'ended'> {
  const lines: string[] = []
  const waiting = new Set<() => void>()
  let rest = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    const parts = `${rest}${chunk}`.split('\n')
    rest = parts.pop() ?? ''
    lines.push(...parts)
    for (const look of waiting) look()
  })
  const ended = new Promise<End>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal }))
  })
  return {
    lines,
    ended,
    waitFor(pattern) {
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      const look = (): void => {
        const found = lines.find((line) => pattern.test(line))
        if (found !== undefined) resolve(found)
      }
      const fail = (why: string) => (): void => reject(new Error(`${why} ${pattern}:\n${lines.join('\n')}`))
      const timer = setTimeout(fail('in vain waited for'), WAIT_MS)
      void ended.then(fail('PID 1 ended before'))
      waiting.add(look)
      look()
      return promise.finally(() => {
        clearTimeout(timer)
        waiting.delete(look)
      })
    },
  }
}
