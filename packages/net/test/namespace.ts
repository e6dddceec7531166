// Two network namespaces inside a user namespace, joined by a veth pair: no root needed, the host sees nothing of it.
//   server: s0, 10.9.0.1/24          client: c0 (down, 52:54:00:12:34:56)
import { spawn, execFileSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** One side of the network: runs programs in it. */
export interface Side {
  /** Runs to the end and returns standard output; throws when it fails. */
  run(...command: string[]): string
  /** Starts and returns; killed with the network. */
  start(...command: string[]): Program
}

/** A program that was started, with the lines that it has written. */
export interface Program {
  readonly lines: string[]
  /** Resolves with the first line, old or new, that `matches`; rejects after the time with all lines. */
  line(matches: (line: string) => boolean, timeoutMs: number): Promise<string>
  /** Sends a signal. */
  signal(signal: NodeJS.Signals): void
  /** Sends a signal and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<void>
}

export interface TestNetwork extends AsyncDisposable {
  server: Side
  client: Side
  /** An empty folder, removed at the end. */
  folder: string
}

export async function createNetwork(): Promise<TestNetwork> {
  const folder = mkdtempSync(join(tmpdir(), 'solo-net-'))
  const children: ChildProcess[] = []
  const server = await hold(children, 'unshare', '-rn', 'sh', '-c', 'echo; exec sleep 600')
  const client = await hold(children, ...enter(server), 'unshare', '-n', 'sh', '-c', 'echo; exec sleep 600')
  const sides = { server: side(server, children), client: side(client, children) }
  const { run } = sides.server
  run('ip', 'link', 'set', 'lo', 'up')
  run(
    'ip',
    'link',
    'add',
    's0',
    'type',
    'veth',
    'peer',
    'name',
    'c0',
    'address',
    '52:54:00:12:34:56',
    'netns',
    String(client),
  )
  run('ip', 'addr', 'add', '10.9.0.1/24', 'dev', 's0')
  run('ip', 'link', 'set', 's0', 'up')
  return {
    ...sides,
    folder,
    async [Symbol.asyncDispose]() {
      for (const child of children.toReversed()) {
        child.kill('SIGKILL')
        if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      }
      rmSync(folder, { recursive: true })
    },
  }
}

/** Starts a program that keeps a namespace alive, and waits until it is inside: its first line says so. */
async function hold(children: ChildProcess[], ...command: string[]): Promise<number> {
  const [file = '', ...args] = command
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  await once(child.stdout ?? child, 'data')
  if (child.pid === undefined) throw new Error(`${file} did not start`)
  return child.pid
}

function enter(pid: number): string[] {
  return ['nsenter', '-t', String(pid), '-U', '-n', '--preserve-credentials']
}

function side(pid: number, children: ChildProcess[]): Side {
  return {
    run(...command) {
      const [file = '', ...args] = [...enter(pid), ...command]
      return execFileSync(file, args, {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: 120_000,
      })
    },
    start(...command) {
      const [file = '', ...args] = [...enter(pid), ...command]
      const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] })
      children.push(child)
      return program(child)
    },
  }
}

function program(child: ChildProcess): Program {
  const lines: string[] = []
  const listeners = new Set<(line: string) => void>()
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line)
      for (const listener of listeners) listener(line)
    })
  }
  return {
    lines,
    line(matches, timeoutMs) {
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      const found = lines.find(matches)
      if (found !== undefined) return Promise.resolve(found)
      const listener = (line: string): void => {
        if (matches(line)) resolve(line)
      }
      listeners.add(listener)
      const timer = setTimeout(() => {
        reject(new Error(`no such line in ${timeoutMs} ms:\n${lines.join('\n')}`))
      }, timeoutMs)
      return promise.finally(() => {
        clearTimeout(timer)
        listeners.delete(listener)
      })
    },
    signal: (signal) => void child.kill(signal),
    async stop(signal = 'SIGTERM') {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill(signal)
      await once(child, 'exit')
    },
  }
}
