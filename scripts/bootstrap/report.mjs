/** What the set-up says to people. All of it goes to standard error: standard output belongs to the command. */

/** A set-up step that cannot succeed, told in one sentence, with lines that say what to do. */
export class SetupError extends Error {
  /**
   * @param {string} message - what is wrong
   * @param {string[]} hints - what to do about it, a line each
   */
  constructor(message, hints = []) {
    super(message)
    this.name = 'SetupError'
    this.hints = hints
  }
}

/** @param {string} line */
export function say(line) {
  process.stderr.write(`solo: ${line}\n`)
}

/**
 * @param {number} startedMs - `performance.now()` at the start
 * @returns {string} `0.4 s`, `12 s`
 */
export function secondsSince(startedMs) {
  const seconds = (performance.now() - startedMs) / 1000
  return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`
}
