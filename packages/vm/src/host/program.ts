// Running the host's programs (apt-get, dpkg-deb, xz): output captured, killed with us, missing ones named.
import { AsyncLocalStorage } from 'node:async_hooks'
import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { ProvisionError } from './error.ts'
import { errorCode } from './files.ts'
import { findProgram } from './find-program.ts'

const running = new Set<ChildProcess>()

/** Debian's package of each program that the build calls. */
const packageOf: Readonly<Record<string, string>> = {
  'apt-get': 'apt',
  'apt-cache': 'apt',
  'apt-config': 'apt',
  'dpkg-deb': 'dpkg',
  flock: 'util-linux',
  xz: 'xz-utils',
  zstd: 'zstd',
}

/** How a program is run. */
export interface ProgramOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** Called with each line that the program writes to descriptor 3. */
  readonly onStatusLine?: (line: string) => void
  /** Kills the program when it is aborted; the reason is thrown. */
  readonly signal?: AbortSignal
}

/** What a program that has ended left. */
export interface ProgramResult {
  /** Its exit status. */
  readonly status: number
  /** What it wrote to standard output. */
  readonly stdout: string
  /** What it wrote to standard error. */
  readonly stderr: string
}

/** Kills every program that was started here and still runs; for the end of the process. */
export function killPrograms(): void {
  for (const child of running) child.kill('SIGKILL')
}

/** What ends the programs that run for somebody who may not want to wait any more. */
const ending = new AsyncLocalStorage<AbortSignal>()

/**
 * Does `work`, whose programs are killed when the signal is aborted, however deep in it they are started.
 *
 * @throws the signal's reason then
 */
export async function endedBy<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  if (signal === undefined) return await work()
  try {
    return await ending.run(signal, work)
  } catch (error) {
    signal.throwIfAborted()
    throw error
  }
}

/**
 * Runs a program to its end and returns its status and output; a status other than 0 is not an error here.
 *
 * @throws ProvisionError when the program is not installed, naming its package
 */
export async function runProgram(
  file: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramResult> {
  const child = start(file, args, options, ['ignore', 'pipe', 'pipe', 'pipe'])
  const status = child.stdio[3] as Readable | null
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    ended(file, child, options.signal),
    status === null ? undefined : eachLine(status, options.onStatusLine),
  ])
  return { status: code, stdout, stderr }
}

/** Runs a program whose standard output is taken as a stream; `done` rejects when its status is not 0. */
export function streamProgram(
  file: string,
  args: readonly string[],
): { readonly output: Readable; readonly done: Promise<void> } {
  const child = start(file, args, {}, ['ignore', 'pipe', 'pipe'])
  const done = succeeded(`${file} ${args.join(' ')}`, text(child.stderr), ended(file, child))
  // The reader may fail first and never look at `done`; that must not end the process.
  done.catch(() => undefined)
  return { output: child.stdout as Readable, done }
}

async function succeeded(what: string, stderr: Promise<string>, status: Promise<number>): Promise<void> {
  const [words, code] = await Promise.all([stderr, status])
  if (code !== 0) throw new ProvisionError(`${what}: ${words.trim() || `exit status ${code}`}`)
}

function start(
  file: string,
  args: readonly string[],
  options: ProgramOptions,
  stdio: ('ignore' | 'pipe')[],
): ChildProcess {
  // Messages are parsed, so they have to be in the one language that is known.
  const env = { ...process.env, LC_ALL: 'C', ...options.env }
  const child = spawn(...mortal(file, args), {
    stdio,
    env,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  running.add(child)
  return child
}

/** The command that ends with us, even by SIGKILL: an apt-get that is left behind would keep its lock. */
function mortal(file: string, args: readonly string[]): [file: string, args: readonly string[]] {
  const [program, setpriv] = [findProgram(file), findProgram('setpriv')]
  if (program === undefined || setpriv === undefined) return [file, args]
  return [setpriv, ['--pdeathsig', 'KILL', '--', program, ...args]]
}

function ended(file: string, child: ChildProcess, signal?: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const over = new AbortController()
    for (const each of [signal, ending.getStore()]) {
      const end = (): void => {
        child.kill('SIGKILL')
        reject(each?.reason)
      }
      if (each?.aborted === true) end()
      else each?.addEventListener('abort', end, { signal: over.signal })
    }
    child.once('error', (error) => {
      running.delete(child)
      over.abort()
      reject(errorCode(error) === 'ENOENT' ? missing(file) : error)
    })
    child.once('close', (code) => {
      running.delete(child)
      over.abort()
      resolve(code ?? 128)
    })
  })
}

function missing(file: string): ProvisionError {
  const name = packageOf[file]
  if (name === 'apt' || name === 'dpkg') {
    return new ProvisionError(
      `${file} is not installed: kernels come from Debian's or Ubuntu's archive through apt; on another ` +
        `system set kernel: { image, modules } (and sysroot, in a solo.config.ts)`,
    )
  }
  return new ProvisionError(`${file} is not installed: apt-get install ${name ?? file}`)
}

async function text(stream: Readable | null): Promise<string> {
  const pieces: Buffer[] = []
  for await (const piece of stream ?? []) pieces.push(piece as Buffer)
  return Buffer.concat(pieces).toString('utf8')
}

async function eachLine(stream: Readable, onLine: ((line: string) => void) | undefined): Promise<void> {
  let rest = ''
  for await (const piece of stream) {
    const lines = (rest + String(piece)).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) onLine?.(line)
  }
}
