/** The folder in which each service gets its cgroup, and the controllers that are passed down to it. */
import { readMountinfo } from '@pkg/mount/mountinfo'
import { isSysError } from '@pkg/sys/errno'
import { makeFolder } from '../shell/cgroup.ts'
import { readText, writeText } from '../shell/text-file.ts'

/**
 * Makes the group above those of the services, with every controller that the kernel has.
 *
 * @param name - of the group, below the root of the cgroup2 mount
 * @returns its path, or null where cgroup2 is not mounted or not writable: then services have no cgroup, and
 *   their process group is killed instead
 */
export function prepareCgroups(name: string): string | null {
  const root = readMountinfo().find(({ type }) => type === 'cgroup2')?.target
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

/** All in one write; or, where one is refused (EBUSY, EINVAL), those that are not. */
function passControllersDown(group: string): void {
  const words = readText(`${group}/cgroup.controllers`).trim().split(' ').filter(Boolean)
  const controllers = words.map((name) => `+${name}`)
  if (controllers.length === 0 || enable(group, controllers.join(' '))) return
  for (const controller of controllers) enable(group, controller)
}

function enable(group: string, controllers: string): boolean {
  try {
    writeText(`${group}/cgroup.subtree_control`, controllers)
    return true
  } catch (error) {
    if (isSysError(error)) return false
    throw error
  }
}
