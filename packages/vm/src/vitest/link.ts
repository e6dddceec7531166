/** The host's end of the stream to one worker: frames, the host's answers to its calls, and a watch over its pulse. */
import { deferred } from '../host/deferred.ts'
import { decodeValue, encodeValue } from './clone.ts'
import { GuestWorkerError } from './errors.ts'
import { FRAME, frame, FrameReader, type FrameKind, type Progress, type WorkerProgram } from './frames.ts'
import type { HostCalls } from './host-calls.ts'
import type { WorkerRuntime } from './runtime.ts'
import type { WorkerProcess } from './transport.ts'

/** What a worker has to say. */
export interface LinkListeners {
  /** A message of vitest's. */
  onMessage(message: unknown): void
  /** Which test runs. */
  onProgress(progress: Progress): void
  /** What the worker wrote to its standard output (1) or error (2). */
  onOutput(fd: 1 | 2, bytes: Uint8Array): void
  /**
   * The worker ended, was killed for not answering, or went away with its guest. Called once; nothing comes after.
   *
   * @param guestToo - whether the guest is gone as well
   */
  onLost(error: Error, guestToo: boolean): void
}

/** Options of {@link WorkerLink}. */
export interface LinkOptions extends LinkListeners {
  /** How long the worker's event loop may be stuck, in milliseconds. */
  readonly hangTimeoutMs: number
  /** What the worker may have the host do. */
  readonly calls: HostCalls
}

/** Characters of a worker's standard error that are shown when it dies: a crash report of Bun's is about 2,000. */
const STDERR_TAIL_CHARS = 4000

/** A stuck worker is noticed this much late at most, in milliseconds. */
const PING_INTERVAL_MS = 1000

/** How long the end of a process is waited for when its stream has ended, in milliseconds. */
const EXIT_GRACE_MS = 2000

/** How long the reason is waited for when a stream ends, in milliseconds: longer than its process's end may take to be explained. */
const STREAM_GRACE_MS = 4000

/** How long a worker that is to end may be silent, in milliseconds, before the rest of its output is given up. */
const SILENCE_MS = 1000

/** How long its output may take in all: a program that it has left behind may write for ever. */
const FAREWELL_MS = 10_000

/** How long after a process's end something that it sent may still come, in milliseconds. */
const DRAIN_MS = 20

/** A running worker, from the host. */
export class WorkerLink {
  readonly #process: WorkerProcess
  readonly #options: LinkOptions
  readonly #loaded = deferred<void>()
  readonly #renewed = deferred<number>()
  /** What came before is dealt with: a message about a file comes after the call that writes it. */
  #settled: Promise<void> = Promise.resolve()
  #stderr = ''
  #lost = false
  #lastPulse = 0
  #lastOutput = 0
  #pulse: ReturnType<typeof setInterval> | undefined
  readonly #timers = new Set<ReturnType<typeof setTimeout>>()

  constructor(process: WorkerProcess, options: LinkOptions) {
    this.#process = process
    this.#options = options
    for (const { promise } of [this.#loaded, this.#renewed]) promise.catch(() => {})
    const reader = new FrameReader((kind, body) => this.#receive(kind, body))
    const { stream, stdout, stderr } = process
    stream.on('data', (chunk: Uint8Array) => {
      try {
        reader.push(chunk)
      } catch (error) {
        this.#lose(error as Error)
      }
    })
    // The process's end says more than its stream's; but a stream can end alone.
    stream.on('end', () => this.#streamEnded())
    stream.on('close', () => this.#streamEnded())
    stream.on('error', () => this.#streamEnded())
    stdout?.on('data', (chunk: Uint8Array) => {
      this.#lastOutput = performance.now()
      options.onOutput(1, chunk)
    })
    stderr?.on('data', (chunk: Uint8Array) => {
      this.#lastOutput = performance.now()
      this.#stderr = (this.#stderr + Buffer.from(chunk).toString()).slice(-STDERR_TAIL_CHARS)
      options.onOutput(2, chunk)
    })
    void this.#awaitExit()
  }

  /** Sends the worker's program and waits until it is loaded. */
  async load(runtime: WorkerRuntime, folder: string): Promise<void> {
    const program: WorkerProgram = { ...runtime.program, folder }
    this.#process.stream.write(runtime.files)
    this.#process.stream.write(frame(FRAME.load, JSON.stringify(program)))
    await this.#loaded.promise
  }

  /**
   * Has a worker that was there before its host take new randomness (it may have been copied with its guest), and more
   * environment variables.
   *
   * @returns its process id in the guest
   */
  async renew(env: Readonly<Record<string, string>>): Promise<number> {
    this.#process.stream.write(frame(FRAME.renew, encodeValue(env)))
    return this.#renewed.promise
  }

  /** Begins to watch the worker's pulse. */
  watch(): void {
    const { hangTimeoutMs } = this.#options
    if (this.#pulse !== undefined || this.#lost || hangTimeoutMs === Infinity) return
    this.#lastPulse = performance.now()
    let lastTick = this.#lastPulse
    this.#pulse = setInterval(
      () => {
        const now = performance.now()
        // A host that was asleep (or stuck itself) cannot tell how long the worker was silent.
        if (now - lastTick > 2 * PING_INTERVAL_MS) this.#lastPulse = now
        lastTick = now
        if (now - this.#lastPulse < hangTimeoutMs) return void this.#process.stream.write(frame(FRAME.ping))
        this.#lose(
          this.#error(
            `the worker in the guest did not answer for ${hangTimeoutMs / 1000} s: something blocks its event loop`,
          ),
        )
        void this.#process.kill()
      },
      Math.min(PING_INTERVAL_MS, hangTimeoutMs / 2),
    )
    this.#pulse.unref()
  }

  /** Ends the watch: nothing is asked of the worker. */
  unwatch(): void {
    clearInterval(this.#pulse)
    this.#pulse = undefined
  }

  /** Sends a message of vitest's. */
  send(message: unknown): void {
    if (!this.#lost) this.#process.stream.write(frame(FRAME.message, encodeValue(message)))
  }

  /** Sends files, as a frame of `readFiles`: they are in the guest before any message that is sent later. */
  sendFiles(filesFrame: Uint8Array): void {
    if (!this.#lost) this.#process.stream.write(filesFrame)
  }

  /** Leaves the worker alone: it goes on and waits for another host. */
  async leave(): Promise<void> {
    this.#end()
    const { stream } = this.#process
    await new Promise<void>((resolve) => stream.end(resolve))
  }

  /** Ends the worker, without a word to the listeners but for the rest of its output; kills one that does not end. */
  async close(): Promise<void> {
    this.#end()
    await this.#farewell()
    const gone = this.#process.kill()
    this.#process.stream.destroy()
    await Promise.race([gone, new Promise<void>((resolve) => setTimeout(resolve, EXIT_GRACE_MS).unref())])
  }

  /** A worker whose stream ends writes what it still has to say, and ends: it is waited for while it says something. */
  async #farewell(): Promise<void> {
    const { stream, stdout, stderr } = this.#process
    let isOver = false
    const ends = [stdout, stderr].map(async (output) => {
      if (output === undefined || output.readableEnded || output.destroyed) return
      await new Promise<unknown>((resolve) => output.once('end', resolve).once('close', resolve))
    })
    void Promise.all(ends).then(() => (isOver = true))
    if (!stream.destroyed) stream.end()
    const beganMs = performance.now()
    this.#lastOutput = beganMs
    await Promise.resolve()
    for (let now = beganMs; !isOver; now = performance.now()) {
      if (now - this.#lastOutput > SILENCE_MS || now - beganMs > FAREWELL_MS) return
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  #receive(kind: FrameKind, body: Uint8Array): void {
    this.#lastPulse = performance.now()
    if (kind === FRAME.loaded) return this.#loaded.resolve()
    if (kind === FRAME.pong) return
    if (kind === FRAME.output) return this.#options.onOutput(body[0] === 2 ? 2 : 1, body.slice(1))
    const value = decodeValue(Buffer.from(body).toString())
    if (kind === FRAME.renewed) return this.#takeRenewal(value as [number, string | null])
    if (kind === FRAME.progress) return this.#options.onProgress(value as Progress)
    this.#settled = this.#handle(this.#settled, kind, value)
  }

  #takeRenewal([pid, problem]: [number, string | null]): void {
    if (problem === null) this.#renewed.resolve(pid)
    else
      this.#renewed.reject(
        new GuestWorkerError(`the restored worker has no randomness of its own: ${problem}`),
      )
  }

  async #handle(before: Promise<void>, kind: FrameKind, value: unknown): Promise<void> {
    await before
    if (kind === FRAME.call) await this.#answer(value as [number, keyof HostCalls, string[]])
    else this.#options.onMessage(value)
  }

  async #answer([id, name, parameters]: [number, keyof HostCalls, string[]]): Promise<void> {
    const call = this.#options.calls[name] as (...parameters: string[]) => Promise<unknown>
    const answer = await call(...parameters).then(
      (result) => [id, null, result],
      (error: unknown) => [id, error instanceof Error ? error.message : String(error), undefined],
    )
    if (!this.#lost) this.#process.stream.write(frame(FRAME.result, encodeValue(answer)))
  }

  async #awaitExit(): Promise<void> {
    try {
      const { code, signal } = await this.#process.exited
      const how = signal === null ? `exited with status ${code ?? 'unknown'}` : `was killed by ${signal}`
      this.#loseSoon(() => this.#error(`the worker in the guest ${how}`))
    } catch (error) {
      this.#lose(error instanceof Error ? error : new Error(String(error)), true)
    }
  }

  #streamEnded(): void {
    // It is not stuck, it is gone.
    this.unwatch()
    this.#loseIn(STREAM_GRACE_MS, () => this.#error('the stream to the worker in the guest ended'))
  }

  /** What the worker sent before it died is still on its way through the stream. */
  #loseSoon(error: () => Error): void {
    const { stream } = this.#process
    if (stream.readableEnded || stream.destroyed) return this.#loseIn(DRAIN_MS, error)
    stream.once('close', () => this.#loseIn(DRAIN_MS, error))
    this.#loseIn(EXIT_GRACE_MS / 4, error)
  }

  #loseIn(milliseconds: number, error: () => Error): void {
    if (this.#lost) return
    this.#timers.add(setTimeout(() => this.#lose(error()), milliseconds))
  }

  #lose(error: Error, guestToo: boolean = false): void {
    if (this.#lost) return
    this.#end()
    this.#loaded.reject(error)
    this.#renewed.reject(error)
    void this.#tell(error, guestToo)
  }

  #end(): void {
    this.#lost = true
    this.unwatch()
    for (const timer of this.#timers) clearTimeout(timer)
  }

  /** What came before the end is told before it. */
  async #tell(error: Error, guestToo: boolean): Promise<void> {
    await this.#settled
    this.#options.onLost(error, guestToo)
  }

  #error(message: string): GuestWorkerError {
    const said = this.#stderr.trim()
    return new GuestWorkerError(said === '' ? message : `${message}\nIts standard error ends:\n${said}`)
  }
}
