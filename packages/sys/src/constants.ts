/**
 * Every constant of the kernel's interface under its own name: `MS_BIND`, `O_CLOEXEC`, `RTM_NEWLINK`.
 *
 * Values are those of the architecture that runs; a constant that exists on one architecture only is
 * `number | undefined`. {@link differing} has the values of both for programs compiled for another machine.
 * Values above 2^53 (`RLIM_INFINITY`) are bigints. `SIGRTMIN` is 34, as libc and every man page count it.
 *
 * Generated from the UAPI headers; a test compares them with the C compiler's.
 *
 * @example
 * ```ts
 * import { MS_BIND, MS_REC } from '@pkg/sys/constants'
 * const flags = MS_BIND | MS_REC
 * ```
 * @see https://github.com/torvalds/linux/tree/master/include/uapi
 * @module
 */

export * from './generated/constants.ts'
