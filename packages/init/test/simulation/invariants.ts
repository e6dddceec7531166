/** What must be true after every step, whatever has happened. */
import type { ServiceState } from '@pkg/init/core'
import { livesMain, type World } from './world.ts'

export function checkInvariants(world: World): void {
  const { state } = world
  const services = Object.values(state.services)
  checkTimers(world, services)
  for (const service of services) {
    checkProcess(world, service)
    checkProbe(world, service)
    if (state.shutdown?.phase !== 'power') checkGoesOn(world, service)
  }
  if (state.shutdown !== null && services.some(({ wanted }) => wanted)) fail('a wanted service in a shutdown')
  if (world.readies > 1) fail('ready twice')
  if (
    world.shutdownAtMs !== null &&
    (world.powerAtMs ?? world.nowMs) > world.shutdownAtMs + world.plan.shutdownTimeoutMs
  )
    fail('the shutdown takes longer than it may')
  if (world.powerAtMs !== null && world.timers.size > 0) fail('timers after the end')
  if ((world.powerAtMs !== null) !== (state.shutdown?.phase === 'power'))
    fail('the end is not the last phase')
}

/** The armed timers are those that somebody waits for: none forgotten, none missing. */
function checkTimers(world: World, services: readonly ServiceState[]): void {
  const held = services.map(({ timer }) => timer).concat(world.state.shutdown?.timer ?? null)
  const known = held.filter((timer) => timer !== null).toSorted((a, b) => a - b)
  const armed = [...world.timers.keys()].toSorted((a, b) => a - b)
  if (known.join() !== armed.join())
    fail(`timers armed: ${armed.join()}; timers that are known: ${known.join()}`)
}

/** The core's picture of a process is the true one. */
function checkProcess(world: World, { plan: { name }, pid, status }: ServiceState): void {
  const alive = [...world.processes].filter(([, process]) => process.service === name).map(([each]) => each)
  if (alive.length > 1) fail(`${alive.length} processes of ${name}`)
  if (world.state.shutdown?.phase !== 'power' && (alive[0] ?? null) !== pid)
    fail(`${name} lives as ${alive[0]}, the core thinks ${pid}`)
  if ((status === 'running' || status === 'activating') && pid === null)
    fail(`${name} runs without a process`)
}

/** Readiness is asked for while it is not known, health while it matters; the core and the shell agree on it. */
function checkProbe({ state, probing }: World, { plan, status, probing: known }: ServiceState): void {
  const { name, ready, health } = plan
  const asked = probing.get(name)?.probe ?? null
  if (asked !== known) fail(`${name} is probed for ${asked}, the core thinks ${known}`)
  if (state.shutdown?.phase === 'power') return
  const probesReady = status === 'activating' && ready !== 'started' && !('notify' in ready)
  const wanted = probesReady ? 'ready' : status === 'running' && health !== null ? 'health' : null
  if (known !== wanted) fail(`${name} is ${status}, and probed for ${known}`)
}

/** In no state does a service wait for something that will not come. */
function checkGoesOn(world: World, service: ServiceState): void {
  const { state, spawning, killing } = world
  const { name, after, watchdogMs } = service.plan
  const timed = ['activating', 'backoff', 'stopping', 'killing'].includes(service.status)
  const inTimedState = timed || (service.status === 'running' && watchdogMs > 0)
  if (inTimedState !== (service.timer !== null)) fail(`${name} is ${service.status}, timer ${service.timer}`)
  if ((service.status === 'starting') !== spawning.includes(name))
    fail(`${name} is ${service.status}, no answer is due`)
  if (service.status === 'killing' && !killing.has(name) && !livesMain(world, name))
    fail(`${name} is killing, and nothing is left to kill`)
  const held = after.some((other) => {
    const before = state.services[other]
    return before === undefined ? !state.milestones.includes(other) : isUntried(before)
  })
  if (service.status === 'waiting' && state.booted && state.shutdown === null && !held)
    fail(`${name} waits for nothing`)
  if (service.status === 'done' && service.condemned) fail(`${name} was not well, and passes for done`)
  if (service.status === 'activating' && service.plan.ready === 'started')
    fail(`${name} waits to be ready, and nothing is asked of it`)
  if (service.status === 'running' && service.stopAsked)
    fail(`${name} runs, and its end would pass for a stop`)
  if (service.status === 'backoff' && !service.wanted) fail(`${name} is to start again, unwanted`)
  if (service.status === 'stopped' && service.wanted) fail(`${name} is wanted, but stopped`)
  if (service.status === 'running' && !service.wanted && state.shutdown === null)
    fail(`${name} runs unwanted`)
}

function isUntried({ status }: ServiceState): boolean {
  return status === 'waiting' || status === 'starting' || status === 'activating'
}

function fail(text: string): never {
  throw new Error(text)
}
