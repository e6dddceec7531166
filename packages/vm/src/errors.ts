/**
 * What can go wrong with a guest, each kind under its own name, each with the console's last lines in
 * its message: a failed test then shows what the guest said, without a second run.
 */
import type { Backend } from './machine.ts'

/** The base of every error that this package throws about a guest or about QEMU. */
export class VmError extends Error {
  override name = 'VmError'
  /** The last lines of the guest's console; empty when nothing was printed or nothing was started. */
  readonly console: string

  /**
   * @param message - what went wrong and what to do
   * @param consoleTail - last lines of the console, appended to the message when not empty
   * @param cause - the error underneath
   */
  constructor(message: string, consoleTail: string = '', cause?: unknown) {
    const text =
      consoleTail === '' ? message : `${message}\nThe console's last lines:\n${indent(consoleTail)}`
    super(text, cause === undefined ? undefined : { cause })
    this.console = consoleTail
  }
}

/** The guest's kernel panicked. */
export class GuestPanicError extends VmError {
  override name = 'GuestPanicError'
  /** What the kernel said after `Kernel panic - not syncing: `; empty when only QEMU told of the panic. */
  readonly panic: string

  constructor(panic: string, consoleTail: string) {
    super(`the guest's kernel panicked${panic === '' ? '' : `: ${panic}`}`, consoleTail)
    this.panic = panic
  }
}

/**
 * Which limit ended the waiting: `limit` is the guest's whole time (`timeoutMs` of `boot`), `silence`
 * the time without a byte on the console (`silenceTimeoutMs`), `wait` one call of `waitFor`.
 */
export type TimeoutKind = 'limit' | 'silence' | 'wait'

/** A limit of time ran out. After `limit` and `silence` the guest is gone, after `wait` it runs on. */
export class GuestTimeoutError extends VmError {
  override name = 'GuestTimeoutError'
  /** Which limit it was. */
  readonly kind: TimeoutKind
  /** The limit, in milliseconds. */
  readonly timeoutMs: number

  constructor(kind: TimeoutKind, timeoutMs: number, message: string, consoleTail: string) {
    super(message, consoleTail)
    this.kind = kind
    this.timeoutMs = timeoutMs
  }
}

/** The guest ended (powered off, rebooted, was killed) while something else was expected of it. */
export class GuestEndedError extends VmError {
  override name = 'GuestEndedError'
}

/** The guest rebooted, or was reset, and what ran in it is gone. It can be used again when its agent answers. */
export class GuestRebootedError extends GuestEndedError {
  override name = 'GuestRebootedError'
}

/**
 * The guest ended without its end mark: it switched itself off, or its PID 1 went away, before the agent (or, for a
 * foreign init, the pattern that was asked for) had said that all is done. What it did until then proves nothing.
 */
export class MissingEndMarkError extends GuestEndedError {
  override name = 'MissingEndMarkError'
}

/** The guest's agent stopped answering while the machine went on: a kernel that hangs, or one that is starved. */
export class GuestHungError extends VmError {
  override name = 'GuestHungError'
  /** How long the agent was waited for, in milliseconds. */
  readonly timeoutMs: number

  constructor(timeoutMs: number, state: string, consoleTail: string) {
    const seen = state === '' ? '' : ` (${state})`
    super(`the guest's agent did not answer within ${timeoutMs / 1000} s${seen}`, consoleTail)
    this.timeoutMs = timeoutMs
  }
}

/** One reason why a backend cannot give what was asked for. */
export interface Objection {
  /** The backend that cannot. */
  backend: Backend
  /** The option, or the word of `needs`, that it cannot give. */
  feature: string
  /** Why not, and what can. */
  reason: string
}

/** What was asked for cannot be had from the backend (or, with `'auto'`, from any). Nothing was started. */
export class UnsupportedError extends VmError {
  override name = 'UnsupportedError'
  /** Every reason, by backend. */
  readonly objections: readonly Objection[]

  constructor(objections: readonly Objection[]) {
    const lines = objections.map(({ backend, feature, reason }) => `${backend}: ${feature}: ${reason}`)
    super(lines.length === 1 ? (lines[0] ?? '') : `no backend can do this:\n${indent(lines.join('\n'))}`)
    this.objections = objections
  }
}

/** QEMU itself ended in a way of its own: an assertion, a signal, an exit status that is not 0. */
export class QemuCrashedError extends VmError {
  override name = 'QemuCrashedError'
}

/** The QEMU program is not on this machine. */
export class QemuMissingError extends VmError {
  override name = 'QemuMissingError'
  /** The program that was looked for. */
  readonly program: string

  constructor(program: string) {
    super(
      `${program} was not found in PATH: install QEMU (Debian, Ubuntu: apt install qemu-system-x86), ` +
        'or give its path as `qemu` to boot()',
    )
    this.program = program
  }
}

/** QEMU was started and gave up before the guest ran. Its own words are in the message. */
export class QemuStartError extends VmError {
  override name = 'QemuStartError'
  /** What QEMU wrote to its standard error. */
  readonly stderr: string

  constructor(message: string, stderr: string) {
    super(stderr.trim() === '' ? message : `${message}\nQEMU said:\n${indent(stderr.trim())}`)
    this.stderr = stderr
  }
}

/** A host port that was asked for belongs to another program. */
export class PortInUseError extends VmError {
  override name = 'PortInUseError'
  /** The port of the host. */
  readonly port: number

  constructor(port: number) {
    super(
      `port ${port} of 127.0.0.1 is in use by another program: stop it (\`ss -ltnp sport = :${port}\` names it), ` +
        'ask for another hostPort, or for 0, which takes any free one',
    )
    this.port = port
  }
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, '  ')
}
