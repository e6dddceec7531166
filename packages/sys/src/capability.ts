// Capabilities of threads, as sets of 64 bits.
import { check } from './errno.ts'
import { bind } from './raw.ts'
import { s32, u64 } from './raw/arguments.ts'

const raw = {
  capget: bind('capget', 'ptr', 'ptr'),
  capset: bind('capset', 'ptr', 'ptr'),
}

/** `_LINUX_CAPABILITY_VERSION_3` (linux/capability.h): sets of two 32-bit words. */
const capabilityVersion3 = 0x2008_0522

/** A thread's three sets that capget(2) knows; bit n is the capability n. */
export interface CapabilitySets {
  /** What it may do now. */
  effective: bigint
  /** What it may make effective. */
  permitted: bigint
  /** What a program may get by its file's inheritable set. */
  inheritable: bigint
}

/**
 * The set of some capabilities.
 *
 * @param capabilities - CAP_CHOWN, CAP_SYS_ADMIN …
 *
 * @example
 * ```ts
 * import { CAP_CHOWN, CAP_KILL } from '@pkg/sys/constants'
 * import { capabilitySet } from '@pkg/sys/capability'
 *
 * console.assert(capabilitySet(CAP_CHOWN, CAP_KILL) === 0b10_0001n)
 * ```
 */
export function capabilitySet(...capabilities: number[]): bigint {
  return capabilities.reduce((set, capability) => {
    if (!Number.isInteger(capability) || capability < 0 || capability > 63)
      throw new RangeError(`not a capability: ${capability}`)
    return set | (1n << BigInt(capability))
  }, 0n)
}

/**
 * `capget(hdrp, datap)` — the capabilities of the thread `pid`.
 *
 * @param pid - 0 for the calling thread
 * @throws {@link SysError} `ESRCH` no such thread
 * @see https://man7.org/linux/man-pages/man2/capget.2.html
 *
 * @example
 * ```ts
 * import { capget } from '@pkg/sys/capability'
 *
 * const { effective, permitted } = capget()
 * console.assert((effective & ~permitted) === 0n)
 * ```
 */
export function capget(pid = 0): CapabilitySets {
  const data = new Uint32Array(new ArrayBuffer(24))
  check(raw.capget(header(pid), data), 'capget')
  // Two __user_cap_data_struct: effective, permitted, inheritable of the low word, then of the high one.
  const set = (index: number): bigint => BigInt(data[index] ?? 0) | (BigInt(data[index + 3] ?? 0) << 32n)
  return { effective: set(0), permitted: set(1), inheritable: set(2) }
}

/**
 * `capset(hdrp, datap)` — sets the capabilities of the calling thread.
 *
 * Changes this thread alone: the engine's other threads keep theirs. To start a program without them, use `spawn`.
 *
 * @throws {@link SysError} `EPERM` more permitted than before, or effective beyond permitted
 * @see https://man7.org/linux/man-pages/man2/capset.2.html
 */
export function capset(sets: CapabilitySets): void {
  const words = [sets.effective, sets.permitted, sets.inheritable].map((set) => u64(set, 'capability set'))
  const low = words.map((word) => Number(word & 0xffff_ffffn))
  const high = words.map((word) => Number(word >> 32n))
  const data = new Uint32Array(new ArrayBuffer(24))
  data.set([...low, ...high])
  check(raw.capset(header(0), data), 'capset')
}

/** `struct __user_cap_header_struct`: version, pid. */
function header(pid: number): Uint32Array {
  const words = new Uint32Array(new ArrayBuffer(8))
  words.set([capabilityVersion3, s32(pid, 'pid')])
  return words
}
