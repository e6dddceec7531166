/**
 * The core against a made-up world with faults, by seed. To replay a failure: SOLO_SEED=<seed>; to search
 * longer: SOLO_RUNS=<number of seeds>.
 */
import { expect, test } from 'vitest'
import { judge, nextLookAtMs, openGate, type Gate } from '../src/trial/gate.ts'
import { checkInvariants } from './simulation/invariants.ts'
import { randomFrom } from './simulation/random.ts'
import {
  answerSpawn,
  endProcess,
  finishKill,
  fireNextTimer,
  send,
  worldOf,
  type World,
} from './simulation/world.ts'

const STEPS = 1000

/** What can happen, with its weight. */
const happenings: readonly (readonly [weight: number, happen: (world: World) => void])[] = [
  [20, (world) => void fireNextTimer(world)],
  [10, (world) => void (world.nowMs = Math.min(world.nowMs + world.random.below(2000), nextTimerMs(world)))],
  [20, answerOneSpawn],
  [20, endOneProcess],
  [20, killOneGroup],
  [8, obeyStopSignal],
  [12, answerOneProbe],
  [12, notify],
  [4, (world) => send(world, { type: 'boot-finished' })],
  [4, (world) => send(world, { type: 'milestone', name: 'network-online' })],
  [4, leaveOthers],
  [3, (world) => send(world, { type: 'start-requested', service: anyName(world) })],
  [3, (world) => send(world, { type: 'stop-requested', service: anyName(world) })],
  [3, sendNonsense],
  [1, maybeShutdown],
  [4, finishPhase],
]
const totalWeight = happenings.reduce((sum, [weight]) => sum + weight, 0)

function nextTimerMs(world: World): number {
  return Math.min(...world.timers.values(), Number.MAX_SAFE_INTEGER)
}

function anyName(world: World): string {
  return world.random.pick([...Object.keys(world.state.services), 'nobody'])
}

function answerOneSpawn(world: World): void {
  const service = world.spawning.shift()
  if (service !== undefined) answerSpawn(world, service)
}

function endOneProcess(world: World): void {
  const pids = [...world.processes.keys()]
  if (pids.length === 0) return
  const [code, signal] = world.random.pick([
    [0, null],
    [1, null],
    [null, 11],
    [null, 15],
  ] as const)
  endProcess(world, world.random.pick(pids), code, signal)
}

function killOneGroup(world: World): void {
  const [service] = world.killing
  if (service !== undefined) finishKill(world, service)
}

function obeyStopSignal(world: World): void {
  for (const [pid, process] of world.processes) {
    const stopping = world.state.services[process.service]?.status === 'stopping'
    if (stopping && !process.stubborn) return endProcess(world, pid, null, 15)
  }
}

function answerOneProbe(world: World): void {
  const probes = [...world.probing]
  if (probes.length === 0) return
  const [service, { pid, probe }] = world.random.pick(probes)
  send(world, { type: 'probed', service, pid, probe, failure: world.random.pick([null, null, 'refused']) })
}

function notify(world: World): void {
  const [ready, watchdog] = [world.random.chance(0.5), world.random.chance(0.5)]
  send(world, { type: 'notified', service: anyName(world), ready, watchdog, note: null })
}

/** A service forks something that outlives it. */
function leaveOthers(world: World): void {
  for (const { service } of world.processes.values()) {
    world.others.set(service, 1)
  }
}

/** Events that a confused shell might send: they must change nothing that matters. */
function sendNonsense(world: World): void {
  const service = anyName(world)
  const status = world.state.services[service]?.status
  send(world, { type: 'process-exited', pid: 4_000_000 + world.random.below(1000), code: 0, signal: null })
  send(world, { type: 'timer', timer: 1_000_000 })
  // The answer to a question about a process that is gone.
  for (const probe of ['ready', 'health'] as const)
    send(world, {
      type: 'probed',
      service,
      pid: 4_000_000,
      probe,
      failure: world.random.pick([null, 'late']),
    })
  if (status !== 'killing') send(world, { type: 'cgroup-empty', service })
  if (status !== 'starting') send(world, { type: 'spawn-failed', service, reason: 'nonsense' })
  if (world.phase !== 'file-systems') send(world, { type: 'phase-finished', phase: 'file-systems' })
}

function requestShutdown(world: World): void {
  world.shutdownAtMs ??= world.nowMs
  const kind = world.random.pick(['power-off', 'reboot', 'halt', 'kexec'] as const)
  const times = world.random.chance(0.1) ? 7 : 1
  for (let time = 0; time < times; time++) {
    send(world, { type: 'shutdown-requested', kind, immediate: world.random.chance(0.1) })
  }
}

/** Rare, so that machines grow old. */
function maybeShutdown(world: World): void {
  if (world.random.chance(0.3)) requestShutdown(world)
}

function finishPhase(world: World): void {
  if (world.phase !== 'processes' && world.phase !== 'file-systems') return
  send(world, { type: 'phase-finished', phase: world.phase })
}

function happen(world: World): void {
  let left = world.random.below(totalWeight)
  for (const [weight, each] of happenings) {
    left -= weight
    if (left < 0) return each(world)
  }
}

/** What the gate says of a world, and when that world was last not well, by the test's own reckoning. */
interface GateWatch {
  gate: Gate
  lastIllMs: number
  crashes: number
}

function watchGate(world: World, watch: GateWatch): void {
  const services = Object.values(world.state.services)
  const required = services.filter(({ plan }) => plan.required)
  const crashes = required.reduce((sum, service) => sum + service.crashes, 0)
  const well = required.every(({ plan, status, healthy }) => {
    return status === 'done' || (status === 'running' && (plan.health === null || healthy === true))
  })
  if (!well || !world.state.ready || crashes !== watch.crashes) watch.lastIllMs = world.nowMs
  watch.crashes = crashes
  const before = watch.gate
  const view = {
    atMs: world.nowMs,
    ready: world.state.ready,
    keepsData: true,
    services,
    probes: [],
    confirmed: true,
  }
  watch.gate = judge(before, view)
  const { verdict, rules, openedAtMs, reason } = watch.gate
  if (before.verdict !== 'waiting' && watch.gate !== before) throw new Error('the gate has changed its mind')
  if (verdict === 'passed' && before.verdict === 'waiting' && world.nowMs - watch.lastIllMs < rules.stableMs)
    throw new Error(`passed ${world.nowMs - watch.lastIllMs} ms after it was not well`)
  const lost = required.some(({ status }) => status === 'failed')
  const late = world.nowMs - openedAtMs >= rules.timeoutMs
  if ((verdict === 'failed') !== (before.verdict === 'failed') && !lost && !late)
    throw new Error(`failed before its time: ${reason}`)
  if (verdict === 'waiting' && late) throw new Error('waits longer than it may')
  if (verdict === 'waiting' && (nextLookAtMs(watch.gate) ?? -1) < world.nowMs)
    throw new Error('nobody looks again')
  if ((verdict === 'passed') !== (reason === '')) throw new Error(`${verdict}: ${reason}`)
}

/** One life of a machine: it boots, things go wrong, it goes down. */
function live(seed: number): World {
  const world = worldOf(randomFrom(seed), seed)
  try {
    for (let count = 0; count < STEPS && world.powerAtMs === null; count++) {
      happen(world)
      checkInvariants(world)
    }
    if (world.shutdownAtMs === null) requestShutdown(world)
    // Nothing but time passes now: no process obeys, no kill works, no phase is answered.
    while (world.powerAtMs === null && fireNextTimer(world)) checkInvariants(world)
    if (world.powerAtMs === null) throw new Error('the shutdown did not end')
    checkInvariants(world)
    for (let count = 0; count < 20; count++) happen(world)
    checkInvariants(world)
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    throw new Error(`SOLO_SEED=${seed}: ${text}\n${world.trace.join('\n')}`, { cause: error })
  }
  return world
}

test('judge() passes only who was well for long enough, fails only who had the time, and never changes its mind', () => {
  const verdicts = new Map<string, number>()
  for (let seed = 1; seed <= 300; seed++) {
    const world = worldOf(randomFrom(seed), seed)
    const rules = {
      stableMs: world.random.below(4000),
      timeoutMs: 30_000 + world.random.below(60_000),
      confirm: true,
    }
    const watch: GateWatch = { gate: openGate(rules, 0), lastIllMs: 0, crashes: 0 }
    try {
      for (let count = 0; count < STEPS && world.shutdownAtMs === null; count++) {
        happen(world)
        watchGate(world, watch)
      }
    } catch (error) {
      throw new Error(`SOLO_SEED=${seed}: ${String(error)}\n${world.trace.join('\n')}`, { cause: error })
    }
    verdicts.set(watch.gate.verdict, (verdicts.get(watch.gate.verdict) ?? 0) + 1)
  }
  for (const verdict of ['passed', 'failed', 'waiting']) expect(verdicts.get(verdict)).toBeGreaterThan(5)
})

test('step() keeps its invariants in made-up worlds with faults, and every shutdown ends in time', () => {
  const fixed = process.env['SOLO_SEED']
  const runs = Number(process.env['SOLO_RUNS'] ?? 400)
  const seeds = fixed === undefined ? Array.from({ length: runs }, (_, index) => index + 1) : [Number(fixed)]
  const worlds = seeds.map(live)
  // A simulation in which nothing happens would pass too.
  if (fixed === undefined) {
    expect(worlds.filter(({ readies }) => readies === 1).length).toBeGreaterThan(runs / 10)
    expect(worlds.reduce((sum, { nextPid }) => sum + nextPid - 2, 0)).toBeGreaterThan(runs * 5)
  }
})
