/** A limit on how many lines one service may log: a bucket of tokens, so that a burst is no flood. */

/** What is to be done with a line. */
export interface FloodVerdict {
  /** Whether the line may pass. */
  readonly pass: boolean
  /** How many lines were held back since the last one that passed; to be told before this one. */
  readonly suppressed: number
}

/** The limit of one service. */
export interface FloodLimit {
  /** Asks for one line at the monotonic time. */
  admit(atMs: number): FloodVerdict
  /** How many lines are held back and not told yet; counts from 0 again. */
  takeSuppressed(): number
}

/**
 * Makes a limit.
 *
 * @param burst - lines that may come at once
 * @param perSecond - lines a second that may come for ever
 */
export function floodLimit(burst: number, perSecond: number): FloodLimit {
  let tokens = burst
  let lastMs: number | null = null
  let suppressed = 0

  function takeSuppressed(): number {
    const count = suppressed
    suppressed = 0
    return count
  }

  return {
    admit(atMs) {
      tokens = Math.min(burst, tokens + ((atMs - (lastMs ?? atMs)) * perSecond) / 1000)
      lastMs = atMs
      if (tokens < 1) {
        suppressed += 1
        return { pass: false, suppressed: 0 }
      }
      tokens -= 1
      return { pass: true, suppressed: takeSuppressed() }
    },
    takeSuppressed,
  }
}
