// The blobs of a release that a client pushes: what the updater reads becomes a want, which the client asks for and
// answers. Nothing is kept but what was asked for and not yet read.
import type { BlobSource } from '@pkg/update/source'
import type { Want } from './bodies.ts'

interface OpenWant {
  readonly want: Want
  readonly resolve: (bytes: Uint8Array) => void
}

/**
 * A source of blobs that asks for them. How many wants are open at a time, and how long each is, is up to the updater:
 * see `wantsMax` and `wantBytesMax` of its protocol.
 */
export class PushSource implements BlobSource {
  readonly #open = new Map<number, OpenWant>()
  readonly #waiting = new Set<() => void>()
  #lastId = 0

  /** A range of a blob, in one piece, when the client has sent it. */
  async *open(
    digest: string,
    offset: number,
    length: number,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const id = ++this.#lastId
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
    const stop = (): void => reject(signal?.reason)
    signal?.throwIfAborted()
    signal?.addEventListener('abort', stop, { once: true })
    this.#open.set(id, { want: { id, digest, offset, length }, resolve })
    for (const wake of this.#waiting) wake()
    try {
      yield await promise
    } finally {
      signal?.removeEventListener('abort', stop)
      this.#open.delete(id)
    }
  }

  /** The open wants with a number above `after`. */
  wants(after: number): Want[] {
    return [...this.#open.values()].map(({ want }) => want).filter(({ id }) => id > after)
  }

  /** Resolves when there is a want with a number above `after`, or when `signal` is aborted. */
  async waitForWants(after: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.wants(after).length === 0) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#waiting.add(resolve)
      signal.addEventListener('abort', () => resolve(), { once: true })
      await promise
      this.#waiting.delete(resolve)
    }
  }

  /** How long an open want is, in bytes; undefined when it was answered, or never asked. */
  lengthOf(id: number): number | undefined {
    return this.#open.get(id)?.want.length
  }

  /** Answers a want with all of its bytes; false when nobody waits for them any more. */
  answer(id: number, bytes: Uint8Array): boolean {
    const open = this.#open.get(id)
    if (open === undefined || open.want.length !== bytes.length) return false
    this.#open.delete(id)
    open.resolve(bytes)
    return true
  }
}
