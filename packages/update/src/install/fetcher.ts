// Takes parts of blobs from a source that may lie, end early, never end, or hang.
import { UpdateRefused } from '../refused.ts'
import { type BlobSource, SourceError } from '../source.ts'
import { countGarbage } from './memory.ts'

/** A byte that is fetched passes through this many buffers on its way from a socket to the disk, some of them twice. */
const buffersOnTheWay = 8

/** How a fetcher works. */
export interface FetcherOptions {
  readonly source: BlobSource
  /** So long may a source give nothing. */
  readonly stallTimeoutMs: number
  readonly signal: AbortSignal
}

/** Fetches, and counts what it gets. */
export class Fetcher {
  readonly #options: FetcherOptions
  #fetchedBytes = 0
  /** When something came last, by the monotonic clock. */
  #lastMs = 0

  constructor(options: FetcherOptions) {
    this.#options = options
  }

  /** How many bytes the source has given. */
  get fetchedBytes(): number {
    return this.#fetchedBytes
  }

  /**
   * A part of a blob, whole.
   *
   * @throws SourceError when it ends early or nothing comes; UpdateRefused `size` when more comes
   */
  async fetch(digest: string, offset: number, length: number): Promise<Uint8Array> {
    const { source, signal, stallTimeoutMs } = this.#options
    const what = `bytes ${offset} to ${offset + length} of ${digest}`
    // Of its own, so that a source which hangs is told to stop when we have given up.
    const stop = new AbortController()
    const chunks = source.open(digest, offset, length, AbortSignal.any([signal, stop.signal]))
    const iterator = chunks[Symbol.asyncIterator]()
    const bytes = new Uint8Array(length)
    let done = 0
    try {
      for (;;) {
        const step = await this.#bounded(iterator.next(), what, stallTimeoutMs)
        if (step.done === true) break
        this.#fetchedBytes += step.value.length
        this.#lastMs = performance.now()
        if (done + step.value.length > length) {
          throw new UpdateRefused('size', `the source gave more than ${what}`)
        }
        bytes.set(step.value, done)
        done += step.value.length
      }
    } finally {
      stop.abort()
      // Not awaited: what hangs would hang here again.
      iterator.return?.().catch(() => undefined)
    }
    countGarbage(buffersOnTheWay * length)
    if (done < length) throw new SourceError(`the source ended after ${done} bytes of ${what}`)
    return bytes
  }

  async #bounded<T>(step: Promise<T>, what: string, timeoutMs: number): Promise<T> {
    const { signal } = this.#options
    signal.throwIfAborted()
    const { promise, reject } = Promise.withResolvers<never>()
    const onAbort = (): void => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    // Of several parts that are under way on a slow line one may have to wait long: it counts whether anything comes.
    const sinceMs = performance.now()
    const check = (): void => {
      const restMs = Math.max(sinceMs, this.#lastMs) + timeoutMs - performance.now()
      if (restMs > 0) timer = setTimeout(check, restMs)
      else
        reject(new SourceError(`the source gave nothing of ${what} for ${timeoutMs / 1000} s, nor of others`))
    }
    let timer = setTimeout(check, timeoutMs)
    try {
      return await Promise.race([step, promise])
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
    }
  }
}

/**
 * Does something for each item, a few at a time. The first failure ends it, after what has begun is through.
 */
export async function forEachOf<T>(
  items: readonly T[],
  atOnce: number,
  task: (item: T) => Promise<void>,
): Promise<void> {
  const rest = items.values()
  const failures: unknown[] = []
  const work = async (): Promise<void> => {
    for (const item of rest) {
      if (failures.length > 0) return
      try {
        await task(item)
      } catch (error) {
        failures.push(error)
      }
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  if (failures.length > 0) throw failures[0]
}
