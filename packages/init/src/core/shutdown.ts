/**
 * The orderly way down: services in reverse order, then every process that is left, then the file systems,
 * then the power. Each phase ends when its work is done or its time is over, whichever comes first, so the
 * last phase is always reached.
 */
import { endProbe } from './health.ts'
import { isDown, killNow, stop } from './service.ts'
import {
  armTimer,
  cancelTimer,
  log,
  type Draft,
  type ServiceState,
  type ShutdownKind,
  type ShutdownPhase,
} from './state.ts'

/** Ctrl-Alt-Del seven times within two seconds means "now", as with systemd (systemd(1), SIGINT). */
const FORCE_REQUESTS = 7
const FORCE_WITHIN_MS = 2000
/** The most that each of the two phases after the services gets of the whole time. */
const LATER_PHASE_MS = 5000

/** A shutdown is asked for; the first one decides the kind, impatience only makes it faster. */
export function shutdownRequested(draft: Draft, kind: ShutdownKind, immediate: boolean): void {
  const { state, atMs } = draft
  state.requestsAtMs = [...state.requestsAtMs, atMs].slice(-FORCE_REQUESTS)
  const oldest = state.requestsAtMs[0] ?? atMs
  const forced = state.requestsAtMs.length === FORCE_REQUESTS && atMs - oldest <= FORCE_WITHIN_MS
  const current = state.shutdown
  if (current === null) {
    log(draft, 'notice', `shutting down: ${kind}${immediate ? ', at once' : ''}`)
    state.shutdown = { kind, phase: 'services', timer: null }
    for (const service of Object.values(state.services)) {
      // Without a process there is nothing that has to go down in order.
      if (service.status === 'waiting' || service.status === 'backoff') stop(draft, service)
      service.wanted = false
    }
  } else if (!immediate && !forced) {
    return log(draft, 'notice', `already shutting down: ${current.kind}`)
  }
  if (current?.phase === 'file-systems' || current?.phase === 'power') return
  if (immediate || forced) return enter(draft, 'file-systems')
  enter(draft, 'services')
}

/** The shell has done a phase. A late answer to a phase that has run out of time is nobody's. */
export function phaseFinished(draft: Draft, phase: ShutdownPhase): void {
  if (draft.state.shutdown?.phase !== phase) return
  if (phase === 'processes') enter(draft, 'file-systems')
  else if (phase === 'file-systems') enter(draft, 'power')
}

/** The time of a phase is over. */
export function phaseTimedOut(draft: Draft): void {
  const { shutdown, services } = draft.state
  if (shutdown === null) return
  shutdown.timer = null
  const left = Object.values(services).filter((service) => !isDown(service))
  if (shutdown.phase === 'services') {
    const names = left.map(({ plan }) => plan.name).join(', ')
    log(draft, 'warning', `no time left for ${names}: killing`)
    for (const service of left) killNow(draft, service)
    return enter(draft, 'processes')
  }
  log(draft, 'warning', `no time left for the ${shutdown.phase}: going on`)
  enter(draft, shutdown.phase === 'processes' ? 'file-systems' : 'power')
}

/** After each event: stops what may be stopped now, and goes on when all services are down. */
export function advanceShutdown(draft: Draft): void {
  const { shutdown, services } = draft.state
  if (shutdown?.phase !== 'services') return
  const all = Object.values(services)
  // Stopping one that has no process takes it down at once and may release another: until nothing changes.
  for (let changed = true; changed;) {
    changed = false
    for (const service of all) {
      if (isDown(service) || service.stopAsked || hasLaterAlive(all, service)) continue
      stop(draft, service)
      changed = true
    }
  }
  if (all.every(isDown)) enter(draft, 'processes')
}

function hasLaterAlive(all: readonly ServiceState[], service: ServiceState): boolean {
  return all.some((other) => other.plan.after.includes(service.plan.name) && !isDown(other))
}

function enter(draft: Draft, phase: ShutdownPhase): void {
  const { shutdown, shutdownTimeoutMs, services } = draft.state
  if (shutdown === null) return
  shutdown.timer = cancelTimer(draft, shutdown.timer)
  shutdown.phase = phase
  const laterMs = Math.min(LATER_PHASE_MS, Math.floor(shutdownTimeoutMs / 3))
  if (phase === 'services') {
    shutdown.timer = armTimer(draft, shutdownTimeoutMs - 2 * laterMs)
    return
  }
  if (phase === 'power') {
    for (const service of Object.values(services)) {
      service.timer = cancelTimer(draft, service.timer)
      endProbe(draft, service)
    }
    draft.actions.push({ type: 'power', kind: shutdown.kind })
    return
  }
  shutdown.timer = armTimer(draft, laterMs)
  draft.actions.push({ type: 'shutdown-phase', phase, timeoutMs: laterMs })
}
