/**
 * What is done about the gate: the record of a trial, the questions of the gate's own probes, and at the end the
 * blessing, or the way back to the other slot.
 */
import type { BootState } from '../boot-state.ts'
import type { GateStatus } from '../control.ts'
import type { LogPriority, State } from '../core.ts'
import { bless } from '../firmware/bless.ts'
import { raiseCounter } from '../firmware/counter.ts'
import { hasTries, listEntries, spend } from '../firmware/entries.ts'
import type { GatePlan } from '../plan.ts'
import { ask } from '../shell/probe.ts'
import { pause } from '../shell/prober.ts'
import type { Programs } from '../shell/programs.ts'
import type { Slots } from '../storage/slots.ts'
import { judge, nextLookAtMs, openGate, type Gate } from './gate.ts'
import type { Records, TrialRecord } from './record.ts'

/** What a trial needs. */
export interface TrialContext {
  /** What the gate asks for. */
  readonly plan: GatePlan
  /** The slot that was booted, and the other ones. */
  readonly slots: Slots
  /** What slots leave to each other. */
  readonly records: Records
  /** The boot as it is told. */
  readonly boot: {
    /** As it stands. */
    readonly state: BootState
    /** Changes it. */
    update(changes: Partial<BootState>): void
  }
  /** Whether the data partition is in use, and not memory in its place. */
  readonly keepsData: () => boolean
  /** The supervisor's state now. */
  readonly state: () => State
  /** Runs the programs of probes. */
  readonly programs: Programs
  /** Monotonic clock. */
  readonly nowMs: () => number
  /** Writes a line of PID 1's. */
  readonly log: (priority: LogPriority, text: string) => void
  /** Shuts down in order, and restarts. */
  readonly restart: () => void
  /** The slot has been blessed. */
  readonly onBlessed: () => void
}

/** The gate of this boot. */
export interface Trial {
  /** Before services start something is done that may go wrong: the record of a trial tells. */
  preparing(step: string): void
  /** Opens the gate: services are about to start. */
  open(): void
  /** To be told after each step of the supervisor. */
  changed(): void
  /** Somebody confirms from outside. @throws Error there is nothing to confirm */
  confirm(): void
  /** How it stands. */
  status(): GateStatus
}

/** Between two questions of the gate's own probes, and how long one may take. */
const PROBE_EVERY_MS = 1000
const PROBE_MS = 5000

/** When a slot that passed its gate, and could not be blessed, is to be blessed again; each time it takes twice as long. */
const BLESS_AGAIN_MS = 30_000
const BLESS_AGAIN_MAX_MS = 3_600_000

/** `nobody`, which owns nothing (as Debian numbers it): what a probe runs may be anybody's. */
const NOBODY = { uid: 65_534, gid: 65_534, groups: [] } as const

/** Makes the gate of this boot: of a trial with all that the plan asks for, of a slot that was blessed before with less. */
export function makeTrial(context: TrialContext): Trial {
  return new GateKeeper(context)
}

class GateKeeper implements Trial {
  readonly #context: TrialContext
  readonly #isTrial: boolean
  /** Aborted when the gate's own probes need not be asked any more. */
  readonly #asking = new AbortController()
  /** What each probe of the gate says. */
  readonly #probes: (string | null)[]
  #gate: Gate | null = null
  #confirmed = false
  /** Whether the record tells of this try. */
  #isRecorded = false
  #timer: ReturnType<typeof setTimeout> | undefined
  /** Why it was not blessed although the gate was passed. */
  #refusal = ''
  #blessAgainMs = BLESS_AGAIN_MS

  constructor(context: TrialContext) {
    this.#context = context
    this.#isTrial = context.boot.state.trial
    this.#probes = this.#isTrial ? context.plan.probes.map(() => 'a probe has not answered yet') : []
  }

  preparing(step: string): void {
    if (!this.#isTrial) return
    attempt(this.#context.log, 'trial record', () => {
      if (this.#isRecorded) note(this.#context, { step })
      else recordTry(this.#context, step)
      this.#isRecorded = true
    })
  }

  open(): void {
    const { plan, nowMs } = this.#context
    // A slot that was blessed before only has to be well once, and is not given up: its counter runs down if it is not.
    const rules = this.#isTrial ? plan : { stableMs: 0, timeoutMs: Infinity, confirm: false }
    this.#gate = openGate(rules, nowMs())
    if (this.#isTrial) announce(this.#context)
    this.preparing('its services were starting')
    for (const index of this.#probes.keys()) void this.#keepAsking(index)
    this.changed()
  }

  changed(): void {
    if (this.#gate?.verdict !== 'waiting') return
    const { state, nowMs, log } = this.#context
    const { ready, services, shutdown } = state()
    // What is stopped now is no sign of anything.
    if (shutdown !== null) return this.#leave()
    const before = this.#gate.reason
    const [probes, confirmed] = [this.#probes, this.#confirmed]
    // What ran before went on with memory for its data when it had to; what is new may be the reason.
    const keepsData = !this.#isTrial || this.#context.keepsData()
    const view = { atMs: nowMs(), ready, keepsData, services: Object.values(services), probes, confirmed }
    const gate = (this.#gate = judge(this.#gate, view))
    if (gate.reason !== before && gate.reason !== '') log('debug', `gate: ${gate.reason}`)
    clearTimeout(this.#timer)
    const atMs = nextLookAtMs(gate)
    if (atMs !== null) {
      this.#timer = setTimeout(() => this.changed(), Math.max(1, Math.ceil(atMs - view.atMs)))
    }
    if (gate.verdict === 'waiting') return
    this.#asking.abort()
    void (gate.verdict === 'passed' ? this.#pass() : giveUp(this.#context, gate.reason))
  }

  confirm(): void {
    const { plan, log } = this.#context
    if (!this.#isTrial || !plan.confirm) throw new Error('there is no trial that waits for a confirmation')
    if (this.#gate?.verdict !== 'waiting') throw new Error('the trial is over')
    this.#confirmed = true
    log('notice', 'gate: confirmed')
    this.changed()
  }

  status(): GateStatus {
    if (this.#gate === null) return { state: 'waiting', reason: 'no service runs that could be looked at' }
    const { verdict, reason } = this.#gate
    return this.#refusal === '' ? { state: verdict, reason } : { state: 'failed', reason: this.#refusal }
  }

  /** The machine is shutting down before there is a verdict: the next boot has another try. */
  #leave(): void {
    clearTimeout(this.#timer)
    this.#asking.abort()
    this.#gate = null
    const step = 'restarted before its gate was through'
    if (this.#isTrial) attempt(this.#context.log, 'trial record', () => note(this.#context, { step }))
  }

  async #pass(): Promise<void> {
    try {
      await blessSlot(this.#context)
      this.#refusal = ''
    } catch (error) {
      // The counter runs, and the next boot has another try, which costs one: somebody may only have the partition in use.
      const refusal = `not blessed: ${error instanceof Error ? error.message : String(error)}`
      if (refusal !== this.#refusal) this.#context.log('error', `boot ${refusal}`)
      this.#refusal = refusal
      clearTimeout(this.#timer)
      this.#timer = setTimeout(() => {
        if (this.#context.state().shutdown === null) void this.#pass()
      }, this.#blessAgainMs)
      this.#blessAgainMs = Math.min(2 * this.#blessAgainMs, BLESS_AGAIN_MAX_MS)
    }
  }

  async #keepAsking(index: number): Promise<void> {
    const { plan, programs } = this.#context
    const probe = plan.probes[index]
    const { signal } = this.#asking
    while (probe !== undefined && !signal.aborted) {
      const answer = await ask(probe, { programs, user: NOBODY, timeoutMs: PROBE_MS, signal })
      if (signal.aborted) return
      this.#probes[index] = answer
      this.changed()
      await pause(PROBE_EVERY_MS, signal)
    }
  }
}

function attempt(log: TrialContext['log'], what: string, act: () => void): void {
  try {
    act()
  } catch (error) {
    log('error', `${what}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function announce({ boot, log, plan }: TrialContext): void {
  const { version, counter } = boot.state.release ?? { version: null, counter: null }
  log('notice', `gate: a trial of ${version} (${counter}), ${plan.timeoutMs} ms to pass`)
}

/** Begins the record of a trial, or counts one more try of the one before. */
function recordTry({ boot, slots, records }: TrialContext, step: string): void {
  const { version, counter } = boot.state.release ?? { version: null, counter: null }
  const before = records.trial()
  const again = before !== null && before.slot === slots.booted.slot && before.counter === counter
  const tries = again && before.verdict === null ? before.tries + 1 : 1
  records.writeTrial({ slot: slots.booted.slot, version, counter, tries, step, verdict: null })
}

/** Changes the trial's record, if it is this slot's. */
function note({ records, slots }: TrialContext, changes: Partial<TrialRecord>): void {
  const record = records.trial()
  if (record?.slot === slots.booted.slot) records.writeTrial({ ...record, ...changes })
}

async function blessSlot(context: TrialContext): Promise<void> {
  const { slots, boot, records, log } = context
  const { release, trial } = boot.state
  const entry = await bless(slots.partition, slots.booted)
  const { file } = slots.booted
  log('notice', `boot blessed: ${file} ${entry === file ? 'has all its tries' : `is ${entry} again`}`)
  boot.update({ blessed: true, entry })
  // After the blessing: a counter that was raised for a slot that does not boot would keep its successor out.
  if (release !== null) {
    try {
      await slots.partition.use((root) => raiseCounter(root, release.counter))
    } catch (error) {
      log('error', `release counter: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  context.onBlessed()
  if (!trial) return
  boot.update({ lastRollback: null })
  attempt(log, 'trial record', () => {
    note(context, { step: 'blessed', verdict: { passed: true, reason: '', at: new Date().toISOString() } })
    records.writeRollback(null)
  })
}

/** Takes all tries from the slot that runs, and restarts into the other one, if there is one. */
async function giveUp(context: TrialContext, reason: string): Promise<void> {
  const { slots, log, restart } = context
  const { slot } = slots.booted
  log('error', `gate: failed: ${reason}`)
  try {
    const verdict = { passed: false, reason, at: new Date().toISOString() }
    attempt(log, 'trial record', () => note(context, { step: 'its gate has failed', verdict }))
    const entries = await slots.partition.use(listEntries)
    const own = entries.find((entry) => entry.slot === slot)
    if (own === undefined || !entries.some((entry) => entry.slot !== slot && hasTries(entry)))
      return log('error', `gate: there is no other slot to go back to: going on with ${slot}`)
    await spend(slots.partition, own)
  } catch (error) {
    // A restart costs the slot a try all the same, and this one was its last or one of three.
    log('error', `gate: ${slot} keeps its tries: ${error instanceof Error ? error.message : String(error)}`)
  }
  log('notice', `gate: ${slot} is given up: restarting`)
  restart()
}
