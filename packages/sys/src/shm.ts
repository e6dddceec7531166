// POSIX shared memory: files of /dev/shm by their names, as the C library has them.
import { O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK } from './generated/constants/open.ts'
import { check } from './errno.ts'
import { OwnedFd } from './fd.ts'
import { bind } from './raw.ts'
import { cString, u32 } from './raw/arguments.ts'

const raw = {
  openat: bind('openat', 'int', 'ptr', 'int', 'int'),
  unlinkat: bind('unlinkat', 'int', 'ptr', 'int'),
}

const AT_FDCWD = -100

/** NAME_MAX of linux/limits.h. */
const nameSizeMax = 255

/** Slashes at the beginning are no part of the name, and there may be no others (shm_open(3)). */
function pathOf(name: string): string {
  const sizeBytes = cString(name, 'name').length - 1
  const base = name.replace(/^\/+/, '')
  const isTooLong = sizeBytes - (name.length - base.length) > nameSizeMax
  if (isTooLong || base.includes('/') || ['', '.', '..'].includes(base))
    throw new RangeError(`not a name of shared memory: ${JSON.stringify(name)}`)
  return `/dev/shm/${base}`
}

/**
 * `openat(AT_FDCWD, "/dev/shm/…", flags, mode)` — opens shared memory by its name, as shm_open(3) does; close-on-exec in
 * any case. What is new is empty: `ftruncate`, then `mmap` with MAP_SHARED.
 *
 * @param name - `/solo`: other programs that say the same get the same memory
 * @param flags - O_RDONLY or O_RDWR, O_CREAT, O_EXCL, O_TRUNC
 * @param mode - permission bits of what O_CREAT makes; the umask is taken away
 * @throws {@link SysError} `ENOENT`; `EEXIST` with O_EXCL; `EACCES`; RangeError for a name that none can have
 * @see https://man7.org/linux/man-pages/man3/shm_open.3.html
 *
 * @example
 * ```ts
 * import { MAP_SHARED, O_CREAT, O_EXCL, O_RDWR } from '@pkg/sys/constants'
 * import { ftruncate } from '@pkg/sys/io'
 * import { mmap } from '@pkg/sys/memory'
 * import { shm_open, shm_unlink } from '@pkg/sys/shm'
 *
 * const name = `/example-${process.pid}`
 * using memory = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0o600)
 * ftruncate(memory, 4096)
 * using mapping = mmap({ lengthBytes: 4096, flags: MAP_SHARED, fd: memory })
 * mapping.bytes[0] = 1
 * shm_unlink(name)
 * ```
 */
export function shm_open(name: string, flags: number, mode = 0): OwnedFd {
  const path = pathOf(name)
  const all = u32(flags, 'flags') | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK
  return new OwnedFd(check(raw.openat(AT_FDCWD, cString(path), all, u32(mode, 'mode')), 'openat', path))
}

/**
 * `unlinkat(AT_FDCWD, "/dev/shm/…", 0)` — removes a name of shared memory, as shm_unlink(3) does; the memory stays while
 * somebody has it open or mapped.
 *
 * @throws {@link SysError} `ENOENT`; `EPERM` another's (shm_unlink(3) says `EACCES`)
 * @see https://man7.org/linux/man-pages/man3/shm_unlink.3.html
 */
export function shm_unlink(name: string): void {
  const path = pathOf(name)
  check(raw.unlinkat(AT_FDCWD, cString(path), 0), 'unlinkat', path)
}
