/** What can go wrong with a call to the agent, beyond what the called thing throws. */
import { VmError } from '../errors.ts'
import type { ProgramEnd } from './protocol.ts'

/** A program in the guest ended with another status than 0, or by a signal. */
export class GuestCommandError extends VmError {
  override name = 'GuestCommandError'
  /** How it ended. */
  readonly end: ProgramEnd
  /** What it wrote to its standard output. */
  readonly stdout: string
  /** What it wrote to its standard error. */
  readonly stderr: string

  constructor(command: readonly string[], end: ProgramEnd, output: { stdout: string; stderr: string }) {
    const how = end.signal === null ? `exit status ${end.code}` : `ended by ${end.signal}`
    const words = output.stderr.trim() || output.stdout.trim()
    super(`${command.join(' ')}: ${how}${words === '' ? '' : `\n${words.slice(-4000)}`}`)
    this.end = end
    this.stdout = output.stdout
    this.stderr = output.stderr
  }
}

/** A call to the guest took longer than it may. What it had begun was ended. */
export class GuestCallTimeoutError extends VmError {
  override name = 'GuestCallTimeoutError'
  /** The limit, in milliseconds. */
  readonly timeoutMs: number

  constructor(what: string, timeoutMs: number, consoleTail: string = '') {
    super(`${what} took longer than ${timeoutMs} ms`, consoleTail)
    this.timeoutMs = timeoutMs
  }
}
