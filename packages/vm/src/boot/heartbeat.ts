/** Asks a guest's agent again and again whether it is still there: a guest that hangs says nothing by itself. */

/** What {@link Heartbeat} needs. */
export interface HeartbeatOptions {
  /** Asks once; rejects when no answer came within `timeoutMs`. */
  readonly ping: (timeoutMs: number) => Promise<unknown>
  /** How long the agent may be silent, in milliseconds. */
  readonly hangTimeoutMs: number
  /** Called once, when it was silent for longer. */
  readonly onHang: () => void
}

/** A question every so often: often enough that a hang is known soon after the limit. */
const QUESTIONS_PER_LIMIT = 3

/** A heart that beats from construction until {@link Heartbeat.stop}; it does not keep the process alive. */
export class Heartbeat {
  readonly #options: HeartbeatOptions
  #timer: NodeJS.Timeout | undefined
  #stopped = false
  #pauses = 0

  constructor(options: HeartbeatOptions) {
    this.#options = options
    if (Number.isFinite(options.hangTimeoutMs)) this.#schedule()
  }

  /** No more questions, ever. */
  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  /** A guest that is paused, or that reboots, has a reason to be silent: until the result is called. */
  suspend(): () => void {
    this.#pauses += 1
    let resumed = false
    return () => {
      if (resumed) return
      resumed = true
      this.#pauses -= 1
    }
  }

  #schedule(): void {
    this.#timer = setTimeout(() => void this.#ask(), this.#options.hangTimeoutMs / QUESTIONS_PER_LIMIT)
    this.#timer.unref()
  }

  async #ask(): Promise<void> {
    const answered = this.#pauses > 0 || (await this.#answers())
    if (this.#stopped) return
    // A pause that began while the question was under way explains the silence.
    if (!answered && this.#pauses === 0) this.#options.onHang()
    else this.#schedule()
  }

  async #answers(): Promise<boolean> {
    try {
      await this.#options.ping(this.#options.hangTimeoutMs)
      return true
    } catch {
      return false
    }
  }
}
