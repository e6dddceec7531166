import { SIGINT, SIGRTMIN, SIGTERM } from '@pkg/sys/constants'
import { validatePlan } from '@pkg/init/plan'
import { expect, test, vi } from 'vitest'
import { runSteps } from '../src/boot/steps.ts'
import { parseOptions } from '../src/main/options.ts'
import { shutdownSignals } from '../src/shell/signals.ts'
import { supervise, type Hands } from '../src/shell/supervisor.ts'
import { mountsToEnd } from '../src/shell/unmount.ts'

const plan = validatePlan({
  version: 1,
  services: [
    { name: 'a', command: ['/a'], uid: 1, gid: 1, restartDelayMs: { initial: 10, max: 10 } },
    { name: 'b', command: ['/b'], uid: 1, gid: 1, after: ['a'] },
  ],
  shutdownTimeoutMs: 300,
})

/** Hands that do nothing but count; the call with number `failAt` throws. */
function countingHands(failAt: number) {
  let calls = 0
  let powers = 0
  const errors: string[] = []
  const call = (): void => {
    if (++calls === failAt) throw new Error(`call ${failAt} fails`)
  }
  const hands: Hands = {
    nowMs: () => performance.now(),
    spawn() {
      call()
      return calls + 100
    },
    kill: call,
    startProbe: call,
    stopProbe: call,
    killGroup(_service, onEmpty) {
      call()
      onEmpty()
    },
    log(priority, text) {
      if (priority === 'error') errors.push(text)
    },
    ready: call,
    shutdownPhase(_phase, _timeoutMs, onDone) {
      call()
      onDone()
    },
    power: () => void powers++,
  }
  return { hands, errors, calls: () => calls, powers: () => powers }
}

/** A whole life: boot, the end of a service, a shutdown. Returns when the power is off. */
async function live(failAt: number) {
  const counting = countingHands(failAt)
  const supervisor = supervise(plan, counting.hands, 1)
  supervisor.send({ type: 'milestone', name: 'network-online' })
  supervisor.send({ type: 'boot-finished' })
  const pid = supervisor.state.services['a']?.pid
  if (typeof pid === 'number') supervisor.send({ type: 'process-exited', pid, code: 1, signal: null })
  await new Promise((resolve) => setTimeout(resolve, 15))
  supervisor.send({ type: 'shutdown-requested', kind: 'reboot', immediate: false })
  for (const service of Object.values(supervisor.state.services)) {
    if (service.pid !== null)
      supervisor.send({ type: 'process-exited', pid: service.pid, code: 0, signal: null })
  }
  await vi.waitFor(() => expect(counting.powers()).toBe(1), 30_000)
  return counting
}

test('supervise() gets to the end of every shutdown, whichever call of its hands fails', async () => {
  const whole = await live(0)
  expect(whole.errors).toEqual([])
  expect(whole.calls()).toBeGreaterThan(8)
  await Promise.all(
    Array.from({ length: whole.calls() }, async (_, index) => {
      const { errors, powers } = await live(index + 1)
      expect(powers()).toBe(1)
      // A failed spawn is no error of PID 1's: the core is told, and tries again.
      expect(errors.length).toBeLessThanOrEqual(1)
    }),
  )
})

test('runSteps() goes on after a step that fails, and says how long each took', async () => {
  const lines: string[] = []
  let ms = 0
  const steps = [
    { name: 'one', run: () => 'done' },
    {
      name: 'two',
      run: () => {
        throw new Error('no such device')
      },
    },
    { name: 'three', run: () => Promise.resolve() },
  ]
  await runSteps(
    steps,
    () => (ms += 1.5),
    (priority, text) => lines.push(`${priority} ${text}`),
  )
  expect(lines).toEqual([
    'info one: done (1.5 ms)',
    'error two: no such device (1.5 ms); going on without it',
    'info three (1.5 ms)',
  ])
})

test('mountsToEnd() takes what lies on disks, the last mounted first, and leaves the kernel’s own alone', () => {
  const mounts = [
    { id: 1, parentId: 0, target: '/', type: 'ext4' },
    { id: 2, parentId: 1, target: '/proc', type: 'proc' },
    { id: 3, parentId: 1, target: '/var', type: 'ext4' },
    { id: 4, parentId: 3, target: '/var/lib/data', type: 'nfs4' },
    { id: 5, parentId: 1, target: '/run', type: 'tmpfs' },
  ]
  expect(mountsToEnd(mounts)).toEqual(['/var/lib/data', '/var', '/'])
})

test('mountsToEnd() puts a mount that was moved onto a newer one first, through a tmpfs too', () => {
  const mounts = [
    { id: 1, parentId: 0, target: '/', type: 'ext4' },
    { id: 2, parentId: 4, target: '/data/scratch/old', type: 'ext4' },
    { id: 3, parentId: 1, target: '/data', type: 'ext4' },
    { id: 4, parentId: 3, target: '/data/scratch', type: 'tmpfs' },
  ]
  expect(mountsToEnd(mounts)).toEqual(['/data/scratch/old', '/data', '/'])
})

test('parseOptions() reads both ways of writing a value, and refuses what it does not know', () => {
  expect(parseOptions(['--plan', '/p.json', '--mode=container', '--debug'])).toEqual({
    plan: '/p.json',
    console: undefined,
    cgroup: 'solo',
    run: '/run/solo',
    mode: 'container',
    debug: true,
  })
  expect(() => parseOptions(['--pln', 'x'])).toThrow('unknown option --pln')
  expect(() => parseOptions(['single'])).toThrow('unknown option single')
  expect(() => parseOptions(['--plan'])).toThrow('--plan: a value is missing')
  expect(() => parseOptions(['--mode', 'vm'])).toThrow('expected machine or container, got vm')
  expect(() => parseOptions(['--run', 'run'])).toThrow('expected an absolute path')
  expect(() => parseOptions(['--cgroup', '../x'])).toThrow('expected letters, digits, _ and -, got ../x')
})

test('shutdownSignals follows systemd for SIGRTMIN+3 to +6 and their immediate twins', () => {
  for (const [offset, kind] of [
    [3, 'halt'],
    [4, 'power-off'],
    [5, 'reboot'],
    [6, 'kexec'],
  ] as const) {
    expect(shutdownSignals.get(SIGRTMIN + offset)).toEqual({ kind, immediate: false })
    expect(shutdownSignals.get(SIGRTMIN + 10 + offset)).toEqual({ kind, immediate: true })
  }
  expect(shutdownSignals.get(SIGINT)).toEqual({ kind: 'reboot', immediate: false })
  expect(shutdownSignals.get(SIGTERM)).toEqual({ kind: 'power-off', immediate: false })
})
