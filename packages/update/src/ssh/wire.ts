// SSH's wire encoding: numbers of four bytes, and strings that begin with their length. RFC 4251, section 5.

/** Bytes that are not what SSH's encoding has there. */
export class SshFormatError extends Error {
  override name = 'SshFormatError'
}

/** Reads values one after the other; nothing may be missing, and nothing left over at the end. */
export class SshReader {
  readonly #bytes: Uint8Array
  readonly #what: string
  #offset = 0

  /** @param what - for messages: `the signature` */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes
    this.#what = what
  }

  /** So many bytes as they are. */
  take(count: number): Uint8Array {
    const end = this.#offset + count
    if (end > this.#bytes.byteLength) {
      throw new SshFormatError(
        `${this.#what} ends after ${this.#bytes.byteLength} bytes, expected ${end} at least`,
      )
    }
    const taken = this.#bytes.subarray(this.#offset, end)
    this.#offset = end
    return taken
  }

  /** One byte. */
  byte(): number {
    return this.take(1)[0] ?? 0
  }

  /** A uint32. */
  number(): number {
    const bytes = this.take(4)
    return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  }

  /** A string's bytes. */
  string(): Uint8Array {
    return this.take(this.number())
  }

  /** A string of printable ASCII, which names are. */
  name(): string {
    const text = Buffer.from(this.string()).toString('latin1')
    if (!/^[\x20-\x7e]*$/.test(text))
      throw new SshFormatError(`${this.#what} has a name that is no ASCII text`)
    return text
  }

  /** Nothing may follow. */
  end(): void {
    const rest = this.#bytes.byteLength - this.#offset
    if (rest > 0) throw new SshFormatError(`${this.#what} has ${rest} bytes behind its end`)
  }
}

/** A string with its length before it. */
export function sshString(value: string | Uint8Array): Uint8Array {
  const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value
  return Buffer.concat([sshNumber(bytes.byteLength), bytes])
}

/** A uint32. */
export function sshNumber(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

/** Base64 that is as an encoder writes it: one text for one value, so that no bit of it is without meaning. */
export function readBase64(text: string, what: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64')
  if (text === '' || bytes.toString('base64') !== text) throw new SshFormatError(`${what} is no base64`)
  return new Uint8Array(bytes)
}
