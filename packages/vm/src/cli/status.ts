// What the command's exit status says: the program's own, or which of the things around it failed. The numbers
// are those of docker, env(1), timeout(1) and shells.
import { constants } from 'node:os'
import { GuestTimeoutError } from '../errors.ts'

/** The usage was wrong; nothing was started. */
export const USAGE_STATUS = 2
/** `--timeout` ran out, as timeout(1) has it. */
const TIMEOUT_STATUS = 124
/** The machine failed, not the program: docker and env(1). */
const MACHINE_STATUS = 125
/** The program is there and cannot be executed: POSIX, XCU 2.8.2. */
const NOT_EXECUTABLE_STATUS = 126
/** There is no such program: POSIX, XCU 2.8.2. */
const NOT_FOUND_STATUS = 127

/** How a program ended, as the agent tells it. */
export interface ProgramEnd {
  /** Its exit status, or null when a signal ended it. */
  readonly code: number | null
  /** Name or number of the signal that ended it, or null. */
  readonly signal: string | number | null
}

/** 128 and the signal's number, as shells have it. A signal without a name here counts as SIGKILL. */
export function signalStatus(signal: string | number): number {
  if (typeof signal === 'number') return 128 + signal
  const numbers: Readonly<Record<string, number>> = constants.signals
  return (
    128 + (numbers[signal] ?? Number(/^SIG(?:RT\D*)?(\d+)$/.exec(signal)?.[1] ?? constants.signals.SIGKILL))
  )
}

/** The program's exit status as a shell would give it. */
export function programStatus({ code, signal }: ProgramEnd): number {
  return signal === null ? (code ?? MACHINE_STATUS) : signalStatus(signal)
}

/** The status for a program that could not be started, because of `error`. */
export function spawnStatus(error: unknown): number {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'ENOENT' || code === 'ENOTDIR') return NOT_FOUND_STATUS
  // Whatever else the system says of a program, it is a program that does not run; the rest is the machine's.
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? NOT_EXECUTABLE_STATUS : MACHINE_STATUS
}

/** The status for a machine that failed with `error`. */
export function machineStatus(error: unknown): number {
  return error instanceof GuestTimeoutError && error.kind === 'limit' ? TIMEOUT_STATUS : MACHINE_STATUS
}
