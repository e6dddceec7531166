/** The kernel's own file systems, and the links in /dev that programs expect. */
import { mount, type MountOptions } from '@pkg/mount/mount'
import { isMountPoint, readMountinfo } from '@pkg/mount/mountinfo'
import { AT_FDCWD } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { symlinkat } from '@pkg/sys/fs'
import { makeFolder } from '../shell/cgroup.ts'

const strict = 'nosuid,nodev,noexec'

/** In this order; options as systemd has them (src/shared/mount-setup.c). */
const table: readonly MountOptions[] = [
  { target: '/proc', type: 'proc', options: strict },
  { target: '/sys', type: 'sysfs', options: strict },
  { target: '/dev', type: 'devtmpfs', options: 'nosuid,mode=0755' },
  // gid 5 is `tty`, by which grantpt(3) of old programs works.
  { target: '/dev/pts', type: 'devpts', options: 'nosuid,noexec,mode=0620,gid=5,ptmxmode=0666' },
  { target: '/dev/shm', type: 'tmpfs', options: 'nosuid,nodev,mode=1777' },
  { target: '/run', type: 'tmpfs', options: 'nosuid,nodev,mode=0755,size=20%' },
  { target: '/tmp', type: 'tmpfs', options: 'nosuid,nodev,mode=1777,size=50%' },
  { target: '/sys/fs/cgroup', type: 'cgroup2', options: `${strict},nsdelegate,memory_recursiveprot` },
]

/** devtmpfs has none of them, and shells and libraries open them. */
const links: readonly (readonly [path: string, target: string])[] = [
  ['/dev/fd', '/proc/self/fd'],
  ['/dev/stdin', '/proc/self/fd/0'],
  ['/dev/stdout', '/proc/self/fd/1'],
  ['/dev/stderr', '/proc/self/fd/2'],
]

/**
 * Mounts what is not mounted yet: the stub has mounted some of it, and in a container the runtime all.
 *
 * @returns what was mounted
 * @throws Error that names each that could not be; the others are mounted
 */
export function mountApiFileSystems(): string {
  // /proc itself is needed for the look, and Bun does not start without it.
  const there = readMountinfo()
  const mounted: string[] = []
  const failures: string[] = []
  for (const options of table) {
    if (isMountPoint(there, options.target)) continue
    try {
      makeFolder(options.target)
      mount({ source: options.type, ...options })
      mounted.push(options.target)
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error))
    }
  }
  for (const [path, target] of links) linkOnce(path, target)
  if (failures.length > 0) throw new Error(failures.join('; '))
  return mounted.join(' ') || 'all there'
}

function linkOnce(path: string, target: string): void {
  try {
    symlinkat(target, AT_FDCWD, path)
  } catch (error) {
    if (!isSysError(error)) throw error
  }
}
