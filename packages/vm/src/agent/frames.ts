/**
 * How messages lie in a byte stream between host and guest. Each frame is COBS-encoded and ends in a zero byte, which
 * occurs nowhere else: after noise on a serial line, or a guest that went away in the middle of a word, the next
 * zero is a new beginning. A CRC tells a frame that was cut from a whole one.
 *
 * A frame, before the encoding: type (1 byte), stream (4 bytes, little-endian), payload, CRC-32 of all that (4 bytes).
 *
 * @see https://www.stuartcheshire.org/papers/COBSforToN.pdf
 */
import { crc32 } from 'node:zlib'

/** What a frame is for. The numbers are the protocol. */
export const FrameType = {
  /** Host to guest: forget what was, and answer with `hello`. Payload: a value (see values.ts), `{ nonce }`. */
  attach: 1,
  /** Guest to host: I am here. Payload: a value, `GuestHello`. */
  hello: 2,
  /** A call; its stream number is how the answer finds back. Payload: a value, `{ method, params }`. */
  request: 3,
  /** The answer to a call. Payload: a value. */
  response: 4,
  /** The answer to a call that failed. Payload: a value, an Error. */
  failure: 5,
  /** Bytes of a stream. */
  data: 6,
  /** No more bytes will come on a stream from this side. */
  end: 7,
  /** The reader has taken so many bytes (payload: 4 bytes, little-endian): the writer may send as many more. */
  credit: 8,
  /** This side no longer reads the stream, or cannot go on writing it. Payload: a value, the reason. */
  abort: 9,
  /** Guest to host: all is done, the machine ends now in order. */
  endMark: 10,
  /** Guest to host, on a line that must not run full: so many bytes were read (payload: 4 bytes, little-endian). */
  lineCredit: 11,
} as const

/** A number of {@link FrameType}. */
export type FrameType = (typeof FrameType)[keyof typeof FrameType]

/** A message. */
export interface Frame {
  /** What it is for. */
  readonly type: number
  /** Which call or stream it belongs to; 0 for none. */
  readonly stream: number
  /** Its content. */
  readonly payload: Uint8Array
}

const HEADER_BYTES = 5
const CRC_BYTES = 4

/** The most that a frame's payload may have, in bytes; a decoder drops what is longer. */
export const PAYLOAD_LIMIT_BYTES: number = 64 << 20

const NOTHING = new Uint8Array(0)

/** The bytes of a frame, with a zero before and after: what stood before it cannot run into it. */
export function encodeFrame({ type, stream, payload }: Frame): Uint8Array {
  if (payload.length > PAYLOAD_LIMIT_BYTES)
    throw new RangeError(`a message of ${payload.length} bytes is over the limit of ${PAYLOAD_LIMIT_BYTES}`)
  const plain = new Uint8Array(HEADER_BYTES + payload.length + CRC_BYTES)
  const view = new DataView(plain.buffer)
  plain[0] = type
  view.setUint32(1, stream, true)
  plain.set(payload, HEADER_BYTES)
  const end = HEADER_BYTES + payload.length
  view.setUint32(end, crc32(plain.subarray(0, end)), true)
  return stuff(plain)
}

/**
 * COBS: each run without a zero, up to 254 bytes, after its length plus one; the zeros themselves go away. Byte by
 * byte, because disk images are mostly zeros, and to copy run by run costs a call for each of them.
 */
function stuff(plain: Uint8Array): Uint8Array {
  const stuffed = new Uint8Array(plain.length + Math.ceil((plain.length + 1) / 254) + 3)
  let codeAt = 1
  let write = 2
  for (let read = 0; read < plain.length; read++) {
    const byte = plain[read] ?? 0
    if (byte !== 0) stuffed[write++] = byte
    if (byte !== 0 && write - codeAt < 255) continue
    stuffed[codeAt] = write - codeAt
    codeAt = write++
  }
  stuffed[codeAt] = write - codeAt
  return stuffed.subarray(0, write + 1)
}

function unstuff(stuffed: Uint8Array): Uint8Array | undefined {
  const plain = new Uint8Array(stuffed.length)
  let write = 0
  for (let read = 0; read < stuffed.length;) {
    const code = stuffed[read] ?? 0
    const runEnd = read + code
    if (runEnd > stuffed.length) return undefined
    if (code === 0) return undefined
    for (let at = read + 1; at < runEnd; at++) plain[write++] = stuffed[at] ?? 0
    read = runEnd
    if (code < 255 && read < stuffed.length) write += 1
  }
  return plain.subarray(0, write)
}

/** Takes frames out of a byte stream, however it is cut into pieces. What is no frame is passed over. */
export class FrameDecoder {
  #parts: Uint8Array[] = []
  #partBytes = 0
  #isOverlong = false

  /** Takes the next bytes, and gives the frames that they complete. The bytes are copied. */
  receive(bytes: Uint8Array): Frame[] {
    const frames: Frame[] = []
    let start = 0
    for (let zero = bytes.indexOf(0); zero >= 0; zero = bytes.indexOf(0, start)) {
      const frame = this.#complete(bytes.subarray(start, zero))
      if (frame) frames.push(frame)
      start = zero + 1
    }
    this.#keep(bytes.subarray(start))
    return frames
  }

  #keep(bytes: Uint8Array): void {
    if (bytes.length === 0 || this.#isOverlong) return
    this.#parts.push(Uint8Array.from(bytes))
    this.#partBytes += bytes.length
    this.#isOverlong = this.#partBytes > PAYLOAD_LIMIT_BYTES * 1.01
    if (this.#isOverlong) this.#parts = []
  }

  #complete(last: Uint8Array): Frame | undefined {
    const stuffed = this.#parts.length === 0 ? last : Buffer.concat([...this.#parts, last])
    const isDropped = this.#isOverlong
    this.#parts = []
    this.#partBytes = 0
    this.#isOverlong = false
    return isDropped ? undefined : parse(unstuff(stuffed) ?? NOTHING)
  }
}

function parse(plain: Uint8Array): Frame | undefined {
  const end = plain.length - CRC_BYTES
  if (end < HEADER_BYTES) return undefined
  const view = new DataView(plain.buffer, plain.byteOffset, plain.length)
  if (view.getUint32(end, true) !== crc32(plain.subarray(0, end))) return undefined
  return { type: plain[0] ?? 0, stream: view.getUint32(1, true), payload: plain.subarray(HEADER_BYTES, end) }
}
