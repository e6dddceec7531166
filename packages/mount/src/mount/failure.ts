// Errors of this package: the object, what was attempted, and the kernel's own words.
import { errnoMessage, isSysError, SysError } from '@pkg/sys/errno'

/** What to say about an operation that failed. */
export interface Attempt {
  /** `mount`, `umount2`, … */
  syscall: string
  /** The mount point. */
  target: string
  /** `from /dev/vda4 (ext4, ro,nosuid)` */
  attempt?: string
}

/**
 * Runs a step; a system call that fails in it is reported as the whole operation's failure:
 * `mount /perm: from /dev/vda4 (ext4, ro,nosuid): EINVAL: Invalid argument (Can't find ext4 filesystem)`.
 *
 * @throws {@link SysError} with the step's own error as `cause`
 */
export function reporting<Result>(attempt: Attempt, step: () => Result): Result {
  try {
    return step()
  } catch (error) {
    if (!isSysError(error)) throw error
    throw new SysError({
      errno: -error.errno,
      syscall: attempt.syscall,
      path: attempt.target,
      attempt: attempt.attempt,
      detail: detailOf(error),
      cause: error,
    })
  }
}

/** fsconfig(2) failures carry what the kernel wrote to the configuration's descriptor, and the option's name. */
function detailOf(error: SysError): string | undefined {
  if (error.syscall !== 'fsconfig') return undefined
  const reason = `${error.code}: ${errnoMessage(-error.errno)}`
  const words = error.message.slice(error.message.indexOf(reason) + reason.length).trim()
  if (words !== '') return words.replace(/^\((.*)\)$/s, '$1')
  return error.path === undefined ? undefined : `option ${error.path}`
}
