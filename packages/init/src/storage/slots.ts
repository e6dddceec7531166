/** The slot that was booted and its siblings, as they are at the boot. */
import type { LogPriority } from '../core.ts'
import { bootPartition, type BootPartition } from '../firmware/boot-partition.ts'
import { bootedEntry, type BootedEntry } from '../firmware/bless.ts'
import { readCounter } from '../firmware/counter.ts'
import { countTry, hasTries, listEntries, slotsOfLoader, withReleases } from '../firmware/entries.ts'
import type { BootEntry, KnownEntry } from '../firmware/entries.ts'

/** What the boot partition has to say. */
export interface Slots {
  /** The partition. */
  readonly partition: BootPartition
  /** The entry that was booted. */
  readonly booted: BootedEntry
  /** Whether there is another slot that has tries left. */
  readonly hasOther: boolean
  /** Entries of other slots that have run out of tries, with their releases. */
  readonly spent: readonly KnownEntry[]
  /** Entries of the other slot that have tries left, and that the loader has passed over in this boot. */
  readonly passedOver: readonly KnownEntry[]
  /** The largest release counter that was blessed on this machine; null where the file that says so is damaged. */
  readonly storedCounter: number | null
}

/**
 * Looks.
 *
 * @param device - path of the boot partition
 * @param hasTwin - whether there is another disk like this one, of which the loader may have been
 * @returns null where the loader counts nothing
 */
export async function findSlots(device: string, hasTwin: boolean): Promise<Slots | null> {
  const booted = bootedEntry()
  if (booted === null) return null
  const partition = bootPartition(device)
  const listed = hasTwin ? null : slotsOfLoader()
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
  const all = listEntries(root)
  const others = all.filter(({ slot }) => slot !== booted.slot)
  // After a kexec the list is of an earlier boot, and the entry that was booted then has been blessed since.
  const isOfThisBoot = listed?.has(booted.slot) === true && all.some(({ file }) => file === booted.file)
  const isPassedOver = ({ slot, left }: BootEntry): boolean =>
    isOfThisBoot && /^solo-[ab]$/.test(slot) && !listed.has(slot) && left !== null && left > 0
  return {
    partition,
    booted,
    hasOther: others.some(hasTries),
    spent: await withReleases(
      root,
      others.filter((entry) => !hasTries(entry)),
    ),
    passedOver: await withReleases(root, others.filter(isPassedOver)),
    storedCounter: readCounter(root),
  }
}

/**
 * Takes a try from what the loader has passed over: it may have been unable to read it this once, but whoever sees tries
 * before a newer release would restart for it again and again.
 */
export async function countPassedOver(
  { partition, passedOver }: Slots,
  log: (priority: LogPriority, text: string) => void,
): Promise<void> {
  for (const entry of passedOver) {
    try {
      await countTry(partition, entry)
      log('warning', `slot: the boot loader passed over ${entry.file}`)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      log('warning', `slot: the boot loader passed over ${entry.file}, which keeps its tries: ${reason}`)
    }
  }
}
