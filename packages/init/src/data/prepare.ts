/**
 * Before any service is started: the data of each are made what its code can work with, or it is withheld. That is the
 * same in a trial, after it, and after a way back: what there is to do follows from what is recorded and what the plan of
 * the running image says.
 */
import type { LogPriority } from '../core.ts'
import type { DataPlan, ServicePlan } from '../plan.ts'
import type { Breath } from './breath.ts'
import { decide, UNDECLARED, type DataRecord, type DataVersion } from './decide.ts'
import type { DataFiles } from './files.ts'
import { migrate, type RunHook } from './migrate.ts'
import { restore } from './restore.ts'
import { DataStore } from './store.ts'

/** What preparing needs. */
export interface PrepareContext {
  /** The services of the plan. */
  readonly services: readonly Pick<ServicePlan, 'name' | 'data'>[]
  /** The folder of PID 1's state: `/var/lib/solo`. */
  readonly stateFolder: string
  /** The steps. */
  readonly files: DataFiles
  /** Called between two pieces of work. @throws Error none is wanted any more */
  readonly breath: Breath
  /** Runs the hook of a service. @throws Error it failed */
  readonly runHook: (service: string, from: number, to: number) => Promise<void>
  /** Something is about to be done that takes its time. */
  readonly onWork: (text: string) => void
  /** Writes a line of PID 1's. */
  readonly log: (priority: LogPriority, text: string) => void
}

/** A service that must not be started. */
export interface Withheld {
  /** Its name. */
  readonly service: string
  /** Why. */
  readonly reason: string
}

/** The longest way has five: finish putting back, record, put back, migrate, start. */
const DECISIONS_MAX = 8

/** Prepares all; @returns those that must not be started */
export async function prepareData(context: PrepareContext): Promise<Withheld[]> {
  const withheld: Withheld[] = []
  for (const { name: service, data } of context.services) {
    try {
      await prepareOne(context, service, data)
    } catch (error) {
      withheld.push({ service, reason: error instanceof Error ? error.message : String(error) })
    }
  }
  return withheld
}

/**
 * Removes the snapshots of services that want none any longer, once the release is blessed.
 *
 * @returns the services whose snapshots were removed
 */
export async function dropUnwanted({
  services,
  stateFolder,
  files,
}: Pick<PrepareContext, 'services' | 'stateFolder' | 'files'>): Promise<string[]> {
  const dropped: string[] = []
  for (const { name, data } of services) {
    if (data === null || data.keepSnapshot) continue
    const store = new DataStore(files, stateFolder, name)
    const record = store.record()
    // Anything else is in the middle of something that needs it.
    if (record?.version !== data.version || record.unfinished !== null || record.restoring !== null) continue
    for (const version of store.versions()) {
      await store.drop(version)
      dropped.push(name)
    }
  }
  return dropped
}

async function prepareOne(context: PrepareContext, service: string, data: DataPlan | null): Promise<void> {
  const { files, stateFolder } = context
  const store = new DataStore(files, stateFolder, service)
  const first = store.record()
  // Neither this release nor one before has said anything.
  if (data === null && first === null) return
  const plan = data ?? undeclared
  let record = first
  for (let count = 0; count < DECISIONS_MAX; count++) {
    if (await carryOut(context, { service, plan, store, record })) return
    record = store.record()
  }
  throw new Error(`its data came to no end after ${DECISIONS_MAX} steps: ${JSON.stringify(record)}`)
}

const undeclared: DataPlan = { ...UNDECLARED, folders: [], migrate: null, keepSnapshot: true }

interface Work {
  readonly service: string
  readonly plan: DataPlan
  readonly store: DataStore
  readonly record: DataRecord | null
}

/** Decides, and does it; whether the service may start. */
async function carryOut(context: PrepareContext, work: Work): Promise<boolean> {
  const { files, onWork, log } = context
  await context.breath()
  const { service, plan, store, record } = work
  const code: DataVersion = { version: plan.version, readableBy: plan.readableBy }
  const hasFiles = record === null && plan.folders.some((path) => files.namesIn(path).length > 0)
  const decision = decide({ code, record, hasFiles, snapshots: snapshotsOf(store) })
  switch (decision.do) {
    case 'start':
      return true
    case 'refuse':
      throw new Error(decision.reason)
    case 'record':
      try {
        store.write({ ...decision.version, unfinished: null, restoring: null })
      } catch (error) {
        // A full disk is no reason to keep a service from starting whose data will be taken for what they are all the same.
        const taken = (record ?? UNDECLARED).version
        if (decision.version.version !== taken || code.version !== taken) throw error
        const reason = error instanceof Error ? error.message : String(error)
        log('warning', `${service}: the version of its data cannot be noted: ${reason}`)
        return true
      }
      return false
    case 'migrate': {
      if (record === null) throw new Error('nothing to migrate from')
      onWork(`the data of ${service} were being migrated to version ${code.version}`)
      const runHook: RunHook = async (from, to) => await context.runHook(service, from, to)
      const say = (text: string): void => log('notice', `${service}: ${text}`)
      await migrate({ plan, store, files, runHook, log: say }, record, decision.withSnapshot)
      return false
    }
    case 'restore': {
      if (record === null) throw new Error('nothing to put back to')
      onWork(`the data of ${service} were being put back to version ${decision.snapshot.version}`)
      const aside = await restore(store, files, record, decision.snapshot)
      const put = `${service}: its data are those of the snapshot of version ${decision.snapshot.version} again`
      log(
        'warning',
        aside === null ? `${put}: a migration was not finished` : `${put}; the newer ones are in ${aside}`,
      )
      return false
    }
  }
}

/** Those that say what they are. */
function snapshotsOf(store: DataStore): DataVersion[] {
  return store.versions().flatMap((version) => {
    try {
      return [store.manifest(version)]
    } catch {
      // As good as none; should one be needed, its absence is told.
      return []
    }
  })
}
