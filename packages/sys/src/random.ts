// The kernel's random number generator by typed requests to /dev/urandom. `getrandom` is in `@pkg/sys/system`.
import { RNDADDENTROPY, RNDGETENTCNT, RNDRESEEDCRNG } from './generated/constants/system.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber } from './fd.ts'
import { bind } from './raw.ts'
import { bytes } from './raw/arguments.ts'
import { alloc } from './struct.ts'
import * as structs from './generated/structs/system.ts'

const raw = bind('ioctl', 'int', 'int', 'ptr')

/**
 * `ioctl(fd, RNDGETENTCNT, &count)` — how many bits of entropy the generator has: 256 when it is ready.
 *
 * @param fd - /dev/random or /dev/urandom
 * @see https://man7.org/linux/man-pages/man4/random.4.html
 *
 * @example
 * ```ts
 * import { AT_FDCWD, O_RDONLY } from '@pkg/sys/constants'
 * import { openat } from '@pkg/sys/fs'
 * import { ioctl_rndgetentcnt } from '@pkg/sys/random'
 *
 * using device = openat(AT_FDCWD, '/dev/urandom', O_RDONLY)
 * console.assert(ioctl_rndgetentcnt(device) >= 0)
 * ```
 */
export function ioctl_rndgetentcnt(fd: AsFd): number {
  const word = new Int32Array(new ArrayBuffer(4))
  check(raw(fdNumber(fd), RNDGETENTCNT, word), 'ioctl')
  return word[0] ?? 0
}

/**
 * `ioctl(fd, RNDADDENTROPY, rand_pool_info)` — stirs a seed in, and credits it as entropy: one that was kept from the
 * last boot, or that a host gave. Needs: CAP_SYS_ADMIN. Written into the device a seed is stirred in too, uncredited.
 *
 * @param entropyBits - at most eight times the bytes of `seed`
 * @throws {@link SysError} `EPERM`; `EINVAL` negative
 */
export function ioctl_rndaddentropy(fd: AsFd, seed: Uint8Array, entropyBits: number): void {
  const struct = alloc(structs.rand_pool_info, bytes(seed, 'seed').length)
  if (entropyBits > 8 * seed.length)
    throw new RangeError(`entropyBits: ${entropyBits} in ${seed.length} bytes`)
  struct.set('entropy_count', entropyBits)
  struct.set('buf_size', seed.length)
  struct.bytes.set(seed, structs.rand_pool_info.size)
  check(raw(fdNumber(fd), RNDADDENTROPY, struct.bytes), 'ioctl')
}

/**
 * `ioctl(fd, RNDRESEEDCRNG)` — makes a new key from what was stirred in at once, and not in some minutes: a virtual
 * machine that was restored does so, as its copies share the old one. Needs: CAP_SYS_ADMIN.
 *
 * @throws {@link SysError} `EPERM`; `ENODATA` the generator is not ready
 */
export function ioctl_rndreseedcrng(fd: AsFd): void {
  check(raw(fdNumber(fd), RNDRESEEDCRNG, null), 'ioctl')
}
