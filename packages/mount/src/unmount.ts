// Unmounting.
import { MNT_DETACH, MNT_FORCE, UMOUNT_NOFOLLOW } from '@pkg/sys/constants'
import { umount2 } from '@pkg/sys/mount'
import { checkPath } from './mount/check.ts'
import { reporting } from './mount/failure.ts'

/** How to unmount. */
export interface UnmountOptions {
  /** The mount point. */
  target: string
  /** Take it out of the tree at once; it ends when its last file is closed (`MNT_DETACH`). */
  lazy?: boolean
  /** Give up requests that hang (`MNT_FORCE`): NFS and FUSE only, data may be lost. */
  force?: boolean
  /** Do not follow a symbolic link at the target (`UMOUNT_NOFOLLOW`). Default: true. */
  noFollow?: boolean
}

/**
 * Takes the topmost mount at `target` away.
 *
 * Blocks: while everything is written, without `lazy`. Needs: CAP_SYS_ADMIN.
 *
 * @throws {@link SysError} `EBUSY` files are open below, or something is mounted there; `EINVAL` not a mount point
 * @throws TypeError for a target that is not absolute
 * @see https://man7.org/linux/man-pages/man2/umount2.2.html
 * @example
 * ```ts no-run
 * import { unmount } from '@pkg/mount/unmount'
 *
 * unmount({ target: '/mnt' })
 * ```
 */
export function unmount(options: UnmountOptions): void {
  const { target, lazy = false, force = false, noFollow = true } = options
  checkPath('unmount', 'target', target)
  const flags = (lazy ? MNT_DETACH : 0) | (force ? MNT_FORCE : 0) | (noFollow ? UMOUNT_NOFOLLOW : 0)
  reporting({ syscall: 'umount2', target }, () => umount2(target, flags))
}
