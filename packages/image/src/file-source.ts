/** Where the bytes of a file in an image come from: memory, or a stream that is opened only when it is written. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'

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
  /** Starts a new pass over the bytes. Must give the same bytes each time. `signal` ends a pass early. */
  open(signal?: AbortSignal): AsyncIterable<Uint8Array>
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
 * A {@link FileSource} for a file of the host. Its size is taken now; the file is opened when it is written.
 *
 * Blocks: no (awaited).
 *
 * @param path - of a regular file; symlinks are followed
 * @throws TypeError when `path` is no regular file; Node's `ENOENT`, `EACCES` … from stat(2)
 *
 * @example
 * ```ts
 * import { hostFile } from '@pkg/image/file-source'
 *
 * const source = await hostFile('/etc/passwd')
 * let sizeBytes = 0
 * for await (const chunk of source.open()) sizeBytes += chunk.byteLength
 * console.log(sizeBytes === source.sizeBytes)
 * ```
 */
export async function hostFile(path: string): Promise<FileSource> {
  const stats = await stat(path)
  if (!stats.isFile())
    throw new TypeError(`${path}: not a regular file, so its bytes cannot go into an image`)
  return {
    sizeBytes: stats.size,
    open: (signal) => createReadStream(path, { highWaterMark: 256 * 1024, ...(signal ? { signal } : {}) }),
  }
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
  for await (const chunk of abortable(content.open(signal), signal)) {
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
  const aborted = Promise.withResolvers<never>()
  // A rejection that nobody races with any more must not become an unhandled one.
  aborted.promise.catch(() => undefined)
  const onAbort = (): void => aborted.reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  const iterator = chunks[Symbol.asyncIterator]()
  let finished = false
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), aborted.promise])
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
