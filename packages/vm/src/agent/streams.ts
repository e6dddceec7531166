/**
 * One direction of bytes over a connection that many share. The writer may send only as much as the reader has
 * credited: a reader that stands still stops its own stream, and nobody else's.
 */
import { Readable, Writable } from 'node:stream'

/** What a writer may send before the reader has taken anything, in bytes. */
export const WINDOW_BYTES: number = 256 << 10

/** The most in one frame, in bytes: another stream's turn comes after it. */
const CHUNK_BYTES = 32 << 10

/** Sends frames of one stream. */
export interface StreamPort {
  /** Bytes for the other side's reader. */
  sendData(bytes: Uint8Array): void
  /** No more will come. */
  sendEnd(): void
  /** So many bytes were taken. */
  sendCredit(countBytes: number): void
  /** Given up by this side. */
  sendAbort(reason: string): void
}

/** The reading end. */
export class Incoming extends Readable {
  /** Whether anybody would hear of an error: whoever iterates or pipes it listens for one. */
  isHeeded: () => boolean = () => this.listenerCount('error') > 0
  readonly #port: StreamPort
  readonly #queue: Uint8Array[] = []
  #isWanted = false
  #isEnded = false

  constructor(port: StreamPort) {
    super({ highWaterMark: 64 << 10 })
    this.#port = port
  }

  /** Bytes came. */
  accept(bytes: Uint8Array): void {
    if (this.destroyed) return
    this.#queue.push(bytes)
    this.#pump()
  }

  /** The writer has ended. */
  finish(): void {
    this.#isEnded = true
    this.#pump()
  }

  override _read(): void {
    this.#isWanted = true
    this.#pump()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#queue.length = 0
    if (!this.#isEnded) this.#port.sendAbort(error?.message ?? 'nobody reads it any more')
    done(error)
  }

  #pump(): void {
    while (this.#isWanted && !this.destroyed) {
      const bytes = this.#queue.shift()
      if (bytes === undefined) break
      this.#isWanted = false
      this.#port.sendCredit(bytes.length)
      this.push(bytes)
    }
    if (this.#isEnded && this.#queue.length === 0 && this.#isWanted && !this.readableEnded) {
      this.#isWanted = false
      this.push(null)
    }
  }
}

/** The writing end. */
export class Outgoing extends Writable {
  readonly #port: StreamPort
  #creditBytes = WINDOW_BYTES
  #pending: { bytes: Uint8Array; done: (error?: Error | null) => void } | undefined
  #isOver = false

  constructor(port: StreamPort) {
    super({ highWaterMark: 64 << 10 })
    this.#port = port
  }

  /** The reader has taken so many bytes more. */
  credit(countBytes: number): void {
    this.#creditBytes += countBytes
    this.#pump()
  }

  /** The reader has gone: what is written from now on fails, as on a pipe. */
  abandon(reason: string): void {
    this.#isOver = true
    const pending = this.#pending
    this.#pending = undefined
    pending?.done(brokenPipe(reason))
    if (!pending) this.destroy()
  }

  override _write(chunk: Uint8Array, _: unknown, done: (error?: Error | null) => void): void {
    if (this.#isOver) return done(brokenPipe('the other side is gone'))
    this.#pending = { bytes: chunk, done }
    this.#pump()
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#isOver = true
    this.#port.sendEnd()
    done()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#isOver) this.#port.sendAbort(error?.message ?? 'the writer gave up')
    this.#isOver = true
    done(error)
  }

  #pump(): void {
    const pending = this.#pending
    if (pending === undefined) return
    while (pending.bytes.length > 0 && this.#creditBytes > 0) {
      const piece = pending.bytes.subarray(0, Math.min(CHUNK_BYTES, this.#creditBytes))
      pending.bytes = pending.bytes.subarray(piece.length)
      this.#creditBytes -= piece.length
      this.#port.sendData(piece)
    }
    if (pending.bytes.length > 0) return
    this.#pending = undefined
    pending.done()
  }
}

function brokenPipe(reason: string): Error {
  return Object.assign(new Error(`write EPIPE: ${reason}`), { code: 'EPIPE', syscall: 'write' })
}
