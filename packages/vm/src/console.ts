/**
 * A guest's console as text: the last part of it is kept (never more than a bound), and anyone can wait
 * until a pattern appears in it.
 */
import { GuestTimeoutError, type VmError } from './errors.ts'
import { deferred } from './host/deferred.ts'

/** Options of {@link GuestConsole}. */
export interface GuestConsoleOptions {
  /** How many characters are kept, the newest ones. Default 1,048,576. */
  limitChars?: number
  /** Carries what {@link GuestConsole.write} is given to the guest. Without it `write` throws. */
  write?: (text: string) => void
}

/** Options of {@link GuestConsole.waitFor}. */
export interface WaitForOptions {
  /** How long to wait, in milliseconds; `Infinity` for ever. Default 60,000. */
  timeoutMs?: number
  /**
   * Position (see {@link GuestConsole.position}) before which nothing is looked at. Default 0: what was
   * printed before the call counts too, so that a fast guest cannot be missed.
   */
  from?: number
  /** Ends the waiting with the signal's reason. */
  signal?: AbortSignal
}

interface Waiter {
  pattern: RegExp
  from: number
  resolve: (match: RegExpExecArray) => void
  reject: (reason: unknown) => void
}

/** Lines that {@link GuestConsole.tail} gives unless told otherwise: a panic with its call trace is about 30. */
const DEFAULT_TAIL_LINES = 40

/**
 * The console of a guest: a bounded text that grows at its end.
 *
 * Line ends are `\n` (a serial line carries `\r\n`); bytes that are not UTF-8 become U+FFFD.
 *
 * @example
 * ```ts
 * import { GuestConsole } from '@pkg/vm/console'
 *
 * const guestConsole = new GuestConsole()
 * const ready = guestConsole.waitFor(/ready in (\d+) ms/)
 * guestConsole.append(new TextEncoder().encode('init: ready in 612 ms\r\n'))
 * const [, milliseconds] = await ready
 * if (milliseconds !== '612') throw new Error('not found')
 * ```
 */
export class GuestConsole {
  readonly #limitChars: number
  readonly #write: ((text: string) => void) | undefined
  readonly #decoder = new TextDecoder()
  readonly #waiters = new Set<Waiter>()
  #text = ''
  #droppedChars = 0
  #pendingReturn = false
  #ended: VmError | undefined
  #onMet: (() => void) | undefined

  constructor(options: GuestConsoleOptions = {}) {
    const limitChars = options.limitChars ?? 1 << 20
    if (!Number.isInteger(limitChars) || limitChars < 1)
      throw new RangeError(`limitChars: ${limitChars} is not a whole number above 0`)
    this.#limitChars = limitChars
    this.#write = options.write
  }

  /** Everything that is still kept. Escape sequences of the guest are in it: see {@link GuestConsole.tail}. */
  get text(): string {
    return this.#text
  }

  /** How many characters have been dropped at the beginning to stay within the bound. */
  get droppedChars(): number {
    return this.#droppedChars
  }

  /** How many characters came so far: `waitFor(…, { from: position })` looks only at what comes later. */
  get position(): number {
    return this.#droppedChars + this.#text.length
  }

  /** The last `lines` lines (default 40), without control characters: safe to show on a terminal. */
  tail(lines: number = DEFAULT_TAIL_LINES): string {
    const all = printable(this.#text).trimEnd().split('\n')
    return all.slice(-Math.max(1, lines)).join('\n')
  }

  /**
   * Adds what the guest printed, and wakes those whose pattern is now there.
   *
   * @returns the text that was added, as it stands in {@link GuestConsole.text}
   */
  append(bytes: Uint8Array): string {
    let text = this.#decoder.decode(bytes, { stream: true })
    if (this.#pendingReturn) text = `\r${text}`
    // A "\r" at the end may be the first half of "\r\n".
    this.#pendingReturn = text.endsWith('\r')
    if (this.#pendingReturn) text = text.slice(0, -1)
    text = text.replaceAll(/\r+\n/g, '\n')
    if (text === '') return text
    this.#text += text
    // Wake first: what one large chunk brings may be beyond the bound already.
    for (const waiter of this.#waiters) this.#check(waiter)
    if (this.#text.length > this.#limitChars) {
      const dropped = this.#text.length - this.#limitChars
      this.#text = this.#text.slice(dropped)
      this.#droppedChars += dropped
    }
    return text
  }

  /**
   * Waits until `pattern` matches, and gives the match. Several calls for the same thing find the same
   * place: give `from` to look further on.
   *
   * @throws {@link GuestTimeoutError} not there in time (`kind: 'wait'`; the guest runs on)
   * @throws the error that ended the guest, when it ended without printing it
   */
  waitFor(pattern: RegExp, options: WaitForOptions = {}): Promise<RegExpExecArray> {
    const { timeoutMs = 60_000, from = 0, signal } = options
    // With g or y a RegExp remembers where it stopped, and would look away from what it seeks.
    const stateless = new RegExp(pattern.source, pattern.flags.replaceAll(/[gy]/g, ''))
    const { promise, resolve, reject } = deferred<RegExpExecArray>()
    if (signal?.aborted) return Promise.reject(signal.reason as Error)
    const waiter: Waiter = { pattern: stateless, from, resolve, reject }
    this.#waiters.add(waiter)
    this.#check(waiter)
    if (!this.#waiters.has(waiter)) return promise
    if (this.#ended) {
      this.#waiters.delete(waiter)
      this.#onMet?.()
      return Promise.reject(this.#ended)
    }
    const expire = (): void => reject(this.#expired(pattern, timeoutMs))
    const timer = Number.isFinite(timeoutMs) ? setTimeout(expire, timeoutMs) : undefined
    const onAbort = (): void => reject(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    return promise.finally(() => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      this.#waiters.delete(waiter)
    })
  }

  /**
   * Types `text` at the guest's console.
   *
   * @throws TypeError the console has no way in
   * @throws the error that ended the guest, when there is nobody to read it
   */
  write(text: string): void {
    if (this.#ended) throw this.#ended
    if (!this.#write) throw new TypeError('this console has no input')
    this.#write(text)
  }

  /**
   * No more text will come: everyone who still waits gets `error`, and so does whoever comes later.
   *
   * @param onMet - called each time when somebody gets it
   */
  end(error: VmError, onMet?: () => void): void {
    if (this.#ended) return
    this.#ended = error
    this.#onMet = onMet
    for (const waiter of this.#waiters) waiter.reject(error)
    if (this.#waiters.size > 0) onMet?.()
    this.#waiters.clear()
  }

  #check(waiter: Waiter): void {
    const start = Math.max(0, waiter.from - this.#droppedChars)
    const match = waiter.pattern.exec(start === 0 ? this.#text : this.#text.slice(start))
    if (!match) return
    this.#waiters.delete(waiter)
    waiter.resolve(match)
  }

  #expired(pattern: RegExp, timeoutMs: number): GuestTimeoutError {
    const said = this.position === 0 ? 'the console printed nothing at all' : 'the console did not show it'
    const message = `waited ${timeoutMs / 1000} s for ${String(pattern)}: ${said}`
    return new GuestTimeoutError('wait', timeoutMs, message, this.tail())
  }
}

// ECMA-48 control sequences, then every control character but tab and newline: a guest must not be able
// to move the cursor of the terminal that shows its last words.
// oxlint-disable-next-line no-control-regex
const CONTROL = /\u001B(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\^_])|[\u0000-\u0008\u000B-\u001F\u007F-\u009F]/g

function printable(text: string): string {
  return text.replaceAll(CONTROL, '')
}
