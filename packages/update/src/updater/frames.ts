// Frames on the updater's socket: length, kind, payload. Whatever comes is from outside, so lengths are bounded.

/** The most bytes of one frame's payload: a release's documents as JSON, with room for their escapes. */
export const frameBytesMax: number = 1024 * 1024

const HEAD_BYTES = 5
const LENGTH_BYTES = 4
const JSON_KIND = 0
const DATA_KIND = 1

/** One message as it came. */
export type Frame =
  | { readonly kind: 'json'; readonly value: unknown }
  | { readonly kind: 'data'; readonly bytes: Uint8Array }

/** The other side does not speak the protocol. */
export class FrameError extends Error {
  override name = 'FrameError'
}

/** A message as JSON. @throws FrameError when it is longer than a frame may be */
export function jsonFrame(message: object): Uint8Array {
  return frame(JSON_KIND, new TextEncoder().encode(JSON.stringify(message)))
}

/** Bytes of a blob. @throws FrameError when they are more than a frame may have */
export function dataFrame(bytes: Uint8Array): Uint8Array {
  return frame(DATA_KIND, bytes)
}

function frame(kind: number, payload: Uint8Array): Uint8Array {
  checkLength(payload.length)
  const bytes = new Uint8Array(HEAD_BYTES + payload.length)
  new DataView(bytes.buffer).setUint32(0, payload.length + 1, true)
  bytes[LENGTH_BYTES] = kind
  bytes.set(payload, HEAD_BYTES)
  return bytes
}

function checkLength(payloadBytes: number): void {
  if (payloadBytes < 0 || payloadBytes > frameBytesMax) {
    throw new FrameError(`a frame of ${payloadBytes} bytes, expected 0 to ${frameBytesMax}`)
  }
}

/**
 * Puts frames together from what a socket gives.
 *
 * Memory: one frame.
 */
export class FrameReader {
  readonly #head = new Uint8Array(HEAD_BYTES)
  #headBytes = 0
  #payloadBytes = 0
  #payload: Uint8Array | undefined;

  /**
   * The frames that these bytes complete. A frame's bytes are its own memory.
   *
   * @throws FrameError for a length or kind that cannot be, or what is no JSON
   */
  *push(chunk: Uint8Array): Generator<Frame, void, undefined> {
    let rest = chunk
    for (;;) {
      rest = this.#takeHead(rest)
      const payload = this.#payload
      if (payload === undefined) return
      const part = rest.subarray(0, payload.length - this.#payloadBytes)
      payload.set(part, this.#payloadBytes)
      this.#payloadBytes += part.length
      rest = rest.subarray(part.length)
      if (this.#payloadBytes < payload.length) return
      const kind = this.#head[LENGTH_BYTES]
      this.#headBytes = 0
      this.#payload = undefined
      yield kind === DATA_KIND ? { kind: 'data', bytes: payload } : { kind: 'json', value: parse(payload) }
    }
  }

  #takeHead(chunk: Uint8Array): Uint8Array {
    if (this.#payload !== undefined) return chunk
    const part = chunk.subarray(0, HEAD_BYTES - this.#headBytes)
    this.#head.set(part, this.#headBytes)
    this.#headBytes += part.length
    if (this.#headBytes === HEAD_BYTES) {
      const payloadBytes = new DataView(this.#head.buffer).getUint32(0, true) - 1
      checkLength(payloadBytes)
      const kind = this.#head[LENGTH_BYTES]
      if (kind !== JSON_KIND && kind !== DATA_KIND) throw new FrameError(`a frame of kind ${kind}`)
      this.#payload = new Uint8Array(payloadBytes)
      this.#payloadBytes = 0
    }
    return chunk.subarray(part.length)
  }
}

function parse(payload: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload))
  } catch (cause) {
    throw new FrameError('a frame that should be JSON is not', { cause })
  }
}
