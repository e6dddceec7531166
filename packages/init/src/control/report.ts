/** From the core's state to what the control socket tells. */
import type { ServiceReport } from '../control.ts'
import type { ServiceState } from '../core.ts'

/** One service, as it is told. */
export function reportOf(service: ServiceState, nowMs: number): ServiceReport {
  const { plan, status, pid, startedAtMs, healthy, starts, crashes, exit, reason, note } = service
  return {
    name: plan.name,
    status,
    required: plan.required,
    ready: status === 'running',
    healthy,
    pid,
    uptimeMs: pid === null || startedAtMs === null ? null : Math.round(nowMs - startedAtMs),
    starts,
    crashes,
    exit,
    reason,
    note,
  }
}
