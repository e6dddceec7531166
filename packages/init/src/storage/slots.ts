/** The slot that was booted and its siblings, as they are at the boot. */
import { bootPartition, type BootPartition } from '../firmware/boot-partition.ts'
import { bootedEntry, type BootedEntry } from '../firmware/bless.ts'
import { readCounter } from '../firmware/counter.ts'
import { hasTries, listEntries, releaseOf, type BootEntry, type EntryRelease } from '../firmware/entries.ts'

/** What the boot partition has to say. */
export interface Slots {
  /** The partition. */
  readonly partition: BootPartition
  /** The entry that was booted. */
  readonly booted: BootedEntry
  /** Whether there is another slot that has tries left. */
  readonly hasOther: boolean
  /** Entries of other slots that have run out of tries, with their releases. */
  readonly spent: readonly (BootEntry & EntryRelease)[]
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
  return await partition.use(async (root) => await slotsOf(root, partition, booted))
}

/** The slots of a mounted partition. */
export async function slotsOf(root: string, partition: BootPartition, booted: BootedEntry): Promise<Slots> {
  const others = listEntries(root).filter(({ slot }) => slot !== booted.slot)
  const spent: (BootEntry & EntryRelease)[] = []
  for (const entry of others.filter((each) => !hasTries(each))) {
    spent.push(Object.assign({}, entry, await releaseOf(root, entry)))
  }
  return {
    partition,
    booted,
    hasOther: others.some(hasTries),
    spent,
    storedCounter: readCounter(root),
  }
}
