/** A guest seen from outside, whatever it runs in: what every backend gives. */
import type { GuestConsole } from './console.ts'
import type { VmError } from './errors.ts'

/**
 * What a guest runs in: Linux namespaces (milliseconds, the host's own kernel), User Mode Linux (a kernel as an
 * ordinary program) or QEMU (a whole machine).
 */
export type Backend = 'namespace' | 'uml' | 'qemu'

/** Processors a guest can have, as `uname -m` names them. */
export type Architecture = 'x86_64' | 'aarch64'

/**
 * How a guest ended: `poweroff` and `reboot` by its own wish; `panic` of its kernel; `lockup` when its kernel hung;
 * `oom` when it ran out of memory; `timeout` of one of our limits; `killed` from the host (by us or by anybody's
 * signal); `crashed` when what it runs in failed.
 */
export type ExitReason = 'poweroff' | 'reboot' | 'panic' | 'lockup' | 'oom' | 'timeout' | 'killed' | 'crashed'

/** How a process ended: one of the two is a number, the other null. */
export interface ProcessEnd {
  /** Exit status, or null when a signal ended it. */
  code: number | null
  /** Number of the signal that ended it, or null. */
  signal: number | null
}

/** The end of a guest. */
export interface VmExit {
  /** How it ended. */
  reason: ExitReason
  /** Exit status of the host's process; null when a signal ended it. */
  code: number | null
  /** The signal that ended the host's process, or null. */
  signal: string | null
  /** What the host's process wrote to its standard error; usually empty. */
  stderr: string
  /** How the guest's PID 1 ended, where it did and that is known. */
  init?: ProcessEnd
  /** The error that says it all, for every reason but `poweroff`. */
  error?: VmError
}

/** A started guest. Dispose of it with `await using`. */
export interface Machine extends AsyncDisposable {
  /** What it runs in. */
  readonly backend: Backend
  /** The host's process that is the guest. */
  readonly pid: number
  /** The guest's first console. */
  readonly console: GuestConsole
  /**
   * Resolves when the guest has ended and nothing of it is left; never rejects. Looking at it means that you judge
   * the end yourself: disposal then does not throw on a panic.
   */
  readonly exited: Promise<VmExit>
  /**
   * Resolves when the guest has powered itself off.
   *
   * @throws the error of the end, when it ended otherwise
   */
  waitForPoweroff(): Promise<VmExit>
  /** Cuts the power: the guest is gone, whatever it was doing. Resolves when nothing of it is left. */
  kill(): Promise<VmExit>
  /** Stops the guest's processors; its clock stands still, or jumps on {@link Machine.resume}, as the backend has it. */
  pause(): Promise<void>
  /** Lets a paused guest go on. */
  resume(): Promise<void>
  /** Presses the reset button: the guest starts anew, without a word to what ran in it. */
  reset(): Promise<void>
  /** Asks the guest to power itself off, and returns. Does nothing to a guest that has ended. */
  powerdown(): Promise<void>
  /**
   * Ends the guest if it still runs, and waits until nothing of it is left.
   *
   * @throws the error of a guest that panicked, hung, ran out of memory or time or crashed, unless you have met it
   *   already: a panic that nobody looked at must not pass
   */
  [Symbol.asyncDispose](): Promise<void>
}

/** Bounds and listeners that every backend takes. */
export interface MachineLimits {
  /**
   * How long the guest may live in all, in milliseconds; then it is killed and every wait for it fails with
   * `GuestTimeoutError`. Default 120,000; `Infinity` for a machine that is meant to stay.
   */
  timeoutMs?: number
  /**
   * How long the console may be silent, in milliseconds, before the guest counts as hung and is killed.
   * Default `Infinity`: many a healthy guest has nothing to say.
   */
  silenceTimeoutMs?: number
  /** How many characters of the console are kept. Default 1,048,576. */
  consoleLimitChars?: number
  /** Called with each piece of console text as it comes. */
  onConsole?: (text: string) => void
  /** Kills the guest when it is aborted; while it starts, the start then rejects with its reason. */
  signal?: AbortSignal
}
