/** The one place where it is decided how a guest of QEMU's ended. */
import { GuestEndedError, GuestPanicError, QemuCrashedError } from '../errors.ts'
import { initEnd } from '../kernel-log.ts'
import type { Verdict } from '../limits/watch.ts'
import type { ProcessEnd, VmExit } from '../machine.ts'

/** What is known when QEMU is gone. */
export interface EndFacts {
  /** QEMU's exit status, or null. */
  code: number | null
  /** The signal that ended QEMU, or null. */
  signal: string | null
  /** What QEMU wrote to its standard error. */
  stderr: string
  /** The reason of the event SHUTDOWN, if one came. */
  shutdownCause: unknown
  /** Whether the event GUEST_PANICKED came. */
  guestPanicked: boolean
  /** Whether there is an `isa-debug-exit`, by which the guest ends QEMU with a status. */
  debugExit: boolean
  /** What the limits or the kernel said. */
  verdict: Verdict | undefined
  /** The console's last lines. */
  tail: string
}

/** The end that the facts tell of. */
export function judgeEnd(facts: EndFacts): VmExit {
  const { code, signal, stderr, verdict } = facts
  const reason = reasonOf(facts)
  const error = errorOf(reason, facts)
  const panic = verdict?.error instanceof GuestPanicError ? verdict.error.panic : ''
  const init = debugStatus(facts) ?? (reason === 'panic' ? initEnd(panic) : undefined)
  return { reason, code, signal, stderr, ...(init && { init }), ...(error && { error }) }
}

/**
 * QEMU ends with twice the number that was written to the device, and one (hw/misc/debugexit.c). Of a 0 that makes the
 * status of a QEMU that fails, which says why.
 */
function debugStatus(facts: EndFacts): ProcessEnd | undefined {
  const { code, debugExit, shutdownCause, stderr, verdict } = facts
  if (!debugExit || shutdownCause !== undefined || verdict || code === null || code % 2 === 0)
    return undefined
  return code === 1 && stderr.trim() !== '' ? undefined : { code: code >> 1, signal: null }
}

function reasonOf(facts: EndFacts): VmExit['reason'] {
  const { code, signal, shutdownCause, guestPanicked, verdict } = facts
  // A process that was killed for memory is a failure, however orderly the guest ended afterwards.
  if (verdict && verdict.reason !== 'panic') return verdict.reason
  if (shutdownCause === 'guest-panic' || guestPanicked) return 'panic'
  if (shutdownCause === 'guest-shutdown' || debugStatus(facts)) return 'poweroff'
  // After a panic the kernel's `panic=` reboots, or our grace was over.
  if (verdict) return 'panic'
  if (shutdownCause === 'guest-reset') return 'reboot'
  if (shutdownCause !== undefined) return 'killed'
  return signal === 'SIGKILL' || signal === 'SIGTERM' || code === 0 ? 'killed' : 'crashed'
}

function errorOf(reason: VmExit['reason'], facts: EndFacts): VmExit['error'] {
  const { code, signal, stderr, verdict, tail } = facts
  if (reason === 'poweroff') return undefined
  if (verdict && verdict.reason === reason) return verdict.error
  // Only the device told of it.
  if (reason === 'panic') return new GuestPanicError('', tail)
  if (reason === 'reboot') return new GuestEndedError('the guest rebooted', tail)
  if (reason === 'killed')
    return new GuestEndedError(`the guest was killed from outside (${signal ?? 'by QMP'})`, tail)
  const words = stderr.trim() === '' ? '' : `\nQEMU said:\n${stderr.trim()}`
  return new QemuCrashedError(`QEMU crashed (${signal ?? `exit status ${code}`})${words}`, tail)
}
