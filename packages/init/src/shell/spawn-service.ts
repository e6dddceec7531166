/** A service of the plan → a running process in a cgroup of its own, with its output captured. */
import { SIGKILL } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { getgid, getuid } from '@pkg/sys/process'
import { spawn, type SpawnOptions } from '@pkg/sys/spawn'
import { captureOutput, type Capture } from '../log/capture.ts'
import type { ServicePlan } from '../plan.ts'
import { openGroup } from './cgroup.ts'
import { readText } from './text-file.ts'

/** What starting a service needs. */
export interface SpawnContext {
  /** Folder of the cgroups; null where there are none. */
  readonly cgroups: string | null
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

/**
 * Who the service runs as. Where PID 1 is already that user and is not root, or is root of a user namespace that
 * forbids setgroups(2) (user_namespaces(7)), there is nothing to change, and the kernel would refuse to.
 */
function credentials({ uid, gid, groups }: ServicePlan): Partial<SpawnOptions> {
  const self = getuid()
  if (self !== 0 && self === uid && getgid() === gid && groups.length === 0) return {}
  return groups.length === 0 && !maySetGroups() ? { uid, gid } : { uid, gid, groups }
}

function maySetGroups(): boolean {
  try {
    return readText('/proc/self/setgroups').trim() !== 'deny'
  } catch (error) {
    if (isSysError(error)) return true
    throw error
  }
}

/**
 * Starts a service.
 *
 * @throws SysError with the step that failed: `spawn /bin/web: execve: ENOENT …`
 */
export function spawnService(service: ServicePlan, context: SpawnContext): RunningService {
  const [file = '', ...args] = service.command
  using group = context.cgroups === null ? null : openGroup(`${context.cgroups}/${service.name}`)
  const child = spawn({
    file,
    args,
    env: { ...baseEnvironment, ...service.environment },
    cwd: service.workingDirectory,
    stdio: ['null', 'pipe', 'pipe'],
    newSession: true,
    ...credentials(service),
    noNewPrivileges: service.uid !== 0,
    umask: 0o022,
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
