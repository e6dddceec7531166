/**
 * The pure core of PID 1: what has happened → what to do. No clock, no file descriptor, no I/O and no
 * exception on any event, so that it can be simulated by seed; the shell carries the actions out.
 *
 * # The states of a service
 *
 * A service is *wanted* from the start until somebody asks for a stop or the machine goes down. It stands in
 * one of ten states, and in each it has at most one timer and one probe:
 *
 * - `waiting`: it ought to start, but the boot, a milestone or a service named in its `after` is not there
 *   yet. A service counts as there when it is ready, or has been tried in vain: a failed one holds nobody up.
 * - `starting`: the shell has been asked to spawn it; the answer leads on.
 * - `activating`: its main process lives, and has until its timer to be ready: to say so (sd_notify), or to
 *   answer a probe. A plan that asks for neither has the service ready at once.
 * - `running`: it is ready. From now on its health is probed, and its watchdog, when it has one, runs.
 * - `stopping`: it got its stop signal and has until its timer to end by itself; because somebody asked, or
 *   because it was *condemned*: not ready in time, unhealthy, or silent for longer than its watchdog allows.
 *   The end of a condemned one is a failure, however it exits.
 * - `killing`: its cgroup has been killed, because the main process has ended (what it started must not stay
 *   behind) or did not end in time. The service has ended when both are true: main process reaped, cgroup
 *   empty. The kill is repeated every five seconds; it never gives up, since a second instance beside an
 *   unkillable first would be worse than none.
 * - `backoff`: it has ended and waits for its timer to be started again. The delay grows geometrically with
 *   every end and begins again from `initial` after a run of ten seconds.
 * - `done`: it has ended well and its policy wants no restart.
 * - `failed`: it has ended badly and its policy wants no restart, or its `restartLimit` is reached; or it was
 *   *withheld* before the boot was over, because its data are not what its code can work with: no request starts it.
 * - `stopped`: it was stopped on request.
 *
 * ```
 *         event   boot, other's   spawned       spawn-   READY=1,   health       main process   cgroup   its        stop      start
 *  state          change                        failed   probe ok   probe bad    exited         empty    timer      asked     asked
 *  waiting        starting¹       –             –        –          –            –              –        –          stopped   –
 *  starting       –               activating²   backoff³ –          –            –              –        –          noted     –
 *  activating     –               –             –        running    –            killing        –        stopping⁵  stopping  –
 *  running        –               –             –        –          stopping⁵⁶   killing        –        stopping⁵  stopping  –
 *  stopping       –               –             –        –          –            killing        –        killing    noted     noted
 *  killing        –               –             –        –          –            ended⁴         ended⁴   again      noted     noted
 *  backoff        –               –             –        –          –            –              –        waiting    stopped   waiting
 *  done           –               –             –        –          –            –              –        –          stopped   waiting
 *  failed         –               –             –        –          –            –              –        –          stopped   waiting
 *  stopped        –               –             –        –          –            –              –        –          –         waiting
 *
 *  ¹ when all in `after` are ready or were tried in vain, and no shutdown is under way
 *  ² running at once where nothing is asked of it; stopping, if a stop was noted
 *  ³ failed, by policy or limit                ⁴ when both: backoff, done, failed, stopped or waiting
 *  ⁵ condemned                                 ⁶ when `failures` probes in a row have failed
 * ```
 *
 * # The phases of a shutdown
 *
 * `services`: each service is stopped when all that name it in their `after` are down. `processes`: TERM, then
 * KILL to everything else. `file-systems`: unmount, read-only, sync. `power`: the end. The first request
 * decides the kind; from then on nothing is started. Every phase has a timer of its own, which together make
 * `shutdownTimeoutMs`: the last two get at most five seconds and a third of the whole each.
 */
import { notified, probed } from './core/health.ts'
import { cgroupEmpty, exited, isUndecided, spawned, spawnFailed, startIfReleased } from './core/service.ts'
import { startRequested, stop, timerFired, withheld } from './core/service.ts'
import { advanceShutdown, phaseFinished, phaseTimedOut, shutdownRequested } from './core/shutdown.ts'
import { NETWORK_ONLINE } from './plan.ts'
import { draftOf, log, type Action, type Draft, type Event, type State } from './core/state.ts'

export { initialState } from './core/state.ts'
export type {
  Action,
  Event,
  Exit,
  FailedService,
  LogPriority,
  Notification,
  ProbeKind,
  ServiceState,
  ServiceStatus,
  ShutdownKind,
  ShutdownPhase,
  ShutdownState,
  State,
} from './core/state.ts'

/** What one step gives. */
export interface Step {
  /** The state after the event; the state given to `step` is unchanged. */
  readonly state: State
  /** What the shell has to do, in this order. */
  readonly actions: readonly Action[]
}

/**
 * Takes one event. Pure: the same state and event give the same step, and neither is changed.
 *
 * @param state - from {@link initialState} or the last step
 * @param event - what has happened, with its monotonic time
 * @example
 * ```ts
 * import { initialState, step } from '@pkg/init/core'
 * import { validatePlan } from '@pkg/init/plan'
 *
 * const web = { name: 'web', command: ['/bin/web'], uid: 1000, gid: 1000 }
 * const plan = validatePlan({ version: 1, services: [web] })
 * const { state, actions } = step(initialState(plan, 1), { type: 'boot-finished', atMs: 600 })
 * console.log(actions) // [ { type: 'spawn', service: 'web' } ]
 * console.log(state.services.web?.status) // starting
 * ```
 */
export function step(state: State, event: Event): Step {
  // After the end nothing counts any more; above all no timer is armed that nobody would cancel.
  if (state.shutdown?.phase === 'power') return { state, actions: [] }
  const draft = draftOf(state, event.atMs)
  dispatch(draft, event)
  for (const service of Object.values(draft.state.services)) startIfReleased(draft, service)
  advanceShutdown(draft)
  announceReady(draft)
  return { state: draft.state, actions: draft.actions }
}

function dispatch(draft: Draft, event: Event): void {
  switch (event.type) {
    case 'boot-finished':
      draft.state.booted = true
      return
    case 'milestone':
      draft.state.milestones = [...new Set([...draft.state.milestones, event.name])]
      return
    case 'process-exited':
      return processExited(draft, event.pid, event)
    case 'timer':
      return timer(draft, event.timer)
    case 'shutdown-requested':
      return shutdownRequested(draft, event.kind, event.immediate)
    case 'phase-finished':
      return phaseFinished(draft, event.phase)
    default:
      return dispatchToService(draft, event)
  }
}

function dispatchToService(draft: Draft, event: Extract<Event, { service: string }>): void {
  const service = draft.state.services[event.service]
  if (service === undefined)
    return log(draft, 'error', `no service ${JSON.stringify(event.service)} (${event.type})`)
  switch (event.type) {
    case 'withheld':
      return withheld(draft, service, event.reason)
    case 'spawned':
      return spawned(draft, service, event.pid)
    case 'spawn-failed':
      return spawnFailed(draft, service, event.reason)
    case 'cgroup-empty':
      return cgroupEmpty(draft, service)
    case 'notified':
      return notified(draft, service, event)
    case 'probed':
      return probed(draft, service, event)
    case 'start-requested':
      return startRequested(draft, service)
    case 'stop-requested':
      return stop(draft, service)
  }
}

function processExited(
  draft: Draft,
  pid: number,
  exit: { code: number | null; signal: number | null },
): void {
  const service = Object.values(draft.state.services).find((each) => each.pid === pid)
  if (service !== undefined) return exited(draft, service, { code: exit.code, signal: exit.signal })
  draft.state.orphans += 1
  log(draft, 'debug', `reaped orphan ${pid}`)
}

/** A timer that nobody has any more was cancelled while it fired: nothing to do. */
function timer(draft: Draft, number: number): void {
  if (draft.state.shutdown?.timer === number) return phaseTimedOut(draft)
  const service = Object.values(draft.state.services).find((each) => each.timer === number)
  if (service !== undefined) timerFired(draft, service)
}

/** Once, when the network is there (or given up) and every service is ready or has been tried in vain. */
function announceReady(draft: Draft): void {
  const { state } = draft
  if (state.ready || !state.booted || state.shutdown !== null) return
  if (!state.milestones.includes(NETWORK_ONLINE)) return
  const all = Object.values(state.services)
  if (all.some(isUndecided)) return
  state.ready = true
  const running = all.filter(({ status }) => status === 'running').length
  const failed = all.filter(({ status, stopAsked }) => {
    const ending = status === 'stopping' || status === 'killing'
    return status === 'failed' || status === 'backoff' || (ending && !stopAsked)
  })
  draft.actions.push({
    type: 'ready',
    running,
    failed: failed.map(({ plan, reason }) => ({ name: plan.name, reason })),
  })
}
