/**
 * The thin shell around the core: a queue of events, one step after the other, and each action carried out
 * through {@link Hands}. Nothing that goes wrong here may end the loop.
 */
import { initialState, step, type Action, type Event, type State } from '../core.ts'
import type { FailedService, LogPriority, ProbeKind, ShutdownKind, ShutdownPhase } from '../core.ts'
import type { Plan, ServicePlan } from '../plan.ts'

/** How the core's actions reach the kernel: the seam that tests replace. */
export interface Hands {
  /** Monotonic time. */
  nowMs(): number
  /** Starts a service and returns its process id; throws when it cannot be started. */
  spawn(service: ServicePlan): number
  /** Signals a main process. */
  kill(service: string, pid: number, signal: number): void
  /** Kills what a service has left and calls back when it is gone, maybe before it returns. */
  killGroup(service: string, onEmpty: () => void): void
  /** Asks whether a service is ready, or well, until it is told to stop; each answer is an event `probed`. */
  startProbe(service: ServicePlan, pid: number, probe: ProbeKind): void
  /** Stops asking. */
  stopProbe(service: string): void
  /** Writes a line of PID 1's own. */
  log(priority: LogPriority, text: string): void
  /** The boot is over. */
  ready(running: number, failed: readonly FailedService[]): void
  /** Does one phase of the shutdown and calls back when it is done. */
  shutdownPhase(phase: ShutdownPhase, timeoutMs: number, onDone: () => void): void
  /** Ends the machine. */
  power(kind: ShutdownKind): void
}

/** An event without its time: the supervisor adds it. */
export type UntimedEvent = Event extends infer E ? (E extends Event ? Omit<E, 'atMs'> : never) : never

/** The running supervisor. */
export interface Supervisor {
  /** Tells the core what has happened. May be called from within an action. */
  send(event: UntimedEvent): void
  /** The state after the last event. */
  readonly state: State
}

/**
 * Starts a supervisor for the plan; nothing happens before the first event.
 *
 * @param onStep - called after each step, when its actions are done
 */
export function supervise(plan: Plan, hands: Hands, seed: number, onStep: () => void = () => {}): Supervisor {
  let state = initialState(plan, seed)
  const queue: Event[] = []
  let stepping = false
  const timers = timerSet((timer) => send({ type: 'timer', timer }))

  function send(event: UntimedEvent): void {
    queue.push({ ...event, atMs: hands.nowMs() })
    // An action may bring the next event at once: it waits for its turn, there is no recursion.
    if (stepping) return
    stepping = true
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) takeStep(next)
    stepping = false
  }

  function takeStep(event: Event): void {
    attempt(hands, `event ${event.type}`, () => {
      const result = step(state, event)
      state = result.state
      for (const action of result.actions) {
        attempt(hands, action.type, () => carryOut(action, { hands, timers, send, state }))
      }
    })
    attempt(hands, 'after the step', onStep)
  }

  return {
    send,
    get state() {
      return state
    },
  }
}

function attempt(hands: Hands, what: string, act: () => void): void {
  try {
    act()
  } catch (error) {
    hands.log('error', `${what}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  }
}

interface Means {
  readonly hands: Hands
  readonly timers: TimerSet
  readonly send: (event: UntimedEvent) => void
  readonly state: State
}

function carryOut(action: Action, { hands, timers, send, state }: Means): void {
  switch (action.type) {
    case 'spawn':
      return spawn(state.services[action.service]?.plan, hands, send)
    case 'kill':
      return hands.kill(action.service, action.pid, action.signal)
    case 'kill-cgroup': {
      const { service } = action
      return hands.killGroup(service, () => send({ type: 'cgroup-empty', service }))
    }
    case 'start-probe': {
      const plan = state.services[action.service]?.plan
      return plan && hands.startProbe(plan, action.pid, action.probe)
    }
    case 'stop-probe':
      return hands.stopProbe(action.service)
    case 'arm-timer':
      return timers.arm(action.timer, action.delayMs)
    case 'cancel-timer':
      return timers.cancel(action.timer)
    case 'log':
      return hands.log(action.priority, action.text)
    case 'ready':
      return hands.ready(action.running, action.failed)
    case 'shutdown-phase': {
      const { phase, timeoutMs } = action
      return hands.shutdownPhase(phase, timeoutMs, () => send({ type: 'phase-finished', phase }))
    }
    case 'power':
      return hands.power(action.kind)
  }
}

function spawn(service: ServicePlan | undefined, hands: Hands, send: Means['send']): void {
  if (service === undefined) return
  try {
    const pid = hands.spawn(service)
    send({ type: 'spawned', service: service.name, pid })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    send({ type: 'spawn-failed', service: service.name, reason })
  }
}

/** The core's timers by their numbers. */
interface TimerSet {
  arm(timer: number, delayMs: number): void
  cancel(timer: number): void
}

function timerSet(onFire: (timer: number) => void): TimerSet {
  const timers = new Map<number, ReturnType<typeof setTimeout>>()
  return {
    arm(timer, delayMs) {
      const fire = (): void => {
        timers.delete(timer)
        onFire(timer)
      }
      timers.set(timer, setTimeout(fire, delayMs))
    },
    cancel(timer) {
      clearTimeout(timers.get(timer))
      timers.delete(timer)
    },
  }
}
