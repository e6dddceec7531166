// The one place where the command writes: results on standard output, progress and errors on standard error.
import { LockFileError, ProvisionError } from '@pkg/vm/host'
import { ConfigError, SoloError } from '../error.ts'
import type { Progress } from '../progress.ts'

/** Whether the last text of {@link printRaw} ended within a line. */
let isLineOpen = false

/** Writes a line of the result; a line of its own, even when a guest's console is within one. */
export function print(line: string): void {
  process.stdout.write(`${isLineOpen ? '\n' : ''}${line}\n`)
  isLineOpen = false
}

/** Writes a line beside the result. */
export function tell(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** Writes text as it is; for a guest's console. */
export function printRaw(text: string): void {
  if (text !== '') isLineOpen = !text.endsWith('\n')
  process.stdout.write(text)
}

/** The message of an error that a user can act upon; a stack trace only where the error is ours. */
export function errorText(error: unknown): string {
  // One line for each mistake, as compilers write them.
  if (error instanceof ConfigError || error instanceof LockFileError) return error.message
  if (error instanceof SoloError || error instanceof ProvisionError)
    return `solo: ${error.message.replaceAll('\n', '\n  ')}`
  if (!(error instanceof Error)) return `solo: ${String(error)}`
  if ('code' in error && typeof error.code === 'string') return `solo: ${error.message}`
  return `solo: internal error: ${error.stack ?? error.message}`
}

/** Exit status of an error: what it says, else 1. */
export function exitStatus(error: unknown): number {
  return error instanceof SoloError || error instanceof ProvisionError ? error.exitStatus : 1
}

/**
 * Shows progress: on a terminal one line that is written over while a step runs, into a pipe one plain line for
 * each step that is done.
 */
export function consoleProgress(): Progress {
  const terminal = process.stderr.isTTY
  let step = ''
  const over = (text: string): void => {
    // A terminal that does not tell its width, as a serial line does not, says 0.
    const width = process.stderr.columns || 80
    if (terminal) process.stderr.write(`\r\u001B[K${text.slice(0, width - 1)}`)
  }
  return {
    step(name) {
      step = name
      over(`  ${step} …`)
    },
    percent: (detail, percent) => over(`  ${step}: ${detail} ${Math.floor(percent)} %`),
    note(line) {
      over('')
      tell(`  ${step}: ${line}`)
      over(`  ${step} …`)
    },
    done(detail) {
      over('')
      tell(`${terminal ? '✓' : '-'} ${step}: ${detail}`)
    },
  }
}
