/** What a stage of `npm test` is, and the plain kind: one command that must exit with 0. */
import { $ } from 'zx'
import type { FileTime } from './file-times.ts'

/** The outcome of a stage. */
export interface StageResult {
  /** How many tests passed; a check without tests of its own is one. */
  passed: number
  /** How many failed. */
  failed: number
  /** What to print when something failed; empty when it has been printed already. */
  output: string
  /** What failed, each in a few lines with how to run it again: said once more at the end of everything. */
  failures?: string[]
  /** How long each test file took. */
  fileTimes?: FileTime[]
}

/** One part of the whole test. */
export interface Stage {
  /** Short, as printed before and after it. */
  name: string
  /** Does the work; throws only when the stage itself is broken. */
  run: () => Promise<StageResult>
}

/**
 * A stage that is one command.
 *
 * @param name - as printed
 * @param root - the repository's folder, where it runs
 * @param command - program and arguments
 */
export function commandStage(name: string, root: string, command: string[]): Stage {
  return {
    name,
    run: async () => {
      const result = await $({ cwd: root, nothrow: true, quiet: true })`${command}`
      const ok = result.exitCode === 0
      return { passed: ok ? 1 : 0, failed: ok ? 0 : 1, output: result.stdall }
    },
  }
}
