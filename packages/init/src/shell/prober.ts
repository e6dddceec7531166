/** Asking again and again, as the core wants it: until a service is ready, and then for its health. */
import type { ProbeKind } from '../core.ts'
import type { Probe, ServicePlan } from '../plan.ts'
import { ask } from './probe.ts'
import type { Programs } from './programs.ts'

/** An answer. */
export interface ProbeAnswer {
  /** Whose. */
  readonly service: string
  /** Its main process when the question was asked. */
  readonly pid: number
  /** What was asked. */
  readonly probe: ProbeKind
  /** Why the answer is bad; null when it is good. */
  readonly failure: string | null
}

/** The probes under way, at most one for each service. */
export interface Prober {
  /** Begins to ask. */
  start(service: ServicePlan, pid: number, probe: ProbeKind): void
  /** Asks no more. */
  stop(service: string): void
}

/** How long a service that is starting may take for one answer. */
const READY_ANSWER_MS = 5000
/** The pause between questions grows from one to the other: a service that is ready soon is found to be soon. */
const READY_PAUSE_MS = 50
const READY_PAUSE_MAX_MS = 1000

/** Makes a prober; `onAnswer` gets every answer to a question that is still asked. */
export function prober(programs: Programs, onAnswer: (answer: ProbeAnswer) => void): Prober {
  const running = new Map<string, AbortController>()

  async function keepAsking(service: ServicePlan, pid: number, kind: ProbeKind, signal: AbortSignal) {
    const { probe, timeoutMs, pauseMs } = questionOf(service, kind)
    if (probe === null) return
    for (let count = 0; !signal.aborted; count++) {
      const failure = await ask(probe, { programs, user: service, timeoutMs, signal })
      if (signal.aborted) return
      onAnswer({ service: service.name, pid, probe: kind, failure })
      await pause(pauseMs(count), signal)
    }
  }

  function stop(service: string): void {
    running.get(service)?.abort()
    running.delete(service)
  }

  return {
    start(service, pid, kind) {
      stop(service.name)
      const controller = new AbortController()
      running.set(service.name, controller)
      void keepAsking(service, pid, kind, controller.signal)
    },
    stop,
  }
}

interface Question {
  readonly probe: Probe | null
  readonly timeoutMs: number
  readonly pauseMs: (count: number) => number
}

function questionOf({ ready, health }: ServicePlan, kind: ProbeKind): Question {
  if (kind === 'health')
    return { probe: health, timeoutMs: health?.timeoutMs ?? 0, pauseMs: () => health?.intervalMs ?? 0 }
  return {
    probe: ready === 'started' || 'notify' in ready ? null : ready,
    timeoutMs: READY_ANSWER_MS,
    pauseMs: (count) => Math.min(READY_PAUSE_MAX_MS, READY_PAUSE_MS * 1.5 ** count),
  }
}

/** Resolves after the time, or at once when aborted. */
export function pause(timeMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, timeMs)
    signal.addEventListener('abort', end)
  })
}
