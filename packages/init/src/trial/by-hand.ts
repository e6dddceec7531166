/** The release that the loader would start next: which it is, and how it is given up by hand. */
import { hasTries, listEntries, releaseOf, spend } from '../firmware/entries.ts'
import type { BootEntry, EntryRelease } from '../firmware/entries.ts'
import type { Slots } from '../storage/slots.ts'
import type { Records } from './record.ts'

/** An entry and what it is of. */
export type KnownEntry = BootEntry & EntryRelease

/**
 * Takes all tries from the newest entry that has any: the one that runs, or one that was installed and not booted yet.
 *
 * @param reason - for the record
 * @returns what was given up, in words
 * @throws Error there is no other slot, and nothing was changed
 */
export async function rollBack(slots: Slots, records: Records, reason: string): Promise<string> {
  const entries = await startable(slots)
  const newest = newestOf(entries, slots.booted.slot)
  if (newest === undefined || !entries.some((each) => each.slot !== newest.slot))
    throw new Error('there is no other slot to go back to')
  const { slot, version, counter } = newest
  // Before the rename: without a record the next boot would have to guess why.
  const verdict = { passed: false, reason, at: new Date().toISOString() }
  records.writeTrial({ slot, version, counter, tries: 1, step: 'given up by hand', verdict })
  await spend(slots.partition, newest)
  return `${slot} (${version ?? 'of an unknown version'})`
}

/** What the loader would start next, if that is another slot than the one that runs; else null. */
export async function nextRelease(slots: Slots): Promise<KnownEntry | null> {
  const next = newestOf(await startable(slots), slots.booted.slot)
  return next === undefined || next.slot === slots.booted.slot ? null : next
}

/** The entries that have tries left. */
async function startable({ partition }: Slots): Promise<KnownEntry[]> {
  return await partition.use(async (root) => {
    const entries: KnownEntry[] = []
    for (const entry of listEntries(root).filter(hasTries)) {
      entries.push(Object.assign({}, entry, await releaseOf(root, entry)))
    }
    return entries
  })
}

/** As the loader sorts: by the counter. What does not tell one is taken for the newest if it runs, else for the oldest. */
function newestOf(entries: readonly KnownEntry[], running: string): KnownEntry | undefined {
  const rank = ({ counter, slot }: KnownEntry): number => counter ?? (slot === running ? Infinity : 0)
  return entries.toSorted((a, b) => rank(b) - rank(a))[0]
}
