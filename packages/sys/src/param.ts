// Parameters of the machine and the process that the kernel tells when it executes a program: getauxval(3).
import { AT_CLKTCK, AT_HWCAP, AT_HWCAP2, AT_PAGESZ } from './generated/constants/errno.ts'
import { auxiliaryVector } from './param/auxiliary-vector.ts'
import { u32 } from './raw/arguments.ts'

/**
 * A value of the auxiliary vector, as getauxval(3) gives it; undefined for a type that it lacks.
 *
 * @param type - AT_PAGESZ, AT_SECURE, AT_MINSIGSTKSZ …. Some values are addresses
 * @throws {@link SysError} `ENOENT` before Linux 6.4 without /proc
 * @see https://man7.org/linux/man-pages/man3/getauxval.3.html
 *
 * @example
 * ```ts
 * import { AT_SECURE } from '@pkg/sys/constants'
 * import { getauxval, pageSize } from '@pkg/sys/param'
 *
 * console.assert(getauxval(AT_SECURE) === 0n) // not set-user-ID
 * console.assert(pageSize() >= 4096)
 * ```
 */
export function getauxval(type: number): bigint | undefined {
  return auxiliaryVector().get(u32(type, 'type'))
}

/** Bytes of a page: what `mmap` counts in. 4096 on x86-64; also 16384 or 65536 on arm64. */
export function pageSize(): number {
  return Number(getauxval(AT_PAGESZ) ?? 4096)
}

/** How many of the ticks that /proc/<pid>/stat and times(2) count are a second: 100 on every Linux of today. */
export function clockTicksPerSecond(): number {
  return Number(getauxval(AT_CLKTCK) ?? 100)
}

/** What the processor can do, as the kernel says it. */
export interface HardwareCapabilities {
  /** AT_HWCAP: HWCAP_* of arm64; on x86-64 what cpuid leaf 1 leaves in edx. */
  hwcap: bigint
  /** AT_HWCAP2: HWCAP2_*. */
  hwcap2: bigint
}

/** The processor's features that programs may use; 0 where the kernel says nothing. */
export function hardwareCapabilities(): HardwareCapabilities {
  return { hwcap: getauxval(AT_HWCAP) ?? 0n, hwcap2: getauxval(AT_HWCAP2) ?? 0n }
}
