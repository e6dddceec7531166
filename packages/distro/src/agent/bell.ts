// Any number of changes, told one by one to somebody slower: what was rung while one was told counts once.
import { setTimeout as sleep } from 'node:timers/promises'

/** Is rung when something has changed, and waited for by one reader. */
export class Bell {
  #rung = false
  #failure: { readonly error: unknown } | null = null
  #wake = (): void => {}

  /** Something has changed. */
  ring(): void {
    this.#rung = true
    this.#wake()
  }

  /** No change will come any more; the reader throws this. */
  fail(error: unknown): void {
    this.#failure ??= { error }
    this.#wake()
  }

  /**
   * One turn for each ring, or for several.
   *
   * @param everyMs - time between two turns, at least
   * @param signal - ends it
   */
  async *turns(everyMs: number, signal: AbortSignal): AsyncGenerator<void, void, undefined> {
    const stop = (): void => this.#wake()
    signal.addEventListener('abort', stop)
    try {
      while (!signal.aborted) {
        if (this.#failure !== null) throw this.#failure.error
        if (this.#rung) {
          this.#rung = false
          yield
          await sleep(everyMs, undefined, { signal }).catch(() => {})
        } else {
          const { promise, resolve } = Promise.withResolvers<void>()
          this.#wake = resolve
          await promise
        }
      }
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }
}
