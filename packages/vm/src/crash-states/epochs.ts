/**
 * What could be on a disk when its power fails, by time: a log is cut where something became stable (a flush or a
 * FUA write was completed). Between two cuts the set of changes that may or may not have reached the disk only grows,
 * so that the moment just before the next cut has every state of the moments before it among its own.
 */
import type { ChangeEntry, DiskLogEntry } from '../nbd/log.ts'

/** The time until something becomes stable. */
export interface Epoch {
  /** From 1. */
  readonly number: number
  /** Length of the log at the power cut: the entries below this index had been completed. */
  readonly cutIndex: number
  /** Changes that became stable at the end of the epoch before this one; they are on the disk in every state. */
  readonly settled: readonly ChangeEntry[]
  /** Changes that may have reached the disk, wholly, partly or not at all, in the order of the log. */
  readonly candidates: readonly ChangeEntry[]
}

/**
 * Cuts a log into epochs.
 *
 * A flush settles what was completed before it was *issued*; a change that was under way meanwhile stays open. A FUA
 * change settles itself alone. A change that has arrived but is not answered yet can be on the disk, too.
 */
export function* epochsOf(entries: readonly DiskLogEntry[]): Generator<Epoch> {
  let open: ChangeEntry[] = []
  let settled: ChangeEntry[] = []
  let number = 1
  let coming = entries.filter((entry) => isChange(entry))
  const epochAt = (cutIndex: number): Epoch => {
    const arrived = coming.filter(({ issuedIndex }) => issuedIndex <= cutIndex)
    if (arrived.length > 0) coming = coming.filter(({ issuedIndex }) => issuedIndex > cutIndex)
    // A request that was long under way stands later in the log than some that came after it.
    open = [...open, ...arrived].toSorted((one, other) => one.index - other.index)
    return { number: number++, cutIndex, settled, candidates: open }
  }
  for (const entry of entries) {
    const settles = settledBy(entry)
    if (settles === undefined) continue
    yield epochAt(entry.index)
    settled = open.filter((change) => settles(change))
    open = open.filter((change) => !settles(change))
  }
  yield epochAt(entries.length)
}

function settledBy(entry: DiskLogEntry): ((change: ChangeEntry) => boolean) | undefined {
  if (entry.kind === 'flush') return (change) => change.index < entry.issuedIndex
  return isChange(entry) && entry.fua ? (change) => change === entry : undefined
}

/** Whether an entry changes what the disk holds. */
export function isChange(entry: DiskLogEntry): entry is ChangeEntry {
  return entry.kind !== 'flush' && entry.kind !== 'mark'
}
