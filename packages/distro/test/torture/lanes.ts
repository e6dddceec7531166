// Guests under emulation, as many at a time as there are processors for them.
import { availableParallelism } from 'node:os'

/** Each guest keeps about one processor busy; more than four wait for one disk. */
export const LANES: number = Math.min(4, Math.max(1, availableParallelism()))

/**
 * Does `work` for each item, {@link LANES} at a time, in their order.
 *
 * @param next - gives the next item, or undefined when there is nothing more to do
 * @throws what `work` rejects with first, when all others have ended
 */
export async function inLanes<T>(next: () => T | undefined, work: (item: T) => Promise<void>): Promise<void> {
  const failures: unknown[] = []
  const lane = async (): Promise<void> => {
    while (failures.length === 0) {
      try {
        const item = next()
        if (item === undefined) return
        await work(item)
      } catch (error) {
        failures.push(error)
      }
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  if (failures.length > 0) throw failures[0]
}
