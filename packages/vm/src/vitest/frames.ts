/**
 * What travels between the pool on the host and a worker in a guest: frames of a byte stream, each a length, a kind
 * and a body. The bootstrap in the guest reads the first ones with a few lines of its own (`guest/bootstrap.ts`).
 */
import { brotliCompressSync, constants } from 'node:zlib'

/** Kinds of frames. Bodies are text of `clone.ts`, unless said otherwise. */
export const FRAME = {
  /**
   * To the worker: files to be written. Body, compressed by brotli (vitest is 2.8 MB, and a serial line of User Mode
   * Linux carries a fraction of that in a second): u32 length of a JSON header, the header, the files' bytes.
   */
  files: 1,
  /** To the worker: import the worker's program. Body: JSON of `WorkerProgram`. */
  load: 2,
  /** Both ways: a message of vitest's. */
  message: 3,
  /** To the host: a call of `HostCalls`. Body: `[id, name, arguments]`. */
  call: 4,
  /** To the worker: the answer. Body: `[id, error message or null, result]`. */
  result: 5,
  /** To the worker: answer, if you are not stuck. Empty body. */
  ping: 6,
  /** To the host: the answer to a ping. Empty body. */
  pong: 7,
  /** To the host: which test begins and how the one before it ended. Body: `Progress`. */
  progress: 8,
  /** To the host: the worker's program is loaded and waits for vitest's messages. Empty body. */
  loaded: 9,
  /** To the host: output of a worker whose standard output nobody reads. Body: u8 1 or 2 (fd), the bytes. */
  output: 10,
  /** To the worker, which was restored with its guest: take new randomness. Body: more environment variables. */
  renew: 11,
  /** To the host: that is done. Body: `[process id, error message or null]`. */
  renewed: 12,
} as const

/** One of {@link FRAME}'s numbers. */
export type FrameKind = (typeof FRAME)[keyof typeof FRAME]

/** Bytes before a frame's body: u32 little-endian length of the body, u8 kind. */
const FRAME_HEADER_BYTES = 5

/** A body beyond this (512 MiB) is a broken stream, not a message. Printable text read as a length is beyond it. */
const LONGEST_BODY = 1 << 29

/** One file that a guest is to have at the same absolute path as the host. */
export interface GuestFile {
  /** Absolute path. */
  readonly path: string
  /** Bytes of the file in the frame; for a symlink its target. */
  readonly content: number | { readonly link: string }
}

/** What the bootstrap imports. */
export interface WorkerProgram {
  /** Absolute path of our worker module. */
  readonly module: string
  /** Folder of vitest's `dist`. */
  readonly vitestDist: string
  /** Working folder of the worker; made when it is not there. */
  readonly folder: string
}

/** Which tests run, and which have ended since that was told last. */
export interface Progress {
  /** Several where tests are concurrent, none between tests. */
  readonly running: readonly RunningTest[]
  readonly ended: readonly EndedTest[]
}

/** A test that has begun. */
export interface RunningTest {
  readonly id: string
  /** Where it stands in its file, from 1. */
  readonly location?: { readonly line: number; readonly column: number }
}

/** A test that has ended: `pass`, `fail` or what else vitest says, and its duration in milliseconds. */
export interface EndedTest {
  readonly id: string
  readonly state: string
  readonly durationMs: number
}

/** Makes a frame of `kind` around `body`. */
export function frame(kind: FrameKind, ...body: readonly (Uint8Array | string)[]): Uint8Array {
  const parts = body.map((part) => (typeof part === 'string' ? Buffer.from(part) : part))
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + length)
  new DataView(bytes.buffer).setUint32(0, length, true)
  bytes[4] = kind
  let offset = FRAME_HEADER_BYTES
  for (const part of parts) {
    bytes.set(part, offset)
    offset += part.length
  }
  return bytes
}

/** Brotli's third level makes a seventh of vitest's files in 20 ms; higher ones take much longer for little. */
const COMPRESSION = { params: { [constants.BROTLI_PARAM_QUALITY]: 3 } }

/** Makes the frame that brings files. `bytes` are the contents of those that are no symlinks, in the same order. */
export function filesFrame(files: readonly GuestFile[], bytes: readonly Uint8Array[]): Uint8Array {
  const header = Buffer.from(JSON.stringify(files))
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, header.length, true)
  return frame(FRAME.files, brotliCompressSync(Buffer.concat([length, header, ...bytes]), COMPRESSION))
}

/** Cuts a byte stream, in whatever pieces it comes, into frames. */
export class FrameReader {
  readonly #onFrame: (kind: FrameKind, body: Uint8Array) => void
  #chunks: Uint8Array[] = []
  #buffered = 0
  /** Bytes that must be there before anything can be done. */
  #needed = FRAME_HEADER_BYTES

  /** @param onFrame - called with each whole frame */
  constructor(onFrame: (kind: FrameKind, body: Uint8Array) => void) {
    this.#onFrame = onFrame
  }

  /**
   * Takes the next piece.
   *
   * @throws RangeError the stream carries something else than frames
   */
  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk)
    this.#buffered += chunk.length
    // Large frames come in many pieces: join them once they are complete, not at every piece.
    if (this.#buffered < this.#needed) return
    let bytes: Uint8Array = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks)
    while (bytes.length >= FRAME_HEADER_BYTES) {
      const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)
      if (length > LONGEST_BODY) throw new RangeError(`a frame of ${length} bytes: the stream is broken`)
      const end = FRAME_HEADER_BYTES + length
      this.#needed = end
      if (bytes.length < end) break
      const body = bytes.subarray(FRAME_HEADER_BYTES, end)
      const kind = bytes[4] as FrameKind
      bytes = bytes.subarray(end)
      this.#needed = FRAME_HEADER_BYTES
      this.#onFrame(kind, body)
    }
    this.#chunks = bytes.length > 0 ? [bytes] : []
    this.#buffered = bytes.length
  }
}
