/** File systems at the end: unmounted in reverse order, read-only where that cannot be, flushed in any case. */
import { MS_RDONLY } from '@pkg/sys/constants'
import { sync } from '@pkg/sys/io'
import { mount_remount, umount2 } from '@pkg/sys/mount'
import { mountTable, type MountEntry } from './mount-table.ts'

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

/** What has to be unmounted, the last mounted first, so that no mount is in the way of one below it. */
export function mountsToEnd(mounts: readonly MountEntry[]): MountEntry[] {
  return mounts.filter(({ type }) => !apiTypes.has(type)).toReversed()
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
  for (const { target } of mountsToEnd(mountTable())) {
    try {
      if (target !== '/') {
        umount2(target)
        continue
      }
    } catch {
      // In use: read-only is the next best, below.
    }
    try {
      mount_remount(target, MS_RDONLY)
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error))
    }
  }
  sync()
  return failures
}
