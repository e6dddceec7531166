/** The release that the loader would start next: which it is, and how it is given up by hand. */
import { hasTries, listEntries, spend, withReleases, type KnownEntry } from '../firmware/entries.ts'
import type { LogPriority } from '../core.ts'
import type { Slots } from '../storage/slots.ts'
import type { Records } from './record.ts'

/** What giving up needs. */
export interface RollBackContext {
  readonly slots: Slots
  readonly records: Records
  /** Writes a line of PID 1's. */
  readonly log: (priority: LogPriority, text: string) => void
}

/**
 * Takes all tries from the newest entry that has any: the one that runs, which may be in its last, or one that was
 * installed and not booted yet.
 *
 * @param reason - for the record
 * @returns what was given up, in words
 * @throws Error there is no other slot, and nothing was changed
 */
export async function rollBack({ slots, records, log }: RollBackContext, reason: string): Promise<string> {
  const entries = (await knownEntries(slots)).filter(
    (entry) => hasTries(entry) || entry.slot === slots.booted.slot,
  )
  const newest = newestOf(entries, slots.booted.slot)
  if (newest === undefined || !entries.some((each) => each.slot !== newest.slot && hasTries(each)))
    throw new Error('there is no other slot to go back to')
  const { slot, version, counter } = newest
  // Before the rename: without a record the next boot would have to guess why.
  const verdict = { passed: false, reason, at: new Date().toISOString() }
  try {
    records.writeTrial({ slot, version, counter, tries: 1, step: 'given up by hand', verdict })
  } catch (error) {
    // A full disk, say, which the other release may be the cure for.
    log('warning', `the reason cannot be kept: ${error instanceof Error ? error.message : String(error)}`)
  }
  if (hasTries(newest)) await spend(slots.partition, newest)
  return `${slot} (${version ?? 'of an unknown version'})`
}

/** What the loader would start next, if that is another slot than the one that runs; else null. */
export async function nextRelease(slots: Slots): Promise<KnownEntry | null> {
  const next = newestOf((await knownEntries(slots)).filter(hasTries), slots.booted.slot)
  return next === undefined || next.slot === slots.booted.slot ? null : next
}

/** The entries, and what they are of. */
async function knownEntries({ partition }: Slots): Promise<KnownEntry[]> {
  return await partition.use(async (root) => await withReleases(root, listEntries(root)))
}

/** As the loader sorts: by the counter. What does not tell one is taken for the newest if it runs, else for the oldest. */
function newestOf(entries: readonly KnownEntry[], running: string): KnownEntry | undefined {
  const rank = ({ counter, slot }: KnownEntry): number => counter ?? (slot === running ? Infinity : 0)
  return entries.toSorted((a, b) => rank(b) - rank(a))[0]
}
