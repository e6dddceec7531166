/** The transitions of one service. `core.ts` says which event leads here; each function is one cell group. */
import { NETWORK_ONLINE } from '../plan.ts'
import { endProbe, startProbe } from './health.ts'
import {
  afterExit,
  type AfterExit,
  describeExit,
  restartDelayMs,
  signalName,
  STABLE_RUN_MS,
} from './restart.ts'
import { armTimer, cancelTimer, log, random, type Draft, type Exit, type ServiceState } from './state.ts'

/** A kill that has not emptied the cgroup is repeated: a process in uninterruptible sleep may wake up later. */
export const KILL_AGAIN_MS = 5000

/** Whether nothing of the service is alive and nothing of it is about to be. */
export function isDown(service: ServiceState): boolean {
  return service.status === 'done' || service.status === 'failed' || service.status === 'stopped'
}

/** waiting → starting, when the boot, the milestones and the services before it allow. */
export function startIfReleased(draft: Draft, service: ServiceState): void {
  const { state } = draft
  if (service.status !== 'waiting' || !state.booted || state.shutdown !== null) return
  if (service.plan.after.every((name) => isSettled(draft, name))) start(draft, service)
}

/** Whether nobody can know yet what will come of it. */
export function isUndecided({ status }: ServiceState): boolean {
  return status === 'waiting' || status === 'starting' || status === 'activating'
}

/** Whether those who wait for `name` may go on: it is ready, or has been tried in vain. */
function isSettled(draft: Draft, name: string): boolean {
  if (name === NETWORK_ONLINE) return draft.state.milestones.includes(name)
  const service = draft.state.services[name]
  return service === undefined || !isUndecided(service)
}

function start(draft: Draft, service: ServiceState): void {
  service.timer = cancelTimer(draft, service.timer)
  service.status = 'starting'
  service.starts += 1
  draft.actions.push({ type: 'spawn', service: service.plan.name })
}

/** starting → activating or running, or on to stopping when somebody has asked for that meanwhile. */
export function spawned(draft: Draft, service: ServiceState, pid: number): void {
  if (service.status !== 'starting') return
  const { name, ready } = service.plan
  service.status = 'activating'
  service.pid = pid
  service.cgroupEmpty = false
  service.startedAtMs = draft.atMs
  service.exit = null
  service.condemned = false
  service.healthy = null
  service.healthFailures = 0
  service.note = ''
  service.reason = ''
  log(draft, 'info', `${name}: started as process ${pid}`)
  service.stopAsked = false
  if (!service.wanted) return stop(draft, service)
  if (ready === 'started') return activated(draft, service)
  service.timer = armTimer(draft, ready.timeoutMs)
  if (!('notify' in ready)) startProbe(draft, service, 'ready')
}

/** activating → running: it is ready, and from now on has to be well. */
export function activated(draft: Draft, service: ServiceState): void {
  const { name, ready, health, watchdogMs } = service.plan
  service.status = 'running'
  service.reason = ''
  service.timer = cancelTimer(draft, service.timer)
  endProbe(draft, service)
  if (ready !== 'started') {
    const tookMs = Math.round(draft.atMs - (service.startedAtMs ?? draft.atMs))
    log(draft, 'info', `${name}: ready after ${tookMs} ms`)
  }
  if (health !== null) startProbe(draft, service, 'health')
  if (watchdogMs > 0) service.timer = armTimer(draft, watchdogMs)
}

/** activating or running → stopping: not because somebody asked, but because it is not what it ought to be. */
export function condemn(draft: Draft, service: ServiceState, reason: string): void {
  if (service.pid === null) return
  service.condemned = true
  service.reason = reason
  log(draft, 'warning', `${service.plan.name}: ${reason}`)
  signalStop(draft, service, service.pid)
}

function signalStop(draft: Draft, service: ServiceState, pid: number): void {
  const { name, stopSignal, stopTimeoutMs } = service.plan
  service.status = 'stopping'
  service.timer = cancelTimer(draft, service.timer)
  endProbe(draft, service)
  draft.actions.push({ type: 'kill', service: name, pid, signal: stopSignal })
  service.timer = armTimer(draft, stopTimeoutMs)
}

/** starting → backoff or failed: there is no process, so nothing has to be killed. */
export function spawnFailed(draft: Draft, service: ServiceState, reason: string): void {
  if (service.status !== 'starting') return
  service.exit = null
  if (service.stopAsked || !service.wanted) return ended(draft, service)
  service.reason = reason
  service.crashes += 1
  if (service.plan.restart === 'never') return fail(draft, service)
  backOff(draft, service, 0)
}

/** waiting → failed, for as long as the machine runs: no request starts it. Comes before the boot is over. */
export function withheld(draft: Draft, service: ServiceState, reason: string): void {
  if (service.status !== 'waiting') return
  service.withheld = true
  service.reason = reason
  fail(draft, service)
}

/** The main process has ended; what it left in its cgroup goes too, and only then the service has ended. */
export function exited(draft: Draft, service: ServiceState, exit: Exit): void {
  service.pid = null
  service.exit = exit
  if (service.status === 'killing') return endIfGone(draft, service)
  const ranMs = draft.atMs - (service.startedAtMs ?? draft.atMs)
  if (!service.stopAsked && !service.condemned)
    service.reason = `${describeExit(exit)} after ${Math.round(ranMs)} ms`
  service.timer = cancelTimer(draft, service.timer)
  killRest(draft, service)
}

/** The cgroup is empty; counts only when a kill was asked for, because a service may move its main process. */
export function cgroupEmpty(draft: Draft, service: ServiceState): void {
  if (service.status !== 'killing') return
  service.cgroupEmpty = true
  endIfGone(draft, service)
}

/** One of its timers: what it means lies in the state. */
export function timerFired(draft: Draft, service: ServiceState): void {
  service.timer = null
  const { name, ready, stopSignal, stopTimeoutMs, watchdogMs } = service.plan
  if (service.status === 'activating' && ready !== 'started')
    return condemn(draft, service, lateText(ready.timeoutMs, service.reason))
  if (service.status === 'running')
    return condemn(draft, service, `no sign of life (WATCHDOG=1) for ${watchdogMs} ms`)
  if (service.status === 'backoff') {
    service.status = 'waiting'
    return startIfReleased(draft, service)
  }
  if (service.status === 'stopping') {
    const waited = `still running ${stopTimeoutMs} ms after ${signalName(stopSignal)}`
    log(draft, 'warning', `${name}: ${waited}, killing its cgroup`)
    return killRest(draft, service)
  }
  if (service.status === 'killing') {
    log(draft, 'warning', `${name}: not gone ${KILL_AGAIN_MS} ms after SIGKILL, killing again`)
    killRest(draft, service)
  }
}

function lateText(timeoutMs: number, reason: string): string {
  return reason === '' ? `not ready within ${timeoutMs} ms` : `${reason}; given up after ${timeoutMs} ms`
}

/** Somebody wants it to run (again). A failed one gets all its tries back. */
export function startRequested(draft: Draft, service: ServiceState): void {
  if (draft.state.shutdown !== null || service.withheld) return
  service.wanted = true
  if (!isDown(service) && service.status !== 'backoff') return
  service.failures = 0
  service.stopAsked = false
  service.timer = cancelTimer(draft, service.timer)
  service.status = 'waiting'
  startIfReleased(draft, service)
}

/** Somebody wants it not to run: any state → on the way to stopped. */
export function stop(draft: Draft, service: ServiceState): void {
  service.wanted = false
  const { status, pid } = service
  if (isDown(service)) {
    service.status = 'stopped'
    return
  }
  service.stopAsked = true
  // Their answers are under way and lead to `ended`.
  if (status === 'starting' || status === 'stopping' || status === 'killing') return
  if (pid === null) return ended(draft, service)
  signalStop(draft, service, pid)
}

/** activating, running or stopping → killing at once, when the shutdown has no time left. */
export function killNow(draft: Draft, service: ServiceState): void {
  if (!['activating', 'running', 'stopping'].includes(service.status)) return
  service.stopAsked = true
  service.timer = cancelTimer(draft, service.timer)
  killRest(draft, service)
}

function killRest(draft: Draft, service: ServiceState): void {
  service.status = 'killing'
  endProbe(draft, service)
  service.cgroupEmpty = false
  service.timer = armTimer(draft, KILL_AGAIN_MS)
  draft.actions.push({ type: 'kill-cgroup', service: service.plan.name })
}

function endIfGone(draft: Draft, service: ServiceState): void {
  if (service.pid === null && service.cgroupEmpty) ended(draft, service)
}

/** Nothing of it is left: what next? */
function ended(draft: Draft, service: ServiceState): void {
  const { plan, exit } = service
  service.timer = cancelTimer(draft, service.timer)
  const how = exit === null ? '' : `, ${describeExit(exit)}`
  if (service.stopAsked || !service.wanted) {
    service.stopAsked = false
    service.status = service.wanted ? 'waiting' : 'stopped'
    log(draft, 'info', `${plan.name}: stopped${how}`)
    return startIfReleased(draft, service)
  }
  const next = whatNext(service)
  if (next === 'done') {
    service.status = 'done'
    return log(draft, 'info', `${plan.name}: done${how}`)
  }
  service.crashes += 1
  if (next === 'failed') return fail(draft, service)
  backOff(draft, service, draft.atMs - (service.startedAtMs ?? draft.atMs))
}

/** A process that we ended because it was not well has failed, however politely it went. */
function whatNext({ plan, exit, condemned }: ServiceState): AfterExit {
  if (condemned || exit === null) return plan.restart === 'never' ? 'failed' : 'restart'
  return afterExit(plan.restart, exit)
}

function backOff(draft: Draft, service: ServiceState, ranMs: number): void {
  const { plan } = service
  if (ranMs >= Math.max(STABLE_RUN_MS, plan.restartDelayMs.initial)) service.failures = 0
  service.failures += 1
  const limit = plan.restartLimit ?? 0
  if (limit > 0 && service.failures > limit) {
    service.reason = `gave up after ${service.failures} ends in a row; the last: ${service.reason}`
    return fail(draft, service)
  }
  const delayMs = restartDelayMs(plan.restartDelayMs, service.failures, random(draft))
  service.status = 'backoff'
  service.timer = armTimer(draft, delayMs)
  log(draft, 'warning', `${plan.name}: ${service.reason}; starting again in ${delayMs} ms`)
}

function fail(draft: Draft, service: ServiceState): void {
  service.status = 'failed'
  log(draft, 'error', `${service.plan.name}: failed: ${service.reason}`)
}
