/** The one error of the FAT reader. */

/**
 * A file system that cannot be read: no FAT, a damaged one, or one that is cut off.
 *
 * @example
 * ```ts
 * import { FatError, readFat } from '@pkg/image/fat'
 *
 * try {
 *   await readFat(new Uint8Array(1024 * 1024))
 * } catch (error) {
 *   if (error instanceof FatError) console.log(error.message)
 * }
 * ```
 */
export class FatError extends Error {
  override readonly name = 'FatError'

  /** @param problem - what was found, where, and what was expected */
  constructor(problem: string) {
    super(`FAT: ${problem}`)
  }
}
