/** The one error of the GPT reader. */

/**
 * A disk without a partition table that can be used: neither copy is whole. The message says of each what is wrong.
 *
 * @example
 * ```ts
 * import { GptError, readGpt } from '@pkg/image/gpt'
 * import { bytesAccess } from '@pkg/image/random-access'
 *
 * try {
 *   await readGpt(bytesAccess(new Uint8Array(1024 * 1024)))
 * } catch (error) {
 *   if (error instanceof GptError) console.log(error.message)
 * }
 * ```
 */
export class GptError extends Error {
  override readonly name = 'GptError'
}
