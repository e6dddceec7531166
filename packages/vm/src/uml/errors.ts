/** What can go wrong with User Mode Linux itself. */
import { VmError } from '../errors.ts'

/** The kernel, or its modules, are not on this machine. */
export class UmlMissingError extends VmError {
  override name = 'UmlMissingError'

  constructor(what: string) {
    super(`${what}: install it (Debian, Ubuntu: apt install user-mode-linux); it runs on x86-64 only`)
  }
}

/** The kernel's process ended in a way of its own: a signal, or an exit status that it does not give to its guests. */
export class UmlCrashedError extends VmError {
  override name = 'UmlCrashedError'
  /** What it wrote to its standard error. */
  readonly stderr: string

  constructor(how: string, stderr: string, consoleTail: string) {
    super(`User Mode Linux crashed (${how})${stderr.trim() === '' ? '' : `: ${stderr.trim()}`}`, consoleTail)
    this.stderr = stderr
  }
}
