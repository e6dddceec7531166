/** The boot's step that makes the data of services what their code can work with, and what follows after a blessing. */
import type { LogPriority } from '../core.ts'
import { breathing } from '../data/breath.ts'
import { STATE_FOLDER } from '../data/declared.ts'
import { machineFiles } from '../data/files.ts'
import { dropUnwanted, prepareData } from '../data/prepare.ts'
import type { Plan } from '../plan.ts'
import { makeFolder } from '../shell/cgroup.ts'
import { runHook, type HookContext } from '../shell/hook.ts'
import type { Supervisor } from '../shell/supervisor.ts'

/** What it needs. */
export interface DataStepContext extends Pick<HookContext, 'cgroups' | 'programs' | 'nowMs' | 'onLine'> {
  /** The plan. */
  readonly plan: Plan
  /** The supervisor: it is told which services must not be started. */
  readonly supervisor: Supervisor
  /** Something is about to be done that takes its time. */
  readonly onWork: (text: string) => void
  /** Writes a line of PID 1's. */
  readonly log: (priority: LogPriority, text: string) => void
}

/** Prepares the data of all services. @returns what was done, in words */
export async function prepareServices(context: DataStepContext): Promise<string> {
  const { plan, supervisor, nowMs, log, onWork } = context
  makeFolder('/var/lib')
  makeFolder(STATE_FOLDER)
  const breath = breathing(nowMs, () => {
    return supervisor.state.shutdown === null ? null : 'the machine is shutting down'
  })
  const withheld = await prepareData({
    services: plan.services,
    stateFolder: STATE_FOLDER,
    files: machineFiles(breath),
    breath,
    async runHook(name, from, to) {
      const service = plan.services.find((each) => each.name === name)
      const migration = service?.data?.migrate ?? null
      if (service === undefined || migration === null) return
      const what = `the migration of its data from version ${from} to ${to}`
      const variables = { SOLO_DATA_FROM: String(from), SOLO_DATA_TO: String(to) }
      await runHook(service, { hook: migration, what, name, variables }, context)
    },
    onWork,
    log,
  })
  for (const { service, reason } of withheld) supervisor.send({ type: 'withheld', service, reason })
  const names = withheld.map(({ service }) => service)
  return names.length === 0 ? 'as their services need them' : `not started: ${names.join(', ')}`
}

/** After a blessing: removes the snapshots that are wanted only until then. */
export async function dropSnapshots({
  plan,
  nowMs,
  log,
}: Pick<DataStepContext, 'plan' | 'nowMs' | 'log'>): Promise<void> {
  const files = machineFiles(breathing(nowMs, () => null))
  try {
    const services = await dropUnwanted({ services: plan.services, stateFolder: STATE_FOLDER, files })
    for (const service of services) log('info', `${service}: the snapshot of its data is not kept any longer`)
  } catch (error) {
    log('error', `snapshots: ${error instanceof Error ? error.message : String(error)}`)
  }
}
