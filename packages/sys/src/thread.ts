// What belongs to the calling thread alone: users and groups as the kernel keeps them, signals to one thread, the
// processor. The C library hides that user ids are a thread's; the kernel does not, and the engine has other threads,
// which keep theirs. To start a program as another user use `spawn`.
import { check } from './errno.ts'
import { bind } from './raw.ts'
import { s32, u32 } from './raw/arguments.ts'

const raw = {
  setuid: bind('setuid', 'int'),
  setgid: bind('setgid', 'int'),
  setreuid: bind('setreuid', 'int', 'int'),
  setregid: bind('setregid', 'int', 'int'),
  setresuid: bind('setresuid', 'int', 'int', 'int'),
  setresgid: bind('setresgid', 'int', 'int', 'int'),
  getresuid: bind('getresuid', 'ptr', 'ptr', 'ptr'),
  getresgid: bind('getresgid', 'ptr', 'ptr', 'ptr'),
  setfsuid: bind('setfsuid', 'int'),
  setfsgid: bind('setfsgid', 'int'),
  getgroups: bind('getgroups', 'int', 'ptr'),
  setgroups: bind('setgroups', 'int', 'ptr'),
  tgkill: bind('tgkill', 'int', 'int', 'int'),
  tkill: bind('tkill', 'int', 'int'),
  getcpu: bind('getcpu', 'ptr', 'ptr', 'ptr'),
  membarrier: bind('membarrier', 'int', 'int', 'int'),
}

/** Real, effective and saved id. */
export interface Ids {
  /** Who started it. */
  real: number
  /** Whose rights it has. */
  effective: number
  /** What the effective one may become again. */
  saved: number
}

/**
 * `setuid(uid)` — sets the effective user id, and for root the real and saved ones. Changes this thread alone.
 *
 * @throws {@link SysError} `EPERM`; `EINVAL` the namespace does not map the id
 * @see https://man7.org/linux/man-pages/man2/setuid.2.html
 */
export function setuid(uid: number): void {
  check(raw.setuid(u32(uid, 'uid')), 'setuid')
}

/** `setgid(gid)` — sets the effective group id, and for root all three. Changes this thread alone. */
export function setgid(gid: number): void {
  check(raw.setgid(u32(gid, 'gid')), 'setgid')
}

/** `setreuid(ruid, euid)` — sets real and effective user id; −1 leaves one. Changes this thread alone. */
export function setreuid(real: number, effective: number): void {
  check(raw.setreuid(u32(real, 'real'), u32(effective, 'effective')), 'setreuid')
}

/** `setregid(rgid, egid)` — sets real and effective group id; −1 leaves one. Changes this thread alone. */
export function setregid(real: number, effective: number): void {
  check(raw.setregid(u32(real, 'real'), u32(effective, 'effective')), 'setregid')
}

/**
 * `setresuid(ruid, euid, suid)` — sets real, effective and saved user id; −1 leaves one. Changes this thread alone: the
 * threads of the engine that read files stay who they were.
 *
 * @throws {@link SysError} `EPERM` without CAP_SETUID; `EINVAL` the namespace does not map an id
 * @see https://man7.org/linux/man-pages/man2/setresuid.2.html
 */
export function setresuid(real: number, effective: number, saved: number): void {
  check(raw.setresuid(u32(real, 'real'), u32(effective, 'effective'), u32(saved, 'saved')), 'setresuid')
}

/** `setresgid(rgid, egid, sgid)` — sets real, effective and saved group id; −1 leaves one. Changes this thread alone. */
export function setresgid(real: number, effective: number, saved: number): void {
  check(raw.setresgid(u32(real, 'real'), u32(effective, 'effective'), u32(saved, 'saved')), 'setresgid')
}

/**
 * `getresuid(ruid, euid, suid)` — the calling thread's user ids.
 *
 * @see https://man7.org/linux/man-pages/man2/getresuid.2.html
 *
 * @example
 * ```ts
 * import { getresuid } from '@pkg/sys/thread'
 *
 * console.assert(getresuid().real === process.getuid?.())
 * ```
 */
export function getresuid(): Ids {
  return ids(raw.getresuid, 'getresuid')
}

/** `getresgid(rgid, egid, sgid)` — the calling thread's group ids. */
export function getresgid(): Ids {
  return ids(raw.getresgid, 'getresgid')
}

function ids(call: typeof raw.getresuid, name: string): Ids {
  const [real, effective, saved] = [0, 1, 2].map(() => new Uint32Array(new ArrayBuffer(4))) as [
    Uint32Array,
    Uint32Array,
    Uint32Array,
  ]
  check(call(real, effective, saved), name)
  return { real: real[0] ?? 0, effective: effective[0] ?? 0, saved: saved[0] ?? 0 }
}

/**
 * `setfsuid(fsuid)` — sets the user id by which the calling thread uses files; returns the one before. It cannot report
 * failure: compare with a second call.
 *
 * @see https://man7.org/linux/man-pages/man2/setfsuid.2.html
 */
export function setfsuid(uid: number): number {
  return raw.setfsuid(u32(uid, 'uid'))
}

/** `setfsgid(fsgid)` — {@link setfsuid} of the group. */
export function setfsgid(gid: number): number {
  return raw.setfsgid(u32(gid, 'gid'))
}

/** linux/limits.h: `NGROUPS_MAX`. */
const groupsMax = 65_536

/**
 * `getgroups(size, list)` — the calling thread's supplementary groups.
 *
 * @see https://man7.org/linux/man-pages/man2/getgroups.2.html
 */
export function getgroups(): number[] {
  const count = check(raw.getgroups(0, null), 'getgroups')
  const list = new Uint32Array(new ArrayBuffer(4 * Math.max(count, 1)))
  return [...list.subarray(0, check(raw.getgroups(count, list), 'getgroups'))]
}

/**
 * `setgroups(size, list)` — sets the supplementary groups. Changes this thread alone. Needs: CAP_SETGID.
 *
 * @throws {@link SysError} `EPERM`, in a user namespace also while /proc/self/setgroups says deny; `EINVAL`
 * @see https://man7.org/linux/man-pages/man2/setgroups.2.html
 */
export function setgroups(groups: readonly number[]): void {
  if (groups.length > groupsMax) throw new RangeError(`${groups.length} groups: at most ${groupsMax}`)
  const list = new Uint32Array(new ArrayBuffer(4 * Math.max(groups.length, 1)))
  list.set(groups.map((group) => u32(group, 'group')))
  check(raw.setgroups(groups.length, list), 'setgroups')
}

/**
 * `tgkill(tgid, tid, sig)` — sends a signal to one thread of a process.
 *
 * @throws {@link SysError} `ESRCH` no such thread in that process; `EPERM`; `EINVAL`
 * @see https://man7.org/linux/man-pages/man2/tgkill.2.html
 */
export function tgkill(tgid: number, tid: number, signal: number): void {
  check(raw.tgkill(s32(tgid, 'tgid'), s32(tid, 'tid'), u32(signal, 'signal')), 'tgkill')
}

/** `tkill(tid, sig)` — sends a signal to a thread, whose id may be another's by now: prefer {@link tgkill}. */
export function tkill(tid: number, signal: number): void {
  check(raw.tkill(s32(tid, 'tid'), u32(signal, 'signal')), 'tkill')
}

/**
 * `getcpu(cpu, node, NULL)` — the processor and the memory node that the calling thread runs on, at this moment.
 *
 * @see https://man7.org/linux/man-pages/man2/getcpu.2.html
 */
export function getcpu(): { cpu: number; node: number } {
  const [cpu, node] = [new Uint32Array(new ArrayBuffer(4)), new Uint32Array(new ArrayBuffer(4))]
  check(raw.getcpu(cpu, node, null), 'getcpu')
  return { cpu: cpu[0] ?? 0, node: node[0] ?? 0 }
}

/**
 * `membarrier(cmd, flags, cpu_id)` — a memory barrier on all threads; MEMBARRIER_CMD_QUERY returns what the kernel has.
 *
 * Blocks: some commands wait for every processor, milliseconds.
 *
 * @throws {@link SysError} `EINVAL` unknown; `EPERM` an expedited one without its registration
 * @see https://man7.org/linux/man-pages/man2/membarrier.2.html
 */
export function membarrier(command: number, flags = 0, cpu = 0): number {
  return check(raw.membarrier(u32(command, 'command'), u32(flags, 'flags'), s32(cpu, 'cpu')), 'membarrier')
}
