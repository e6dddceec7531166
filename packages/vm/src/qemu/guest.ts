/**
 * A running QEMU: its streams, its limits, and the one place where it is decided how a guest ended.
 */
import type { Accelerator } from '../kvm.ts'
import { GuestConsole } from '../console.ts'
import { GuestEndedError, GuestPanicError, GuestTimeoutError, QemuCrashedError, VmError } from '../errors.ts'
import { QmpClient, type QmpEvent } from '../qmp.ts'
import type { Launched } from './launch.ts'
import type { ResolvedOptions } from './options.ts'
import type { ExitReason, Forward, Vm, VmExit } from './types.ts'

/**
 * The kernel's own line (kernel/panic.c), at the start of a line or after its time stamp: a program
 * that prints the words in a line of its own log does not match.
 */
const PANIC = /(?:^|\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? )Kernel panic - not syncing(?:: (.*))?/m

/** How far back a panic's line can begin that ends in what came last: longer than any kernel line (1 KiB). */
const PANIC_LINE_CHARS = 2_048

/** What went on just before a panic is often why. */
const LINES_BEFORE_PANIC = 5

/** With `panic=-1` QEMU ends by itself within this; with another `panic=` it would stay, and so we end it. */
const PANIC_GRACE_MS = 2_000

/** What the streams may take to drain after QEMU is gone; they end at once, unless a child of QEMU holds one. */
const DRAIN_MS = 500

/** Time for bytes that have come already to be read: a turn of the event loop, with room. */
const SECOND_LOOK_MS = 20

/** A QEMU process as {@link Vm}. Created by `boot` only. */
export class QemuGuest implements Vm {
  readonly pid: number
  readonly accelerator: Accelerator
  readonly console: GuestConsole
  readonly qmp: QmpClient
  forwards: readonly Forward[] = []
  readonly #launched: Launched
  readonly #ended: Promise<VmExit>
  readonly #timers: NodeJS.Timeout[] = []
  #silenceTimer: NodeJS.Timeout | undefined
  readonly #options: ResolvedOptions
  #lastByteMs = performance.now()
  #stderr = ''
  #shutdown: Record<string, unknown> | undefined
  #guestPanicked = false
  #panicSeen = false
  #timedOut: GuestTimeoutError | undefined
  #met = false

  constructor(launched: Launched, options: ResolvedOptions, accelerator: Accelerator) {
    this.#launched = launched
    this.#options = options
    this.pid = launched.pid
    this.accelerator = accelerator
    this.console = new GuestConsole({
      limitChars: options.consoleLimitChars,
      write: (text) => void launched.console.write(text),
    })
    // Closed ends are told by the process's exit; here an EPIPE is no news.
    launched.console.on('error', () => {})
    launched.console.on('data', (bytes: Uint8Array) => this.#receive(bytes))
    launched.stderr.on('data', (bytes: Uint8Array) => {
      this.#stderr = (this.#stderr + new TextDecoder().decode(bytes)).slice(-65_536)
    })
    this.qmp = new QmpClient({
      input: launched.stdout,
      output: launched.stdin,
      onEvent: (event) => this.#onEvent(event),
    })
    this.#ended = this.#awaitEnd()
    options.signal?.addEventListener('abort', this.#kill, { once: true })
    if (options.signal?.aborted) this.#kill()
  }

  get exited(): Promise<VmExit> {
    this.#met = true
    return this.#ended
  }

  async waitForPoweroff(): Promise<VmExit> {
    const exit = await this.exited
    if (exit.error) throw exit.error
    return exit
  }

  async powerdown(): Promise<void> {
    try {
      await this.qmp.powerdown()
    } catch (error) {
      // A guest that ends meanwhile needs no button.
      const ended = await Promise.race([this.#ended, delay(DRAIN_MS)])
      if (ended === undefined) throw error
    }
  }

  async kill(): Promise<VmExit> {
    this.#kill()
    return this.#ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#kill()
    const { error, reason } = await this.#ended
    // Being killed is what disposal does; a reboot was the guest's own wish.
    if (error && !this.#met && reason !== 'killed' && reason !== 'reboot') throw error
  }

  readonly #kill = (): void => {
    this.#launched.process.kill('SIGKILL')
  }

  #receive(bytes: Uint8Array): void {
    this.#lastByteMs = performance.now()
    const text = this.console.append(bytes)
    if (text === '') return
    if (!this.#panicSeen && PANIC.test(this.console.text.slice(-(text.length + PANIC_LINE_CHARS)))) {
      this.#panicSeen = true
      this.#timers.push(setTimeout(this.#kill, PANIC_GRACE_MS))
    }
    this.#options.onConsole?.(text)
  }

  #onEvent({ event, data }: QmpEvent): void {
    if (event === 'SHUTDOWN') this.#shutdown = data
    if (event === 'GUEST_PANICKED') this.#guestPanicked = true
  }

  /** Lets the CPUs run, and the limits with them. */
  async begin(): Promise<void> {
    await this.qmp.execute('cont')
    const { timeoutMs, silenceTimeoutMs } = this.#options
    const expire = (): void => void this.#expire('limit', timeoutMs, 'the guest did not end within')
    if (Number.isFinite(timeoutMs)) this.#timers.push(setTimeout(expire, timeoutMs))
    this.#lastByteMs = performance.now()
    if (Number.isFinite(silenceTimeoutMs)) this.#watchSilence(silenceTimeoutMs)
  }

  #watchSilence(silenceTimeoutMs: number): void {
    const leftMs = (): number => this.#lastByteMs + silenceTimeoutMs - performance.now()
    const look = (): void => {
      // A process that was busy itself may find bytes waiting: they are read before the second look.
      const next = leftMs() > 0 ? look : lookAgain
      this.#silenceTimer = setTimeout(next, Math.max(SECOND_LOOK_MS, leftMs()))
    }
    const lookAgain = (): void => {
      if (leftMs() > 0) look()
      else void this.#expire('silence', silenceTimeoutMs, 'the console was silent for')
    }
    look()
  }

  /** Says what the CPUs were doing (a spinning kernel and a sleeping one look alike from outside), and ends it. */
  async #expire(kind: 'limit' | 'silence', timeoutMs: number, what: string): Promise<void> {
    if (this.#timedOut) return
    const never = this.console.position === 0 ? '; it has printed nothing at all' : ''
    const describe = (state: string): GuestTimeoutError => {
      const message = `${what} ${timeoutMs / 1000} s${never}${state === '' ? '' : ` (${state})`}`
      return new GuestTimeoutError(kind, timeoutMs, message, this.console.tail())
    }
    this.#timedOut = describe('')
    const registers = await this.qmp.humanMonitor('info registers -a', { timeoutMs: 1_000 }).catch(() => '')
    this.#timedOut = describe(describeCpus(registers))
    this.#kill()
  }

  async #awaitEnd(): Promise<VmExit> {
    const { process: child, console: serial, stdout, stderr } = this.#launched
    const drained = Promise.all([serial, stdout, stderr].map((stream) => streamEnd(stream)))
    const exit = Promise.withResolvers<[number | null, string | null]>()
    child.once('exit', (code, signal) => exit.resolve([code, signal]))
    if (child.exitCode !== null || child.signalCode !== null) exit.resolve([child.exitCode, child.signalCode])
    const [code, signal] = await exit.promise
    await Promise.race([drained, delay(DRAIN_MS)])
    for (const timer of [...this.#timers, this.#silenceTimer]) clearTimeout(timer)
    this.#options.signal?.removeEventListener('abort', this.#kill)
    for (const stream of [serial, stdout, stderr, this.#launched.stdin]) stream.destroy()
    const reason = this.#reason(code, signal)
    const error = this.#error(reason, code, signal)
    const ended = new GuestEndedError('the guest powered itself off', this.console.tail())
    this.console.end(error ?? ended, () => {
      this.#met = true
    })
    return { reason, code, signal, stderr: this.#stderr, ...(error && { error }) }
  }

  #reason(code: number | null, signal: string | null): ExitReason {
    if (this.#timedOut) return 'timeout'
    const cause = this.#shutdown?.['reason']
    if (cause === 'guest-panic' || this.#guestPanicked) return 'panic'
    if (cause === 'guest-shutdown') return 'poweroff'
    // After a panic the kernel's `panic=` reboots, or our grace was over.
    if (this.#panicSeen) return 'panic'
    if (cause === 'guest-reset') return 'reboot'
    if (cause !== undefined) return 'killed'
    return signal === 'SIGKILL' || signal === 'SIGTERM' || code === 0 ? 'killed' : 'crashed'
  }

  #error(reason: ExitReason, code: number | null, signal: string | null): VmError | undefined {
    const tail = this.console.tail()
    if (reason === 'poweroff') return undefined
    if (reason === 'timeout') return this.#timedOut
    if (reason === 'panic') return this.#panicError(tail)
    if (reason === 'reboot') return new GuestEndedError('the guest rebooted', tail)
    if (reason === 'killed')
      return new GuestEndedError(`the guest was killed from outside (${signal ?? 'by QMP'})`, tail)
    const words = this.#stderr.trim() === '' ? '' : `\nQEMU said:\n${this.#stderr.trim()}`
    return new QemuCrashedError(`QEMU crashed (${signal ?? `exit status ${code}`})${words}`, tail)
  }

  /** However long the call trace is: the kernel's own word stands before it, and must be seen. */
  #panicError(tail: string): GuestPanicError {
    const found = PANIC.exec(this.console.text)
    if (found === null) return new GuestPanicError('', tail)
    const lineCount = this.console.text.slice(found.index).split('\n').length + LINES_BEFORE_PANIC
    const fromPanic = this.console.tail(lineCount)
    return new GuestPanicError(found[1] ?? '', fromPanic.length > tail.length ? fromPanic : tail)
  }
}

/**
 * `info registers -a` in a few words: `cpu 0: halted, interrupts off at ffffffff81000000`.
 * RFL bit 9 is the interrupt flag (Intel SDM vol. 1, 3.4.3).
 */
export function describeCpus(registers: string): string {
  const cpus = registers.split(/^CPU#/m).slice(1)
  const words = cpus.map((text, index) => {
    const address = /[RE]IP=([0-9a-f]+)/.exec(text)?.[1]
    const flags = Number.parseInt(/[RE]FL=([0-9a-f]+)/.exec(text)?.[1] ?? '', 16)
    const halted = /HLT=1/.test(text) ? 'halted' : 'running'
    const interrupts = (flags & 0x200) === 0 ? ', interrupts off' : ''
    return address === undefined ? '' : `cpu ${index}: ${halted}${interrupts} at ${address}`
  })
  return words.filter((word) => word !== '').join('; ')
}

function streamEnd(stream: NodeJS.EventEmitter): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  for (const event of ['end', 'close', 'error']) stream.once(event, () => resolve())
  return promise
}

function delay(timeMs: number): Promise<undefined> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(undefined), timeMs).unref()
  })
}
