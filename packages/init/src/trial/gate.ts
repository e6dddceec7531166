/**
 * The gate before a slot is blessed: whether the machine has been well for long enough. Pure, as the core is: it is
 * given what there is to see after every event of the core's, so that no crash escapes it, and when nothing has happened
 * for a while, and says how it stands.
 *
 * A machine is well when its boot is over, its data are kept, each required service runs (or is done) and its health probe, where it has
 * one, has succeeded last, and each probe of the gate has succeeded last. It has passed when it has been well for
 * `stableMs` without a crash of a required service among it, and has been confirmed where that is asked for.
 */
import type { ServiceState } from '../core.ts'
import type { GatePlan } from '../plan.ts'

/** What the gate asks for: the part of the plan that matters here. */
export type GateRules = Pick<GatePlan, 'stableMs' | 'timeoutMs' | 'confirm'>

/** What there is to see. */
export interface GateView {
  /** Now, by the monotonic clock. */
  readonly atMs: number
  /** Whether the boot is over. */
  readonly ready: boolean
  /** Whether what services write is kept. */
  readonly keepsData: boolean
  /** All services. */
  readonly services: readonly ServiceState[]
  /** What each probe of the gate says: null when it has succeeded, else why not, or that it has not answered yet. */
  readonly probes: readonly (string | null)[]
  /** Whether somebody has confirmed from outside. */
  readonly confirmed: boolean
}

/** How it stands. */
export interface Gate {
  /** What is asked for. */
  readonly rules: GateRules
  /** When it was opened. */
  readonly openedAtMs: number
  /** Since when the machine has been well without a crash; null when it is not. */
  readonly wellSinceMs: number | null
  /** The verdict; the last two are for ever. */
  readonly verdict: 'waiting' | 'passed' | 'failed'
  /** What it waits for, or why it has failed; empty when it has passed. */
  readonly reason: string
}

/** Opens a gate. A `timeoutMs` of Infinity never fails. */
export function openGate(rules: GateRules, atMs: number): Gate {
  return { rules, openedAtMs: atMs, wellSinceMs: null, verdict: 'waiting', reason: 'just opened' }
}

/** Looks. */
export function judge(gate: Gate, view: GateView): Gate {
  if (gate.verdict !== 'waiting') return gate
  const { rules } = gate
  const required = view.services.filter(({ plan }) => plan.required)
  const problems = problemsOf(view, required)
  const wellSinceMs = problems.length > 0 ? null : (gate.wellSinceMs ?? view.atMs)
  const next: Gate = { ...gate, wellSinceMs }
  const lasted = wellSinceMs !== null && view.atMs - wellSinceMs >= rules.stableMs
  if (lasted && (view.confirmed || !rules.confirm)) return { ...next, verdict: 'passed', reason: '' }
  if (wellSinceMs !== null) {
    problems.push(lasted ? 'not confirmed' : `well for less than ${rules.stableMs} ms`)
  }
  const reason = problems.join('; ')
  if (Number.isFinite(rules.timeoutMs)) {
    // Nothing starts it again: waiting would be in vain.
    const lost = required.find(({ status }) => status === 'failed')
    if (lost !== undefined) return { ...next, verdict: 'failed', reason: problemOf(lost) ?? reason }
    if (view.atMs - gate.openedAtMs >= rules.timeoutMs)
      return { ...next, verdict: 'failed', reason: `${reason} (after ${rules.timeoutMs} ms)` }
  }
  return { ...next, reason }
}

/** When to look again though nothing happens; null when time alone changes nothing any more. */
export function nextLookAtMs({ rules, openedAtMs, wellSinceMs, verdict }: Gate): number | null {
  if (verdict !== 'waiting') return null
  const deadline = openedAtMs + rules.timeoutMs
  const stable = wellSinceMs === null ? Infinity : wellSinceMs + rules.stableMs
  return Number.isFinite(Math.min(deadline, stable)) ? Math.min(deadline, stable) : null
}

function problemsOf({ ready, keepsData, probes }: GateView, required: readonly ServiceState[]): string[] {
  const data = keepsData
    ? []
    : ['the data partition cannot be used: what is written is lost at the next start']
  const services = required.flatMap((service) => problemOf(service) ?? [])
  const all = [...data, ...services, ...probes.filter((probe) => probe !== null)]
  return ready || all.length > 0 ? all : ['the boot is not over']
}

function problemOf({ plan, status, reason, healthy }: ServiceState): string | null {
  if (status === 'done') return null
  if (status !== 'running') return `${plan.name}: ${status}${reason === '' ? '' : `: ${reason}`}`
  if (plan.health === null || healthy === true) return null
  return `${plan.name}: ${healthy === null ? 'its health is not known yet' : 'not healthy'}`
}
