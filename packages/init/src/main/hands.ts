/** The supervisor's hands: the core's actions as system calls. */
import { SIGKILL } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { kill } from '@pkg/sys/process'
import type { FailedService, LogPriority, ShutdownKind, ShutdownPhase } from '../core.ts'
import type { Capture } from '../log/capture.ts'
import type { Console } from '../log/console.ts'
import { readyText } from '../log/format.ts'
import type { ServicePlan } from '../plan.ts'
import { killGroup, removeGroup } from '../shell/cgroup.ts'
import { metLimits } from '../shell/limits.ts'
import { endMachine } from '../shell/power.ts'
import { endAllProcesses } from '../shell/processes.ts'
import type { Prober } from '../shell/prober.ts'
import { spawnService } from '../shell/spawn-service.ts'
import type { Hands } from '../shell/supervisor.ts'
import { readText } from '../shell/text-file.ts'
import { unmountAll } from '../shell/unmount.ts'

/** What the hands work with. */
export interface HandsContext {
  /** Whether the machine is ours, and not only a pid namespace in it: by the kernel's word, not by an option. */
  readonly ownsMachine: boolean
  /** Where lines go. */
  readonly console: Console
  /** Folder of the services' cgroups, or null. */
  readonly cgroups: string | null
  /** Where services send what sd_notify(3) says; null where nobody listens. */
  readonly notifySocket: string | null
  /** Asks services whether they are ready and well. */
  readonly prober: Prober
  /** Monotonic clock. */
  readonly nowMs: () => number
  /** Writes a line of PID 1's. */
  readonly log: (priority: LogPriority, text: string) => void
  /** Reaps, and tells whether no child is left. */
  readonly isChildless: () => boolean
  /** Resolves when a child has ended. */
  readonly nextExit: () => Promise<void>
  /** The file systems are about to be unmounted. */
  readonly onFileSystemsEnd: () => void
  /** The file systems are unmounted, or can only be read. */
  readonly onFileSystemsEnded: () => void
}

/** How long the last lines may take to reach a slow console. */
const LAST_LINES_MS = 1000

/** Makes the hands. */
export function makeHands(context: HandsContext): Hands {
  const { cgroups, nowMs, log } = context
  const outputs = new Map<string, Capture>()
  const mainPids = new Map<string, number>()
  const plans = new Map<string, ServicePlan>()
  const groupWatches = new Map<string, Disposable>()

  function spawn(service: ServicePlan): number {
    const { pid, output } = spawnService(service, {
      cgroups,
      notifySocket: context.notifySocket,
      nowMs,
      onLine: (name, text) => context.console.line(name, text),
    })
    outputs.set(service.name, output)
    mainPids.set(service.name, pid)
    plans.set(service.name, service)
    return pid
  }

  function gone(service: string, onEmpty: () => void): void {
    outputs.get(service)?.finish()
    outputs.delete(service)
    if (cgroups !== null) {
      const [group, plan] = [`${cgroups}/${service}`, plans.get(service)]
      for (const met of plan === undefined ? [] : metLimits(group, plan)) log('warning', `${service}: ${met}`)
      removeGroup(group)
    }
    onEmpty()
  }

  return {
    nowMs,
    spawn,
    log,
    kill: (_service, pid, signal) => signalQuietly(pid, signal),
    killGroup(service, onEmpty) {
      // A repeated kill replaces the wait of the one before it.
      groupWatches.get(service)?.[Symbol.dispose]()
      groupWatches.delete(service)
      if (cgroups === null) {
        const pid = mainPids.get(service)
        // It leads a process group of its own; what has left that group cannot be found without a cgroup.
        if (pid !== undefined) signalQuietly(-pid, SIGKILL)
        return gone(service, onEmpty)
      }
      groupWatches.set(
        service,
        killGroup(`${cgroups}/${service}`, () => gone(service, onEmpty)),
      )
    },
    startProbe: (service, pid, probe) => context.prober.start(service, pid, probe),
    stopProbe: (service) => context.prober.stop(service),
    ready(running, failed) {
      log('notice', readyLine(running, failed))
    },
    shutdownPhase: (phase, timeoutMs, onDone) => void doPhase(context, phase, timeoutMs).then(onDone),
    power: (kind) => void endAll(context, kind),
  }
}

function readyLine(running: number, failed: readonly FailedService[]): string {
  // The first of /proc/self/statm's fields is the size, the second what is resident, both in pages.
  const pages = Number(readText('/proc/self/statm').split(' ')[1])
  return readyText({ tookMs: performance.now(), running, failed, residentBytes: pages * PAGE_BYTES })
}

/** x86-64 always; arm64 as Debian builds it. */
const PAGE_BYTES = 4096

function signalQuietly(pid: number, signal: number): void {
  try {
    kill(pid, signal)
  } catch (error) {
    // ESRCH: it has ended by itself, and its SIGCHLD is under way.
    if (!isSysError(error, 'ESRCH')) throw error
  }
}

async function doPhase(context: HandsContext, phase: ShutdownPhase, timeoutMs: number): Promise<void> {
  const startMs = context.nowMs()
  try {
    if (phase === 'processes') await endAllProcesses(timeoutMs, context.isChildless, context.nextExit)
    // In a namespace, to make a file system read-only would do so for the whole machine.
    if (phase === 'file-systems' && context.ownsMachine) {
      context.onFileSystemsEnd()
      for (const failure of unmountAll()) context.log('warning', failure)
      context.onFileSystemsEnded()
    }
  } catch (error) {
    context.log('error', `${phase}: ${error instanceof Error ? error.message : String(error)}`)
  }
  context.log('info', `${phase}: done (${(context.nowMs() - startMs).toFixed(1)} ms)`)
}

async function endAll({ console, ownsMachine, log }: HandsContext, kind: ShutdownKind): Promise<void> {
  log('notice', `${kind} now`)
  await console.settle(LAST_LINES_MS)
  const refused = endMachine(kind)
  // Without CAP_SYS_BOOT a container's PID 1 ends its namespace by ending itself.
  if (!ownsMachine) process.exit(0)
  for (const reason of refused) log('error', reason)
  log('error', `the kernel refuses to ${kind}; it is safe to switch the machine off`)
}
