/** Asks a guest's agent again and again whether it is still there: a guest that hangs says nothing by itself. */
import { setTimeout as delay } from 'node:timers/promises'

/** What {@link Heartbeat} needs. */
export interface HeartbeatOptions {
  /** Asks once, and waits for the answer for as long as it takes; rejects when there will be none. */
  readonly ping: () => Promise<unknown>
  /** How long the agent may be silent, in milliseconds. */
  readonly hangTimeoutMs: number
  /** Called once, when it was silent for longer. */
  readonly onHang: () => void
}

/** A question every so often: often enough that a hang is known soon after the limit. */
const QUESTIONS_PER_LIMIT = 3

/** Time for an answer that has come already to be read: turns of the event loop, with room for a busy host. */
const SECOND_LOOK_MS = 100

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

  /** A host that was busy itself may find the answer waiting: it is read before the second look. */
  async #answers(): Promise<boolean> {
    const { ping, hangTimeoutMs } = this.#options
    let isSilent = true
    // A line that fails is not silent: whoever waits for its guest hears of it.
    const heard = (): void => void (isSilent = false)
    const answer = ping().then(heard, heard)
    for (const waitMs of [hangTimeoutMs, SECOND_LOOK_MS]) {
      const waiting = new AbortController()
      const late = delay(waitMs, undefined, { signal: waiting.signal, ref: false }).catch(() => {})
      await Promise.race([answer, late])
      waiting.abort()
      if (!isSilent) return true
    }
    return false
  }
}
