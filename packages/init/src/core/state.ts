/** What the core knows, what it is told and what it asks for; and the draft on which one step works. */
import type { Plan, ServicePlan } from '../plan.ts'

/** How the machine is to end. */
export type ShutdownKind = 'power-off' | 'reboot' | 'halt' | 'kexec'

/** The phases of a shutdown, in their order. */
export type ShutdownPhase = 'services' | 'processes' | 'file-systems' | 'power'

/** Where a service stands; the table above `step` in `core.ts` has the transitions. */
export type ServiceStatus =
  | 'waiting'
  | 'starting'
  | 'activating'
  | 'running'
  | 'stopping'
  | 'killing'
  | 'backoff'
  | 'done'
  | 'failed'
  | 'stopped'

/** How a process ended: one of the two is a number. */
export interface Exit {
  /** Exit status, or null when a signal ended it. */
  readonly code: number | null
  /** Number of the signal that ended it, or null. */
  readonly signal: number | null
}

/** What is asked of a service from outside, again and again: whether it is ready yet, or whether it is well. */
export type ProbeKind = 'ready' | 'health'

/** One service, as the core sees it. */
export interface ServiceState {
  /** Its part of the plan. */
  readonly plan: ServicePlan
  /** Where it stands. */
  status: ServiceStatus
  /** Whether it ought to run: true until somebody asks for a stop, or the machine shuts down. */
  wanted: boolean
  /** Whether the stop that is under way was asked for, so that its end is not a failure. */
  stopAsked: boolean
  /** Its main process, from `spawned` to `process-exited`. */
  pid: number | null
  /** In `killing`: whether the cgroup is known to be empty. */
  cgroupEmpty: boolean
  /** When the main process was started, or null before the first start. */
  startedAtMs: number | null
  /** How the main process ended last, or null. */
  exit: Exit | null
  /** Ends in a row without a stable run. */
  failures: number
  /** How often it has ended, or not even begun, without being asked to stop. */
  crashes: number
  /** How often it has been started. */
  starts: number
  /** The one timer that it may have: readiness, watchdog, restart, stop or kill, according to `status`. */
  timer: number | null
  /** The probe that is under way, or null. */
  probing: ProbeKind | null
  /** What its health probe said last; null before the first answer of this process, or without a probe. */
  healthy: boolean | null
  /** Health probes in a row that have failed. */
  healthFailures: number
  /** Whether the end that is under way is ours, because it was not ready in time or not well. */
  condemned: boolean
  /** Whether it must not be started, as long as the machine runs: its data are not what its code can work with. */
  withheld: boolean
  /** What it says of itself (sd_notify's `STATUS=`); empty when nothing. */
  note: string
  /** Why it is not running, in words; empty while nothing went wrong. */
  reason: string
}

/** The shutdown that is under way. */
export interface ShutdownState {
  /** How it will end. */
  readonly kind: ShutdownKind
  /** Which part of it is being done. */
  phase: ShutdownPhase
  /** The timer that bounds the phase; null in the last one. */
  timer: number | null
}

/** All that the core knows: plain data, can be written as JSON and read again. */
export interface State {
  /** The services by name, in the order of the plan. */
  services: Record<string, ServiceState>
  /** Bound of the whole shutdown, from the plan. */
  readonly shutdownTimeoutMs: number
  /** Whether the boot has got as far as starting services. */
  booted: boolean
  /** Whether the `ready` action has been given. */
  ready: boolean
  /** Milestones reached (`network-online`), which services may wait for. */
  milestones: readonly string[]
  /** The shutdown that is under way, or null. */
  shutdown: ShutdownState | null
  /** When the last requests to shut down came; seven within two seconds force it. */
  requestsAtMs: readonly number[]
  /** Processes reaped that were no service's main process. */
  orphans: number
  /** Number of the next timer: numbers are never used twice, so a late timer cannot be taken for another. */
  nextTimer: number
  /** State of the random generator for jitter. */
  random: number
}

/** What a service says of itself by the protocol of sd_notify(3). */
export interface Notification {
  /** `READY=1`. */
  readonly ready: boolean
  /** `WATCHDOG=1`. */
  readonly watchdog: boolean
  /** `STATUS=…`; null when the message has none. */
  readonly note: string | null
}

/** What has happened. `atMs` is the monotonic time of it. */
export type Event = { readonly atMs: number } & (
  | { readonly type: 'boot-finished' }
  | { readonly type: 'milestone'; readonly name: string }
  | { readonly type: 'withheld'; readonly service: string; readonly reason: string }
  | { readonly type: 'spawned'; readonly service: string; readonly pid: number }
  | { readonly type: 'spawn-failed'; readonly service: string; readonly reason: string }
  | ({ readonly type: 'process-exited'; readonly pid: number } & Exit)
  | { readonly type: 'cgroup-empty'; readonly service: string }
  | ({ readonly type: 'notified'; readonly service: string } & Notification)
  | {
      readonly type: 'probed'
      readonly service: string
      readonly pid: number
      readonly probe: ProbeKind
      /** Why the probe failed; null when it succeeded. */
      readonly failure: string | null
    }
  | { readonly type: 'timer'; readonly timer: number }
  | { readonly type: 'start-requested'; readonly service: string }
  | { readonly type: 'stop-requested'; readonly service: string }
  | { readonly type: 'shutdown-requested'; readonly kind: ShutdownKind; readonly immediate: boolean }
  | { readonly type: 'phase-finished'; readonly phase: ShutdownPhase }
)

/** How important a log line is, by syslog's names. */
export type LogPriority = 'error' | 'warning' | 'notice' | 'info' | 'debug'

/** A service that is not running although it ought to, with the reason. */
export interface FailedService {
  /** Its name. */
  readonly name: string
  /** Why, in words. */
  readonly reason: string
}

/** What the shell is asked to do, in this order. */
export type Action =
  /** Start it; answered by `spawned` or `spawn-failed`. */
  | { readonly type: 'spawn'; readonly service: string }
  /** Signal its main process. */
  | { readonly type: 'kill'; readonly service: string; readonly pid: number; readonly signal: number }
  /** Kill whatever is in its cgroup; answered by `cgroup-empty`, at once when it already is. */
  | { readonly type: 'kill-cgroup'; readonly service: string }
  /** Ask again and again, each answer a `probed`: until the first success for `ready`, for ever for `health`. */
  | {
      readonly type: 'start-probe'
      readonly service: string
      readonly pid: number
      readonly probe: ProbeKind
    }
  /** Stop asking. */
  | { readonly type: 'stop-probe'; readonly service: string }
  /** Send `timer` with this number after the delay. */
  | { readonly type: 'arm-timer'; readonly timer: number; readonly delayMs: number }
  /** Forget the timer. */
  | { readonly type: 'cancel-timer'; readonly timer: number }
  /** Write a log line. */
  | { readonly type: 'log'; readonly priority: LogPriority; readonly text: string }
  /** The boot is over and every service is ready, or has failed to be: write the line that says so. */
  | { readonly type: 'ready'; readonly running: number; readonly failed: readonly FailedService[] }
  /** Do a phase within the time; answered by `phase-finished`. */
  | { readonly type: 'shutdown-phase'; readonly phase: ShutdownPhase; readonly timeoutMs: number }
  /** The end: reboot(2). */
  | { readonly type: 'power'; readonly kind: ShutdownKind }

/** What one step works on: a copy of the state, and the actions so far. */
export interface Draft {
  /** The copy; may be changed freely. */
  readonly state: State
  /** The actions so far. */
  readonly actions: Action[]
  /** Time of the event. */
  readonly atMs: number
}

/**
 * The state before the boot: every service waits.
 *
 * @param plan - a valid plan
 * @param seed - of the random generator behind the jitter of restarts
 */
export function initialState(plan: Plan, seed: number): State {
  const services: Record<string, ServiceState> = {}
  for (const service of plan.services) {
    services[service.name] = {
      plan: service,
      status: 'waiting',
      wanted: true,
      stopAsked: false,
      pid: null,
      cgroupEmpty: true,
      startedAtMs: null,
      exit: null,
      failures: 0,
      crashes: 0,
      starts: 0,
      timer: null,
      probing: null,
      healthy: null,
      healthFailures: 0,
      condemned: false,
      withheld: false,
      note: '',
      reason: '',
    }
  }
  return {
    services,
    shutdownTimeoutMs: plan.shutdownTimeoutMs,
    booted: false,
    ready: false,
    milestones: [],
    shutdown: null,
    requestsAtMs: [],
    orphans: 0,
    nextTimer: 1,
    random: seed >>> 0,
  }
}

/** A draft over a copy: what `step` was given stays as it was. */
export function draftOf(state: State, atMs: number): Draft {
  const services: Record<string, ServiceState> = {}
  for (const [name, service] of Object.entries(state.services)) services[name] = { ...service }
  const shutdown = state.shutdown === null ? null : { ...state.shutdown }
  return { state: { ...state, services, shutdown }, actions: [], atMs }
}

/** Adds a log line. */
export function log(draft: Draft, priority: LogPriority, text: string): void {
  draft.actions.push({ type: 'log', priority, text })
}

/** Arms a timer with a number of its own. */
export function armTimer(draft: Draft, delayMs: number): number {
  const timer = draft.state.nextTimer++
  draft.actions.push({ type: 'arm-timer', timer, delayMs })
  return timer
}

/** Cancels a timer, if there is one. */
export function cancelTimer(draft: Draft, timer: number | null): null {
  if (timer !== null) draft.actions.push({ type: 'cancel-timer', timer })
  return null
}

/**
 * A number from 0 to below 1 (mulberry32: 32 bits of state, so that the state stays JSON).
 *
 * @see https://gist.github.com/tommyettinger/46a874533244883189143505d203312c
 */
export function random(draft: Draft): number {
  const seed = (draft.state.random + 0x6d2b79f5) >>> 0
  draft.state.random = seed
  let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1)
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
}
