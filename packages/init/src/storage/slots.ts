/** The slot that was booted and its siblings, as they are at the boot. */
import { bootPartition, type BootPartition } from '../firmware/boot-partition.ts'
import { bootedEntry, type BootedEntry } from '../firmware/bless.ts'
import { readCounter } from '../firmware/counter.ts'
import { hasTries, listEntries, slotsOfLoader, withReleases } from '../firmware/entries.ts'
import type { BootEntry, KnownEntry } from '../firmware/entries.ts'

/** What the boot partition has to say. */
export interface Slots {
  /** The partition. */
  readonly partition: BootPartition
  /** The entry that was booted. */
  readonly booted: BootedEntry
  /** Whether there is another slot that the loader could start, and that has tries left. */
  readonly hasOther: boolean
  /** Entries of other slots that have run out of tries, with their releases. */
  readonly spent: readonly KnownEntry[]
  /** Entries of other slots that have tries left, and that the loader has passed over: it cannot start them. */
  readonly passedOver: readonly KnownEntry[]
  /** The largest release counter that was blessed on this machine; null where the file that says so is damaged. */
  readonly storedCounter: number | null
}

/**
 * Looks.
 *
 * @param device - path of the boot partition
 * @returns null where the loader counts nothing
 */
export async function findSlots(device: string): Promise<Slots | null> {
  const booted = bootedEntry()
  if (booted === null) return null
  const partition = bootPartition(device)
  const listed = slotsOfLoader()
  return await partition.use(async (root) => await slotsOf(root, partition, booted, listed))
}

/**
 * The slots of a mounted partition.
 *
 * @param listed - those of which the loader has entries; null when it does not say
 */
export async function slotsOf(
  root: string,
  partition: BootPartition,
  booted: BootedEntry,
  listed: ReadonlySet<string> | null,
): Promise<Slots> {
  const others = listEntries(root).filter(({ slot }) => slot !== booted.slot)
  const isPassedOver = (entry: BootEntry): boolean => {
    // A list without the slot that runs is of another loader.
    return hasTries(entry) && listed !== null && listed.has(booted.slot) && !listed.has(entry.slot)
  }
  return {
    partition,
    booted,
    hasOther: others.some((entry) => hasTries(entry) && !isPassedOver(entry)),
    spent: await withReleases(
      root,
      others.filter((entry) => !hasTries(entry)),
    ),
    passedOver: await withReleases(root, others.filter(isPassedOver)),
    storedCounter: readCounter(root),
  }
}
