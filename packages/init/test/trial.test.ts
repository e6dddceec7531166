import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BootState } from '@pkg/init/boot-state'
import { initialState, step, type Event, type State } from '@pkg/init/core'
import { validatePlan, type GatePlan } from '@pkg/init/plan'
import { expect, test, vi } from 'vitest'
import { readCounter, raiseCounter } from '../src/firmware/counter.ts'
import type { Slots } from '../src/storage/slots.ts'
import { records } from '../src/trial/record.ts'
import { lastRollback } from '../src/trial/rollback.ts'
import { makeTrial, type Trial } from '../src/trial/trial.ts'
import { bootFolder, slotIn } from './support/boot-folder.ts'

const boot = bootFolder()
const { install, files } = boot

interface MachineOptions {
  readonly counter?: number
  readonly trial?: boolean
  readonly restart?: string
}

/** What boot.json says at first. */
function bootOf(file: string, { counter = 2, trial = true }: MachineOptions): BootState {
  const more = { appliance: 'a', board: 'b', architecture: 'x86_64', created: '2026-01-01T00:00:00Z' }
  return {
    slot: slotIn(file),
    entry: file,
    release: { version: `1.${counter}`, counter, ...more },
    trial,
    blessed: false,
    disk: null,
    partitions: { esp: null, 'root-a': null, 'root-b': null, data: null },
    lastRollback: { from: { slot: 'x', version: null, counter: null }, reason: 'old', at: '' },
    counterFloor: counter,
    clock: 'machine',
  }
}

/** A machine that has booted `file`, with one service, in a trial or not. */
class Machine {
  readonly trial: Trial
  readonly lines: string[] = []
  readonly restart = vi.fn<() => void>()
  readonly kept = records(join(boot.root, 'var'))
  boot: BootState
  /** Whether the data partition is in use. */
  keepsData = true
  /** What the programs of probes end with. */
  probeStatus = 0
  #state: State
  #atMs = 0

  constructor(slots: Slots, gate: Partial<GatePlan>, options: MachineOptions) {
    const health = { tcp: { port: 1 } }
    const service = { name: 'web', command: ['/web'], uid: 1, gid: 1, health, restart: options.restart }
    const plan = validatePlan({ version: 1, services: [service], gate })
    this.#state = initialState(plan, 1)
    this.boot = bootOf(slots.booted.file, options)
    const run = () => Promise.resolve({ pid: 1, code: this.probeStatus, signal: null })
    const bootState = () => this.boot
    this.trial = makeTrial({
      plan: plan.gate,
      slots,
      records: this.kept,
      boot: {
        get state() {
          return bootState()
        },
        update: (changes) => void (this.boot = { ...this.boot, ...changes }),
      },
      keepsData: () => this.keepsData,
      state: () => this.#state,
      programs: { run, ended: run, reaped: () => false },
      nowMs: () => this.#atMs,
      log: (priority, text) => void this.lines.push(`${priority}: ${text}`),
      restart: this.restart,
      onBlessed: () => void this.lines.push('onBlessed'),
    })
  }

  send(...events: Event[]): void {
    for (const event of events) {
      this.#atMs = Math.max(this.#atMs, event.atMs)
      this.#state = step(this.#state, event).state
      this.trial.changed()
    }
  }

  pass(timeMs: number): void {
    this.#atMs += timeMs
    this.trial.changed()
  }

  /** The service runs, and is well. */
  becomeWell(): void {
    const atMs = this.#atMs
    const pid = 10 + atMs
    this.send(
      { type: 'milestone', name: 'network-online', atMs },
      { type: 'boot-finished', atMs },
      { type: 'spawned', service: 'web', pid, atMs },
      { type: 'probed', service: 'web', pid, probe: 'health', failure: null, atMs },
    )
  }
}

async function machine(
  file: string,
  gate: Partial<GatePlan>,
  options: MachineOptions = {},
): Promise<Machine> {
  return new Machine(await boot.slots(file), gate, options)
}

test('makeTrial() blesses a trial that is well for stableMs, and then raises the counter', async () => {
  install({ 'soloa+3-0.efi': 1, 'solob+2-1.efi': 2 })
  raiseCounter(boot.root, 1)
  const booted = await machine('solob+2-1.efi', { stableMs: 500 })
  booted.trial.open()
  expect(booted.kept.trial()).toMatchObject({ slot: 'solo-b', counter: 2, tries: 1, verdict: null })
  booted.becomeWell()
  booted.pass(499)
  expect(booted.trial.status()).toEqual({ state: 'waiting', reason: 'well for less than 500 ms' })
  expect(readCounter(boot.root)).toBe(1)
  booted.pass(1)
  await expect.poll(() => booted.boot.blessed).toBe(true)
  expect(files()).toEqual(['soloa+3-0.efi', 'solob+3-0.efi'])
  expect(readCounter(boot.root)).toBe(2)
  expect(booted.trial.status()).toEqual({ state: 'passed', reason: '' })
  expect(booted.boot).toMatchObject({ entry: 'solob+3-0.efi', counterFloor: 2, lastRollback: null })
  expect(booted.kept.trial()?.verdict?.passed).toBe(true)
  expect(booted.restart).not.toHaveBeenCalled()
})

test('makeTrial() begins the stable time anew when a required service crashes', async () => {
  install({ 'soloa+3-0.efi': 1, 'solob+2-1.efi': 2 })
  const booted = await machine('solob+2-1.efi', { stableMs: 500 })
  booted.trial.open()
  booted.becomeWell()
  booted.pass(400)
  booted.send(
    { type: 'process-exited', pid: 10, code: 1, signal: null, atMs: 400 },
    { type: 'cgroup-empty', service: 'web', atMs: 400 },
  )
  expect(booted.trial.status().reason).toMatch(/^web: backoff: exited with status 1/)
  booted.send({ type: 'start-requested', service: 'web', atMs: 410 })
  booted.becomeWell()
  booted.pass(499)
  expect(booted.trial.status().state).toBe('waiting')
  booted.pass(1)
  expect(booted.trial.status().state).toBe('passed')
  // Until it is through: what is left of it would be done to the next test's folder.
  await expect.poll(() => booted.boot.blessed).toBe(true)
  expect(files()).toContain('solob+3-0.efi')
})

test('makeTrial() takes the tries of a trial that is not well in time, keeps the reason, and restarts', async () => {
  install({ 'soloa+3-0.efi': 1, 'solob+2-1.efi': 2 })
  const booted = await machine('solob+2-1.efi', { timeoutMs: 2000 })
  booted.trial.open()
  booted.send(
    { type: 'boot-finished', atMs: 1 },
    { type: 'spawn-failed', service: 'web', reason: 'ENOENT', atMs: 2 },
  )
  booted.pass(2000)
  await expect.poll(() => booted.restart.mock.calls.length).toBe(1)
  expect(files()).toEqual(['soloa+3-0.efi', 'solob+0-3.efi'])
  expect(readCounter(boot.root)).toBe(0)
  const verdict = booted.kept.trial()?.verdict
  expect(verdict).toMatchObject({ passed: false, reason: 'web: backoff: ENOENT (after 2000 ms)' })

  // What the other slot makes of it.
  const { spent, passedOver } = await boot.slots('soloa+2-1.efi')
  const trial = booted.kept.trial()
  const clues = { slot: 'solo-a', counter: 1, trial, spent, passedOver, known: null, now: 'now' }
  expect(lastRollback(clues)).toEqual({
    from: { slot: 'solo-b', version: '1.2', counter: 2 },
    reason: 'web: backoff: ENOENT (after 2000 ms)',
    at: verdict?.at,
  })
})

test('makeTrial() gives a trial up at once when a required service has failed for good', async () => {
  install({ 'soloa+3-0.efi': 1, 'solob+2-1.efi': 2 })
  const booted = await machine('solob+2-1.efi', {}, { restart: 'never' })
  booted.trial.open()
  booted.send(
    { type: 'boot-finished', atMs: 1 },
    { type: 'spawn-failed', service: 'web', reason: 'ENOENT', atMs: 2 },
  )
  await expect.poll(() => booted.restart.mock.calls.length).toBe(1)
  expect(booted.lines).toContain('error: gate: failed: web: failed: ENOENT')
})

test('makeTrial() gives a trial up at once when the data of a required service could not be migrated', async () => {
  install({ 'soloa+3-0.efi': 1, 'solob+2-1.efi': 2 })
  const booted = await machine('solob+2-1.efi', {})
  booted.trial.preparing('the data of web were being migrated to version 2')
  expect(booted.kept.trial()).toMatchObject({
    tries: 1,
    step: 'the data of web were being migrated to version 2',
  })
  booted.send({ type: 'withheld', service: 'web', reason: 'the migration has failed', atMs: 1 })
  booted.trial.open()
  await expect.poll(() => booted.restart.mock.calls.length).toBe(1)
  expect(booted.kept.trial()).toMatchObject({
    tries: 1,
    verdict: { passed: false, reason: 'web: failed: the migration has failed' },
  })
})

test('makeTrial() goes on with a trial that has no other slot to go back to, and says so', async () => {
  install({ 'soloa+0-3.efi': 1, 'solob+2-1.efi': 2 })
  const booted = await machine('solob+2-1.efi', { timeoutMs: 10 })
  booted.trial.open()
  booted.pass(10)
  await expect
    .poll(() => booted.lines.join('\n'))
    .toContain('there is no other slot to go back to: going on with solo-b')
  expect(booted.restart).not.toHaveBeenCalled()
  expect(files()).toEqual(['soloa+0-3.efi', 'solob+2-1.efi'])
})

test('makeTrial() blesses a slot that was blessed before as soon as it is well, and never gives it up', async () => {
  install({ 'soloa+3-0.efi': 1, 'solob+2-1.efi': 2 })
  const gate = { stableMs: 60_000, timeoutMs: 10, confirm: true, probes: [{ command: ['/check'] }] }
  const booted = await machine('solob+2-1.efi', gate, { trial: false })
  booted.trial.open()
  booted.pass(1_000_000)
  expect(booted.trial.status().state).toBe('waiting')
  booted.becomeWell()
  await expect.poll(() => booted.boot.blessed).toBe(true)
  expect(files()).toEqual(['soloa+3-0.efi', 'solob+3-0.efi'])
  expect(booted.kept.trial()).toBeNull()
  expect(booted.restart).not.toHaveBeenCalled()
})

test('makeTrial() does not bless what is new and cannot use the data partition, and blesses again what ran before', async () => {
  install({ 'soloa+3-0.efi': 1, 'solob+2-1.efi': 2 })
  const booted = await machine('solob+2-1.efi', { stableMs: 0, timeoutMs: 10 })
  booted.keepsData = false
  booted.trial.open()
  booted.becomeWell()
  booted.pass(10)
  await expect.poll(() => booted.restart.mock.calls.length).toBe(1)
  expect(files()).toEqual(['soloa+3-0.efi', 'solob+0-3.efi'])
  expect(booted.kept.trial()?.verdict?.reason).toMatch(/^the data partition cannot be used: /)
  install({ 'soloa+2-1.efi': 1 })
  const before = await machine('soloa+2-1.efi', {}, { trial: false, counter: 1 })
  before.keepsData = false
  before.trial.open()
  before.becomeWell()
  await expect.poll(() => before.boot.blessed).toBe(true)
})

test('makeTrial() with confirm waits for somebody outside, and only then can be confirmed', async () => {
  install({ 'soloa+3-0.efi': 1, 'solob+2-1.efi': 2 })
  const booted = await machine('solob+2-1.efi', { stableMs: 0, confirm: true })
  booted.trial.open()
  booted.becomeWell()
  expect(booted.trial.status()).toEqual({ state: 'waiting', reason: 'not confirmed' })
  booted.trial.confirm()
  await expect.poll(() => booted.boot.blessed).toBe(true)
  expect(() => booted.trial.confirm()).toThrow('the trial is over')
  const other = await machine('solob+3-0.efi', { confirm: false })
  expect(() => other.trial.confirm()).toThrow('no trial that waits for a confirmation')
})

test('makeTrial() wants the probes of the gate to succeed too', async () => {
  install({ 'soloa+3-0.efi': 1, 'solob+2-1.efi': 2 })
  const probes = [{ command: ['/check'] }]
  const booted = await machine('solob+2-1.efi', { stableMs: 0, probes })
  booted.probeStatus = 4
  booted.trial.open()
  booted.becomeWell()
  await expect.poll(() => booted.trial.status().reason).toBe('/check exited with status 4')
  booted.probeStatus = 0
  await expect.poll(() => booted.boot.blessed).toBe(true)
})

test('makeTrial() does not bless a slot whose kernel image has rotted, and leaves its counter', async () => {
  install({ 'soloa+2-1.efi': 1 })
  writeFileSync(
    join(boot.root, 'EFI/Linux/soloa+2-1.efi'),
    (boot.kernels.get(1) ?? new Uint8Array()).subarray(0, 4000),
  )
  const booted = await machine('soloa+2-1.efi', {}, { trial: false, counter: 1 })
  booted.trial.open()
  booted.becomeWell()
  await expect.poll(() => booted.trial.status().state).toBe('failed')
  expect(booted.trial.status().reason).toMatch(/^not blessed: /)
  expect(files()).toEqual(['soloa+2-1.efi'])
})

test('makeTrial() blesses later what it could not bless at once', async () => {
  install({ 'soloa+2-1.efi': 1 })
  const image = join(boot.root, 'EFI/Linux/soloa+2-1.efi')
  const whole = boot.kernels.get(1) ?? new Uint8Array()
  writeFileSync(image, whole.subarray(0, 4000))
  const booted = await machine('soloa+2-1.efi', {}, { trial: false, counter: 1 })
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    booted.trial.open()
    booted.becomeWell()
    await expect.poll(() => booted.trial.status().state).toBe('failed')
    writeFileSync(image, whole)
    expect(vi.getTimerCount()).toBe(1)
    vi.advanceTimersByTime(30_000)
    await expect.poll(() => booted.boot.blessed).toBe(true)
    expect(booted.trial.status().state).toBe('passed')
    expect(files()).toEqual(['soloa+3-0.efi'])
  } finally {
    vi.useRealTimers()
  }
})

test('makeTrial() takes a shutdown for no verdict: the next boot has another try', async () => {
  install({ 'soloa+3-0.efi': 1, 'solob+2-1.efi': 2 })
  const booted = await machine('solob+2-1.efi', {
    timeoutMs: 1000,
  })
  booted.trial.open()
  booted.becomeWell()
  booted.send({ type: 'shutdown-requested', kind: 'power-off', immediate: false, atMs: 10 })
  booted.pass(100_000)
  expect(booted.restart).not.toHaveBeenCalled()
  expect(booted.kept.trial()).toMatchObject({ step: 'restarted before its gate was through', verdict: null })
  const next = await machine('solob+1-2.efi', {})
  next.trial.open()
  expect(booted.kept.trial()?.tries).toBe(2)
})
