/** The agent in a guest, seen from the host: programs, functions, files and the machine's own state. */
import type { Duplex, Readable } from 'node:stream'
import { GuestCallTimeoutError, GuestCommandError } from './agent/errors.ts'
import { AgentLine } from './agent/line.ts'
import type { GuestExecOptions, GuestExecResult, GuestProcess, GuestSpawnOptions } from './agent/process.ts'
import type {
  GuestAddress,
  GuestHello,
  GuestInfo,
  RunRequest,
  ShareMount,
  ShutdownKind,
} from './agent/protocol.ts'
import { ShippedFunction } from './agent/shipped-function.ts'
import { openConnection, programOf, startProgram } from './agent/start.ts'
import { packTree, unpackTree } from './agent/tree.ts'
import { checkDurations } from './limits/duration.ts'
import type { GuestConsole } from './console.ts'
import type { VmError } from './errors.ts'

export { GuestCallTimeoutError, GuestCommandError } from './agent/errors.ts'
export type { GuestExecOptions, GuestExecResult, GuestProcess, GuestSpawnOptions } from './agent/process.ts'
export type {
  GuestAddress,
  GuestHello,
  GuestInfo,
  GuestMount,
  ProgramEnd,
  ProgramPlace,
  ShareMount,
  ShutdownKind,
  TerminalSize,
} from './agent/protocol.ts'

/** Options of {@link AgentClient}. */
export interface AgentClientOptions {
  /** The guest's console, whose last lines are in errors. */
  readonly console: GuestConsole
  /** Whether the line to the agent is one that must not run full (a serial line of User Mode Linux). Default: no. */
  readonly isPaced?: boolean
}

/** How a function is run. */
export interface GuestRunOptions {
  /** In the agent itself, which is PID 1, instead of in a process beside it. A crash is then the machine's. */
  readonly pid1?: boolean
  /** Ends the process that runs it after so many milliseconds. Default: never. Cannot end one in PID 1. */
  readonly timeoutMs?: number
  /** Ends the process that runs it when aborted. */
  readonly signal?: AbortSignal
}

/** How {@link AgentClient.waitUntil} waits. */
export interface WaitUntilOptions<A extends unknown[]> {
  /** Milliseconds; default 30,000. */
  readonly timeoutMs?: number
  /** Between two looks, in milliseconds; default 20. */
  readonly intervalMs?: number
  /** What the function is given. */
  readonly args?: A
}

/** How long a greeting is waited for. */
export interface HelloOptions {
  /** Milliseconds. */
  readonly timeoutMs: number
}

/** A connection to a guest's agent. One client serves a guest through all its reboots. */
export class AgentClient {
  readonly #console: GuestConsole
  readonly #line: AgentLine

  constructor(options: AgentClientOptions) {
    this.#console = options.console
    this.#line = new AgentLine(options.console, options.isPaced === true)
  }

  /** Whether the agent has said that the machine ends in order. */
  get ended(): boolean {
    return this.#line.ended
  }

  /** Whether anybody has got the error of {@link AgentClient.end} by a call or a stream. */
  get errorMet(): boolean {
    return this.#line.errorMet
  }

  /** Uses `control` from now on: once, or again when a reboot brings a new stream. */
  attach(control: Duplex): void {
    this.#line.attach(control)
  }

  /**
   * The agent's greeting; resolves at once when it has come already.
   *
   * @throws {@link GuestCallTimeoutError}, or the error of {@link AgentClient.end}
   */
  async hello(options: HelloOptions): Promise<GuestHello> {
    checkDurations(options, ['timeoutMs'])
    return this.#line.hello('current', options.timeoutMs)
  }

  /**
   * The greeting of the agent of the next boot. Call it before the reboot, or at once after {@link shutdown}.
   *
   * @throws as {@link AgentClient.hello}
   */
  async nextHello(options: HelloOptions): Promise<GuestHello> {
    checkDurations(options, ['timeoutMs'])
    return this.#line.hello('next', options.timeoutMs)
  }

  /** Asks whether the agent is there. @throws {@link GuestCallTimeoutError}; RangeError a limit that is no time */
  async ping(options: HelloOptions): Promise<void> {
    checkDurations(options, ['timeoutMs'])
    await this.#line.within(this.#line.call('ping', null), 'an answer of the agent', options.timeoutMs)
  }

  /** Asks whether the agent is there, for those who hear of its end otherwise. @throws as {@link AgentClient.ping} */
  protected probe(): Promise<unknown> {
    return this.#line.call('ping', null, unheeded)
  }

  /**
   * Starts a program. A name without `/` is looked for in the PATH of `env`.
   *
   * @throws an Error with `code` `ENOENT`, `EACCES` … when it cannot be started
   */
  spawn(file: string, args: readonly string[] = [], options: GuestSpawnOptions = {}): Promise<GuestProcess> {
    return startProgram(this.#line, file, args, options)
  }

  /**
   * The end and the signals of a program that was started before this guest was saved, or by a host that went away.
   * Its streams are lost: what it prints is dropped.
   */
  program(pid: number): Pick<GuestProcess, 'pid' | 'exited' | 'kill'> {
    return programOf(this.#line, pid)
  }

  /**
   * Connects to what listens in the guest, as a client beside it would: no port of the host's is taken, and the guest
   * needs no network. Ends of either direction are told both ways.
   *
   * @throws an Error with `code` `ENOENT`, `ECONNREFUSED` … when nobody listens there
   */
  connect(address: GuestAddress): Promise<Duplex> {
    return openConnection(this.#line, address)
  }

  /**
   * Runs a program to its end.
   *
   * @throws {@link GuestCommandError} it failed (unless `check` is false); {@link GuestCallTimeoutError} it was
   *   killed for taking too long; and as {@link AgentClient.spawn}
   */
  async exec(
    file: string,
    args: readonly string[] = [],
    options: GuestExecOptions = {},
  ): Promise<GuestExecResult> {
    const { input, timeoutMs, check = true, signal, ...place } = options
    checkDurations(options, ['timeoutMs'])
    signal?.throwIfAborted()
    const child = await this.spawn(file, args, { ...place, stdin: input === undefined ? 'null' : 'pipe' })
    if (input !== undefined) child.stdin.end(input)
    const command = [file, ...args]
    const whole = Promise.all([child.exited, textOf(child.stdout), textOf(child.stderr)])
    const end = { pid: child.pid, signal: 'SIGKILL', group: true }
    const stop = (): void => void this.#line.call('kill', end, unheeded).catch(() => {})
    const [ended, stdout, stderr] = await this.#line.bounded(whole, command.join(' '), {
      timeoutMs,
      signal,
      stop,
    })
    if (check && ended.code !== 0) throw new GuestCommandError(command, ended, { stdout, stderr })
    return { ...ended, stdout, stderr }
  }

  /**
   * Runs a function in the guest. Its text is sent: what it needs comes as arguments or by `await import(…)` inside.
   * `import('@pkg/sys/…')` works in it. Values are copied, errors too.
   *
   * @throws what the function throws, with the guest's frames in its stack; TypeError when it, an argument or the
   *   result cannot be sent
   */
  run<A extends unknown[], R>(fn: (...args: A) => R | Promise<R>, ...args: A): Promise<Awaited<R>> {
    return this.#run({}, fn, args, callSite('run'))
  }

  /** {@link AgentClient.run} with options. @throws as that, and {@link GuestCallTimeoutError} */
  runWith<A extends unknown[], R>(
    options: GuestRunOptions,
    fn: (...args: A) => R | Promise<R>,
    ...args: A
  ): Promise<Awaited<R>> {
    return this.#run(options, fn, args, callSite('runWith'))
  }

  /**
   * Calls a function in the guest again and again until it gives something truthy, and gives that.
   *
   * @throws {@link GuestCallTimeoutError} in time it did not; what the function throws
   */
  waitUntil<A extends unknown[], R>(
    fn: (...args: A) => R | Promise<R>,
    options: WaitUntilOptions<A> = {},
  ): Promise<Awaited<R>> {
    const { timeoutMs = 30_000, intervalMs = 20, args = [] as unknown[] as A } = options
    return this.#run({ poll: { timeoutMs, intervalMs } }, fn, args, callSite('waitUntil'))
  }

  /** The bytes of a file. @throws an Error with `code`, as Node's */
  async readFile(path: string): Promise<Uint8Array> {
    const chunks: Uint8Array[] = []
    await this.#line.receive('readFile', { path }, async (stream) => {
      for await (const chunk of stream) chunks.push(chunk as Uint8Array)
    })
    return new Uint8Array(Buffer.concat(chunks))
  }

  /** A file as UTF-8. @throws as {@link AgentClient.readFile} */
  async readText(path: string): Promise<string> {
    return new TextDecoder().decode(await this.readFile(path))
  }

  /** Writes a file, new or anew. `mode` are its permission bits. @throws an Error with `code`, as Node's */
  async writeFile(
    path: string,
    data: string | Uint8Array,
    options: { readonly mode?: number } = {},
  ): Promise<void> {
    await this.#line.transmit('writeFile', { path, mode: options.mode }, chunksOf(Buffer.from(data)))
  }

  /** Makes a folder and those above it. @throws an Error with `code`, as Node's */
  async mkdir(path: string, options: { readonly mode?: number } = {}): Promise<void> {
    await this.#line.call('mkdir', { path, mode: options.mode })
  }

  /** Removes a file or a folder with all that is in it; nothing happens when there is none. */
  async remove(path: string): Promise<void> {
    await this.#line.call('remove', { path })
  }

  /** Copies a file or folder of the host into the guest, with modes and symbolic links. */
  async copyIn(hostPath: string, guestPath: string): Promise<void> {
    await this.#line.transmit('unpack', { path: guestPath }, packTree(hostPath))
  }

  /** Copies a file or folder of the guest to the host, with modes and symbolic links. */
  async copyOut(guestPath: string, hostPath: string): Promise<void> {
    await this.#line.receive('pack', { path: guestPath }, (stream) => unpackTree(stream, hostPath))
  }

  /** Clock, memory, mounts and names of the guest. */
  async info(): Promise<GuestInfo> {
    return (await this.#line.call('info', null)) as GuestInfo
  }

  /** Makes a share visible. @throws an Error with `code` when the guest's kernel refuses */
  async mountShare(share: ShareMount): Promise<void> {
    await this.#line.call('mountShare', share)
  }

  /** Sets the guest's clock. @throws an Error with `code` `EPERM` in namespaces */
  async setClock(nowMs: number): Promise<void> {
    await this.#line.call('setClock', { nowMs })
  }

  /**
   * Makes a restored guest another than its siblings: new randomness for the kernel and for the agent's processes
   * (from `seed`, at least 32 bytes), and the right time.
   *
   * @returns what could not be done, in words
   */
  async restored(options: { readonly nowMs: number; readonly seed: Uint8Array }): Promise<string[]> {
    return (await this.#line.call('restored', options)) as string[]
  }

  /** Ends the guest in order: flushes, says the end mark (see {@link AgentClient.ended}) and switches off. */
  async shutdown(kind: ShutdownKind): Promise<void> {
    await this.#line.untilEndMark(this.#line.call('shutdown', { kind }))
  }

  /** The machine is gone: everything that waits for it fails with `error`, and what comes later. */
  end(error: VmError): void {
    this.#line.end(error)
  }

  async #run<A extends unknown[], R>(
    options: GuestRunOptions & Pick<RunRequest, 'poll'>,
    fn: (...args: A) => R,
    args: A,
    site: Error,
  ): Promise<Awaited<R>> {
    checkDurations(options, ['timeoutMs'])
    if (options.poll) checkDurations(options.poll, ['timeoutMs'])
    if (options.poll?.intervalMs) checkDurations(options.poll, ['intervalMs'])
    options.signal?.throwIfAborted()
    const shipped = new ShippedFunction(fn, site)
    const { poll, pid1 = false } = options
    const request: RunRequest = { source: shipped.source, args, pid1, ...(poll ? { poll } : {}) }
    const stop = (): void => void (pid1 || this.#line.call('endRunner', null, unheeded).catch(() => {}))
    try {
      const result = this.#line.call('run', request) as Promise<{ value: unknown } | 'never'>
      // The guest keeps the time itself, unless the function never lets it.
      const bounds = poll ? { timeoutMs: poll.timeoutMs + POLL_GRACE_MS } : options
      const answer = await this.#line.bounded(result, 'the function in the guest', { ...bounds, stop })
      if (answer !== 'never') return answer.value as Awaited<R>
    } catch (error) {
      if (error === options.signal?.reason) throw error
      if (error instanceof GuestCallTimeoutError && !poll) throw error
      if (!(error instanceof GuestCallTimeoutError))
        throw error === this.#line.error ? error : shipped.explain(error)
    }
    const timeoutMs = poll?.timeoutMs ?? 0
    throw new GuestCallTimeoutError(`waitUntil(${shipped.source})`, timeoutMs, this.#console.tail())
  }
}

/** How much later than a guest that polls the host gives up, in milliseconds: the guest may be busy. */
const POLL_GRACE_MS = 5_000

/** Nobody hears of the failure of a call that is made in passing. */
const unheeded = (): boolean => false

/** An error whose stack begins where the user called `method`. */
function callSite(method: 'run' | 'runWith' | 'waitUntil'): Error {
  const error = new Error('called here')
  Error.captureStackTrace(error, Reflect.get(AgentClient.prototype, method))
  return error
}

async function textOf(stream: Readable): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(chunk as Uint8Array)
  return Buffer.concat(chunks).toString()
}

async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536)
}
