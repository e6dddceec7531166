/** What is wrong with an image that should be EROFS, or with a question about it. */

/** The kind of trouble. */
export type ErofsErrorCode =
  /** The image contradicts itself, or is cut off. */
  | 'damaged'
  /** It uses what is not read here: compression, chunks, other sizes of blocks. */
  | 'unsupported'
  /** There is nothing at that path. */
  | 'not-found'
  /** What is at that path is of another type. */
  | 'wrong-type'

/** An image cannot be read. The message says where and what. */
export class ErofsError extends Error {
  override name = 'ErofsError'
  /** What kind of trouble it is. */
  readonly code: ErofsErrorCode

  /** @param message - says where and what */
  constructor(message: string, code: ErofsErrorCode = 'damaged') {
    super(message)
    this.code = code
  }
}
