/** The host's end of the line to an agent: calls, streams and greetings, through every boot until the machine's end. */
import { randomBytes } from 'node:crypto'
import { type Duplex, pipeline, Readable } from 'node:stream'
import { promisify } from 'node:util'
import type { GuestConsole } from '../console.ts'
import { GuestRebootedError, type VmError } from '../errors.ts'
import { Connection } from './connection.ts'
import { GuestCallTimeoutError } from './errors.ts'
import { FrameType, type Frame } from './frames.ts'
import { Greeting } from './greeting.ts'
import { PacedLine } from './paced-line.ts'
import type { GuestHello } from './protocol.ts'
import { encode } from './values.ts'

/** What bounds a wait. */
export interface Bounds {
  /** Milliseconds. Default: for ever. */
  readonly timeoutMs?: number | undefined
  /** Gives up when aborted. */
  readonly signal?: AbortSignal | undefined
  /** Called when the wait was given up. */
  readonly stop?: (() => void) | undefined
}

const pipe = promisify(pipeline)

/** What Bun and Node say of a stream whose reader went away. */
const BROKEN_STREAM: ReadonlySet<string> = new Set(['EPIPE', 'ERR_STREAM_PREMATURE_CLOSE'])

/** A line, before and after each reboot of its guest. */
export class AgentLine {
  /** Streams are numbered and opened here. */
  readonly connection: Connection
  readonly #console: GuestConsole
  readonly #greeting: Greeting
  readonly #paced: PacedLine | undefined
  #control: Duplex | undefined
  #ended = false
  #error: VmError | undefined
  #errorMet = false

  /**
   * @param console - its tail is in errors
   * @param isPaced - whether the line must not run full
   */
  constructor(console: GuestConsole, isPaced: boolean) {
    this.#console = console
    const write = (bytes: Uint8Array): void => void (this.#control?.writable && this.#control.write(bytes))
    this.#paced = isPaced ? new PacedLine(write) : undefined
    this.connection = new Connection({
      send: (bytes) => (this.#paced ? this.#paced.send(bytes) : write(bytes)),
      onFrame: (frame) => this.#onFrame(frame),
    })
    this.#greeting = new Greeting(
      randomBytes(16).toString('hex'),
      (nonce) => this.connection.send(FrameType.attach, 0, encode({ nonce })),
      () => {
        this.#paced?.reset()
        this.connection.reset(new GuestRebootedError('the guest rebooted', this.#console.tail()))
      },
    )
  }

  /** Whether the agent has said that the machine ends in order. */
  get ended(): boolean {
    return this.#ended
  }

  /** The error of {@link AgentLine.end}. */
  get error(): VmError | undefined {
    return this.#error
  }

  /** Whether anybody has got that error by a call or a stream. */
  get errorMet(): boolean {
    return this.#errorMet
  }

  /** Uses `control` from now on. */
  attach(control: Duplex): void {
    this.#control?.removeAllListeners('data')
    this.#control = control
    control.on('data', (bytes: Uint8Array) => {
      if (control === this.#control) this.connection.receive(bytes)
    })
    // The machine's end is told by `end`; a stream that breaks says nothing new.
    control.on('error', () => {})
    this.#greeting.start()
  }

  /** The agent's greeting, of this boot or of the next. @throws GuestCallTimeoutError, or the error of the end */
  hello(which: 'current' | 'next', timeoutMs: number): Promise<GuestHello> {
    if (which === 'next') return this.within(this.#greeting.next(), 'the reboot of the guest', timeoutMs)
    return this.within(this.#greeting.current(), 'the greeting of the agent', timeoutMs)
  }

  /**
   * Calls the agent.
   *
   * @param isHeeded - whether anybody would hear of a failure. Default: yes
   * @throws what it throws, or the error of the end
   */
  async call(method: string, params: unknown, isHeeded: () => boolean = () => true): Promise<unknown> {
    if (this.#error) {
      if (isHeeded()) this.#errorMet = true
      throw this.#error
    }
    return this.connection.call(method, params, isHeeded)
  }

  /** Somebody gets `error`, which may be that of the end. */
  meet(error: unknown): void {
    if (error !== undefined && error === this.#error) this.#errorMet = true
  }

  /** Calls a method that sends a stream, and has `take` read it. */
  async receive(method: string, params: object, take: (stream: Readable) => Promise<void>): Promise<void> {
    const stream = this.connection.nextNumber()
    const reader = this.connection.reader(stream)
    let failure: { readonly error: unknown } | undefined
    const taken = take(reader)
    taken.catch((error: unknown) => {
      // The guest must not wait for a reader that gave up. Of a stream that broke, the call's error says more.
      if (!reader.destroyed) failure = { error }
      reader.destroy()
    })
    try {
      await this.call(method, { ...params, stream })
    } catch (error) {
      reader.destroy()
      throw failure ? failure.error : error
    }
    await taken
  }

  /** Calls a method that takes a stream, and sends it `bytes`. */
  async transmit(method: string, params: object, bytes: AsyncIterable<Uint8Array>): Promise<void> {
    const stream = this.connection.nextNumber()
    const writer = this.connection.writer(stream)
    const call = this.call(method, { ...params, stream })
    const sent = pipe(Readable.from(bytes), writer)
    // Either may fail because the other did. The guest's reason says more than a stream that broke.
    const [called, written] = await Promise.allSettled([call, sent])
    const reasons = [written, called]
      .filter((each) => each.status === 'rejected')
      .map(({ reason }) => reason as Error)
    if (reasons.length > 0)
      throw reasons.find(({ code = '' }: NodeJS.ErrnoException) => !BROKEN_STREAM.has(code)) ?? reasons[0]
  }

  /** Ends the guest by `call`, and waits for the end mark that comes before the call's answer, or instead of it. */
  async untilEndMark(call: Promise<unknown>): Promise<void> {
    const marked = this.#greeting.untilEndMark()
    await Promise.race([call, marked])
    call.catch(() => {})
    await marked
    if (!this.#ended && this.#error) throw this.#error
  }

  /** The machine is gone: everything that waits for it fails with `error`, and what comes later. */
  end(error: VmError): void {
    if (this.#error) return
    this.#error = error
    this.#errorMet = this.connection.isHeeded
    this.#greeting.fail(error)
    this.connection.reset(error)
  }

  /** `promise`, within its time, of a machine that is there. */
  async within<T>(promise: Promise<T>, what: string, timeoutMs: number): Promise<T> {
    promise.catch(() => {})
    try {
      if (this.#error) throw this.#error
      return await this.bounded(promise, what, { timeoutMs })
    } catch (error) {
      this.meet(error)
      throw error
    }
  }

  /** `promise`, unless its time runs out or its signal comes: then `stop` is called. */
  bounded<T>(promise: Promise<T>, what: string, { timeoutMs = Infinity, signal, stop }: Bounds): Promise<T> {
    if (timeoutMs === Infinity && !signal) return promise
    return new Promise((resolve, reject) => {
      const giveUp = (error: unknown): void => {
        reject(error)
        stop?.()
      }
      const onAbort = (): void => giveUp(signal?.reason)
      const expire = (): void => giveUp(new GuestCallTimeoutError(what, timeoutMs, this.#console.tail()))
      const timer = Number.isFinite(timeoutMs) ? setTimeout(expire, timeoutMs) : undefined
      signal?.addEventListener('abort', onAbort, { once: true })
      promise.then(resolve, reject).finally(() => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
      })
    })
  }

  #onFrame({ type, payload }: Frame): void {
    if (type === FrameType.lineCredit) this.#paced?.credit(Buffer.from(payload).readUInt32LE(0))
    if (type === FrameType.hello && this.#greeting.receive(payload)) {
      this.#ended = false
      this.#paced?.begin()
    }
    if (type !== FrameType.endMark) return
    this.#ended = true
    this.#greeting.endMark()
  }
}
