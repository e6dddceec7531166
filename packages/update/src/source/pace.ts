// Whether a server gives enough: one that gives a byte now and then is never silent, and never done.

/** What a line gives at least, in bytes per second. */
const leastRate = 1024

/** Counts what comes while somebody waits for it, over all that is under way; the time of who reads does not count. */
export class Pace {
  readonly #windowMs: number
  #waiting = 0
  #sinceMs = 0
  /** How long was waited in this window, apart from the wait that lasts. */
  #waitedMs = 0
  #bytes = 0

  /** @param windowMs - the time over which it has to give enough */
  constructor(windowMs: number) {
    this.#windowMs = windowMs
  }

  /** For people. */
  get complaint(): string {
    return `it gave less than ${leastRate} bytes a second for ${this.#windowMs / 1000} s`
  }

  /** Somebody waits. */
  waitBegins(): void {
    if (this.#waiting++ === 0) this.#sinceMs = performance.now()
  }

  /** Somebody has waited. */
  waitEnds(): void {
    if (--this.#waiting === 0) this.#waitedMs += performance.now() - this.#sinceMs
  }

  /** Counts what has come; true when a window is over in which it was too little. */
  tooSlowAfter(bytes: number): boolean {
    this.#bytes += bytes
    const nowMs = performance.now()
    const waitedMs = this.#waitedMs + (this.#waiting > 0 ? nowMs - this.#sinceMs : 0)
    if (waitedMs < this.#windowMs) return false
    const isTooSlow = this.#bytes * 1000 < leastRate * waitedMs
    this.#waitedMs = 0
    this.#bytes = 0
    this.#sinceMs = nowMs
    return isTooSlow
  }
}
