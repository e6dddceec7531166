// What the user of the `solo` command can do something about: one error class with an exit status.

/** One mistake in the user's input: where it is, and what was expected there. */
export interface Problem {
  /** Path of the key in the configuration, such as `services[1].entry`; empty for the whole file. */
  readonly path: string
  /** What was expected and what was found, without the path. */
  readonly message: string
}

/**
 * An error that the user can do something about: its message says what was wrong, where, and what to do
 * next, so the `solo` command prints it without a stack trace and ends with {@link SoloError.exitStatus}.
 *
 * @example
 * ```ts
 * import { SoloError } from '@pkg/distro/error'
 *
 * const error = new SoloError('QEMU is not installed: apt-get install qemu-system-x86')
 * console.log(error.exitStatus) // 1
 * ```
 */
export class SoloError extends Error {
  override name = 'SoloError'
  /** Exit status of the command: 1 something failed, 2 the input or the usage is wrong, 130 ended by Ctrl-C. */
  readonly exitStatus: 1 | 2 | 130

  constructor(message: string, options: { exitStatus?: 1 | 2 | 130; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.exitStatus = options.exitStatus ?? 1
  }
}

/** A configuration that cannot be used; the message has one line for each mistake, all of them at once. */
export class ConfigError extends SoloError {
  override name = 'ConfigError'
  /** Every mistake that was found. */
  readonly problems: readonly Problem[]

  constructor(file: string, problems: readonly Problem[]) {
    const lines = problems.map(({ path, message }) => `${file}: ${path === '' ? '' : `${path}: `}${message}`)
    super(lines.join('\n'), { exitStatus: 2 })
    this.problems = problems
  }
}
