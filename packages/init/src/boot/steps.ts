/**
 * The boot as a list of steps: each is timed and logged, and one that fails never stops the boot. What cannot
 * be done without shows in what fails after it, and on the console.
 */
import type { LogPriority } from '../core.ts'

/** One step. */
export interface BootStep {
  /** What it is, for the log. */
  readonly name: string
  /** Does it; a returned text says what was done. */
  readonly run: () => string | void | Promise<string | void>
}

/** Runs the steps in order, each when the one before it is done. */
export async function runSteps(
  steps: readonly BootStep[],
  nowMs: () => number,
  log: (priority: LogPriority, text: string) => void,
): Promise<void> {
  for (const { name, run } of steps) {
    const startMs = nowMs()
    try {
      const done = await run()
      log(
        'info',
        `${name}${typeof done === 'string' ? `: ${done}` : ''} (${(nowMs() - startMs).toFixed(1)} ms)`,
      )
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      log('error', `${name}: ${reason} (${(nowMs() - startMs).toFixed(1)} ms); going on without it`)
    }
  }
}
