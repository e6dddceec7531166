/**
 * One worker of vitest's pool. To vitest it is a process like those of its `forks` pool; here it is a guest, taken
 * when vitest says which file is to run (and not before: the file says which machine it wants), and a Bun in it.
 */
import { EventEmitter } from 'node:events'
import { resolve } from 'node:path'
import type { RunnerTestFile } from 'vitest'
import type { PoolOptions, PoolTask, PoolWorker, WorkerRequest } from 'vitest/node'
import { deferred } from '../host/deferred.ts'
import { workerEnvironment } from './environment.ts'
import { UnsupportedError } from '../errors.ts'
import { failureOf, fileTask, type KnownProgress } from './failure.ts'
import { machineOfFiles, placeOf, type FileMachine } from './file-machine.ts'
import type { Guests, Lease } from './guests.ts'
import { hostCalls } from './host-calls.ts'
import { WorkerLink } from './link.ts'
import type { Place } from './machine-literal.ts'
import { OwnCalls } from './own-calls.ts'
import type { GuestPoolOptions, MachineDefinition } from './options.ts'
import { RpcTap } from './rpc-tap.ts'
import { skippedFile } from './skipped.ts'
import { workerRuntime, workerStart, type StartedProgram } from './runtime.ts'
import { encodeValue } from './clone.ts'

/** What vitest asks of its workers, by kind. */
type Request<T extends WorkerRequest['type']> = Extract<WorkerRequest, { type: T }>

/** What the worker answers; vitest's `WorkerResponse`, which it does not export. */
interface Response {
  readonly __vitest_worker_response__: true
  readonly type: 'started' | 'stopped' | 'testfileFinished'
  readonly error?: unknown
}

/** A worker that runs, and all that belongs to it. */
interface Connection {
  readonly lease: Lease
  readonly link: WorkerLink
  readonly tap: RpcTap
  readonly machineKey: string
}

/** One worker: see the file's first lines. */
export class GuestPoolWorker implements PoolWorker {
  readonly name = 'guest'
  /** Has vitest keep transformed modules in files, which are sent to each guest once. */
  readonly cacheFs = true
  readonly #pool: PoolOptions
  readonly #options: GuestPoolOptions
  readonly #guests: Guests
  readonly #events = new EventEmitter()
  readonly #ownCalls = new OwnCalls((message) => this.#events.emit('message', message))
  #start: Request<'start'> | undefined
  #connection: Connection | undefined
  #progress: KnownProgress = { running: [], ended: new Map() }
  /** Files that run now: those whose failure is to be told when the worker is lost. */
  #running: string[] = []
  #isStopped = false
  #started = deferred<void>()

  constructor(pool: PoolOptions, options: GuestPoolOptions, guests: Guests) {
    this.#pool = pool
    this.#options = options
    this.#guests = guests
  }

  on(event: string, callback: (...parameters: unknown[]) => void): void {
    this.#events.on(event, callback)
  }

  off(event: string, callback: (...parameters: unknown[]) => void): void {
    this.#events.off(event, callback)
  }

  deserialize(data: unknown): unknown {
    return data
  }

  /** There is nothing to start yet: the file that comes says in what. */
  async start(): Promise<void> {}

  /** Takes a request of the pool's or a message of its RPC. */
  send(message: WorkerRequest): void {
    switch (message.type) {
      case 'start':
        this.#start = message
        return this.#respond('started')
      case 'run':
      case 'collect':
        void this.#run(message).catch((error: unknown) => this.#events.emit('error', error))
        return
      case 'stop':
        if (!this.#connection) return this.#respond('stopped')
        // What blocks the worker after its tests must not block the end of the run.
        this.#connection.link.watch()
        return this.#connection.link.send(message)
      default:
        return this.#forward(message)
    }
  }

  /** Ends the worker, and the guest if it was for this worker only. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#disconnect(false)
  }

  /** A worker that goes on to another file must be the machine which that file wants. */
  canReuse(_task: PoolTask): boolean {
    // Asking the file would take a promise. A file that wants another machine gets another guest in `#run`.
    return true
  }

  async #run(request: Request<'run'> | Request<'collect'>): Promise<void> {
    const files = request.context.files.map(({ filepath }) => filepath)
    this.#running = files
    this.#progress = { running: [], ended: new Map() }
    let wish: FileMachine | undefined
    try {
      wish = await machineOfFiles(this.#options, files)
      const key = encodeValue(wish.machine)
      if (this.#connection && this.#connection.machineKey !== key) await this.#disconnect(false)
      this.#connection ??= await this.#connect(wish.machine, key)
    } catch (error) {
      if (error instanceof UnsupportedError && wish?.machine.unsupported === 'skip') return this.#skip(error)
      return this.#fail(error as Error, placeOf(error as Error, wish?.text))
    }
    this.#connection.link.watch()
    this.#connection.link.send(request)
  }

  async #connect(machine: MachineDefinition, machineKey: string): Promise<Connection> {
    const { project } = this.#pool
    const { config } = project
    if (config.experimental.viteModuleRunner === false)
      throw new TypeError(
        "experimental.viteModuleRunner: false loads modules from the host's disk: not in a guest",
      )
    const { enabled, provider } = config.coverage
    const coverage = enabled && (provider === 'v8' || provider === 'istanbul') ? provider : undefined
    const runtime = await workerRuntime({ vitestDist: this.#pool.distPath, coverage })
    const program = { runtime, env: workerEnvironment(this.#pool.env), folder: config.root }
    const lease = await this.#guests.lease(machine, program)
    try {
      // The run was cancelled while the guest booted.
      if (this.#isStopped) throw new Error('the run was cancelled')
      const link = await this.#openLink(machine, lease, program)
      const sendFiles = (frame: Uint8Array): void => link.sendFiles(frame)
      const tap = new RpcTap({ root: config.root, sent: lease.sent, sendFiles })
      const connection = { lease, link, tap, machineKey }
      this.#connection = connection
      this.#started = deferred()
      link.send(this.#start)
      await this.#started.promise
      return connection
    } catch (error) {
      this.#connection = undefined
      // A guest in which no worker comes up is of no use to others either.
      await lease.release(true)
      throw error
    }
  }

  async #openLink(machine: MachineDefinition, lease: Lease, program: StartedProgram): Promise<WorkerLink> {
    const { outputStream, errorStream } = this.#pool.project.vitest.logger
    const warm = await lease.transport.warmWorker(program)
    const process = warm ?? (await lease.transport.spawnWorker(workerStart(program)))
    const link: WorkerLink = new WorkerLink(process, {
      hangTimeoutMs: machine.blockedTimeoutMs ?? 60_000,
      calls: hostCalls(this.#writableFolders()),
      onMessage: (message) => this.#receive(message),
      onProgress: ({ running, ended }) => {
        this.#progress.running = running
        for (const test of ended) this.#progress.ended.set(test.id, test)
      },
      // Output that goes past vitest's console: `process.stdout.write`, child processes, native code.
      onOutput: (fd, bytes) => void (fd === 1 ? outputStream : errorStream).write(bytes),
      onLost: (error, guestToo) => void this.#lost(link, error, guestToo),
    })
    if (warm) warm.adopt(await link.renew(warm.env))
    else await link.load(program.runtime, program.folder)
    return link
  }

  /** Where guests may write on the host: in the project, and where it wants its coverage. */
  #writableFolders(): string[] {
    const { config, vitest } = this.#pool.project
    const { enabled, reportsDirectory } = config.coverage
    const coverage = enabled && reportsDirectory ? [resolve(vitest.config.root, reportsDirectory)] : []
    return [config.root, ...coverage]
  }

  #receive(message: unknown): void {
    const { type, error } = message as Partial<Response>
    if (type === 'started') {
      if (error === undefined) this.#started.resolve()
      else this.#started.reject(Object.assign(new Error('the worker could not be set up'), error))
      return
    }
    this.#connection?.tap.fromWorker(message)
    if (type === 'testfileFinished') {
      this.#running = []
      this.#connection?.link.unwatch()
    }
    this.#events.emit('message', message)
  }

  #forward(message: unknown): void {
    if (this.#ownCalls.take(message)) return
    const connection = this.#connection
    if (!connection) return
    connection.tap.toWorker(message).then(
      (forWorker) => connection.link.send(forWorker),
      (error: unknown) => this.#events.emit('error', error),
    )
  }

  async #lost(link: WorkerLink, error: Error, guestToo: boolean): Promise<void> {
    const connection = this.#connection
    // Lost while it was being set up: `#connect` has the error.
    if (connection?.link !== link) return
    this.#started.reject(error)
    this.#started.promise.catch(() => {})
    if (this.#running.length > 0) await this.#fail(error)
    else this.#respond('stopped')
    await this.#disconnect(guestToo)
  }

  /** Tells vitest that the files that run have failed, as the worker would have told it, and that it is done. */
  async #fail(error: Error, place?: Place): Promise<void> {
    const files = this.#running
    this.#running = []
    for (const path of files) {
      const file = this.#connection?.tap.files.get(path) ?? (await this.#announce(path))
      const { collected, packs, events } = failureOf(file, this.#progress, error, place)
      if (collected) await this.#ownCalls.call('onCollected', [collected])
      await this.#ownCalls.call('onTaskUpdate', packs, events)
    }
    this.#respond('testfileFinished')
  }

  /** Tells vitest that the tests of these files are skipped, and why. */
  async #skip({ message }: Error): Promise<void> {
    const files = this.#running
    this.#running = []
    const { project } = this.#pool
    for (const path of files) {
      const file = await skippedFile(project.vitest, project, path, message)
      await this.#ownCalls.call('onQueued', file)
      await this.#ownCalls.call('onCollected', [file])
      project.vitest.logger.warn(`${file.name} is skipped: ${message}`)
    }
    this.#respond('testfileFinished')
  }

  async #announce(path: string): Promise<RunnerTestFile> {
    const file = await fileTask(this.#pool.project, path)
    await this.#ownCalls.call('onQueued', file)
    return file
  }

  #respond(type: Response['type']): void {
    const response: Response = { __vitest_worker_response__: true, type }
    // vitest listens only after it has sent the request.
    queueMicrotask(() => this.#events.emit('message', response))
  }

  async #disconnect(broken: boolean): Promise<void> {
    const connection = this.#connection
    this.#connection = undefined
    if (!connection) return
    await connection.link.close()
    await connection.lease.release(broken)
  }
}
