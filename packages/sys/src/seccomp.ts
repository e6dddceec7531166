// seccomp: filters that decide about each system call of a thread.
import {
  SECCOMP_FILTER_FLAG_NEW_LISTENER,
  SECCOMP_FILTER_FLAG_TSYNC,
  SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
  SECCOMP_GET_ACTION_AVAIL,
  SECCOMP_SET_MODE_FILTER,
} from './generated/constants/security.ts'
import { check, errnoNumber, isSysError, SysError } from './errno.ts'
import { OwnedFd } from './fd.ts'
import { addressOf, bind } from './raw.ts'
import { bytes, u32 } from './raw/arguments.ts'
import { alloc } from './struct.ts'
import * as structs from './generated/structs/security.ts'

export {
  type SeccompCondition,
  seccompErrno,
  seccompFilter,
  type SeccompFilterOptions,
  type SeccompRule,
} from './seccomp/filter.ts'
export {
  seccomp_notif_addfd,
  seccomp_notif_id_valid,
  seccomp_notif_recv,
  seccomp_notif_send,
  type SeccompAnswer,
  type SeccompNotification,
} from './seccomp/listener.ts'

const raw = bind('seccomp', 'int', 'int', 'ptr')

/** Bytes of `struct sock_filter`. */
const instructionSize = 8

/**
 * `seccomp(SECCOMP_SET_MODE_FILTER, flags, fprog)` — puts a filter before the calls of the calling thread, its children
 * and the programs that they execute, for good. Filters add up: the strictest answer counts.
 *
 * Changes this thread alone, unless SECCOMP_FILTER_FLAG_TSYNC is given: then every thread of the engine gets it. Needs:
 * no_new_privs (`prctl_set_no_new_privs`) or CAP_SYS_ADMIN. The engine dies of filters that kill at calls which it makes.
 *
 * @param filter - from {@link seccompFilter}, or any array of `struct sock_filter`
 * @param flags - SECCOMP_FILTER_FLAG_TSYNC (with _TSYNC_ESRCH, which is added), _LOG, _NEW_LISTENER …
 * @returns with SECCOMP_FILTER_FLAG_NEW_LISTENER the descriptor that is told of SECCOMP_RET_USER_NOTIF
 * @throws {@link SysError} `EACCES` without either; `EINVAL` no filter; `ESRCH` a thread cannot be synchronised, for
 * it has a filter that this one lacks: nothing is installed then
 * @see https://man7.org/linux/man-pages/man2/seccomp.2.html
 *
 * @example
 * ```ts
 * import { SECCOMP_FILTER_FLAG_TSYNC } from '@pkg/sys/constants'
 * import { isSysError } from '@pkg/sys/errno'
 * import { prctl_set_no_new_privs } from '@pkg/sys/prctl'
 * import { seccomp_set_mode_filter, seccompErrno, seccompFilter } from '@pkg/sys/seccomp'
 * import { sethostname } from '@pkg/sys/system'
 *
 * prctl_set_no_new_privs()
 * const filter = seccompFilter({ rules: [{ calls: ['sethostname'], action: seccompErrno('ENOANO') }] })
 * seccomp_set_mode_filter(filter, SECCOMP_FILTER_FLAG_TSYNC)
 * try {
 *   sethostname('other')
 * } catch (error) {
 *   console.assert(isSysError(error, 'ENOANO'))
 * }
 * ```
 */
export function seccomp_set_mode_filter(filter: Uint8Array, flags = 0): OwnedFd | undefined {
  const size = bytes(filter, 'filter').length
  if (size === 0 || size % instructionSize !== 0)
    throw new RangeError(`filter: ${size} bytes are no instructions`)
  // In memory of its own, for its address is stored: a small array of the caller's could move.
  const memory = new Uint8Array(new ArrayBuffer(size))
  memory.set(filter)
  const program = alloc(structs.sock_fprog)
  program.set('len', size / instructionSize)
  program.set('filter', addressOf(memory))
  const result = install(u32(flags, 'flags'), program.bytes)
  // The kernel keeps the instructions; up to here the memory that they are in must live.
  const hasListener = memory.length > 0 && (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) !== 0
  if (hasListener) return new OwnedFd(result)
  if (result === 0) return undefined
  const attempt = `thread ${result} has another filter`
  throw new SysError({ errno: errnoNumber('ESRCH'), syscall: 'seccomp', attempt })
}

/**
 * Without TSYNC_ESRCH (Linux 5.7) the kernel tells of a thread that it cannot synchronise by its positive id, which with
 * NEW_LISTENER would be a descriptor's number: a kernel that does not know the one refuses both others together.
 */
function install(flags: number, program: Uint8Array): number {
  const isSynchronised = (flags & SECCOMP_FILTER_FLAG_TSYNC) !== 0
  const all = isSynchronised ? flags | SECCOMP_FILTER_FLAG_TSYNC_ESRCH : flags
  try {
    return check(raw(SECCOMP_SET_MODE_FILTER, all, program), 'seccomp')
  } catch (error) {
    if (all === flags || !isSysError(error, 'EINVAL')) throw error
    return check(raw(SECCOMP_SET_MODE_FILTER, flags, program), 'seccomp')
  }
}

/**
 * `seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &action)` — whether the kernel knows an action. Since: Linux 4.14.
 *
 * @param action - SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_USER_NOTIF …
 * @see https://man7.org/linux/man-pages/man2/seccomp.2.html
 */
export function seccomp_get_action_avail(action: number): boolean {
  const word = new Uint32Array(new ArrayBuffer(4))
  word[0] = u32(action, 'action')
  try {
    return check(raw(SECCOMP_GET_ACTION_AVAIL, 0, word), 'seccomp') === 0
  } catch (error) {
    if (isSysError(error, 'EOPNOTSUPP')) return false
    throw error
  }
}
