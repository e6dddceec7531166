/**
 * Watches over a guest: its console, its limits of time, and what its kernel says of itself. When one of them is
 * broken it says why, and ends the guest.
 */
import { GuestConsole } from '../console.ts'
import { GuestTimeoutError, type VmError } from '../errors.ts'
import { KernelLog, troubleError, type FailOn, type KernelTrouble } from '../kernel-log.ts'
import type { ExitReason } from '../machine.ts'
import { checkDurations } from './duration.ts'

/** Options of {@link GuestWatch}. */
export interface WatchOptions {
  /** As in `MachineLimits`. */
  timeoutMs: number
  /** As in `MachineLimits`. */
  silenceTimeoutMs: number
  /** As in `MachineLimits`. */
  consoleLimitChars: number
  /** As in `MachineLimits`. */
  onConsole: ((text: string) => void) | undefined
  /** What ends the guest besides a panic. */
  failOn: FailOn
  /** Whether a panic ends it. Default: `end`. */
  onPanic?: 'end' | 'ignore'
  /** Carries what is typed at the console to the guest. */
  write: (text: string) => void
  /** Ends the guest at once. */
  kill: () => void
  /** What the guest was doing, in a few words, for the error of a limit; may take a second. */
  describe?: () => Promise<string>
}

/** Why a guest was ended, or what its kernel told before it ended. */
export interface Verdict {
  reason: Extract<ExitReason, 'timeout' | 'panic' | 'lockup' | 'oom'>
  error: VmError
}

/** With `panic=-1` a guest ends by itself within this; with another `panic=` it would stay, and so it is ended. */
const TROUBLE_GRACE_MS = 2_000

/** Time for bytes that have come already to be read: a turn of the event loop, with room. */
const SECOND_LOOK_MS = 20

/** One guest's console and limits. Give it every byte of the console; call {@link GuestWatch.stop} at the end. */
export class GuestWatch {
  readonly console: GuestConsole
  readonly #options: WatchOptions
  readonly #log = new KernelLog()
  readonly #timers: NodeJS.Timeout[] = []
  #silenceTimer: NodeJS.Timeout | undefined
  #lastByteMs = performance.now()
  #trouble: KernelTrouble | undefined
  #timedOut: GuestTimeoutError | undefined

  /** @throws TypeError, RangeError a limit that is no time */
  constructor(options: WatchOptions) {
    checkDurations(options, ['timeoutMs', 'silenceTimeoutMs'])
    this.#options = options
    this.console = new GuestConsole({ limitChars: options.consoleLimitChars, write: options.write })
  }

  /** What the kernel told of itself that ends the guest; undefined while all is well. */
  get trouble(): KernelTrouble | undefined {
    return this.#trouble
  }

  /** Takes what the guest printed. */
  receive(bytes: Uint8Array): void {
    this.#lastByteMs = performance.now()
    const text = this.console.append(bytes)
    if (text === '') return
    this.#look(this.#log.receive(text))
    this.#options.onConsole?.(text)
  }

  /** The guest runs: its time begins. */
  begin(): void {
    const { timeoutMs } = this.#options
    const expire = (): void => void this.#expire('limit', timeoutMs, 'the guest did not end within')
    if (Number.isFinite(timeoutMs)) this.#timers.push(setTimeout(expire, timeoutMs))
    this.resumeSilence()
  }

  /** The guest stands still by our wish: it may be silent. Its time as a whole goes on. */
  pauseSilence(): void {
    clearTimeout(this.#silenceTimer)
  }

  /** Counts the console's silence from now on. */
  resumeSilence(): void {
    clearTimeout(this.#silenceTimer)
    this.#lastByteMs = performance.now()
    if (Number.isFinite(this.#options.silenceTimeoutMs)) this.#watchSilence(this.#options.silenceTimeoutMs)
  }

  /** The guest has ended: no limit will strike any more, and the console's last line counts as a line. */
  stop(): void {
    this.#look(this.#log.finish())
    for (const timer of [...this.#timers, this.#silenceTimer]) clearTimeout(timer)
  }

  /** What a limit or the kernel says of the end; undefined when neither had a part in it. */
  verdict(): Verdict | undefined {
    if (this.#timedOut) return { reason: 'timeout', error: this.#timedOut }
    if (!this.#trouble) return undefined
    return { reason: this.#trouble.kind, error: troubleError(this.#trouble, this.console) }
  }

  #look(troubles: readonly KernelTrouble[]): void {
    const { failOn, onPanic, kill } = this.#options
    const wanted = { panic: onPanic !== 'ignore', lockup: failOn.lockup === true, oom: failOn.oom === true }
    const first = troubles.find(({ kind }) => wanted[kind])
    // The first is the cause: a kernel that is told to (softlockup_panic=1) panics for its lock-up.
    if (this.#trouble || this.#timedOut || !first) return
    this.#trouble = first
    this.#timers.push(setTimeout(kill, TROUBLE_GRACE_MS))
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

  /** Says what the guest was doing (a spinning kernel and a sleeping one look alike from outside), and ends it. */
  async #expire(kind: 'limit' | 'silence', timeoutMs: number, what: string): Promise<void> {
    if (this.#timedOut || this.#trouble) return
    const never = this.console.position === 0 ? '; it has printed nothing at all' : ''
    const tell = (state: string): GuestTimeoutError => {
      const message = `${what} ${timeoutMs / 1000} s${never}${state === '' ? '' : ` (${state})`}`
      return new GuestTimeoutError(kind, timeoutMs, message, this.console.tail())
    }
    this.#timedOut = tell('')
    if (this.#options.describe) this.#timedOut = tell(await this.#options.describe())
    this.#options.kill()
  }
}
