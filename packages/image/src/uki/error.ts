/** What is wrong with a file that should be a UKI. */

/** The kind of damage. */
export type UkiErrorCode =
  /** There is nothing: no bytes, or only zeros at the beginning. */
  | 'empty'
  /** The headers are of a larger file. */
  | 'truncated'
  /** Headers that contradict themselves, or content that contradicts them. */
  | 'damaged'
  /** A whole EFI program, or something else, but no UKI of a processor that Solo runs on. */
  | 'not-a-uki'

/** A file is no whole UKI: it cannot be booted, and must not be blessed. */
export class UkiError extends Error {
  override name = 'UkiError'
  /** What kind of damage it is. */
  readonly code: UkiErrorCode

  /** @param message - says where and what */
  constructor(code: UkiErrorCode, message: string) {
    super(message)
    this.code = code
  }
}
