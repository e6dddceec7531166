/**
 * A service's control group: the kernel's own list of everything that the service started, so that all of it
 * can be killed at once, and its end be seen.
 */
import { AT_FDCWD, AT_REMOVEDIR, DT_DIR, EPOLLPRI, O_DIRECTORY, O_RDONLY, SIGKILL } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { type OwnedFd } from '@pkg/sys/fd'
import { getdents64, mkdirat, openat, unlinkat } from '@pkg/sys/fs'
import { pread64 } from '@pkg/sys/io'
import { kill } from '@pkg/sys/process'
import { reactor } from '@pkg/sys/reactor'
import { readText, writeText } from './text-file.ts'

/** Makes the group (it may be there already) and opens it for CLONE_INTO_CGROUP. */
export function openGroup(path: string): OwnedFd {
  makeFolder(path)
  return openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY)
}

/** mkdir that is content when the folder is there. */
export function makeFolder(path: string, mode = 0o755): void {
  try {
    mkdirat(AT_FDCWD, path, mode)
  } catch (error) {
    if (!isSysError(error, 'EEXIST')) throw error
  }
}

/**
 * Kills everything in the group and calls `onEmpty` when nothing is left, which may be before this returns.
 *
 * @returns a watch; disposing it forgets `onEmpty`
 */
export function killGroup(path: string, onEmpty: () => void): Disposable {
  const nothing: Disposable = { [Symbol.dispose]() {} }
  let events: OwnedFd
  try {
    // Opened before the kill: a change after the first read of the file is then never missed.
    events = openat(AT_FDCWD, `${path}/cgroup.events`, O_RDONLY)
  } catch (error) {
    if (!isSysError(error, 'ENOENT')) throw error
    onEmpty()
    return nothing
  }
  killAll(path)
  return watchEmpty(events, onEmpty)
}

function killAll(path: string): void {
  try {
    writeText(`${path}/cgroup.kill`, '1')
  } catch (error) {
    if (!isSysError(error)) throw error
    // Before Linux 5.14 there is no cgroup.kill. What forks meanwhile is met by the repeated kill of the core.
    for (const pid of readText(`${path}/cgroup.procs`).split('\n')) {
      if (pid !== '') killQuietly(Number(pid))
    }
  }
}

function killQuietly(pid: number): void {
  try {
    kill(pid, SIGKILL)
  } catch (error) {
    if (!isSysError(error, 'ESRCH')) throw error
  }
}

function watchEmpty(events: OwnedFd, onEmpty: () => void): Disposable {
  let watch: Disposable | null = null
  function close(): void {
    watch?.[Symbol.dispose]()
    events.close()
  }
  function look(): boolean {
    if (isPopulated(events)) return false
    close()
    onEmpty()
    return true
  }
  // kernfs tells of a change by EPOLLPRI, and the next read takes it back (fs/kernfs/file.c).
  if (!look()) watch = reactor().watch(events, EPOLLPRI, () => void look())
  return { [Symbol.dispose]: close }
}

const buffer = new Uint8Array(new ArrayBuffer(256))
const decoder = new TextDecoder()

function isPopulated(events: OwnedFd): boolean {
  try {
    const text = decoder.decode(buffer.subarray(0, pread64(events, buffer, 0)))
    return text.includes('populated 1')
  } catch (error) {
    // ENODEV: somebody has removed the group, so it was empty.
    if (isSysError(error)) return false
    throw error
  }
}

/** Removes an empty group with the groups that the service made in it. A busy one stays. */
export function removeGroup(path: string): void {
  try {
    using folder = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY)
    const below = [...getdents64(folder)].filter(({ d_type }) => d_type === DT_DIR)
    for (const { d_name } of below) removeGroup(`${path}/${d_name}`)
    unlinkat(AT_FDCWD, path, AT_REMOVEDIR)
  } catch (error) {
    if (!isSysError(error)) throw error
  }
}
