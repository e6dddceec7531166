/** A service of the plan → a running process in a cgroup of its own, with its output captured. */
import { SIGKILL } from '@pkg/sys/constants'
import { spawn } from '@pkg/sys/spawn'
import { captureOutput, type Capture } from '../log/capture.ts'
import type { ServicePlan } from '../plan.ts'
import { capabilityNames } from '../plan/capabilities.ts'
import { openGroup } from './cgroup.ts'
import { credentials } from './credentials.ts'
import { limitGroup } from './limits.ts'

/** What starting a service needs. */
export interface SpawnContext {
  /** Folder of the cgroups; null where there are none. */
  readonly cgroups: string | null
  /** Where services send what sd_notify(3) says; null where nobody listens. */
  readonly notifySocket: string | null
  /** Monotonic clock. */
  readonly nowMs: () => number
  /** Takes a line of the service's output. */
  readonly onLine: (service: string, text: string) => void
}

/** A started service. */
export interface RunningService {
  /** Its main process. */
  readonly pid: number
  /** Its output. */
  readonly output: Capture
}

/** What every service finds in its environment unless the plan says otherwise. */
const baseEnvironment: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/',
}

/** Only for those that the plan expects to speak: others would pass it on to programs that nobody listens to. */
function notifyEnvironment(
  { ready, watchdogMs }: ServicePlan,
  notifySocket: string | null,
): Record<string, string> {
  const expected = watchdogMs > 0 || (ready !== 'started' && 'notify' in ready)
  if (!expected || notifySocket === null) return {}
  // In microseconds (sd_watchdog_enabled(3)).
  const watchdog = watchdogMs > 0 ? { WATCHDOG_USEC: String(watchdogMs * 1000) } : {}
  return { NOTIFY_SOCKET: notifySocket, ...watchdog }
}

/**
 * Starts a service.
 *
 * @throws SysError with the step that failed: `spawn /bin/web: execve: ENOENT …`
 */
export function spawnService(service: ServicePlan, context: SpawnContext): RunningService {
  const [file = '', ...args] = service.command
  const path = context.cgroups === null ? null : `${context.cgroups}/${service.name}`
  using group = path === null ? null : openGroup(path)
  const missing = path === null ? withoutGroup(service) : limitGroup(path, service)
  if (missing.length > 0) context.onLine(service.name, `runs without limits: no ${missing.join(', ')} here`)
  const child = spawn({
    file,
    args,
    env: { ...baseEnvironment, ...notifyEnvironment(service, context.notifySocket), ...service.environment },
    cwd: service.workingDirectory,
    stdio: ['null', 'pipe', 'pipe'],
    newSession: true,
    ...credentials(service),
    noNewPrivileges: service.uid !== 0,
    umask: 0o022,
    ...(service.capabilities === null
      ? {}
      : { capabilities: service.capabilities.map((name) => capabilityNames.indexOf(name)) }),
    ...(group === null ? {} : { cgroup: group }),
  })
  const pipes = [child.stdout, child.stderr].filter((pipe) => pipe !== undefined)
  try {
    const output = captureOutput(pipes, context.nowMs, (text) => context.onLine(service.name, text))
    // The reaper waits for all children, so nobody needs the pidfd.
    child.pidfd.close()
    return { pid: child.pid, output }
  } catch (error) {
    // A process that nobody knows would run beside its successor.
    child.kill(SIGKILL)
    child[Symbol.dispose]()
    throw error
  }
}

function withoutGroup({ limits }: ServicePlan): string[] {
  return limits.memoryMaxMiB === null && limits.tasksMax === null ? [] : ['control groups']
}
