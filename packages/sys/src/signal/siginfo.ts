// `siginfo_t` as the kernel lays it out (uapi/asm-generic/siginfo.h), the same on both architectures.
import {
  SIGBUS,
  SIGCHLD,
  SIGFPE,
  SIGILL,
  SIGSEGV,
  SIGSYS,
  SIGTRAP,
  SI_KERNEL,
  SI_SIGIO,
  SI_TIMER,
  SI_TKILL,
  SI_USER,
} from '../generated/constants/signal.ts'

/** What the kernel knows of a delivered signal (`siginfo_t`). Which fields there are depends on `code`; others are undefined. */
export interface Siginfo {
  /** The signal. */
  signo: number
  /** Nearly always 0. */
  errno: number
  /**
   * Why: SI_USER (`kill`), SI_TKILL (`tgkill`), SI_QUEUE, SI_KERNEL, SI_TIMER, SI_MESGQ, CLD_EXITED … of SIGCHLD, POLL_IN …
   * of a descriptor with O_ASYNC, SYS_SECCOMP of SIGSYS.
   */
  code: number
  /** The sender, or the child for SIGCHLD; 0 from the kernel. Of timers, descriptors, faults and SIGSYS there is none. */
  pid: number | undefined
  /** The sender's real user id, or the child's for SIGCHLD; there where `pid` is. */
  uid: number | undefined
  /** For SIGCHLD: exit status or signal. */
  status: number | undefined
  /** For SI_QUEUE, SI_TIMER, SI_MESGQ and SI_ASYNCIO: the integer that came with it. */
  value: number | undefined
  /** For SI_TIMER: how often the timer expired beside this. */
  overrun: number | undefined
  /** For POLL_IN …: what a descriptor is ready for, as `ppoll` tells it. */
  band: number | undefined
  /** For POLL_IN …: which descriptor. */
  fd: number | undefined
}

/** What lies behind signo, errno and code. */
type Layout = 'sent' | 'queued' | 'timer' | 'child' | 'descriptor' | 'other'

/** Signals with codes of their own. */
const faults: ReadonlySet<number> = new Set([SIGILL, SIGFPE, SIGSEGV, SIGBUS, SIGTRAP, SIGSYS])

/** kernel/signal.c, `siginfo_layout`. */
function layoutOf(signo: number, code: number): Layout {
  if (code === SI_TIMER) return 'timer'
  if (code === SI_SIGIO) return 'descriptor'
  if (code < SI_USER) return code === SI_TKILL ? 'sent' : 'queued'
  if (code === SI_USER || code >= SI_KERNEL) return 'sent'
  if (signo === SIGCHLD) return 'child'
  // With F_SETSIG any signal tells of a descriptor.
  return faults.has(signo) ? 'other' : 'descriptor'
}

/** The `siginfo_t` at a place of `fields`. */
export function decodeSiginfo(fields: DataView, at: number): Siginfo {
  const [signo, code] = [fields.getInt32(at, true), fields.getInt32(at + 8, true)]
  const layout = layoutOf(signo, code)
  const word = (offset: number, ...layouts: Layout[]): number | undefined =>
    layouts.includes(layout) ? fields.getInt32(at + offset, true) : undefined
  const uid = word(20, 'sent', 'queued', 'child')
  return {
    signo,
    errno: fields.getInt32(at + 4, true),
    code,
    pid: word(16, 'sent', 'queued', 'child'),
    uid: uid === undefined ? undefined : uid >>> 0,
    status: word(24, 'child'),
    value: word(24, 'queued', 'timer'),
    overrun: word(20, 'timer'),
    // A long, with the poll flags in its low half.
    band: word(16, 'descriptor'),
    fd: word(24, 'descriptor'),
  }
}
