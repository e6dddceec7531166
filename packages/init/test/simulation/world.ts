/**
 * A world for the core: processes, cgroups, timers and a clock, all made up, that carries its actions out with
 * delays and faults. It throws at once when the core asks for something that must never happen.
 */
import { initialState, step, type Action, type Event, type ProbeKind, type State } from '@pkg/init/core'
import { validatePlan, type Plan } from '@pkg/init/plan'
import { type Random } from './random.ts'

interface Process {
  readonly service: string
  /** Does not die of its stop signal. */
  readonly stubborn: boolean
  /** Sleeps in the kernel: does not even die of SIGKILL before this time. */
  readonly unkillableUntilMs: number
}

type Untimed = Event extends infer E ? (E extends Event ? Omit<E, 'atMs'> : never) : never

export interface World {
  readonly random: Random
  readonly plan: Plan
  state: State
  nowMs: number
  /** Main processes that live, by pid. */
  readonly processes: Map<number, Process>
  /** How many other processes live in a service's cgroup. */
  readonly others: Map<string, number>
  readonly timers: Map<number, number>
  /** Spawns that have been asked for and not been answered. */
  readonly spawning: string[]
  /** Kills of cgroups that have been asked for and not been answered. */
  readonly killing: Set<string>
  /** Probes that are asked for, by service. */
  readonly probing: Map<string, { readonly pid: number; readonly probe: ProbeKind }>
  /** The phase that the shell is asked to do. */
  phase: string | null
  shutdownAtMs: number | null
  powerAtMs: number | null
  readies: number
  nextPid: number
  /** The last events, for the failure message. */
  readonly trace: string[]
}

export function worldOf(random: Random, seed: number): World {
  const plan = randomPlan(random)
  return {
    random,
    plan,
    state: initialState(plan, seed),
    nowMs: 0,
    processes: new Map(),
    others: new Map(),
    timers: new Map(),
    spawning: [],
    killing: new Set(),
    probing: new Map(),
    phase: null,
    shutdownAtMs: null,
    powerAtMs: null,
    readies: 0,
    nextPid: 2,
    trace: [],
  }
}

function randomPlan(random: Random): Plan {
  const services = Array.from({ length: random.below(7) }, (_, index) => ({
    name: `s${index}`,
    command: ['/bin/s'],
    uid: 1,
    gid: 1,
    restart: random.pick(['always', 'on-failure', 'never']),
    restartDelayMs: {
      initial: random.below(1000),
      max: 1000 + random.below(20_000),
      factor: 1 + random.below(3),
    },
    restartLimit: random.pick([0, 0, 3]),
    stopTimeoutMs: random.below(12_000),
    ready: random.pick(['started', { notify: true, timeoutMs: 5000 }, { tcp: { port: 1 }, timeoutMs: 5000 }]),
    health: random.pick([null, { http: { port: 1 }, failures: 1 + random.below(3) }]),
    watchdogMs: random.pick([0, 0, 3000]),
    required: random.chance(0.6),
    after: [
      ...Array.from({ length: index }, (__, other) => `s${other}`).filter(() => random.chance(0.3)),
      ...(random.chance(0.3) ? ['network-online'] : []),
    ],
  }))
  return validatePlan({ version: 1, services, shutdownTimeoutMs: 1 + random.below(40_000) })
}

/** Gives the core an event, carries its actions out, and checks that it left its old state alone. */
export function send(world: World, event: Untimed): void {
  const timed = { ...event, atMs: world.nowMs } as Event
  world.trace.push(JSON.stringify(timed))
  if (world.trace.length > 40) world.trace.shift()
  const before = JSON.stringify(world.state)
  const { state, actions } = step(world.state, timed)
  if (JSON.stringify(world.state) !== before) throw new Error('step() changed the state it was given')
  world.state = state
  for (const action of actions) {
    world.trace.push(`  → ${JSON.stringify(action)}`)
    carryOut(world, action)
  }
}

function carryOut(world: World, action: Action): void {
  switch (action.type) {
    case 'spawn':
      if (world.shutdownAtMs !== null) throw new Error(`${action.service} started during the shutdown`)
      if (livesMain(world, action.service)) throw new Error(`a second process of ${action.service}`)
      if ((world.others.get(action.service) ?? 0) > 0)
        throw new Error(`leftovers of ${action.service} at its start`)
      world.spawning.push(action.service)
      return
    case 'kill': {
      const process = world.processes.get(action.pid)
      if (process?.service !== action.service)
        throw new Error(`a signal to ${action.pid}, not of ${action.service}`)
      return
    }
    case 'kill-cgroup':
      world.killing.add(action.service)
      return
    case 'start-probe':
      if (world.processes.get(action.pid)?.service !== action.service)
        throw new Error(`a probe of ${action.pid}, not of ${action.service}`)
      if (world.probing.has(action.service)) throw new Error(`a second probe of ${action.service}`)
      world.probing.set(action.service, { pid: action.pid, probe: action.probe })
      return
    case 'stop-probe':
      if (!world.probing.delete(action.service))
        throw new Error(`the probe of ${action.service} stopped, but there is none`)
      return
    case 'arm-timer':
      if (!(action.delayMs >= 0)) throw new Error(`a timer of ${action.delayMs} ms`)
      world.timers.set(action.timer, world.nowMs + action.delayMs)
      return
    case 'cancel-timer':
      if (!world.timers.delete(action.timer))
        throw new Error(`timer ${action.timer} cancelled, but it is not armed`)
      return
    case 'shutdown-phase':
      world.phase = action.phase
      return
    case 'power':
      if (world.powerAtMs !== null) throw new Error('a second end')
      world.powerAtMs = world.nowMs
      return
    case 'ready':
      world.readies += 1
      return
    case 'log':
  }
}

export function livesMain(world: World, service: string): boolean {
  return [...world.processes.values()].some((process) => process.service === service)
}

/** The shell's answer to a spawn, good or bad. */
export function answerSpawn(world: World, service: string): void {
  const { random } = world
  if (random.chance(0.2)) return send(world, { type: 'spawn-failed', service, reason: 'ENOENT' })
  const pid = world.nextPid++
  world.processes.set(pid, {
    service,
    stubborn: random.chance(0.3),
    unkillableUntilMs: random.chance(0.05) ? world.nowMs + random.below(60_000) : 0,
  })
  send(world, { type: 'spawned', service, pid })
}

/** A process ends, by itself or because it must. */
export function endProcess(world: World, pid: number, code: number | null, signal: number | null): void {
  world.processes.delete(pid)
  send(world, { type: 'process-exited', pid, code, signal })
}

/** Lets a killed cgroup die, when nothing in it sleeps in the kernel. */
export function finishKill(world: World, service: string): void {
  const mains = [...world.processes].filter(([, process]) => process.service === service)
  if (mains.some(([, process]) => process.unkillableUntilMs > world.nowMs)) return
  world.others.delete(service)
  world.killing.delete(service)
  // The kernel may report the empty cgroup before or after the zombie is reaped.
  const emptyFirst = world.random.chance(0.5)
  if (emptyFirst) send(world, { type: 'cgroup-empty', service })
  for (const [pid] of mains) endProcess(world, pid, null, 9)
  if (!emptyFirst) send(world, { type: 'cgroup-empty', service })
}

/** Moves the clock to the next timer and fires it. */
export function fireNextTimer(world: World): boolean {
  const next = [...world.timers].toSorted((a, b) => a[1] - b[1])[0]
  if (next === undefined) return false
  const [timer, atMs] = next
  world.timers.delete(timer)
  world.nowMs = Math.max(world.nowMs, atMs)
  send(world, { type: 'timer', timer })
  return true
}
