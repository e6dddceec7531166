// Namespaces: leaving those one is in, entering others, asking what one is.
import {
  NS_GET_MNTNS_ID,
  NS_GET_NSTYPE,
  NS_GET_OWNER_UID,
  NS_GET_PARENT,
  NS_GET_USERNS,
} from './generated/constants/mount.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber, OwnedFd } from './fd.ts'
import { bind } from './raw.ts'
import { u32 } from './raw/arguments.ts'

const raw = {
  unshare: bind('unshare', 'int'),
  setns: bind('setns', 'int', 'int'),
  ioctl: bind('ioctl', 'int', 'int', 'int'),
  ioctlPointer: bind('ioctl', 'int', 'int', 'ptr'),
}

/**
 * `unshare(flags)` — gives the calling thread new namespaces, or parts of its own that it shared with others.
 *
 * Changes this thread alone: the engine's other threads stay where they were. CLONE_NEWPID is for the children that
 * it makes next; CLONE_NEWNS implies CLONE_FS. To start a program in new namespaces use `spawn`. Needs: CAP_SYS_ADMIN
 * in the user namespace.
 *
 * @param flags - CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWCGROUP, CLONE_NEWTIME;
 * CLONE_FS, CLONE_FILES, CLONE_SYSVSEM
 * @throws {@link SysError} `EPERM`; `EINVAL` CLONE_NEWUSER, CLONE_VM or CLONE_THREAD in a process of several threads,
 * which every one with this engine is; `ENOSPC` too many namespaces
 * @see https://man7.org/linux/man-pages/man2/unshare.2.html
 *
 * @example
 * ```ts
 * import { CLONE_FS } from '@pkg/sys/constants'
 * import { unshare } from '@pkg/sys/namespace'
 *
 * unshare(CLONE_FS) // this thread has a working directory, a root and a umask of its own now
 * ```
 */
export function unshare(flags: number): void {
  check(raw.unshare(u32(flags, 'flags')), 'unshare')
}

/**
 * `setns(fd, nstype)` — moves the calling thread into a namespace, or with a pidfd into several of that process.
 *
 * Changes this thread alone. Needs: CAP_SYS_ADMIN in the user namespace that owns the target.
 *
 * @param fd - from /proc/<pid>/ns/…, or a pidfd
 * @param nstype - CLONE_NEW* that it must be, 0 for any; with a pidfd those to enter
 * @throws {@link SysError} `EPERM`; `EINVAL` another kind, or a user namespace in a process of several threads
 * @see https://man7.org/linux/man-pages/man2/setns.2.html
 */
export function setns(fd: AsFd, nstype: number): void {
  check(raw.setns(fdNumber(fd), u32(nstype, 'nstype')), 'setns')
}

/**
 * `ioctl(fd, NS_GET_NSTYPE)` — which kind of namespace `fd` is: one of CLONE_NEW*.
 *
 * @throws {@link SysError} `ENOTTY` no namespace
 * @see https://man7.org/linux/man-pages/man2/NS_GET_NSTYPE.2const.html
 */
export function ioctl_ns_get_nstype(fd: AsFd): number {
  return check(raw.ioctl(fdNumber(fd), NS_GET_NSTYPE, 0), 'ioctl')
}

/**
 * `ioctl(fd, NS_GET_USERNS)` — the user namespace that owns the namespace `fd`.
 *
 * @throws {@link SysError} `EPERM` it is outside the caller's own
 * @see https://man7.org/linux/man-pages/man2/NS_GET_USERNS.2const.html
 */
export function ioctl_ns_get_userns(fd: AsFd): OwnedFd {
  return new OwnedFd(check(raw.ioctl(fdNumber(fd), NS_GET_USERNS, 0), 'ioctl'))
}

/**
 * `ioctl(fd, NS_GET_PARENT)` — the parent of a user or pid namespace.
 *
 * @throws {@link SysError} `EPERM` it is outside the caller's own; `EINVAL` a kind without parents
 * @see https://man7.org/linux/man-pages/man2/NS_GET_PARENT.2const.html
 */
export function ioctl_ns_get_parent(fd: AsFd): OwnedFd {
  return new OwnedFd(check(raw.ioctl(fdNumber(fd), NS_GET_PARENT, 0), 'ioctl'))
}

/**
 * `ioctl(fd, NS_GET_OWNER_UID, &uid)` — the user who made the user namespace `fd`, as the caller's own sees him.
 *
 * @throws {@link SysError} `EINVAL` no user namespace
 * @see https://man7.org/linux/man-pages/man2/NS_GET_OWNER_UID.2const.html
 */
export function ioctl_ns_get_owner_uid(fd: AsFd): number {
  const uid = new Uint32Array(new ArrayBuffer(4))
  check(raw.ioctlPointer(fdNumber(fd), NS_GET_OWNER_UID, uid), 'ioctl')
  return uid[0] ?? 0
}

/**
 * `ioctl(fd, NS_GET_MNTNS_ID, &id)` — the number of a mount namespace, for `listmount`. Since: Linux 6.10.
 *
 * @throws {@link SysError} `EINVAL` another kind of namespace
 * @see https://man7.org/linux/man-pages/man2/ioctl_nsfs.2.html
 */
export function ioctl_ns_get_mntns_id(fd: AsFd): bigint {
  const id = new BigUint64Array(new ArrayBuffer(8))
  check(raw.ioctlPointer(fdNumber(fd), NS_GET_MNTNS_ID, id), 'ioctl')
  return id[0] ?? 0n
}
