/** The newc header: six characters of magic, then thirteen numbers of eight hexadecimal digits. */
import type { typeBits } from '../tree/mode.ts'

/** Bytes of a header. @see https://docs.kernel.org/driver-api/early-userspace/buffer-format.html */
export const headerBytes = 110

/** The name that ends an archive; the table of hard links ends with it. */
export const trailerName = 'TRAILER!!!'

/** The most that a name may have with its NUL: PATH_MAX (linux/limits.h); the kernel skips entries with more. */
export const nameBytesMax = 4096

/** A kind of file that an archive can hold. */
export type CpioType = keyof typeof typeBits

/** The numbers of a header, in their order in it. */
export const headerFields = [
  'ino',
  'mode',
  'uid',
  'gid',
  'nlink',
  'mtime',
  'filesize',
  'devmajor',
  'devminor',
  'rdevmajor',
  'rdevminor',
  'namesize',
  'check',
] as const

/** A header's numbers, each 0 to 2³² − 1. */
export type CpioHeader = Record<(typeof headerFields)[number], number>

/** Zeros needed after `length` bytes to reach a multiple of `alignment`. */
export function paddingBytes(length: number, alignment: number): number {
  return (alignment - (length % alignment)) % alignment
}
