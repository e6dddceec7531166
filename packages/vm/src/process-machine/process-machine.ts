/**
 * A guest that is a process of the host's, as in namespaces and User Mode Linux. Its lives (from power-on to
 * power-off, reboot or reset) are a driver's business; here is what is the same for all: console, limits, the
 * reset button, the end, and who must hear of it.
 */
import type { GuestConsole } from '../console.ts'
import { GuestEndedError, GuestPanicError, VmError } from '../errors.ts'
import { deferred, type Deferred } from '../host/deferred.ts'
import { type FailOn, initEnd } from '../kernel-log.ts'
import { GuestWatch } from '../limits/watch.ts'
import type { Backend, ExitReason, Machine, MachineLimits, ProcessEnd, VmExit } from '../machine.ts'
import { continueAll } from './process-tree.ts'

/** How one life of a guest ended. */
export interface LifeEnd {
  /** How, as far as the process itself tells; a limit that was broken or the kernel's words overrule it. */
  reason: Exclude<ExitReason, 'timeout' | 'lockup' | 'oom'>
  /** Exit status of the host's process; null when a signal ended it. */
  code: number | null
  /** The signal that ended the host's process, or null. */
  signal: string | null
  /** What the host's process wrote to its standard error. */
  stderr: string
  /** How PID 1 ended, where that is known. */
  init?: ProcessEnd
  /** What went wrong, for reasons of the driver's own; gets the console's last lines. */
  error?: (consoleTail: string) => VmError
}

/** One life of a guest. */
export interface Life {
  /** The host's process. */
  readonly pid: number
  /** Resolves when nothing of it is left and its console is read to the end; never rejects. */
  readonly ended: Promise<LifeEnd>
  /** Ends it at once. */
  kill(): void
  /** Stops it, and gives the processes to be continued. */
  stop(): number[]
  /** Types at its console. */
  write(text: string): void
  /** Asks for an orderly end. */
  powerdown(): Promise<void> | void
}

/** Brings guests of one kind to life. */
export interface Driver {
  readonly backend: Backend
  /** Whether the console is a kernel's. Where it is not, a line like a kernel's is a program's, and tells nothing. */
  readonly hasKernel: boolean
  /**
   * Starts a life.
   *
   * @param onConsole - gets every byte of the console
   * @throws what kept it from starting; nothing of it is left then
   */
  start(onConsole: (bytes: Uint8Array) => void): Promise<Life>
  /** What a life is doing, in a few words, for the error of a limit. */
  describe(life: Life): string
}

/** What happens when the guest reboots: a new life, or the end of the machine with the reason `reboot`. */
export type OnReboot = 'restart' | 'end'

/** What {@link ProcessMachine} needs to know. */
export interface ProcessMachineOptions extends MachineLimits {
  onReboot?: OnReboot
  failOn?: FailOn
}

/** A guest in a process of the host's. */
export class ProcessMachine implements Machine {
  readonly backend: Backend
  readonly console: GuestConsole
  readonly #driver: Driver
  readonly #options: ProcessMachineOptions
  readonly #watch: GuestWatch
  readonly #ended = deferred<VmExit>()
  #life: Life | undefined
  #over = false
  #killed = false
  #restarted: Deferred<void> | undefined
  #stopped: number[] | undefined
  #met = false

  private constructor(driver: Driver, options: ProcessMachineOptions) {
    this.backend = driver.backend
    this.#driver = driver
    this.#options = options
    this.#watch = new GuestWatch({
      timeoutMs: options.timeoutMs ?? 120_000,
      silenceTimeoutMs: options.silenceTimeoutMs ?? Number.POSITIVE_INFINITY,
      consoleLimitChars: options.consoleLimitChars ?? 1 << 20,
      onConsole: options.onConsole,
      failOn: driver.hasKernel ? (options.failOn ?? {}) : {},
      onPanic: driver.hasKernel ? 'end' : 'ignore',
      write: (text) => this.#life?.write(text),
      kill: () => this.#kill(),
      describe: async () => (this.#life ? driver.describe(this.#life) : ''),
    })
    this.console = this.#watch.console
  }

  /**
   * Starts the guest's first life.
   *
   * @throws what the driver throws; the reason of the options' signal when that was aborted meanwhile
   */
  static async start(driver: Driver, options: ProcessMachineOptions): Promise<ProcessMachine> {
    options.signal?.throwIfAborted()
    const machine = new ProcessMachine(driver, options)
    machine.#watch.begin()
    options.signal?.addEventListener('abort', machine.#onAbort, { once: true })
    try {
      machine.#life = await driver.start((bytes) => machine.#watch.receive(bytes))
    } catch (error) {
      machine.#release()
      throw options.signal?.aborted === true ? options.signal.reason : error
    }
    if (machine.#killed) machine.#life.kill()
    void machine.#live(machine.#life)
    if (options.signal?.aborted === true) {
      await machine.kill()
      throw options.signal.reason
    }
    return machine
  }

  get pid(): number {
    return this.#life?.pid ?? 0
  }

  get exited(): Promise<VmExit> {
    this.#met = true
    return this.#ended.promise
  }

  async waitForPoweroff(): Promise<VmExit> {
    const exit = await this.exited
    if (exit.error) throw exit.error
    return exit
  }

  async kill(): Promise<VmExit> {
    this.#kill()
    return this.#ended.promise
  }

  async pause(): Promise<void> {
    if (this.#over || this.#stopped || !this.#life) return
    this.#watch.pauseSilence()
    this.#stopped = this.#life.stop()
  }

  async resume(): Promise<void> {
    if (!this.#stopped) return
    continueAll(this.#stopped)
    this.#stopped = undefined
    this.#watch.resumeSilence()
  }

  async reset(): Promise<void> {
    if (this.#over || this.#killed || !this.#life) return
    this.#restarted ??= deferred<void>()
    const { promise } = this.#restarted
    this.#life.kill()
    await promise
  }

  async powerdown(): Promise<void> {
    if (!this.#over) await this.#life?.powerdown()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#kill()
    const { error, reason } = await this.#ended.promise
    // Being killed is what disposal does; a reboot was the guest's own wish.
    if (error && !this.#met && reason !== 'killed' && reason !== 'reboot') throw error
  }

  readonly #onAbort = (): void => this.#kill()

  #kill(): void {
    this.#killed = true
    // After the end its process ids may be others'.
    if (!this.#over) this.#life?.kill()
  }

  /** One life after the other, until one ends that has no successor. */
  async #live(first: Life): Promise<void> {
    let life = first
    for (;;) {
      const end = await life.ended
      const again =
        this.#restarted !== undefined || (end.reason === 'reboot' && this.#options.onReboot === 'restart')
      if (!again || this.#killed || this.#watch.trouble) return this.#finish(end)
      this.#stopped = undefined
      try {
        life = await this.#driver.start((bytes) => this.#watch.receive(bytes))
      } catch (cause) {
        return this.#finish({ ...end, reason: 'crashed', error: () => asVmError(cause) })
      }
      this.#life = life
      if (this.#killed) life.kill()
      this.#watch.resumeSilence()
      this.#restarted?.resolve()
      this.#restarted = undefined
    }
  }

  #finish(end: LifeEnd): void {
    this.#release()
    const { code, signal, stderr } = end
    const verdict = this.#watch.verdict()
    const reason =
      verdict?.reason ?? (this.#killed && end.reason !== 'panic' ? killedOr(end.reason) : end.reason)
    const init =
      end.init ?? (verdict?.error instanceof GuestPanicError ? initEnd(verdict.error.panic) : undefined)
    const tail = this.console.tail()
    const error =
      verdict?.error ??
      (reason === end.reason ? end.error?.(tail) : undefined) ??
      endError(reason, signal, tail)
    this.console.end(error ?? new GuestEndedError('the guest powered itself off', tail), () => {
      this.#met = true
    })
    // Whoever pressed the reset button sees by `exited` that the guest ended instead.
    this.#restarted?.resolve()
    this.#ended.resolve({ reason, code, signal, stderr, ...(init && { init }), ...(error && { error }) })
  }

  #release(): void {
    this.#over = true
    this.#watch.stop()
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
  }
}

/** A guest that had powered itself off or rebooted before our SIGKILL came did so. */
function killedOr(reason: LifeEnd['reason']): LifeEnd['reason'] {
  return reason === 'crashed' ? 'killed' : reason
}

function endError(reason: ExitReason, signal: string | null, tail: string): VmError | undefined {
  if (reason === 'poweroff') return undefined
  if (reason === 'reboot') return new GuestEndedError('the guest rebooted', tail)
  return new GuestEndedError(`the guest was killed from outside (${signal ?? 'with its processes'})`, tail)
}

function asVmError(cause: unknown): VmError {
  if (cause instanceof VmError) return cause
  return new VmError(`the guest could not be started anew: ${(cause as Error).message}`, '', cause)
}
