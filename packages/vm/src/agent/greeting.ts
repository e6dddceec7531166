/**
 * Finding the agent: `attach` is said until its `hello` with our nonce comes, and again when an agent says that it has
 * just started.
 */
import type { GuestHello } from './protocol.ts'
import { decode } from './values.ts'

/**
 * When an unanswered `attach` is repeated, in milliseconds: a line may lose what came before it was opened. Then less
 * and less often: what a guest that boots slowly does not read yet must not fill its line (see paced-line.ts), and an
 * agent that starts greets by itself.
 */
const FIRST_REPEAT_MS = 100
const LAST_REPEAT_MS = 3200

interface Waiter {
  /** Greetings of this boot do not count. */
  readonly notBootId: string | undefined
  readonly resolve: (hello: GuestHello) => void
  readonly reject: (error: Error) => void
}

/** The state of an acquaintance with an agent. */
export class Greeting {
  readonly #baseNonce: string
  readonly #sendAttach: (nonce: string) => void
  readonly #onReboot: () => void
  readonly #waiters = new Set<Waiter>()
  readonly #endWaiters: (() => void)[] = []
  #round = 0
  #timer: NodeJS.Timeout | undefined
  #hello: GuestHello | undefined
  #lastBootId: string | undefined

  /**
   * @param nonce - random, this host's own
   * @param sendAttach - says `attach`
   * @param onReboot - called when what was known of the agent is void
   */
  constructor(nonce: string, sendAttach: (nonce: string) => void, onReboot: () => void) {
    this.#baseNonce = nonce
    this.#sendAttach = sendAttach
    this.#onReboot = onReboot
  }

  /** A new stream: begins to say `attach`. */
  start(): void {
    if (this.#round > 0) this.#onReboot()
    this.#round += 1
    this.#hello = undefined
    clearTimeout(this.#timer)
    this.#say(FIRST_REPEAT_MS)
  }

  /** The greeting, when it has come. */
  current(): Promise<GuestHello> {
    return this.#hello ? Promise.resolve(this.#hello) : this.#wait(undefined)
  }

  /** The greeting of another boot than the last one known. */
  next(): Promise<GuestHello> {
    return this.#wait(this.#lastBootId)
  }

  /** Resolves when the agent has said that the machine ends. */
  untilEndMark(): Promise<void> {
    return new Promise((resolve) => this.#endWaiters.push(resolve))
  }

  /** The agent said so. */
  endMark(): void {
    for (const resolve of this.#endWaiters.splice(0)) resolve()
  }

  /** Takes a `hello`; tells whether it was the answer to ours. */
  receive(payload: Uint8Array): boolean {
    const hello = decode(payload) as GuestHello
    if (hello.nonce === '') {
      // It has just started. If it is another than the one that we know, that one is gone.
      if (hello.bootId !== this.#hello?.bootId) this.start()
      return false
    }
    if (hello.nonce !== this.#nonce || this.#hello) return false
    clearTimeout(this.#timer)
    this.#hello = hello
    this.#lastBootId = hello.bootId
    for (const waiter of this.#waiters) {
      if (waiter.notBootId === hello.bootId) continue
      this.#waiters.delete(waiter)
      waiter.resolve(hello)
    }
    return true
  }

  /** Nobody will come any more. */
  fail(error: Error): void {
    clearTimeout(this.#timer)
    this.endMark()
    for (const { reject } of this.#waiters) reject(error)
    this.#waiters.clear()
  }

  get #nonce(): string {
    return `${this.#baseNonce}-${this.#round}`
  }

  #say(pauseMs: number): void {
    this.#sendAttach(this.#nonce)
    this.#timer = setTimeout(() => this.#say(Math.min(2 * pauseMs, LAST_REPEAT_MS)), pauseMs)
  }

  #wait(notBootId: string | undefined): Promise<GuestHello> {
    return new Promise((resolve, reject) => this.#waiters.add({ notBootId, resolve, reject }))
  }
}
