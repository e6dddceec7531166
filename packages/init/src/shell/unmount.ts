/** File systems at the end: unmounted in reverse order, read-only where that cannot be, flushed in any case. */
import { remount } from '@pkg/mount/mount'
import { readMountinfo, unmountOrder, type MountInfo } from '@pkg/mount/mountinfo'
import { unmount } from '@pkg/mount/unmount'
import { sync } from '@pkg/sys/io'

/** File systems of the kernel's, which hold nothing that could be lost. */
const apiTypes: ReadonlySet<string> = new Set([
  'autofs',
  'binfmt_misc',
  'bpf',
  'cgroup',
  'cgroup2',
  'configfs',
  'debugfs',
  'devpts',
  'devtmpfs',
  'efivarfs',
  'fusectl',
  'hugetlbfs',
  'mqueue',
  'proc',
  'pstore',
  'ramfs',
  'rootfs',
  'securityfs',
  'selinuxfs',
  'sysfs',
  'tmpfs',
  'tracefs',
])

/** The mount points that have to go: what is mounted on a mount before it, else the last mounted first. */
export function mountsToEnd(
  mounts: readonly Pick<MountInfo, 'id' | 'parentId' | 'target' | 'type'>[],
): string[] {
  // Ordered before it is filtered: a disk may hang below a tmpfs that hangs below a disk.
  return unmountOrder(mounts).flatMap(({ type, target }) => (apiTypes.has(type) ? [] : [target]))
}

/**
 * Unmounts everything, and makes read-only what is still in use (the root always is); then flushes.
 *
 * Blocks until the disks have written.
 *
 * @returns what could not even be made read-only
 */
export function unmountAll(): string[] {
  // First, so that the long part is done while the machine is still whole.
  sync()
  const failures: string[] = []
  for (const target of mountsToEnd(readMountinfo())) {
    try {
      if (target !== '/') {
        unmount({ target })
        continue
      }
    } catch {
      // In use: read-only is the next best, below.
    }
    try {
      remount({ target, options: 'ro' })
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error))
    }
  }
  sync()
  return failures
}
