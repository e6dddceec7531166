/** A cursor over chunks of any size: exact reads, and the offset for errors. */

/** Reads from `chunks` in order, holding one chunk at a time. */
export class Input {
  readonly #iterator: AsyncIterator<Uint8Array>
  #chunk: Uint8Array = new Uint8Array(0)
  #offset = 0

  /** @param chunks - each is used until the next is asked for */
  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#iterator = chunks[Symbol.asyncIterator]()
  }

  /** How many bytes have been taken. */
  get offset(): number {
    return this.#offset
  }

  /** The next bytes, at least one and at most `max`; undefined at the end. */
  async some(max: number): Promise<Uint8Array | undefined> {
    if (!(await this.#fill())) return undefined
    const bytes = this.#chunk.subarray(0, max)
    this.#chunk = this.#chunk.subarray(bytes.byteLength)
    this.#offset += bytes.byteLength
    return bytes
  }

  /** The next `length` bytes in memory of their own; fewer at the end of the input. */
  async take(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length)
    let filled = 0
    while (filled < length) {
      const part = await this.some(length - filled)
      if (!part) return bytes.subarray(0, filled)
      bytes.set(part, filled)
      filled += part.byteLength
    }
    return bytes
  }

  /** Passes over zeros; true if something else follows. */
  async skipZeros(): Promise<boolean> {
    while (await this.#fill()) {
      const index = this.#chunk.findIndex((byte) => byte !== 0)
      const zeros = index === -1 ? this.#chunk.byteLength : index
      this.#chunk = this.#chunk.subarray(zeros)
      this.#offset += zeros
      if (index !== -1) return true
    }
    return false
  }

  /** Lets the source go when reading ends early. */
  async close(): Promise<void> {
    await this.#iterator.return?.()
  }

  async #fill(): Promise<boolean> {
    while (this.#chunk.byteLength === 0) {
      const next = await this.#iterator.next()
      if (next.done) return false
      this.#chunk = next.value
    }
    return true
  }
}
