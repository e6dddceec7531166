import { expect, test } from 'vitest'
import { initialState, step, type Action, type Event, type State } from '@pkg/init/core'
import { validatePlan } from '@pkg/init/plan'

const base = { command: ['/bin/x'], uid: 1, gid: 1 }

/** Gives the core one event after the other and keeps what it asked for, log lines apart. */
function machine(services: readonly object[], more: object = {}) {
  let state: State = initialState(
    validatePlan({ version: 1, services: services.map((each) => ({ ...base, ...each })), ...more }),
    1,
  )
  return {
    get state(): State {
      return state
    },
    status: (name: string) => state.services[name]?.status,
    send(...events: Event[]): Action[] {
      return events.flatMap((event) => {
        const next = step(state, event)
        state = next.state
        return next.actions.filter(({ type }) => type !== 'log')
      })
    },
  }
}

const booted: readonly Event[] = [
  { type: 'milestone', name: 'network-online', atMs: 0 },
  { type: 'boot-finished', atMs: 0 },
]
const exit = (pid: number, code: number, atMs: number): Event => {
  return { type: 'process-exited', pid, code, signal: null, atMs }
}
const rebootRequest = (atMs: number): Event => {
  return { type: 'shutdown-requested', kind: 'reboot', immediate: false, atMs }
}
const spawn = (service: string): Action => ({ type: 'spawn', service })

test('step() starts a service only after those in its `after` have been tried', () => {
  const { send } = machine([{ name: 'a', after: ['b'] }, { name: 'b' }])
  expect(send(...booted)).toEqual([spawn('b')])
  expect(send({ type: 'spawned', service: 'b', pid: 10, atMs: 1 })).toEqual([spawn('a')])
})

test('step() starts what waits for a service that cannot be started', () => {
  const { send, status } = machine([
    { name: 'a', after: ['b'] },
    { name: 'b', restart: 'never' },
  ])
  send(...booted)
  expect(send({ type: 'spawn-failed', service: 'b', reason: 'ENOENT', atMs: 1 })).toEqual([spawn('a')])
  expect(status('b')).toBe('failed')
})

test('step() gives `ready` once, with the reason of each failed service', () => {
  const { send } = machine([{ name: 'a' }, { name: 'b' }])
  send(...booted)
  send({ type: 'spawned', service: 'a', pid: 10, atMs: 1 })
  expect(send({ type: 'spawn-failed', service: 'b', reason: 'ENOENT', atMs: 1 })).toContainEqual({
    type: 'ready',
    running: 1,
    failed: [{ name: 'b', reason: 'ENOENT' }],
  })
  expect(send(...booted)).toEqual([])
})

test('step() kills the rest of the cgroup before a service counts as ended', () => {
  const { send, status } = machine([{ name: 'a' }])
  send(...booted, { type: 'spawned', service: 'a', pid: 10, atMs: 1 })
  expect(send(exit(10, 1, 5))).toContainEqual({ type: 'kill-cgroup', service: 'a' })
  expect(status('a')).toBe('killing')
  send({ type: 'cgroup-empty', service: 'a', atMs: 6 })
  expect(status('a')).toBe('backoff')
})

/** The delay before the next start when the service lives for `livesMs`. */
function delayAfterRun(run: ReturnType<typeof machine>, pid: number, atMs: number, livesMs: number): number {
  run.send({ type: 'spawned', service: 'a', pid, atMs }, exit(pid, 1, atMs + livesMs))
  const actions = run.send({ type: 'cgroup-empty', service: 'a', atMs: atMs + livesMs })
  const armed = actions.find((action) => action.type === 'arm-timer')
  if (armed?.type !== 'arm-timer') throw new Error('no restart')
  run.send({ type: 'timer', timer: armed.timer, atMs: atMs + livesMs + armed.delayMs })
  return armed.delayMs
}

test('step() lets the delay between restarts grow up to its maximum and begin anew after a stable run', () => {
  const run = machine([{ name: 'a', restartDelayMs: { initial: 100, max: 1000, factor: 3 } }])
  run.send(...booted)
  const delays = [100, 100, 100, 100, 10_000].map((livesMs, index) => {
    return delayAfterRun(run, 10 + index, index * 100_000, livesMs)
  })
  for (const [index, most] of [100, 300, 900, 1000, 100].entries()) {
    expect(delays[index]).toBeLessThanOrEqual(most)
    expect(delays[index]).toBeGreaterThanOrEqual(most * 0.9)
  }
})

test('step() gives a service up at its restart limit, and a start request gives it all its tries back', () => {
  const run = machine([{ name: 'a', restartLimit: 2 }])
  run.send(...booted)
  delayAfterRun(run, 10, 0, 1)
  delayAfterRun(run, 11, 1000, 1)
  expect(() => delayAfterRun(run, 12, 2000, 1)).toThrow('no restart')
  expect(run.status('a')).toBe('failed')
  expect(run.send({ type: 'start-requested', service: 'a', atMs: 9000 })).toEqual([spawn('a')])
  delayAfterRun(run, 13, 10_000, 1)
})

test.each([
  ['on-failure', 0, null, 'done'],
  ['on-failure', null, 15, 'done'],
  ['on-failure', 1, null, 'backoff'],
  ['never', 0, null, 'done'],
  ['never', null, 11, 'failed'],
  ['always', 0, null, 'backoff'],
] as const)('step() with restart %s takes exit %j, signal %j to %s', (restart, code, signal, expected) => {
  const { send, status } = machine([{ name: 'a', restart }])
  send(...booted, { type: 'spawned', service: 'a', pid: 10, atMs: 1 })
  send(
    { type: 'process-exited', pid: 10, code, signal, atMs: 2 },
    { type: 'cgroup-empty', service: 'a', atMs: 2 },
  )
  expect(status('a')).toBe(expected)
})

test('step() kills the cgroup of a service that does not obey its stop signal in time', () => {
  const { send } = machine([{ name: 'a', stopSignal: 2, stopTimeoutMs: 700 }])
  send(...booted, { type: 'spawned', service: 'a', pid: 10, atMs: 1 })
  expect(send({ type: 'stop-requested', service: 'a', atMs: 5 })).toEqual([
    { type: 'kill', service: 'a', pid: 10, signal: 2 },
    { type: 'arm-timer', timer: 1, delayMs: 700 },
  ])
  expect(send({ type: 'timer', timer: 1, atMs: 705 })).toContainEqual({ type: 'kill-cgroup', service: 'a' })
})

test('step() shuts down in reverse order, then through the phases to the power', () => {
  const { send } = machine([{ name: 'a', after: ['b'] }, { name: 'b' }], { shutdownTimeoutMs: 9000 })
  send(...booted, { type: 'spawned', service: 'b', pid: 10, atMs: 1 })
  send({ type: 'spawned', service: 'a', pid: 11, atMs: 1 })
  const stopped = (pid: number, service: string): Action[] => {
    return send(exit(pid, 0, 4), { type: 'cgroup-empty', service, atMs: 4 })
  }
  const down = send({ type: 'shutdown-requested', kind: 'reboot', immediate: false, atMs: 3 })
  expect(down).toContainEqual({ type: 'kill', service: 'a', pid: 11, signal: 15 })
  expect(down).not.toContainEqual(expect.objectContaining({ pid: 10 }))
  expect(stopped(11, 'a')).toContainEqual({ type: 'kill', service: 'b', pid: 10, signal: 15 })
  expect(stopped(10, 'b')).toContainEqual({ type: 'shutdown-phase', phase: 'processes', timeoutMs: 3000 })
  expect(send({ type: 'phase-finished', phase: 'processes', atMs: 5 })).toContainEqual({
    type: 'shutdown-phase',
    phase: 'file-systems',
    timeoutMs: 3000,
  })
  expect(send({ type: 'phase-finished', phase: 'file-systems', atMs: 6 })).toContainEqual({
    type: 'power',
    kind: 'reboot',
  })
})

test('step() takes seven requests within two seconds for impatience and skips to the file systems', () => {
  const { send } = machine([{ name: 'a' }])
  send(...booted, { type: 'spawned', service: 'a', pid: 10, atMs: 1 })
  const skipped = expect.objectContaining({ type: 'shutdown-phase', phase: 'file-systems' })
  expect(send(...[0, 300, 600, 900, 1200, 1500].map((atMs) => rebootRequest(10 + atMs)))).not.toContainEqual(
    skipped,
  )
  expect(send(rebootRequest(1800))).toContainEqual(skipped)
})

test('step() never starts anything again once a shutdown was asked for', () => {
  const { send, status } = machine([{ name: 'a' }])
  send({ type: 'shutdown-requested', kind: 'halt', immediate: false, atMs: 0 })
  expect(send(...booted, { type: 'start-requested', service: 'a', atMs: 1 })).toEqual([])
  expect(status('a')).toBe('stopped')
})

const spawned = (service: string, pid: number, atMs: number): Event => ({
  type: 'spawned',
  service,
  pid,
  atMs,
})
const said = (service: string, message: object, atMs: number): Event => {
  return { type: 'notified', service, ready: false, watchdog: false, note: null, ...message, atMs }
}

test('step() starts what waits for a service only when that one says that it is ready', () => {
  const { send, status } = machine([
    { name: 'a', after: ['b'] },
    { name: 'b', ready: { notify: true, timeoutMs: 300 } },
  ])
  send(...booted)
  expect(send(spawned('b', 10, 1))).toEqual([{ type: 'arm-timer', timer: 1, delayMs: 300 }])
  expect(status('b')).toBe('activating')
  expect(send(said('b', { note: 'loading' }, 2))).toEqual([])
  expect(send(said('b', { ready: true }, 3))).toEqual([{ type: 'cancel-timer', timer: 1 }, spawn('a')])
  expect(status('b')).toBe('running')
})

test('step() takes only the answer of a probe for readiness where the plan has one, and only of this process', () => {
  const { send, status } = machine([{ name: 'a', ready: { tcp: { port: 80 } } }])
  send(...booted)
  expect(send(spawned('a', 10, 1))).toContainEqual({
    type: 'start-probe',
    service: 'a',
    pid: 10,
    probe: 'ready',
  })
  send(said('a', { ready: true }, 2))
  send({ type: 'probed', service: 'a', pid: 9, probe: 'ready', failure: null, atMs: 3 })
  send({ type: 'probed', service: 'a', pid: 10, probe: 'ready', failure: 'refused', atMs: 4 })
  expect(status('a')).toBe('activating')
  const ready = send({ type: 'probed', service: 'a', pid: 10, probe: 'ready', failure: null, atMs: 5 })
  expect(ready).toContainEqual({ type: 'stop-probe', service: 'a' })
  expect(status('a')).toBe('running')
})

test('step() ends a service that is not ready in time, and starts it again', () => {
  const run = machine([{ name: 'a', ready: { tcp: { port: 80 }, timeoutMs: 700 } }])
  const { send, status } = run
  send(...booted, spawned('a', 10, 1))
  send({ type: 'probed', service: 'a', pid: 10, probe: 'ready', failure: 'connection refused', atMs: 2 })
  expect(send({ type: 'timer', timer: 1, atMs: 701 })).toContainEqual({
    type: 'kill',
    service: 'a',
    pid: 10,
    signal: 15,
  })
  send(exit(10, 0, 710), { type: 'cgroup-empty', service: 'a', atMs: 711 })
  expect(status('a')).toBe('backoff')
  expect(run.state.services['a']).toMatchObject({
    crashes: 1,
    reason: 'not ready yet: connection refused; given up after 700 ms',
  })
})

test('step() starts a service again when its health probe has failed often enough in a row, however it exits', () => {
  const run = machine([
    { name: 'a', restart: 'on-failure', health: { http: { port: 80 }, failures: 2 }, restartDelayMs: {} },
  ])
  const probed = (failure: string | null, atMs: number): Action[] =>
    run.send({ type: 'probed', service: 'a', pid: 10, probe: 'health', failure, atMs })
  run.send(...booted)
  expect(run.send(spawned('a', 10, 1))).toContainEqual({
    type: 'start-probe',
    service: 'a',
    pid: 10,
    probe: 'health',
  })
  probed('status 500', 2)
  probed(null, 3)
  expect(run.state.services['a']?.healthy).toBe(true)
  probed('status 500', 4)
  expect(run.status('a')).toBe('running')
  expect(probed('status 500', 5)).toContainEqual({ type: 'kill', service: 'a', pid: 10, signal: 15 })
  expect(run.state.services['a']?.healthy).toBe(false)
  run.send(exit(10, 0, 6), { type: 'cgroup-empty', service: 'a', atMs: 7 })
  expect(run.status('a')).toBe('backoff')
  expect(run.state.services['a']).toMatchObject({
    crashes: 1,
    reason: 'unhealthy: status 500 (2 times in a row)',
  })
})

test('step() ends a service whose watchdog hears nothing, and lets one live that speaks', () => {
  const { send, status } = machine([{ name: 'a', watchdogMs: 1000 }])
  send(...booted)
  expect(send(spawned('a', 10, 1))).toContainEqual({ type: 'arm-timer', timer: 1, delayMs: 1000 })
  expect(send(said('a', { watchdog: true }, 900))).toEqual([
    { type: 'cancel-timer', timer: 1 },
    { type: 'arm-timer', timer: 2, delayMs: 1000 },
  ])
  expect(status('a')).toBe('running')
  send({ type: 'timer', timer: 2, atMs: 1900 })
  expect(status('a')).toBe('stopping')
})

test('step() stops a service that is asked to stop while it is condemned, and does not start it again', () => {
  const { send, status } = machine([{ name: 'a', watchdogMs: 1000 }])
  send(...booted, spawned('a', 10, 1), { type: 'timer', timer: 1, atMs: 1001 })
  send({ type: 'stop-requested', service: 'a', atMs: 1002 })
  send(exit(10, 0, 1003), { type: 'cgroup-empty', service: 'a', atMs: 1004 })
  expect(status('a')).toBe('stopped')
})

test('step() never starts a service that is withheld, and tells why', () => {
  const { send, status } = machine([{ name: 'a' }, { name: 'b', after: ['a'] }])
  const reason = 'its data are of version 2'
  expect(send({ type: 'withheld', service: 'a', reason, atMs: 0 })).toEqual([])
  expect(send(...booted)).toEqual([spawn('b')])
  expect(send({ type: 'spawned', service: 'b', pid: 10, atMs: 1 })).toEqual([
    { type: 'ready', running: 1, failed: [{ name: 'a', reason }] },
  ])
  expect(status('a')).toBe('failed')
  for (const type of ['start-requested', 'stop-requested', 'start-requested'] as const)
    expect(send({ type, service: 'a', atMs: 2 })).toEqual([])
})

test('step() takes it as nonsense when a service that runs is withheld', () => {
  const { send, status } = machine([{ name: 'a' }])
  send(...booted, { type: 'spawned', service: 'a', pid: 10, atMs: 1 })
  send({ type: 'withheld', service: 'a', reason: 'too late', atMs: 2 })
  expect(status('a')).toBe('running')
})
