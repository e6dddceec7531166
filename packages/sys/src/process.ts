// Calls about processes: who they are, telling them, waiting for them.
import { PR_GET_CHILD_SUBREAPER, PR_SET_CHILD_SUBREAPER, PR_SET_NAME } from './generated/constants/prctl.ts'
import { P_PIDFD } from './generated/constants/process.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber, OwnedFd } from './fd.ts'
import { decodeRusage, type Rusage } from './limits/rusage.ts'
import { bind } from './raw.ts'
import { cString, s32, s64, u32 } from './raw/arguments.ts'
import { alloc } from './struct.ts'
import * as structs from './generated/structs/process.ts'

const raw = {
  getpid: bind('getpid'),
  getppid: bind('getppid'),
  gettid: bind('gettid'),
  getuid: bind('getuid'),
  geteuid: bind('geteuid'),
  getgid: bind('getgid'),
  getegid: bind('getegid'),
  getsid: bind('getsid', 'int'),
  setsid: bind('setsid'),
  getpgid: bind('getpgid', 'int'),
  setpgid: bind('setpgid', 'int', 'int'),
  personality: bind('personality', 'int'),
  kcmp: bind('kcmp', 'int', 'int', 'int', 'int', 'int'),
  pidfdGetfd: bind('pidfd_getfd', 'int', 'int', 'int'),
  wait4: bind('wait4', 'int', 'ptr', 'int', 'ptr'),
  kill: bind('kill', 'int', 'int'),
  pidfdOpen: bind('pidfd_open', 'int', 'int'),
  pidfdSendSignal: bind('pidfd_send_signal', 'int', 'int', 'ptr', 'int'),
  waitid: bind('waitid', 'int', 'int', 'ptr', 'int', 'ptr'),
  prctl: bind('prctl', 'int', 'int', 'int', 'int', 'int'),
  prctlPointer: bind('prctl', 'int', 'ptr', 'int', 'int', 'int'),
}

/**
 * `getpid()` — this process's id.
 *
 * @see https://man7.org/linux/man-pages/man2/getpid.2.html
 *
 * @example
 * ```ts
 * import { getpid, getppid } from '@pkg/sys/process'
 *
 * console.assert(getpid() === process.pid && getppid() === process.ppid)
 * ```
 */
export const getpid: () => number = raw.getpid

/** `getppid()` — the parent's id; 0 when it lives in an outer pid namespace. */
export const getppid: () => number = raw.getppid

/** `gettid()` — the calling thread's id: that of the process on JavaScript's main thread. */
export const gettid: () => number = raw.gettid

/** `getuid()` — the calling thread's real user id. */
export const getuid: () => number = raw.getuid

/** `geteuid()` — the calling thread's effective user id. */
export const geteuid: () => number = raw.geteuid

/** `getgid()` — the calling thread's real group id. */
export const getgid: () => number = raw.getgid

/** `getegid()` — the calling thread's effective group id. */
export const getegid: () => number = raw.getegid

/**
 * `getsid(pid)` — the session of `pid`; 0 means this process.
 *
 * @throws {@link SysError} `ESRCH` no such process
 */
export function getsid(pid = 0): number {
  return check(raw.getsid(s32(pid, 'pid')), 'getsid')
}

/**
 * `setsid()` — makes this process the leader of a new session without a terminal; returns the session's id.
 *
 * @throws {@link SysError} `EPERM` it leads a process group already
 * @see https://man7.org/linux/man-pages/man2/setsid.2.html
 */
export function setsid(): number {
  return check(raw.setsid(), 'setsid')
}

/**
 * `getpgid(pid)` — the process group of `pid`; 0 means this process.
 *
 * @throws {@link SysError} `ESRCH` no such process
 * @see https://man7.org/linux/man-pages/man2/setpgid.2.html
 */
export function getpgid(pid = 0): number {
  return check(raw.getpgid(s32(pid, 'pid')), 'getpgid')
}

/**
 * `setpgid(pid, pgid)` — moves a process of one's own session into a group.
 *
 * @param pid - this process (0) or a child that has not executed yet
 * @param pgid - a group of the session; 0: one of the process's own
 * @throws {@link SysError} `EACCES` the child has executed; `EPERM` another session; `ESRCH`
 * @see https://man7.org/linux/man-pages/man2/setpgid.2.html
 */
export function setpgid(pid: number, pgid: number): void {
  check(raw.setpgid(s32(pid, 'pid'), s32(pgid, 'pgid')), 'setpgid')
}

/**
 * `personality(persona)` — sets the calling thread's execution domain, which programs that it executes inherit; returns
 * the one before. Changes this thread alone.
 *
 * @param persona - ADDR_NO_RANDOMIZE, UNAME26, READ_IMPLIES_EXEC …; 0xffffffff only asks
 * @see https://man7.org/linux/man-pages/man2/personality.2.html
 */
export function personality(persona: number): number {
  return check(raw.personality(u32(persona, 'persona')), 'personality')
}

/**
 * `kcmp(pid1, pid2, type, idx1, idx2)` — whether two processes share a resource of the kernel: 0 if so; otherwise 1, 2
 * or 3, an order for sorting.
 *
 * @param type - KCMP_FILE (with descriptor numbers), KCMP_VM, KCMP_FILES, KCMP_FS, KCMP_SIGHAND, KCMP_IO …
 * @throws {@link SysError} `EPERM` they may not be traced; `EBADF`, `ESRCH`
 * @see https://man7.org/linux/man-pages/man2/kcmp.2.html
 */
export function kcmp(pid1: number, pid2: number, type: number, idx1 = 0, idx2 = 0): number {
  const result = raw.kcmp(
    s32(pid1, 'pid1'),
    s32(pid2, 'pid2'),
    u32(type, 'type'),
    s64(idx1, 'idx1'),
    s64(idx2, 'idx2'),
  )
  return check(result, 'kcmp')
}

/**
 * `pidfd_getfd(pidfd, targetfd, flags)` — a duplicate of another process's descriptor, close-on-exec.
 *
 * Since: Linux 5.6. Needs: the right to trace it.
 *
 * @throws {@link SysError} `EBADF` it has no such descriptor; `EPERM`; `ESRCH`
 * @see https://man7.org/linux/man-pages/man2/pidfd_getfd.2.html
 */
export function pidfd_getfd(pidfd: AsFd, targetfd: number): OwnedFd {
  const result = raw.pidfdGetfd(fdNumber(pidfd), fdNumber(targetfd), 0)
  return new OwnedFd(check(result, 'pidfd_getfd'))
}

/** A child that {@link wait4} has reaped or seen. */
export interface Wait4Result {
  /** The child. */
  pid: number
  /** As wait(2) encodes it: exit status << 8, or the signal with 128 for a core; 0x7f | signal << 8 when stopped. */
  status: number
  /** What it has used. */
  rusage: Rusage
}

/**
 * `wait4(pid, wstatus, options, rusage)` — waits for a child, reaps it, and tells what it has used.
 *
 * Blocks: yes, without WNOHANG.
 *
 * @param pid - a child; −1: any; 0: any of this group; −n: any of the group n
 * @returns null with WNOHANG while no child has anything to report
 * @throws {@link SysError} `ECHILD` no such child
 * @see https://man7.org/linux/man-pages/man2/wait4.2.html
 */
export function wait4(pid: number, options = 0): Wait4Result | null {
  const status = new Int32Array(new ArrayBuffer(4))
  const rusage = alloc(structs.rusage)
  const result = raw.wait4(s32(pid, 'pid'), status, u32(options, 'options'), rusage.bytes)
  const reaped = check(result, 'wait4')
  return reaped === 0 ? null : { pid: reaped, status: status[0] ?? 0, rusage: decodeRusage(rusage) }
}

/**
 * `kill(pid, sig)` — sends a signal to a process, or to the group −`pid`; signal 0 only asks whether one may.
 *
 * Process ids are used again: for a child of your own prefer its pidfd.
 *
 * @throws {@link SysError} `ESRCH` no such process; `EPERM` not allowed
 * @see https://man7.org/linux/man-pages/man2/kill.2.html
 */
export function kill(pid: number, signal: number): void {
  check(raw.kill(s32(pid, 'pid'), u32(signal, 'signal')), 'kill', String(pid))
}

/**
 * `pidfd_open(pid, flags)` — a descriptor for the process `pid`; readable once it has ended.
 *
 * Since: Linux 5.3.
 *
 * @throws {@link SysError} `ESRCH` no such process
 * @see https://man7.org/linux/man-pages/man2/pidfd_open.2.html
 */
export function pidfd_open(pid: number, flags = 0): OwnedFd {
  return new OwnedFd(check(raw.pidfdOpen(s32(pid, 'pid'), u32(flags, 'flags')), 'pidfd_open', String(pid)))
}

/**
 * `pidfd_send_signal(pidfd, sig, info, flags)` — {@link kill} that cannot hit a process which reuses the id.
 *
 * Since: Linux 5.1.
 *
 * @throws {@link SysError} `ESRCH` the process has ended and was waited for
 * @see https://man7.org/linux/man-pages/man2/pidfd_send_signal.2.html
 */
export function pidfd_send_signal(pidfd: AsFd, signal: number): void {
  check(raw.pidfdSendSignal(fdNumber(pidfd), u32(signal, 'signal'), null, 0), 'pidfd_send_signal')
}

/** Which children {@link waitid} looks at. */
export interface WaitidOptions {
  /** P_ALL, P_PID, P_PGID or P_PIDFD. */
  idtype: number
  /** A pid, a group or a pidfd; unused for P_ALL. */
  id?: AsFd
  /** WEXITED, WSTOPPED, WCONTINUED; WNOHANG, WNOWAIT. */
  options: number
}

/** A child's change of state. */
export interface WaitResult {
  /** The child. */
  pid: number
  /** The child's real user id. */
  uid: number
  /** CLD_EXITED, CLD_KILLED, CLD_DUMPED, CLD_STOPPED, CLD_TRAPPED, CLD_CONTINUED. */
  code: number
  /** Exit status for CLD_EXITED, else the signal. */
  status: number
}

// Offsets in siginfo_t for SIGCHLD, equal on x86-64 and arm64 (uapi/asm-generic/siginfo.h): an Int32Array's
// indices. A test compares them with the generated layout.
const siginfoWords = { signo: 0, code: 2, pid: 4, uid: 5, status: 6 }
const siginfo = new Int32Array(new ArrayBuffer(128))

/**
 * `waitid(idtype, id, infop, options, rusage)` — waits for a child's change of state, and reaps it if it ended.
 *
 * Blocks: yes, without WNOHANG. Beside `Bun.spawn` and `node:child_process` wait for your own children only:
 * P_ALL takes theirs too.
 *
 * @returns null with WNOHANG while no child has anything to report
 * @throws {@link SysError} `ECHILD` no such child
 * @see https://man7.org/linux/man-pages/man2/waitid.2.html
 */
export function waitid(options: WaitidOptions): WaitResult | null {
  const id = options.idtype === P_PIDFD ? fdNumber(options.id as AsFd) : s32(Number(options.id ?? 0), 'id')
  siginfo[siginfoWords.signo] = 0
  siginfo[siginfoWords.pid] = 0
  check(
    raw.waitid(u32(options.idtype, 'idtype'), id, siginfo, u32(options.options, 'options'), null),
    'waitid',
  )
  const field = (name: keyof typeof siginfoWords): number => siginfo[siginfoWords[name]] ?? 0
  if (field('signo') === 0) return null
  return { pid: field('pid'), uid: field('uid'), code: field('code'), status: field('status') }
}

/**
 * `prctl(PR_SET_CHILD_SUBREAPER, on)` — whether orphaned descendants become this process's children.
 *
 * @see https://man7.org/linux/man-pages/man2/PR_SET_CHILD_SUBREAPER.2const.html
 */
export function prctl_set_child_subreaper(on: boolean): void {
  check(raw.prctl(PR_SET_CHILD_SUBREAPER, on ? 1 : 0, 0, 0, 0), 'prctl')
}

/** `prctl(PR_GET_CHILD_SUBREAPER)` — see {@link prctl_set_child_subreaper}. */
export function prctl_get_child_subreaper(): boolean {
  const value = new Int32Array(new ArrayBuffer(4))
  check(raw.prctlPointer(PR_GET_CHILD_SUBREAPER, value, 0, 0, 0), 'prctl')
  return value[0] !== 0
}

/**
 * `prctl(PR_SET_NAME, name)` — the calling thread's name, which `ps` and /proc/self/comm show for the process
 * when the main thread sets it. The kernel keeps 15 bytes.
 */
export function prctl_set_name(name: string): void {
  check(raw.prctlPointer(PR_SET_NAME, cString(name, 'name'), 0, 0, 0), 'prctl')
}
