/** Whether a service is ready, and whether it is well: what it says, and what probes find. */
import { activated, condemn } from './service.ts'
import { armTimer, cancelTimer, log, type Draft, type Notification, type ProbeKind } from './state.ts'
import type { ServiceState } from './state.ts'

/** Has the shell ask. */
export function startProbe(draft: Draft, service: ServiceState, probe: ProbeKind): void {
  if (service.pid === null) return
  service.probing = probe
  draft.actions.push({ type: 'start-probe', service: service.plan.name, pid: service.pid, probe })
}

/** Has the shell ask no more, if it does. */
export function endProbe(draft: Draft, service: ServiceState): void {
  if (service.probing === null) return
  service.probing = null
  draft.actions.push({ type: 'stop-probe', service: service.plan.name })
}

/** A message of sd_notify's. The shell has checked that it comes from a process of the service's. */
export function notified(draft: Draft, service: ServiceState, message: Notification): void {
  const { ready, watchdogMs } = service.plan
  if (message.note !== null) service.note = message.note
  const waits = service.status === 'activating' && ready !== 'started' && 'notify' in ready
  if (message.ready && waits) return activated(draft, service)
  if (!message.watchdog || watchdogMs === 0 || service.status !== 'running') return
  service.timer = cancelTimer(draft, service.timer)
  service.timer = armTimer(draft, watchdogMs)
}

/** A probe's answer. One about an earlier process, or to a question that is not asked any more, is nobody's. */
export function probed(
  draft: Draft,
  service: ServiceState,
  answer: { readonly pid: number; readonly probe: ProbeKind; readonly failure: string | null },
): void {
  if (service.pid !== answer.pid || service.probing !== answer.probe) return
  const { name, health } = service.plan
  if (answer.probe === 'ready') {
    if (answer.failure === null) return activated(draft, service)
    service.reason = `not ready yet: ${answer.failure}`
    return
  }
  if (answer.failure === null) {
    if (service.healthy === false || service.healthFailures > 0) log(draft, 'info', `${name}: well again`)
    service.healthy = true
    service.healthFailures = 0
    return
  }
  service.healthFailures += 1
  log(draft, 'warning', `${name}: health probe: ${answer.failure}`)
  if (health === null || service.healthFailures < health.failures) return
  service.healthy = false
  condemn(draft, service, `unhealthy: ${answer.failure} (${service.healthFailures} times in a row)`)
}
