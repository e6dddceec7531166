/**
 * A reporter of vitest's that keeps how long each file took, with its hooks and imports, of which the JSON report says
 * nothing: there a file begins with its first test.
 */
import { writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import type { Reporter, TestModule, Vitest } from 'vitest/node'

/** Where vitest's process writes the times, as JSON: the variable has the path. */
export const FILE_TIMES_VARIABLE = 'SOLO_FILE_TIMES'

/** How long a test file took. */
export interface FileTime {
  /** Its path in the repository. */
  path: string
  /** All of it, in milliseconds. */
  durationMs: number
}

/** Loaded by vitest, by its path. */
export default class FileTimes implements Reporter {
  #root = ''
  readonly #times: FileTime[] = []

  onInit({ config }: Vitest): void {
    this.#root = config.root
  }

  onTestModuleEnd(module: TestModule): void {
    const { duration, collectDuration } = module.diagnostic()
    this.#times.push({ path: relative(this.#root, module.moduleId), durationMs: duration + collectDuration })
  }

  onTestRunEnd(): void {
    const path = process.env[FILE_TIMES_VARIABLE]
    if (path !== undefined) writeFileSync(path, JSON.stringify(this.#times))
  }
}

/**
 * The files that took longest, one line each.
 *
 * @param times - of all files
 * @param count - how many lines at most
 */
export function slowest(times: readonly FileTime[], count: number): string[] {
  return times
    .toSorted((one, other) => other.durationMs - one.durationMs)
    .slice(0, count)
    .map(({ path, durationMs }) => `${(durationMs / 1000).toFixed(1).padStart(7)} s ${path}`)
}
