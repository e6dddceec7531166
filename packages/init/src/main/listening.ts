/** The sockets by which services and programs speak to PID 1, in the folder of its run. */
import type { LogPriority } from '../core.ts'
import type { Plan } from '../plan.ts'
import { makeFolder } from '../shell/cgroup.ts'
import { listenForNotifications } from '../shell/notify.ts'
import type { Supervisor } from '../shell/supervisor.ts'

/** What listening needs. */
export interface ListeningContext {
  /** The plan. */
  readonly plan: Plan
  /** Folder of the sockets. */
  readonly run: string
  /** Whether each service has a cgroup of its own. */
  readonly hasCgroups: boolean
  /** Who is told. */
  readonly supervisor: () => Supervisor
  /** Writes a line of PID 1's. */
  readonly log: (priority: LogPriority, text: string) => void
}

/**
 * Listens for what services say of themselves, where the plan expects any of them to.
 *
 * @returns the socket's path; null where nobody listens
 */
export function listenToServices({
  plan,
  run,
  hasCgroups,
  supervisor,
  log,
}: ListeningContext): string | null {
  const speaks = plan.services.some(({ ready, watchdogMs }) => {
    return watchdogMs > 0 || (ready !== 'started' && 'notify' in ready)
  })
  if (!speaks) return null
  const path = `${run}/notify`
  try {
    makeFolder(run)
    listenForNotifications(path, {
      hasCgroups,
      mainPids: () => mainPids(supervisor()),
      onMessage: (service, message) => supervisor().send({ type: 'notified', service, ...message }),
    })
    return path
  } catch (error) {
    // A service that waits to be heard will be started again and again: loud, and the machine goes on.
    log('error', `notifications: ${error instanceof Error ? error.message : String(error)}`)
    return null
  }
}

function mainPids({ state }: Supervisor): Map<string, number> {
  const pids = new Map<string, number>()
  for (const { plan, pid } of Object.values(state.services)) if (pid !== null) pids.set(plan.name, pid)
  return pids
}
