/**
 * Calls and streams over one byte stream, the same on both ends. The side that calls also numbers the streams, and
 * names them in its calls' parameters.
 */
import { encodeFrame, FrameDecoder, FrameType, type Frame } from './frames.ts'
import { Incoming, Outgoing, type StreamPort } from './streams.ts'
import { travellingCopy, wordsOf } from './travelling.ts'
import { decode, encode } from './values.ts'

/** What a {@link Connection} needs. */
export interface ConnectionOptions {
  /** Carries bytes to the other side, in order; never blocks, never throws. */
  readonly send: (bytes: Uint8Array) => void
  /** Carries out a call of the other side; what it throws is the caller's exception. */
  readonly onRequest?: (method: string, params: unknown) => unknown
  /** Takes frames that are neither calls nor streams: greetings, the end mark. */
  readonly onFrame?: (frame: Frame) => void
}

interface PendingCall {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  readonly isHeeded: () => boolean
}

const always = (): boolean => true

const NOTHING = new Uint8Array(0)

/** One end of the protocol. */
export class Connection {
  readonly #options: ConnectionOptions
  readonly #decoder = new FrameDecoder()
  readonly #calls = new Map<number, PendingCall>()
  readonly #incoming = new Map<number, Incoming>()
  readonly #outgoing = new Map<number, Outgoing>()
  #lastNumber = 0
  /** Counts {@link Connection.reset}s: an answer to a call of before must not be sent to whoever came after. */
  #epoch = 0

  constructor(options: ConnectionOptions) {
    this.#options = options
  }

  /** Takes bytes of the other side. */
  receive(bytes: Uint8Array): void {
    for (const frame of this.#decoder.receive(bytes)) this.#take(frame)
  }

  /** Sends one frame. */
  send(type: number, stream: number, payload: Uint8Array = NOTHING): void {
    this.#options.send(encodeFrame({ type, stream, payload }))
  }

  /** A number for a stream that a call will name. */
  nextNumber(): number {
    this.#lastNumber += 1
    return this.#lastNumber
  }

  /**
   * Calls the other side.
   *
   * @param isHeeded - whether anybody would hear of the call's failure; see {@link Connection.isHeeded}
   * @throws what the other side threw, or the error of a {@link Connection.reset} meanwhile; RangeError the call is
   *   too long for one message
   */
  async call(method: string, params: unknown, isHeeded: () => boolean = always): Promise<unknown> {
    const payload = encode({ method, params })
    const number = this.nextNumber()
    return new Promise((resolve, reject) => {
      this.#calls.set(number, { resolve, reject, isHeeded })
      try {
        this.send(FrameType.request, number, payload)
      } catch (error) {
        this.#calls.delete(number)
        reject(error)
      }
    })
  }

  /** The reading end of a stream. */
  reader(number: number): Incoming {
    const stream = new Incoming(this.#port(number))
    this.#incoming.set(number, stream)
    stream.once('close', () => this.#forget(this.#incoming, number, stream))
    return stream
  }

  /** The writing end of a stream. */
  writer(number: number): Outgoing {
    const stream = new Outgoing(this.#port(number))
    this.#outgoing.set(number, stream)
    stream.once('close', () => this.#forget(this.#outgoing, number, stream))
    return stream
  }

  /** Whether anybody would hear of a {@link Connection.reset} now: by a call's rejection, or as a stream's reader. */
  get isHeeded(): boolean {
    const heeded = (each: { readonly isHeeded: () => boolean }): boolean => each.isHeeded()
    return [...this.#calls.values()].some(heeded) || [...this.#incoming.values()].some(heeded)
  }

  /** Forgets every call and stream: they fail with `error`. */
  reset(error: Error): void {
    this.#epoch += 1
    const calls = [...this.#calls.values()]
    const readers = [...this.#incoming.values()]
    const writers = [...this.#outgoing.values()]
    this.#calls.clear()
    this.#incoming.clear()
    this.#outgoing.clear()
    for (const { reject } of calls) reject(error)
    for (const stream of readers) fail(stream, error)
    for (const stream of writers) fail(stream, error)
  }

  #port(number: number): StreamPort {
    const epoch = this.#epoch
    const send = (type: number, payload?: Uint8Array): void => {
      if (epoch === this.#epoch) this.send(type, number, payload)
    }
    return {
      sendData: (bytes) => send(FrameType.data, bytes),
      sendEnd: () => send(FrameType.end),
      sendCredit: (countBytes) => {
        const payload = new Uint8Array(4)
        new DataView(payload.buffer).setUint32(0, countBytes, true)
        send(FrameType.credit, payload)
      },
      sendAbort: (reason) => send(FrameType.abort, encode(reason)),
    }
  }

  #forget<Stream>(streams: Map<number, Stream>, number: number, stream: Stream): void {
    if (streams.get(number) === stream) streams.delete(number)
  }

  #take(frame: Frame): void {
    const { type, stream, payload } = frame
    switch (type) {
      case FrameType.request:
        return void this.#answer(stream, payload)
      case FrameType.response:
      case FrameType.failure: {
        const call = this.#calls.get(stream)
        this.#calls.delete(stream)
        return type === FrameType.response ? call?.resolve(decode(payload)) : call?.reject(decode(payload))
      }
      case FrameType.data:
        return this.#incoming.get(stream)?.accept(Uint8Array.from(payload))
      case FrameType.end:
        return this.#incoming.get(stream)?.finish()
      case FrameType.credit:
        return this.#outgoing.get(stream)?.credit(Buffer.from(payload).readUInt32LE(0))
      case FrameType.abort: {
        const reason = String(decode(payload))
        this.#outgoing.get(stream)?.abandon(reason)
        this.#incoming.get(stream)?.destroy(new Error(reason))
        return
      }
      default:
        this.#options.onFrame?.(frame)
    }
  }

  async #answer(number: number, payload: Uint8Array): Promise<void> {
    const epoch = this.#epoch
    const send = (type: number, value: unknown): void => {
      if (epoch === this.#epoch) this.send(type, number, encode(value))
    }
    try {
      const { method, params } = decode(payload) as { method: string; params: unknown }
      send(FrameType.response, await this.#options.onRequest?.(method, params))
    } catch (error) {
      // Whoever called must hear of it, though it carries what cannot travel, or is too long for a message.
      for (const form of [() => error, () => travellingCopy(error), () => new Error(wordsOf(error))])
        try {
          return send(FrameType.failure, form())
        } catch {
          // The next form carries less.
        }
    }
  }
}

/** Nobody may be listening yet; an 'error' without a listener would end the whole process. */
function fail(stream: Incoming | Outgoing, error: Error): void {
  stream.on('error', () => {})
  stream.destroy(error)
}
