/** The kernel's own file systems, and the links in /dev that programs expect. */
import { AT_FDCWD, MS_NODEV, MS_NOEXEC, MS_NOSUID } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { symlinkat } from '@pkg/sys/fs'
import { mount } from '@pkg/sys/mount'
import { makeFolder } from '../shell/cgroup.ts'
import { mountedPaths } from '../shell/mount-table.ts'

interface ApiFileSystem {
  readonly target: string
  readonly type: string
  readonly flags: number
  readonly data: string
}

const strict = MS_NOSUID | MS_NODEV | MS_NOEXEC

/** In this order; flags and options as systemd has them (src/shared/mount-setup.c). */
const table: readonly ApiFileSystem[] = [
  { target: '/proc', type: 'proc', flags: strict, data: '' },
  { target: '/sys', type: 'sysfs', flags: strict, data: '' },
  { target: '/dev', type: 'devtmpfs', flags: MS_NOSUID, data: 'mode=0755' },
  // gid 5 is `tty`, by which grantpt(3) of old programs works.
  { target: '/dev/pts', type: 'devpts', flags: MS_NOSUID | MS_NOEXEC, data: 'mode=0620,gid=5,ptmxmode=0666' },
  { target: '/dev/shm', type: 'tmpfs', flags: MS_NOSUID | MS_NODEV, data: 'mode=1777' },
  { target: '/run', type: 'tmpfs', flags: MS_NOSUID | MS_NODEV, data: 'mode=0755,size=20%' },
  { target: '/tmp', type: 'tmpfs', flags: MS_NOSUID | MS_NODEV, data: 'mode=1777,size=50%' },
  { target: '/sys/fs/cgroup', type: 'cgroup2', flags: strict, data: 'nsdelegate,memory_recursiveprot' },
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
  const mounted: string[] = []
  const failures: string[] = []
  for (const each of table) {
    try {
      if (mountOne(each)) mounted.push(each.target)
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error))
    }
  }
  for (const [path, target] of links) linkOnce(path, target)
  if (failures.length > 0) throw new Error(failures.join('; '))
  return mounted.join(' ') || 'all there'
}

function mountOne({ target, type, flags, data }: ApiFileSystem): boolean {
  // /proc itself is needed for the look, and Bun does not start without it.
  if (mountedPaths().has(target)) return false
  makeFolder(target)
  mount(type, target, type, flags, data)
  return true
}

function linkOnce(path: string, target: string): void {
  try {
    symlinkat(target, AT_FDCWD, path)
  } catch (error) {
    if (!isSysError(error)) throw error
  }
}
