// What can be done with a mapping: its protection, its residence, its size.
import { MREMAP_MAYMOVE } from '../generated/constants/memory.ts'
import { check } from '../errno.ts'
import { OwnedFd } from '../fd.ts'
import { bind } from '../raw.ts'
import { size, u32 } from '../raw/arguments.ts'
import { forgetMapping, liveMapping, makeMapping, type Mapping, refuseHeld } from './mapping.ts'

const raw = {
  mprotect: bind('mprotect', 'int', 'int', 'int'),
  madvise: bind('madvise', 'int', 'int', 'int'),
  mlock: bind('mlock', 'int', 'int'),
  mlock2: bind('mlock2', 'int', 'int', 'int'),
  munlock: bind('munlock', 'int', 'int'),
  mlockall: bind('mlockall', 'int'),
  munlockall: bind('munlockall'),
  msync: bind('msync', 'int', 'int', 'int'),
  mincore: bind('mincore', 'int', 'int', 'ptr'),
  mremap: bind('mremap', 'int', 'int', 'int', 'int'),
  mseal: bind('mseal', 'int', 'int', 'int'),
  memfdSecret: bind('memfd_secret', 'int'),
}

/**
 * `mprotect(addr, size, prot)` — sets what may be done with a mapping.
 *
 * Without PROT_READ or PROT_WRITE touching `bytes` in that way ends the process, as in C.
 *
 * @param prot - PROT_READ, PROT_WRITE, PROT_NONE
 * @throws {@link SysError} `EACCES` the file was not opened for that; TypeError for a disposed mapping
 * @see https://man7.org/linux/man-pages/man2/mprotect.2.html
 */
export function mprotect(mapping: Mapping, prot: number): void {
  const { address, bytes } = liveMapping(mapping)
  check(raw.mprotect(address, bytes.length, u32(prot, 'prot')), 'mprotect')
}

/**
 * `madvise(addr, size, advice)` — says how a mapping will be used; some advice (MADV_DONTNEED) loses what is in it.
 *
 * @param advice - MADV_DONTNEED, MADV_WILLNEED, MADV_HUGEPAGE, MADV_DONTFORK, MADV_WIPEONFORK, MADV_DONTDUMP …
 * @throws {@link SysError} `EINVAL` unknown, or not for such a mapping
 * @see https://man7.org/linux/man-pages/man2/madvise.2.html
 *
 * @example
 * ```ts
 * import { MADV_DONTNEED } from '@pkg/sys/constants'
 * import { madvise, mmap } from '@pkg/sys/memory'
 *
 * using memory = mmap({ lengthBytes: 4096 })
 * memory.bytes[0] = 1
 * madvise(memory, MADV_DONTNEED)
 * console.assert(memory.bytes[0] === 0)
 * ```
 */
export function madvise(mapping: Mapping, advice: number): void {
  const { address, bytes } = liveMapping(mapping)
  check(raw.madvise(address, bytes.length, u32(advice, 'advice')), 'madvise')
}

/**
 * `mlock(addr, size)` — keeps a mapping in memory. Blocks while it is read in.
 *
 * @throws {@link SysError} `ENOMEM` more than RLIMIT_MEMLOCK
 * @see https://man7.org/linux/man-pages/man2/mlock.2.html
 */
export function mlock(mapping: Mapping): void {
  const { address, bytes } = liveMapping(mapping)
  check(raw.mlock(address, bytes.length), 'mlock')
}

/** `mlock2(addr, size, flags)` — {@link mlock}; with MLOCK_ONFAULT only the pages that are touched. Since: Linux 4.4. */
export function mlock2(mapping: Mapping, flags: number): void {
  const { address, bytes } = liveMapping(mapping)
  check(raw.mlock2(address, bytes.length, u32(flags, 'flags')), 'mlock2')
}

/** `munlock(addr, size)` — lets a mapping be swapped out again. */
export function munlock(mapping: Mapping): void {
  const { address, bytes } = liveMapping(mapping)
  check(raw.munlock(address, bytes.length), 'munlock')
}

/**
 * `mlockall(flags)` — keeps all memory of the process: the engine's too, which reserves much more than it uses: give
 * MCL_ONFAULT.
 *
 * @param flags - MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT
 * @throws {@link SysError} `ENOMEM`, `EPERM` more than RLIMIT_MEMLOCK
 * @see https://man7.org/linux/man-pages/man2/mlock.2.html
 */
export function mlockall(flags: number): void {
  check(raw.mlockall(u32(flags, 'flags')), 'mlockall')
}

/** `munlockall()` — undoes {@link mlockall} and every {@link mlock}. */
export function munlockall(): void {
  check(raw.munlockall(), 'munlockall')
}

/**
 * `msync(addr, size, flags)` — writes a shared mapping of a file to the disk. Blocks with MS_SYNC.
 *
 * @param flags - MS_SYNC or MS_ASYNC, MS_INVALIDATE
 * @throws {@link SysError} `EIO`; `EBUSY` MS_INVALIDATE and locked
 * @see https://man7.org/linux/man-pages/man2/msync.2.html
 */
export function msync(mapping: Mapping, flags: number): void {
  const { address, bytes } = liveMapping(mapping)
  check(raw.msync(address, bytes.length, u32(flags, 'flags')), 'msync')
}

/** Both architectures' usual page; a kernel of larger ones fills fewer bytes of the result. */
const pageSize = 4096

/**
 * `mincore(addr, size, vec)` — which pages of a mapping are in memory: a byte each, 1 or 0.
 *
 * @throws {@link SysError} `EAGAIN` the kernel is short of memory
 * @see https://man7.org/linux/man-pages/man2/mincore.2.html
 */
export function mincore(mapping: Mapping): Uint8Array {
  const { address, bytes } = liveMapping(mapping)
  const pages = new Uint8Array(new ArrayBuffer(Math.ceil(bytes.length / pageSize)))
  check(raw.mincore(address, bytes.length, pages), 'mincore')
  return pages.map((byte) => byte & 1)
}

/**
 * `mremap(old_address, old_size, new_size, MREMAP_MAYMOVE)` — makes a mapping longer or shorter. `mapping` is disposed by
 * that, and its `bytes` must not be touched again: the result is where the memory is.
 *
 * @throws {@link SysError} `ENOMEM`; then `mapping` is as it was; TypeError while an operation of an `IoUring` uses it
 * @see https://man7.org/linux/man-pages/man2/mremap.2.html
 */
export function mremap(mapping: Mapping, lengthBytes: number): Mapping {
  const { address, bytes } = liveMapping(mapping)
  if (size(lengthBytes, 'lengthBytes') === 0) throw new RangeError('lengthBytes: 0')
  refuseHeld(mapping)
  const moved = check(raw.mremap(address, bytes.length, lengthBytes, MREMAP_MAYMOVE), 'mremap')
  forgetMapping(mapping)
  return makeMapping(moved, lengthBytes)
}

/**
 * `mseal(addr, size, flags)` — makes a mapping's place and protection unchangeable, for good: disposing it fails with
 * `EPERM`. Since: Linux 6.10.
 *
 * @throws {@link SysError} `ENOSYS` an older kernel
 * @see https://docs.kernel.org/userspace-api/mseal.html
 */
export function mseal(mapping: Mapping): void {
  const { address, bytes } = liveMapping(mapping)
  check(raw.mseal(address, bytes.length, 0), 'mseal')
}

/**
 * `memfd_secret(flags)` — a file of memory that the kernel itself has no mapping of: `ftruncate` it once, then `mmap` with
 * MAP_SHARED. Close-on-exec. Since: Linux 5.14.
 *
 * @throws {@link SysError} `ENOSYS` switched off at boot, or an older kernel
 * @see https://man7.org/linux/man-pages/man2/memfd_secret.2.html
 */
export function memfd_secret(): OwnedFd {
  const O_CLOEXEC = 0o2000000 // FD_CLOEXEC of memfd_secret(2): the same bit as open's on both architectures
  return new OwnedFd(check(raw.memfdSecret(O_CLOEXEC), 'memfd_secret'))
}
