// What cannot be had on this machine, or from its package archive: errors that the user can do something about.
import { VmError } from '../errors.ts'

/**
 * A kernel, a package, Bun or room on the disk cannot be had. The message says what was wanted, why not, and what to
 * do next, so a command prints it without a stack trace.
 */
export class ProvisionError extends VmError {
  override name = 'ProvisionError'
  /** Exit status that a command should end with: 1 something failed, 2 its input is wrong. */
  readonly exitStatus: 1 | 2

  constructor(message: string, options: { exitStatus?: 1 | 2; cause?: unknown } = {}) {
    super(message, '', options.cause)
    this.exitStatus = options.exitStatus ?? 1
  }
}

/** A lock file that was not written here; the message has one line for each mistake. */
export class LockFileError extends ProvisionError {
  override name = 'LockFileError'

  /**
   * @param file - the file, as people would write its path
   * @param problems - each mistake: the path of its key (empty for the whole file), and what was expected
   */
  constructor(file: string, problems: readonly LockFileProblem[]) {
    const lines = problems.map(({ path, message }) => `${file}: ${path === '' ? '' : `${path}: `}${message}`)
    super(lines.join('\n'), { exitStatus: 2 })
  }
}

/** One mistake in a lock file. */
export interface LockFileProblem {
  /** Path of the key; empty for the whole file. */
  readonly path: string
  /** What was expected there. */
  readonly message: string
}
