/** Calls that the pool makes of vitest itself, as its workers make them: for files whose worker cannot tell any more. */
import { deferred } from '../host/deferred.ts'

/** Ids of our own calls begin with this; vitest's are random and have no colon. */
const OWN_CALL = 'guest:'

/** The calls of one worker of the pool. */
export class OwnCalls {
  readonly #send: (message: object) => void
  readonly #pending = new Map<string, () => void>()
  #last = 0

  /** @param send - hands a message to vitest, as if it were a worker's */
  constructor(send: (message: object) => void) {
    this.#send = send
  }

  /** Calls vitest, and waits until it has dealt with it. */
  call(method: string, ...parameters: unknown[]): Promise<void> {
    const id = `${OWN_CALL}${++this.#last}`
    const { promise, resolve } = deferred<void>()
    this.#pending.set(id, resolve)
    this.#send({ t: 'q', i: id, m: method, a: parameters })
    return promise
  }

  /** Takes a message of vitest's if it answers a call of ours; tells whether it did. */
  take(message: unknown): boolean {
    const { t: type, i: id } = message as { t?: string; i?: string }
    if (type !== 's' || !id?.startsWith(OWN_CALL)) return false
    this.#pending.get(id)?.()
    this.#pending.delete(id)
    return true
  }
}
