/** The bytes of files as writers take them: in memory, or streamed. Needs nothing of the host, so that PID 1 can use it. */

/**
 * The bytes of one file, opened as often as they are needed and never held whole.
 *
 * @example
 * ```ts
 * import type { FileSource } from '@pkg/image/file-source'
 *
 * const zeros: FileSource = {
 *   sizeBytes: 3 * 4096,
 *   async *open() {
 *     for (let block = 0; block < 3; block++) yield new Uint8Array(4096)
 *   },
 * }
 * console.log(zeros.sizeBytes)
 * ```
 */
export interface FileSource {
  /** The exact number of bytes that `open()` gives; a writer fails when the stream has more or fewer. */
  readonly sizeBytes: number
  /**
   * A text that changes when the bytes may have changed, by which what was worked out from them can be kept. Absent
   * where nothing but the bytes tells.
   */
  readonly identity?: string
  /**
   * Starts a new pass over the bytes. Must give the same bytes each time. The signal ends a pass early. An image that
   * a writer has prepared is such a source, and may be a file in another.
   */
  open(options?: OpenOptions): AsyncIterable<Uint8Array>
}

/** How a pass may end before the bytes do. */
export interface OpenOptions {
  /** The iteration rejects with its reason. */
  readonly signal?: AbortSignal
}

/** Bytes in memory, or a source that streams them. */
export type FileContent = Uint8Array | FileSource

/** Chunks of bytes in memory are handed on in pieces of this size, so that an abort is noticed in between. */
const memoryChunkBytes = 1024 * 1024

/** The number of bytes of `content`. */
export function contentSizeBytes(content: FileContent): number {
  return content instanceof Uint8Array ? content.byteLength : content.sizeBytes
}

/**
 * One pass over `content`, checked: ends with an error that names `what` when the stream does not have as many
 * bytes as its source promised (a file that changed while the image was written would otherwise shift every
 * byte after it).
 *
 * @param content - bytes or source
 * @param what - how the file is called in an error
 * @param signal - rejects with its reason, also while the source is still waiting for bytes
 * @throws Error when the number of bytes differs from `sizeBytes`
 */
export async function* readContent(
  content: FileContent,
  what: string,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (content instanceof Uint8Array) {
    for (let start = 0; start < content.byteLength; start += memoryChunkBytes) {
      signal?.throwIfAborted()
      yield content.subarray(start, start + memoryChunkBytes)
    }
    return
  }
  let seenBytes = 0
  for await (const chunk of abortable(content.open(signal ? { signal } : {}), signal)) {
    seenBytes += chunk.byteLength
    if (seenBytes > content.sizeBytes) break
    yield chunk
  }
  if (seenBytes !== content.sizeBytes) {
    const found = seenBytes > content.sizeBytes ? 'more' : `only ${seenBytes}`
    throw new Error(
      `${what}: its source promised ${content.sizeBytes} bytes and gave ${found}: did the file change while it was read?`,
    )
  }
}

/** Passes `chunks` on, and rejects as soon as `signal` aborts even if the next chunk never comes. */
export async function* abortable(
  chunks: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (!signal) {
    yield* chunks
    return
  }
  signal.throwIfAborted()
  // Not Promise.withResolvers, which Node 20 has not.
  let onAbort = (): void => undefined
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason)
  })
  // A rejection that nobody races with any more must not become an unhandled one.
  aborted.catch(() => undefined)
  signal.addEventListener('abort', onAbort, { once: true })
  const iterator = chunks[Symbol.asyncIterator]()
  let finished = false
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), aborted])
      if (next.done) break
      yield next.value
      signal.throwIfAborted()
    }
    finished = true
  } finally {
    signal.removeEventListener('abort', onAbort)
    // Not awaited: a generator whose next() hangs would hang in return() as well.
    if (!finished) void Promise.resolve(iterator.return?.()).catch(() => undefined)
  }
}
