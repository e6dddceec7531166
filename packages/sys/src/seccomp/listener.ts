// The other end of SECCOMP_RET_USER_NOTIF: a supervisor that is asked about calls, and answers in the kernel's place.
import { O_CLOEXEC } from '../generated/constants/open.ts'
import {
  SECCOMP_ADDFD_FLAG_SEND,
  SECCOMP_IOCTL_NOTIF_ADDFD,
  SECCOMP_IOCTL_NOTIF_ID_VALID,
  SECCOMP_IOCTL_NOTIF_RECV,
  SECCOMP_IOCTL_NOTIF_SEND,
  SECCOMP_USER_NOTIF_FLAG_CONTINUE,
} from '../generated/constants/security.ts'
import { check, errnoNumber, isSysError } from '../errno.ts'
import { type AsFd, fdNumber } from '../fd.ts'
import { bind } from '../raw.ts'
import { s64, u64 } from '../raw/arguments.ts'
import { alloc } from '../struct.ts'
import * as structs from '../generated/structs/security.ts'

const raw = bind('ioctl', 'int', 'int', 'ptr')

/** A call that waits for an answer. */
export interface SeccompNotification {
  /** What the answer names. */
  id: bigint
  /** The thread that made the call, in this process's pid namespace; 0 when it is outside. */
  pid: number
  /** The call's number. */
  nr: number
  /** The machine and ABI that the number is of: AUDIT_ARCH_X86_64 … */
  arch: number
  /** The six arguments. Pointers are addresses in the other process, whose content may change while one looks. */
  args: bigint[]
}

/**
 * `ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, seccomp_notif)` — the next call that waits. Blocks until there is one:
 * `reactor` tells when the listener is readable.
 *
 * To read what a pointer points to use `process_vm_readv` or /proc/PID/mem, and {@link seccomp_notif_id_valid} after
 * that. A decision about it is no protection: the other process can change it after the check.
 *
 * @param listener - from `seccomp_set_mode_filter` with SECCOMP_FILTER_FLAG_NEW_LISTENER
 * @throws {@link SysError} `ENOENT` the thread was gone before it could be told of; `EINTR`
 * @see https://man7.org/linux/man-pages/man2/seccomp_unotify.2.html
 */
export function seccomp_notif_recv(listener: AsFd): SeccompNotification {
  const struct = alloc(structs.seccomp_notif)
  check(raw(fdNumber(listener), SECCOMP_IOCTL_NOTIF_RECV, struct.bytes), 'ioctl')
  return {
    id: struct.get('id'),
    pid: struct.get('pid'),
    nr: struct.get('data.nr'),
    arch: struct.get('data.arch'),
    args: struct.get('data.args'),
  }
}

/** What becomes of a call. */
export type SeccompAnswer =
  /** It returns this. */
  | { value: number | bigint }
  /** It fails with this error: `'EPERM'`. */
  | { error: string }
  /** The kernel makes it after all. */
  | 'continue'

/**
 * `ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, seccomp_notif_resp)` — answers a call.
 *
 * @throws {@link SysError} `ENOENT` the thread is gone, or a signal has ended its call; `EINPROGRESS` it was answered
 */
export function seccomp_notif_send(listener: AsFd, id: bigint, answer: SeccompAnswer): void {
  const struct = alloc(structs.seccomp_notif_resp)
  struct.set('id', u64(id, 'id'))
  if (answer === 'continue') struct.set('flags', SECCOMP_USER_NOTIF_FLAG_CONTINUE)
  else if ('error' in answer) struct.set('error', -errnoNumber(answer.error))
  else struct.set('val', s64(answer.value, 'value'))
  check(raw(fdNumber(listener), SECCOMP_IOCTL_NOTIF_SEND, struct.bytes), 'ioctl')
}

/** `ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id)` — whether a call still waits: its pid is still its thread's. */
export function seccomp_notif_id_valid(listener: AsFd, id: bigint): boolean {
  const word = new BigUint64Array(new ArrayBuffer(8))
  word[0] = u64(id, 'id')
  try {
    return check(raw(fdNumber(listener), SECCOMP_IOCTL_NOTIF_ID_VALID, word), 'ioctl') === 0
  } catch (error) {
    if (isSysError(error, 'ENOENT')) return false
    throw error
  }
}

/**
 * `ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, seccomp_notif_addfd)` — gives the other process a descriptor of ours,
 * close-on-exec, and answers its call with the number that it has there. Since: Linux 5.14.
 *
 * @returns that number
 * @throws {@link SysError} `ENOENT` the call waits no more; `EMFILE` the other process has too many; `EBADF`
 */
export function seccomp_notif_addfd(listener: AsFd, id: bigint, fd: AsFd): number {
  const struct = alloc(structs.seccomp_notif_addfd)
  struct.set('id', u64(id, 'id'))
  struct.set('flags', SECCOMP_ADDFD_FLAG_SEND)
  struct.set('srcfd', fdNumber(fd))
  struct.set('newfd_flags', O_CLOEXEC)
  return check(raw(fdNumber(listener), SECCOMP_IOCTL_NOTIF_ADDFD, struct.bytes), 'ioctl')
}
