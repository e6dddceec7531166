/** A hook of a service as a process: as its user, in a control group, with an end. */
import { SIGKILL } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { kill } from '@pkg/sys/process'
import { describeExit } from '../core/restart.ts'
import type { HookPlan, ServicePlan } from '../plan.ts'
import { killGroup, removeGroup } from './cgroup.ts'
import { metLimits } from './limits.ts'
import type { Programs } from './programs.ts'
import { spawnService, type SpawnContext } from './spawn-service.ts'

/** What running it needs. */
export interface HookContext extends Pick<SpawnContext, 'cgroups' | 'nowMs' | 'onLine'> {
  /** Waits for its end. */
  readonly programs: Programs
}

/** How long what it has left behind may take to die. */
const LEFTOVERS_MS = 5000

/** What is run, and how it is called. */
export interface HookRun {
  /** The hook. */
  readonly hook: HookPlan
  /** What it is, for who reads that it failed. */
  readonly what: string
  /** Its control group, and the source of its lines. A service of the same name must not run. */
  readonly name: string
  /** Variables that it finds beside those of the service. */
  readonly variables: Readonly<Record<string, string>>
}

/**
 * Runs it to its end; nothing of it is left then.
 *
 * @throws Error it ended with another status than 0, or did not end in time
 */
export async function runHook(service: ServicePlan, run: HookRun, context: HookContext): Promise<void> {
  const { cgroups, programs } = context
  const { hook, what, name, variables } = run
  const environment = { ...service.environment, ...variables }
  // It is asked to be ready, or to show that it lives, by nobody.
  const plan: ServicePlan = {
    ...{ ...service, name, environment, command: hook.command },
    ...{ ready: 'started', watchdogMs: 0 },
  }
  const { pid, output } = spawnService(plan, { ...context, notifySocket: null })
  const group = cgroups === null ? null : `${cgroups}/${name}`
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    killLeader(pid)
  }, hook.timeoutMs)
  const end = await programs.ended(pid)
  clearTimeout(timer)
  let met: readonly string[] = []
  if (group === null) killLeader(pid)
  else {
    await endGroup(group, what)
    met = metLimits(group, service)
    removeGroup(group)
  }
  output.finish()
  if (isLate) throw new Error(`${what} was not done within ${hook.timeoutMs} ms`)
  if (end.code !== 0) throw new Error([`${what} has failed: ${describeExit(end)}`, ...met].join('; '))
}

/** It leads a process group of its own. */
function killLeader(pid: number): void {
  try {
    kill(-pid, SIGKILL)
  } catch (error) {
    if (!isSysError(error, 'ESRCH')) throw error
  }
}

async function endGroup(group: string, what: string): Promise<void> {
  const gone = Promise.withResolvers<void>()
  using _watch = killGroup(group, gone.resolve)
  const timer = setTimeout(
    () => gone.reject(new Error(`what ${what} has started cannot be killed`)),
    LEFTOVERS_MS,
  )
  try {
    await gone.promise
  } finally {
    clearTimeout(timer)
  }
}
