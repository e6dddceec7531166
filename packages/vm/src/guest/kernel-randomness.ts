/**
 * The kernel's randomness after a restore. Guests of one snapshot have the same memory, and with it the same state of
 * every random number generator in it; those of processes are renewed by own-randomness.ts.
 */
import { AT_FDCWD, O_WRONLY, RNDADDENTROPY, RNDRESEEDCRNG } from '@pkg/sys/constants'
import { openat } from '@pkg/sys/fs'
import { ioctl } from '@pkg/sys/io'

/**
 * Stirs `seed` into the kernel's generator and has it make a new key at once.
 *
 * Needs: CAP_SYS_ADMIN.
 *
 * @see https://man7.org/linux/man-pages/man4/random.4.html
 */
export function reseedKernel(seed: Uint8Array): void {
  using device = openat(AT_FDCWD, '/dev/urandom', O_WRONLY)
  // struct rand_pool_info: entropy_count in bits, buf_size in bytes, buf.
  const info = new Uint8Array(new ArrayBuffer(8 + seed.length))
  new Int32Array(info.buffer, 0, 2).set([seed.length * 8, seed.length])
  info.set(seed, 8)
  ioctl(device, RNDADDENTROPY, info)
  ioctl(device, RNDRESEEDCRNG)
}
