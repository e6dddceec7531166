// prctl(2), one function for each of its meanings. Those of subreapers and names are in `@pkg/sys/process`.
import {
  PR_CAPBSET_DROP,
  PR_CAPBSET_READ,
  PR_CAP_AMBIENT,
  PR_CAP_AMBIENT_CLEAR_ALL,
  PR_CAP_AMBIENT_IS_SET,
  PR_CAP_AMBIENT_LOWER,
  PR_CAP_AMBIENT_RAISE,
  PR_GET_DUMPABLE,
  PR_GET_IO_FLUSHER,
  PR_GET_KEEPCAPS,
  PR_GET_MDWE,
  PR_GET_NAME,
  PR_GET_NO_NEW_PRIVS,
  PR_GET_PDEATHSIG,
  PR_GET_SECCOMP,
  PR_GET_SECUREBITS,
  PR_GET_SPECULATION_CTRL,
  PR_GET_THP_DISABLE,
  PR_GET_TIMERSLACK,
  PR_GET_TSC,
  PR_MCE_KILL,
  PR_MCE_KILL_CLEAR,
  PR_MCE_KILL_GET,
  PR_MCE_KILL_SET,
  PR_SET_DUMPABLE,
  PR_SET_IO_FLUSHER,
  PR_SET_KEEPCAPS,
  PR_SET_MDWE,
  PR_SET_NO_NEW_PRIVS,
  PR_SET_PDEATHSIG,
  PR_SET_PTRACER,
  PR_SET_SECUREBITS,
  PR_SET_SPECULATION_CTRL,
  PR_SET_THP_DISABLE,
  PR_SET_TIMERSLACK,
  PR_SET_VMA,
  PR_SET_VMA_ANON_NAME,
} from './generated/constants/prctl.ts'
import { check } from './errno.ts'
import { checkMeaning } from './errno/check-meaning.ts'
import { liveMapping } from './memory/mapping.ts'
import type { Mapping } from './memory.ts'
import { bind } from './raw.ts'
import { fromCString, optionalCString, s32, size, u32 } from './raw/arguments.ts'

const raw = {
  prctl: bind('prctl', 'int', 'int', 'int', 'int', 'int'),
  prctlPointer: bind('prctl', 'int', 'ptr', 'int', 'int', 'int'),
  prctlName: bind('prctl', 'int', 'int', 'int', 'int', 'ptr'),
}

/** The kernel refuses some operations whose unused arguments are not zero. */
function call(operation: number, first = 0, second = 0, third = 0): number {
  return check(raw.prctl(operation, first, second, third, 0), 'prctl')
}

/**
 * `prctl(PR_GET_NAME, name)` — the calling thread's name, at most 15 bytes.
 *
 * @see https://man7.org/linux/man-pages/man2/PR_GET_NAME.2const.html
 */
export function prctl_get_name(): string {
  const name = new Uint8Array(new ArrayBuffer(16))
  check(raw.prctlPointer(PR_GET_NAME, name, 0, 0, 0), 'prctl')
  return fromCString(name)
}

/**
 * `prctl(PR_SET_PDEATHSIG, sig)` — the signal that this process gets when the thread that made it ends; 0 for none.
 *
 * It is about the parent's thread, not its process, and is cleared when credentials change.
 *
 * @throws {@link SysError} `EINVAL` no such signal
 * @see https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
 */
export function prctl_set_pdeathsig(signal: number): void {
  call(PR_SET_PDEATHSIG, u32(signal, 'signal'))
}

/** `prctl(PR_GET_PDEATHSIG, &sig)` — see {@link prctl_set_pdeathsig}. */
export function prctl_get_pdeathsig(): number {
  const signal = new Int32Array(new ArrayBuffer(4))
  check(raw.prctlPointer(PR_GET_PDEATHSIG, signal, 0, 0, 0), 'prctl')
  return signal[0] ?? 0
}

/**
 * `prctl(PR_SET_DUMPABLE, dumpable)` — whether the process leaves cores and may be traced by its own user.
 *
 * @see https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html
 */
export function prctl_set_dumpable(dumpable: boolean): void {
  call(PR_SET_DUMPABLE, dumpable ? 1 : 0)
}

/** `prctl(PR_GET_DUMPABLE)` — see {@link prctl_set_dumpable}; false also for 2, "for root only". */
export function prctl_get_dumpable(): boolean {
  return call(PR_GET_DUMPABLE) === 1
}

/**
 * `prctl(PR_SET_KEEPCAPS, keep)` — whether the calling thread keeps its permitted capabilities when it leaves uid 0.
 *
 * Changes this thread alone, until the next exec.
 *
 * @throws {@link SysError} `EPERM` locked by the securebits
 * @see https://man7.org/linux/man-pages/man2/PR_SET_KEEPCAPS.2const.html
 */
export function prctl_set_keepcaps(keep: boolean): void {
  call(PR_SET_KEEPCAPS, keep ? 1 : 0)
}

/** `prctl(PR_GET_KEEPCAPS)` — see {@link prctl_set_keepcaps}. */
export function prctl_get_keepcaps(): boolean {
  return call(PR_GET_KEEPCAPS) === 1
}

/**
 * `prctl(PR_SET_NO_NEW_PRIVS, 1)` — from now on no exec gives this thread or its children more rights. Cannot be undone.
 *
 * Changes this thread alone: the engine's other threads can still gain rights.
 *
 * @see https://man7.org/linux/man-pages/man2/PR_SET_NO_NEW_PRIVS.2const.html
 */
export function prctl_set_no_new_privs(): void {
  call(PR_SET_NO_NEW_PRIVS, 1)
}

/** `prctl(PR_GET_NO_NEW_PRIVS)` — see {@link prctl_set_no_new_privs}. */
export function prctl_get_no_new_privs(): boolean {
  return call(PR_GET_NO_NEW_PRIVS) === 1
}

/**
 * `prctl(PR_CAPBSET_READ, cap)` — whether the calling thread's bounding set has a capability.
 *
 * @throws {@link SysError} `EINVAL` no such capability in this kernel
 * @see https://man7.org/linux/man-pages/man2/PR_CAPBSET_READ.2const.html
 *
 * @example
 * ```ts
 * import { CAP_CHOWN } from '@pkg/sys/constants'
 * import { prctl_capbset_read } from '@pkg/sys/prctl'
 *
 * console.assert(typeof prctl_capbset_read(CAP_CHOWN) === 'boolean')
 * ```
 */
export function prctl_capbset_read(capability: number): boolean {
  return call(PR_CAPBSET_READ, u32(capability, 'capability')) === 1
}

/**
 * `prctl(PR_CAPBSET_DROP, cap)` — takes a capability out of the calling thread's bounding set, for good.
 *
 * Changes this thread alone. Needs: CAP_SETPCAP.
 *
 * @throws {@link SysError} `EPERM`; `EINVAL` no such capability
 * @see https://man7.org/linux/man-pages/man2/PR_CAPBSET_DROP.2const.html
 */
export function prctl_capbset_drop(capability: number): void {
  const result = raw.prctl(PR_CAPBSET_DROP, u32(capability, 'capability'), 0, 0, 0)
  checkMeaning(result, 'prctl', 'prctl_capbset_drop')
}

/**
 * `prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap)` — lets programs without privilege of their own inherit one.
 *
 * Changes this thread alone.
 *
 * @throws {@link SysError} `EPERM` it is not both permitted and inheritable
 * @see https://man7.org/linux/man-pages/man2/PR_CAP_AMBIENT.2const.html
 */
export function prctl_cap_ambient_raise(capability: number): void {
  call(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, u32(capability, 'capability'))
}

/** `prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, cap)` — see {@link prctl_cap_ambient_raise}. */
export function prctl_cap_ambient_lower(capability: number): void {
  call(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, u32(capability, 'capability'))
}

/** `prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap)` — see {@link prctl_cap_ambient_raise}. */
export function prctl_cap_ambient_is_set(capability: number): boolean {
  return call(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, u32(capability, 'capability')) === 1
}

/** `prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)` — see {@link prctl_cap_ambient_raise}. */
export function prctl_cap_ambient_clear_all(): void {
  call(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
}

/**
 * `prctl(PR_SET_SECUREBITS, bits)` — what uid 0 is worth to the calling thread.
 *
 * Changes this thread alone. Needs: CAP_SETPCAP.
 *
 * @param bits - `SECBIT_*`: 1 << SECURE_NOROOT, 1 << SECURE_NO_SETUID_FIXUP …
 * @throws {@link SysError} `EPERM` not allowed, or locked
 * @see https://man7.org/linux/man-pages/man2/PR_SET_SECUREBITS.2const.html
 */
export function prctl_set_securebits(bits: number): void {
  checkMeaning(raw.prctl(PR_SET_SECUREBITS, u32(bits, 'bits'), 0, 0, 0), 'prctl', 'prctl_set_securebits')
}

/** `prctl(PR_GET_SECUREBITS)` — see {@link prctl_set_securebits}. */
export function prctl_get_securebits(): number {
  return call(PR_GET_SECUREBITS)
}

/**
 * `prctl(PR_SET_TIMERSLACK, slack)` — by how many nanoseconds the calling thread's sleeps may be grouped with others.
 *
 * @param slackNs - 0: the value that it was born with
 * @see https://man7.org/linux/man-pages/man2/PR_SET_TIMERSLACK.2const.html
 */
export function prctl_set_timerslack(slackNs: number): void {
  call(PR_SET_TIMERSLACK, size(slackNs, 'slackNs'))
}

/** `prctl(PR_GET_TIMERSLACK)` — see {@link prctl_set_timerslack}; nanoseconds. */
export function prctl_get_timerslack(): number {
  return call(PR_GET_TIMERSLACK)
}

/**
 * `prctl(PR_SET_THP_DISABLE, on)` — whether the process does without transparent huge pages.
 *
 * @see https://man7.org/linux/man-pages/man2/PR_SET_THP_DISABLE.2const.html
 */
export function prctl_set_thp_disable(on: boolean): void {
  call(PR_SET_THP_DISABLE, on ? 1 : 0)
}

/** `prctl(PR_GET_THP_DISABLE)` — see {@link prctl_set_thp_disable}. */
export function prctl_get_thp_disable(): boolean {
  return call(PR_GET_THP_DISABLE) !== 0
}

/**
 * `prctl(PR_SET_IO_FLUSHER, on)` — says that the calling thread serves block devices: its allocations wait for no I/O.
 *
 * Needs: CAP_SYS_RESOURCE.
 *
 * @see https://man7.org/linux/man-pages/man2/PR_SET_IO_FLUSHER.2const.html
 */
export function prctl_set_io_flusher(on: boolean): void {
  checkMeaning(raw.prctl(PR_SET_IO_FLUSHER, on ? 1 : 0, 0, 0, 0), 'prctl', 'prctl_set_io_flusher')
}

/** `prctl(PR_GET_IO_FLUSHER)` — see {@link prctl_set_io_flusher}. */
export function prctl_get_io_flusher(): boolean {
  return call(PR_GET_IO_FLUSHER) === 1
}

/**
 * `prctl(PR_SET_PTRACER, pid)` — who besides root may trace this process under Yama.
 *
 * @param pid - 0 for nobody
 * @throws {@link SysError} `EINVAL` no such process, or no Yama
 * @see https://man7.org/linux/man-pages/man2/PR_SET_PTRACER.2const.html
 */
export function prctl_set_ptracer(pid: number): void {
  call(PR_SET_PTRACER, s32(pid, 'pid'))
}

/**
 * `prctl(PR_GET_SPECULATION_CTRL, misfeature)` — what the calling thread may do about a speculation misfeature.
 *
 * @param misfeature - PR_SPEC_STORE_BYPASS, PR_SPEC_INDIRECT_BRANCH …
 * @returns PR_SPEC_* bits
 * @throws {@link SysError} `ENODEV` the processor has it not; `EINVAL` unknown
 * @see https://man7.org/linux/man-pages/man2/PR_GET_SPECULATION_CTRL.2const.html
 */
export function prctl_get_speculation_ctrl(misfeature: number): number {
  return call(PR_GET_SPECULATION_CTRL, u32(misfeature, 'misfeature'))
}

/** `prctl(PR_SET_SPECULATION_CTRL, misfeature, control)` — see {@link prctl_get_speculation_ctrl}. This thread alone. */
export function prctl_set_speculation_ctrl(misfeature: number, control: number): void {
  call(PR_SET_SPECULATION_CTRL, u32(misfeature, 'misfeature'), u32(control, 'control'))
}

/** `prctl(PR_GET_SECCOMP)` — SECCOMP_MODE_DISABLED or SECCOMP_MODE_FILTER of the calling thread. */
export function prctl_get_seccomp(): number {
  return call(PR_GET_SECCOMP)
}

/**
 * `prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, addr, size, name)` — names a mapping without a file: `[anon:name]` in
 * /proc/self/maps. In kernels since Linux 5.17 that were built with CONFIG_ANON_VMA_NAME.
 *
 * @param name - at most 79 printable characters, none of them `[ ] \ $` or a backquote; null takes the name away
 * @throws {@link SysError} `EINVAL` another name, or a kernel without; `EBADF` the mapping is of a file
 * @see https://man7.org/linux/man-pages/man2/PR_SET_VMA.2const.html
 */
export function prctl_set_vma_anon_name(mapping: Mapping, name: string | null): void {
  const { address, bytes } = liveMapping(mapping)
  const text = optionalCString(name, 'name')
  const result = raw.prctlName(PR_SET_VMA, PR_SET_VMA_ANON_NAME, address, bytes.length, text)
  check(result, 'prctl', name ?? undefined)
}

/**
 * `prctl(PR_SET_MDWE, bits)` — from now on no memory of the process becomes executable after it was writable. Cannot be
 * undone; children inherit it, and keep it when they execute a program. In kernels since Linux 6.3.
 *
 * The engine goes on with the memory that it has for its code. What maps such memory later is refused with `EACCES`:
 * programs of `@pkg/sys/program`, and with them `spawn`, before whose steps this belongs.
 *
 * @param bits - PR_MDWE_REFUSE_EXEC_GAIN, with PR_MDWE_NO_INHERIT (Linux 6.6)
 * @throws {@link SysError} `EPERM` to take back what was set; `EINVAL` an older kernel
 * @see https://man7.org/linux/man-pages/man2/PR_SET_MDWE.2const.html
 */
export function prctl_set_mdwe(bits: number): void {
  call(PR_SET_MDWE, u32(bits, 'bits'))
}

/** `prctl(PR_GET_MDWE)` — see {@link prctl_set_mdwe}. */
export function prctl_get_mdwe(): number {
  return call(PR_GET_MDWE)
}

/**
 * `prctl(PR_MCE_KILL, PR_MCE_KILL_SET, policy)` — when memory fails: whether the calling thread gets SIGBUS at once or when
 * it touches it. Changes this thread alone.
 *
 * @param policy - PR_MCE_KILL_EARLY, PR_MCE_KILL_LATE, PR_MCE_KILL_DEFAULT; null: that of vm.memory_failure_early_kill
 * @throws {@link SysError} `EINVAL` no such policy
 * @see https://man7.org/linux/man-pages/man2/PR_MCE_KILL.2const.html
 */
export function prctl_mce_kill(policy: number | null): void {
  if (policy === null) call(PR_MCE_KILL, PR_MCE_KILL_CLEAR)
  else call(PR_MCE_KILL, PR_MCE_KILL_SET, u32(policy, 'policy'))
}

/** `prctl(PR_MCE_KILL_GET)` — see {@link prctl_mce_kill}. */
export function prctl_mce_kill_get(): number {
  return call(PR_MCE_KILL_GET)
}

/**
 * `prctl(PR_GET_TSC, state)` — whether the calling thread may read the processor's time: PR_TSC_ENABLE or PR_TSC_SIGSEGV.
 * The engine reads it all the time, so that only a step of `spawn` can forbid it: `child.call('prctl', PR_SET_TSC, …)`.
 *
 * @throws {@link SysError} `EINVAL` a processor or kernel without
 * @see https://man7.org/linux/man-pages/man2/PR_GET_TSC.2const.html
 */
export function prctl_get_tsc(): number {
  const state = new Int32Array(new ArrayBuffer(4))
  check(raw.prctlPointer(PR_GET_TSC, state, 0, 0, 0), 'prctl')
  return state[0] ?? 0
}
