/** Long work in PID 1: its loop turns meanwhile, for signals, the power button and the watchdog. */

/** To be called between two pieces of work, as often as one likes. @throws Error the work is not wanted any more */
export type Breath = () => Promise<void>

/** The loop gets its turn after so long. */
const WORK_MS = 20

/** Makes one; `ending` says why the work has to end, and null as long as it has not. */
export function breathing(nowMs: () => number, ending: () => string | null): Breath {
  let sinceMs = nowMs()
  return async () => {
    if (nowMs() - sinceMs >= WORK_MS) {
      await new Promise<void>((resolve) => setImmediate(resolve))
      sinceMs = nowMs()
    }
    const reason = ending()
    if (reason !== null) throw new Error(reason)
  }
}
