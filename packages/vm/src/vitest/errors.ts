/** Errors of the pool. */
import { VmError } from '../errors.ts'

/** A worker in a guest ended, or stopped answering, in the middle of a test file. */
export class GuestWorkerError extends VmError {
  override name = 'GuestWorkerError'
}

/** The machine that a test file asks for cannot be read off its source. */
export class MachineDefinitionError extends TypeError {
  override name = 'MachineDefinitionError'
  /** File of the test. */
  readonly file: string
  /** Line, from 1. */
  readonly line: number
  /** Column, from 1. */
  readonly column: number

  constructor(message: string, place: { file: string; line: number; column: number }) {
    super(`${place.file}:${place.line}:${place.column}: ${message}`)
    this.file = place.file
    this.line = place.line
    this.column = place.column
    // vitest shows the source at the first line of the stack.
    this.stack = `${this.name}: ${this.message}\n    at ${place.file}:${place.line}:${place.column}`
  }
}
