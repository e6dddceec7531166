// `siginfo_t` as the kernel lays it out (uapi/asm-generic/siginfo.h), the same on both architectures.

/** What the kernel knows of a delivered signal (`siginfo_t`). */
export interface Siginfo {
  /** The signal. */
  signo: number
  /** Nearly always 0. */
  errno: number
  /** SI_USER, SI_QUEUE, SI_KERNEL, CLD_EXITED …. */
  code: number
  /** The sender, or the child for SIGCHLD; 0 from the kernel. */
  pid: number
  /** The sender's real user id, or the child's for SIGCHLD. */
  uid: number
  /** For SIGCHLD: exit status or signal. */
  status: number
  /** For SI_QUEUE and SI_TIMER: the integer that came with it. */
  value: number
}

/** The `siginfo_t` at a place of `fields`. */
export function decodeSiginfo(fields: DataView, at: number): Siginfo {
  return {
    signo: fields.getInt32(at, true),
    errno: fields.getInt32(at + 4, true),
    code: fields.getInt32(at + 8, true),
    pid: fields.getInt32(at + 16, true),
    uid: fields.getUint32(at + 20, true),
    status: fields.getInt32(at + 24, true),
    value: fields.getInt32(at + 24, true),
  }
}
