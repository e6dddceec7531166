/** Why the machine runs this slot and not the one that it tried last: from what that one left behind. */
import type { RolledBack, Rollback } from '../boot-state.ts'
import type { EntryRelease, KnownEntry } from '../firmware/entries.ts'
import type { TrialRecord } from './record.ts'

/** What is known at the boot. */
export interface RollbackClues {
  /** The slot that runs. */
  readonly slot: string
  /** The release counter that runs; null when it is not known. */
  readonly counter: number | null
  /** The record on the data partition. */
  readonly trial: TrialRecord | null
  /** The entries of other slots that have run out of tries. */
  readonly spent: readonly KnownEntry[]
  /** Those that have tries left, and that the loader has passed over. */
  readonly passedOver: readonly KnownEntry[]
  /** The rollback that is known already. */
  readonly known: Rollback | null
  /** Now, as ISO 8601 in UTC. */
  readonly now: string
}

/** The last rollback. */
export function lastRollback(clues: RollbackClues): Rollback | null {
  const { slot, counter, trial, spent, passedOver, known, now } = clues
  // One that has tries left was not given up: somebody chose this slot in the loader's menu.
  const isSpent = trial !== null && spent.some((entry) => isOf(trial, entry))
  if (isSpent && trial.slot !== slot && trial.verdict?.passed !== true) {
    const { verdict, step, tries } = trial
    const reason =
      verdict?.reason ?? `it did not get as far as its gate in ${tries} of its tries; last seen: ${step}`
    return { from: identityOf(trial), reason, at: verdict?.at ?? now }
  }
  // Without a record: it died before it had its data partition, was never tried, or had been blessed and has rotted since.
  const silent = [...spent, ...passedOver].find((entry) => isNewer(entry, counter))
  if (silent === undefined) return known
  if (known?.from.slot === silent.slot && known.from.counter === silent.counter) return known
  const reason = passedOver.includes(silent)
    ? 'the boot loader passed over it: it could not read it, or finds no kernel image for this machine in it'
    : 'its tries ran out, and it left no word: it could not be loaded, or did not get as far as its data partition'
  return { from: identityOf(silent), reason, at: now }
}

/** Whether a record is of what an entry has; of one that has rotted nothing is known, and a verdict may be on another. */
export function isOf({ slot, counter, verdict }: TrialRecord, entry: RolledBack): boolean {
  if (slot !== entry.slot) return false
  return counter === entry.counter || (entry.counter === null && verdict === null)
}

function identityOf({
  slot,
  version,
  counter,
}: Pick<TrialRecord, 'slot' | 'version' | 'counter'>): Rollback['from'] {
  return { slot, version, counter }
}

/** An older slot that has no tries left was given up long ago. What nothing is known of cannot be older. */
function isNewer(entry: EntryRelease, counter: number | null): boolean {
  return entry.counter === null || counter === null || entry.counter > counter
}
