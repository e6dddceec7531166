/**
 * A snapshot is put in the place of data that the code cannot read: by renames only, so that it needs no room and no
 * time, and can be gone on with after a power cut between any two of them.
 *
 * ```
 *  1  what was set aside before is removed, the new place is made
 *  2  the record says `restoring`                       from here on every boot goes on with it
 *  3  for each folder     folder → aside/0              is there an aside/0, this is done
 *                         snapshot/0 → folder           is there no snapshot/0, this is done
 *  4  snapshot → snapshot.old                           is there no snapshot, 3 is done
 *  5  the record says what it is now                    from here on the service may start
 *  6  snapshot.old is removed
 * ```
 *
 * Where 3 was interrupted, the boot's step that makes missing folders may have made an empty one: a rename replaces it.
 */
import type { DataRecord, DataVersion } from './decide.ts'
import type { DataFiles } from './files.ts'
import type { DataStore, KeptFolder } from './store.ts'

/** Puts it back. @returns where the data that were there are now; null where they were half migrated, and are gone */
export async function restore(
  store: DataStore,
  files: DataFiles,
  record: DataRecord,
  snapshot: DataVersion,
): Promise<string | null> {
  const { version, readableBy } = snapshot
  // What a migration left half-way has nothing that the snapshot has not: no service has run on it.
  const isHalf = record.unfinished !== null
  const aside = isHalf ? store.discarded(version) : store.aside(record.version)
  if (record.restoring === null) {
    await store.tidy()
    if (!isHalf) await store.dropAside()
    files.makeFolder(aside)
    store.write({ ...record, restoring: { version, readableBy } })
  }
  const kept = store.snapshot(version)
  if (files.isFolder(kept)) {
    for (const [index, folder] of store.manifest(version).folders.entries()) {
      exchange(files, folder, `${kept}/${index}`, `${aside}/${index}`)
    }
    files.rename(kept, store.removed(version))
  }
  store.write({ version, readableBy, unfinished: null, restoring: null })
  await store.tidy()
  return isHalf ? null : aside
}

function exchange(files: DataFiles, { path, present }: KeptFolder, copy: string, aside: string): void {
  const isPlaced = present && !files.isFolder(copy)
  if (isPlaced) return
  if (!files.isFolder(aside) && files.isFolder(path)) files.rename(path, aside)
  if (present) files.rename(copy, path)
}
