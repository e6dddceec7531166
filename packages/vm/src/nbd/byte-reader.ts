/** Reads exact numbers of bytes from a socket, which is not read further than somebody asks. */
import type { Readable } from 'node:stream'

/** A stream as `read(n)`. One reader at a time. */
export class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>
  readonly #waiting: Buffer[] = []
  #waitingBytes = 0

  constructor(stream: Readable) {
    this.#chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  }

  /** The next `length` bytes; undefined when the stream ends before. */
  async read(length: number): Promise<Buffer | undefined> {
    while (this.#waitingBytes < length) {
      const { value, done } = await this.#chunks.next()
      if (done === true) return undefined
      this.#waiting.push(value)
      this.#waitingBytes += value.length
    }
    return this.#take(length)
  }

  /** A view where the bytes came in one piece, a copy where not. */
  #take(length: number): Buffer {
    const first = this.#waiting[0]
    if (first !== undefined && first.length > length) {
      this.#waiting[0] = first.subarray(length)
      this.#waitingBytes -= length
      return first.subarray(0, length)
    }
    const pieces: Buffer[] = []
    let missing = length
    while (missing > 0) {
      const piece = this.#waiting.shift() as Buffer
      pieces.push(piece.subarray(0, missing))
      if (piece.length > missing) this.#waiting.unshift(piece.subarray(missing))
      missing -= Math.min(missing, piece.length)
    }
    this.#waitingBytes -= length
    return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces)
  }
}
