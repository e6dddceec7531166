// Quotas of file systems, and swap.
import {
  Q_GETINFO,
  Q_GETQUOTA,
  Q_QUOTAOFF,
  Q_QUOTAON,
  Q_SETQUOTA,
  Q_SYNC,
} from './generated/constants/quota.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber } from './fd.ts'
import { bind } from './raw.ts'
import { cString, optionalCString, u32, u64 } from './raw/arguments.ts'
import { alloc, type StructView } from './struct.ts'
import * as structs from './generated/structs/quota.ts'

const raw = {
  quotactl: bind('quotactl', 'int', 'ptr', 'int', 'ptr'),
  quotactlFd: bind('quotactl_fd', 'int', 'int', 'int', 'ptr'),
  swapon: bind('swapon', 'ptr', 'int'),
  swapoff: bind('swapoff', 'ptr'),
}

/** `QCMD` of linux/quota.h: the command above, the type (USRQUOTA 0, GRPQUOTA 1, PRJQUOTA 2) in the low byte. */
function command(code: number, type: number): number {
  if (![0, 1, 2].includes(type)) throw new RangeError(`quota type: ${type}`)
  return ((code << 8) | type) >>> 0
}

/** What one may use and uses: `struct if_dqblk`. */
export interface DiskQuota {
  /** Hard and soft limit, 1024-byte blocks; 0n for none. */
  dqb_bhardlimit: bigint
  dqb_bsoftlimit: bigint
  /** Bytes in use. */
  dqb_curspace: bigint
  /** Hard and soft limit of files; 0n for none. */
  dqb_ihardlimit: bigint
  dqb_isoftlimit: bigint
  /** Files in use. */
  dqb_curinodes: bigint
}

function decode(struct: StructView<typeof structs.if_dqblk>): DiskQuota {
  return {
    dqb_bhardlimit: struct.get('dqb_bhardlimit'),
    dqb_bsoftlimit: struct.get('dqb_bsoftlimit'),
    dqb_curspace: struct.get('dqb_curspace'),
    dqb_ihardlimit: struct.get('dqb_ihardlimit'),
    dqb_isoftlimit: struct.get('dqb_isoftlimit'),
    dqb_curinodes: struct.get('dqb_curinodes'),
  }
}

/**
 * `quotactl_fd(fd, Q_GETQUOTA, id, addr)` — what the user, group or project `id` may use of a file system, and uses.
 * Since: Linux 5.14. Needs: CAP_SYS_ADMIN for others than oneself.
 *
 * @param fd - any file of the file system
 * @param type - USRQUOTA, GRPQUOTA, PRJQUOTA
 * @throws {@link SysError} `ESRCH` quotas are off; `ENOSYS` the file system has none; `EPERM`
 * @see https://man7.org/linux/man-pages/man2/quotactl.2.html
 */
export function quotactl_getquota(fd: AsFd, type: number, id: number): DiskQuota {
  const struct = alloc(structs.if_dqblk)
  const result = raw.quotactlFd(fdNumber(fd), command(Q_GETQUOTA, type), u32(id, 'id'), struct.bytes)
  check(result, 'quotactl_fd')
  return decode(struct)
}

/**
 * `quotactl_fd(fd, Q_SETQUOTA, id, addr)` — sets the limits of a user, group or project. Needs: CAP_SYS_ADMIN.
 *
 * @throws {@link SysError} as {@link quotactl_getquota}; `ERANGE` a limit that is too large
 */
export function quotactl_setquota(
  fd: AsFd,
  type: number,
  id: number,
  limits: Omit<DiskQuota, 'dqb_curspace' | 'dqb_curinodes'>,
): void {
  const struct = alloc(structs.if_dqblk)
  struct.set('dqb_bhardlimit', u64(limits.dqb_bhardlimit, 'dqb_bhardlimit'))
  struct.set('dqb_bsoftlimit', u64(limits.dqb_bsoftlimit, 'dqb_bsoftlimit'))
  struct.set('dqb_ihardlimit', u64(limits.dqb_ihardlimit, 'dqb_ihardlimit'))
  struct.set('dqb_isoftlimit', u64(limits.dqb_isoftlimit, 'dqb_isoftlimit'))
  const QIF_LIMITS = 5 // QIF_BLIMITS | QIF_ILIMITS: these fields alone are taken
  struct.set('dqb_valid', QIF_LIMITS)
  const result = raw.quotactlFd(fdNumber(fd), command(Q_SETQUOTA, type), u32(id, 'id'), struct.bytes)
  check(result, 'quotactl_fd')
}

/**
 * `quotactl(QCMD(Q_QUOTAON, type), special, id, addr)` — begins to enforce quotas. Needs: CAP_SYS_ADMIN.
 *
 * @param device - the block device that the file system is on
 * @param format - QFMT_VFS_V1 (4) …
 * @param file - the quota file; null for a file system that keeps them itself, as ext4 with the `quota` feature does
 * @throws {@link SysError} `ENOSYS`, `EINVAL`; `EEXIST` on already
 * @see https://man7.org/linux/man-pages/man2/quotactl.2.html
 */
export function quotactl_quotaon(device: string, type: number, format: number, file: string | null): void {
  const result = raw.quotactl(
    command(Q_QUOTAON, type),
    cString(device, 'device'),
    u32(format, 'format'),
    optionalCString(file, 'file'),
  )
  check(result, 'quotactl', device)
}

/** `quotactl(QCMD(Q_QUOTAOFF, type), special)` — ceases to enforce quotas. Needs: CAP_SYS_ADMIN. */
export function quotactl_quotaoff(device: string, type: number): void {
  check(raw.quotactl(command(Q_QUOTAOFF, type), cString(device, 'device'), 0, null), 'quotactl', device)
}

/**
 * `quotactl(QCMD(Q_SYNC, type), special)` — writes usage to the disk, of all file systems where `device` is null.
 *
 * @throws {@link SysError} `ESRCH` quotas are off; `ENOTBLK` no block device
 */
export function quotactl_sync(device: string | null, type: number): void {
  const result = raw.quotactl(command(Q_SYNC, type), optionalCString(device, 'device'), 0, null)
  check(result, 'quotactl', device ?? undefined)
}

/** `quotactl(QCMD(Q_GETINFO, type), special, 0, addr)` — seconds that a soft limit may be exceeded: blocks, files. */
export function quotactl_getinfo(device: string, type: number): { blockGraceS: bigint; inodeGraceS: bigint } {
  const struct = alloc(structs.if_dqinfo)
  const result = raw.quotactl(command(Q_GETINFO, type), cString(device, 'device'), 0, struct.bytes)
  check(result, 'quotactl', device)
  return { blockGraceS: struct.get('dqi_bgrace'), inodeGraceS: struct.get('dqi_igrace') }
}

/**
 * `swapon(path, swapflags)` — begins to swap to a device or file that mkswap(8) has prepared. Needs: CAP_SYS_ADMIN.
 *
 * @param flags - SWAP_FLAG_PREFER | priority, SWAP_FLAG_DISCARD
 * @throws {@link SysError} `EINVAL` no swap signature, or a file with holes; `EBUSY` in use already; `EPERM`
 * @see https://man7.org/linux/man-pages/man2/swapon.2.html
 */
export function swapon(path: string, flags = 0): void {
  check(raw.swapon(cString(path), u32(flags, 'flags')), 'swapon', path)
}

/**
 * `swapoff(path)` — ceases to swap to a device or file. Blocks until all has been read back.
 *
 * @throws {@link SysError} `EINVAL` nothing is swapped there; `ENOMEM`; `EPERM`
 * @see https://man7.org/linux/man-pages/man2/swapon.2.html
 */
export function swapoff(path: string): void {
  check(raw.swapoff(cString(path)), 'swapoff', path)
}
