/**
 * Saved machines on disk, each under the hash of everything that made it: a kernel, an image or an option that
 * changes is another machine.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { isLeftBehind, ownerMark } from '../host/owner.ts'
import { defaultCacheFolder } from '../kvm.ts'

/** Raised when what a saved machine consists of changes, so that old ones are not restored. */
const LAYOUT_VERSION = 3

/** How many machines are kept: each is as large as what its guest had touched of its memory, 100 to 300 MB. */
const KEPT_MACHINES = 12

/** The name of the machine that `parts` make: any JSON, in which every byte counts. */
export function snapshotKey(parts: readonly unknown[]): string {
  return createHash('sha256')
    .update(JSON.stringify([LAYOUT_VERSION, ...parts]))
    .digest('hex')
}

/** The folder of the saved machine `key`, or undefined when there is none. It counts as used now. */
export function findSnapshot(key: string): string | undefined {
  const folder = join(snapshotsFolder(), key)
  if (!existsSync(folder)) return undefined
  const now = new Date()
  try {
    utimesSync(folder, now, now)
  } catch {
    // Somebody prunes it at this moment, or it is another user's: it can be restored all the same, or not.
  }
  return folder
}

/**
 * Makes the saved machine `key`: `save` writes it into an empty folder, which gets its name when all is there, so
 * that an interrupted save leaves no half machine. When another process was faster, its machine stays.
 *
 * @returns the machine's folder
 */
export async function keepSnapshot(key: string, save: (folder: string) => Promise<void>): Promise<string> {
  mkdirSync(snapshotsFolder(), { recursive: true })
  const folder = join(snapshotsFolder(), key)
  const scratch = mkdtempSync(join(snapshotsFolder(), `${SCRATCH_PREFIX}${ownerMark()}-`))
  try {
    await save(scratch)
    await rename(scratch, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error
    })
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
  prune(snapshotsFolder(), KEPT_MACHINES)
  return folder
}

/** Removes a machine that turned out not to fit any more (another QEMU, a damaged file). */
export function dropSnapshot(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
}

const SCRATCH_PREFIX = 'saving-'

function snapshotsFolder(): string {
  return join(defaultCacheFolder(), 'snapshots')
}

/** Keeps the machines that were used last, and no scratch of a process that is gone. */
export function prune(folder: string, kept: number): void {
  const names = readdirSync(folder)
  for (const name of names.filter((each) => each.startsWith(SCRATCH_PREFIX)))
    if (isLeftBehind(join(folder, name), name.slice(SCRATCH_PREFIX.length))) dropSnapshot(join(folder, name))
  const machines = names
    .filter((name) => !name.startsWith(SCRATCH_PREFIX))
    .map((name) => ({ path: join(folder, name), usedMs: usedMs(join(folder, name)) }))
    .toSorted((one, other) => other.usedMs - one.usedMs)
  // A guest that was restored from it has the file open: its pages live until the guest ends.
  for (const { path } of machines.slice(kept)) dropSnapshot(path)
}

function usedMs(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
}
