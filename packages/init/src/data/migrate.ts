/** Data of an older version are brought to the one of the code that runs: snapshot, hook, record. */
import type { DataPlan } from '../plan.ts'
import type { DataRecord, DataVersion } from './decide.ts'
import type { DataFiles } from './files.ts'
import type { DataStore } from './store.ts'

/** Runs the hook of a service to its end. @throws Error it failed */
export type RunHook = (from: number, to: number) => Promise<void>

/** What a migration needs. */
export interface MigrateContext {
  /** The service's word. */
  readonly plan: DataPlan
  /** The service's store. */
  readonly store: DataStore
  /** The steps. */
  readonly files: DataFiles
  /** The hook; not called where the plan has none. */
  readonly runHook: RunHook
  /** Writes a line of PID 1's. */
  readonly log: (text: string) => void
}

/** A snapshot leaves so much of the disk: services have to write at their start. */
const SPARE_BYTES = 8 * 1024 * 1024
const SPARE_FILES = 64

/**
 * Migrates.
 *
 * @throws Error with the reason; the record then says that it is unfinished, if anything was changed at all
 */
export async function migrate(
  context: MigrateContext,
  record: DataRecord,
  withSnapshot: boolean,
): Promise<void> {
  const { plan, store, files, runHook, log } = context
  const code: DataVersion = { version: plan.version, readableBy: plan.readableBy }
  // Those of earlier migrations are for releases that no slot holds any more. One of this version was made by a
  // migration that did not begin; older code may have written since.
  for (const version of store.versions()) await store.drop(version)
  await store.tidy()
  if (withSnapshot) await makeSnapshot(context, record)
  if (plan.migrate !== null) {
    store.write({ ...record, unfinished: code, restoring: null })
    log(`migrating its data from version ${record.version} to ${code.version}`)
    await runHook(record.version, code.version)
    for (const folder of plan.folders.filter((path) => files.isFolder(path))) files.sync(folder)
  }
  store.write({ ...code, unfinished: null, restoring: null })
}

async function makeSnapshot(
  { plan, store, files, log }: MigrateContext,
  { version, readableBy }: DataVersion,
): Promise<void> {
  store.makeFolder()
  const folders = plan.folders.map((path) => ({ path, present: files.isFolder(path) }))
  const present = folders.filter((folder) => folder.present).map(({ path }) => path)
  const needed = await files.measure(present)
  let problem = lack(needed, files.room(store.folder))
  // Only then: it is what somebody may still want to have.
  if (problem !== null && (await store.dropAside())) {
    log('what was set aside before is removed: its room is needed for a snapshot')
    problem = lack(needed, files.room(store.folder))
  }
  if (problem !== null) throw new Error(`no snapshot of its data can be made: ${problem}`)
  const unfinished = store.unfinished(version)
  const names = folders.map(({ path, present: isThere }) => (isThere ? path : null))
  await files.copy(names, unfinished)
  store.writeManifest({ version, readableBy, folders })
  files.rename(unfinished, store.snapshot(version))
  log(`a snapshot of its data of version ${version} was made: ${mebibytes(needed.sizeBytes)}`)
}

function lack(
  needed: { sizeBytes: number; files: number },
  free: { sizeBytes: number; files: number },
): string | null {
  if (needed.sizeBytes + SPARE_BYTES > free.sizeBytes) {
    const spare = mebibytes(needed.sizeBytes + SPARE_BYTES)
    return `expected ${spare} of room, found ${mebibytes(free.sizeBytes)}; make room, or declare readableBy`
  }
  if (needed.files + SPARE_FILES > free.files)
    return `expected room for ${needed.files + SPARE_FILES} files, found ${free.files}`
  return null
}

function mebibytes(sizeBytes: number): string {
  return `${(sizeBytes / 1024 / 1024).toFixed(1)} MiB`
}
