// What a failed system call becomes: an error in the shape that Node's own have.
import { hintFor } from './errno/hints.ts'
import { errors } from './generated/errno.ts'

/** The largest errno that the kernel returns (include/linux/err.h, `MAX_ERRNO`). */
const MAX_ERRNO = 4095

/** What {@link SysError} is made from. */
export interface SysErrorOptions {
  /** The positive errno. */
  errno: number
  /** The system call, by the kernel's name. */
  syscall: string
  /** The object of the call: a path, a program, a device. */
  path?: string | undefined
  /** What was attempted, where the call's name alone does not tell: `from /dev/vda4 (ext4, ro)`. */
  attempt?: string | undefined
  /** What the kernel itself had to say (fsconfig messages, netlink extended acks). */
  detail?: string | undefined
  /** The error that led to this one. */
  cause?: unknown
}

/**
 * A system call that failed.
 *
 * The fields are those of Node's system errors, so that code which handles one handles the other.
 *
 * @example
 * ```ts
 * import { SysError } from '@pkg/sys/errno'
 *
 * const error = new SysError({ errno: 2, syscall: 'openat', path: '/none' })
 * console.assert(error.code === 'ENOENT' && error.errno === -2)
 * console.assert(error.message === 'openat /none: ENOENT: No such file or directory')
 * ```
 */
export class SysError extends Error {
  override readonly name = 'SysError'
  /** The error's name: `'ENOENT'`. */
  readonly code: string
  /** The negative errno, as Node has it: −2. */
  readonly errno: number
  /** The system call, by the kernel's name. */
  readonly syscall: string
  /** The object of the call, where it had one. */
  declare readonly path?: string

  constructor(options: SysErrorOptions) {
    const { errno, syscall, path, attempt, detail, cause } = options
    const code = errnoName(errno)
    const object = [syscall, path].filter(Boolean).join(' ')
    const reason = `${code}: ${errnoMessage(errno)}`
    // Without a cause there is no such property, as on Node's errors.
    const causeOption = cause === undefined ? undefined : { cause }
    super([object, attempt, reason].filter(Boolean).join(': ') + (detail ? ` (${detail})` : ''), causeOption)
    this.code = code
    this.errno = -errno
    this.syscall = syscall
    if (path !== undefined) this.path = path
  }
}

/** Whether `error` is a failed system call, with the given code where one is given. */
export function isSysError(error: unknown, code?: string): error is SysError {
  return error instanceof SysError && (code === undefined || error.code === code)
}

let rowsByNumber: ReadonlyMap<number, { name: string; message: string }> | undefined

function rows(): NonNullable<typeof rowsByNumber> {
  rowsByNumber ??= new Map(
    [...errors.matchAll(/^(\d+) (\w+) (.*)$/gm)].map(([, errno, name = '', message = '']) => [
      Number(errno),
      { name, message },
    ]),
  )
  return rowsByNumber
}

/** The name of a positive errno, `'ENOENT'` for 2; `'E<number>'` for one that the kernel's headers do not have. */
export function errnoName(errno: number): string {
  return rows().get(errno)?.name ?? `E${errno}`
}

/** The C library's words for a positive errno. */
export function errnoMessage(errno: number): string {
  return rows().get(errno)?.message ?? `Unknown error ${errno}`
}

/** Whether the kernel's number `result` is an error (−4095…−1). */
export function isError(result: number): boolean {
  return result < 0 && result >= -MAX_ERRNO
}

/**
 * Passes a kernel's number through, or throws what it says; of EPERM and ENOSYS also which capability the thread lacks,
 * or which kernel has the call.
 *
 * @throws {@link SysError} when `result` is −4095…−1
 */
export function check(result: number, syscall: string, path?: string): number {
  if (!isError(result)) return result
  throw new SysError({ errno: -result, syscall, path, detail: hintFor(errnoName(-result), syscall) })
}

let numbersByName: Map<string, number> | undefined

/**
 * The positive errno of a name: 2 for `'ENOENT'`.
 *
 * @throws TypeError for a name that the kernel does not have
 */
export function errnoNumber(code: string): number {
  numbersByName ??= new Map([...rows()].map(([number, { name }]) => [name, number]))
  const errno = numbersByName.get(code)
  if (errno === undefined) throw new TypeError(`no such error: ${code}`)
  return errno
}
