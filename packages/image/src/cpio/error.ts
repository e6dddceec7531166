/** The one error of the cpio reader: what is wrong, and at which byte. */

/**
 * An archive that cannot be read.
 *
 * @example
 * ```ts
 * import { CpioError, readCpio } from '@pkg/image/cpio'
 *
 * try {
 *   await Array.fromAsync(readCpio(new TextEncoder().encode('not an archive')))
 * } catch (error) {
 *   if (error instanceof CpioError) console.log(error.offset, error.message)
 * }
 * ```
 */
export class CpioError extends Error {
  override readonly name = 'CpioError'
  /** Where in the input, in bytes from its beginning. */
  readonly offset: number

  /**
   * @param offset - in bytes from the beginning of the input
   * @param problem - what was found there and what was expected
   */
  constructor(offset: number, problem: string) {
    super(`cpio: at byte ${offset}: ${problem}`)
    this.offset = offset
  }
}
