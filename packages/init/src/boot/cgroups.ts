/** The folder in which each service gets its cgroup, and the controllers that are passed down to it. */
import { isSysError } from '@pkg/sys/errno'
import { makeFolder } from '../shell/cgroup.ts'
import { mountTable } from '../shell/mount-table.ts'
import { readText, writeText } from '../shell/text-file.ts'

/**
 * Makes the group above those of the services, with every controller that the kernel has.
 *
 * @param name - of the group, below the root of the cgroup2 mount
 * @returns its path, or null where cgroup2 is not mounted or not writable: then services have no cgroup, and
 *   their process group is killed instead
 */
export function prepareCgroups(name: string): string | null {
  const root = mountTable().find(({ type }) => type === 'cgroup2')?.target
  if (root === undefined) return null
  const base = `${root}/${name}`
  try {
    passControllersDown(root)
    makeFolder(base)
    passControllersDown(base)
  } catch (error) {
    if (isSysError(error)) return null
    throw error
  }
  return base
}

/** One write per controller: one that is refused (EBUSY, EINVAL) must not keep the others out. */
function passControllersDown(group: string): void {
  for (const controller of readText(`${group}/cgroup.controllers`).trim().split(' ')) {
    if (controller === '') continue
    try {
      writeText(`${group}/cgroup.subtree_control`, `+${controller}`)
    } catch (error) {
      if (!isSysError(error)) throw error
    }
  }
}
