// Every state that a power cut can have left, judged, phase by phase.
import { createHash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { crashState, crashStates, type CrashState, type CrashStatesOptions } from '@pkg/vm/crash-states'
import type { DiskLog } from '@pkg/vm/nbd'
import { partOf } from './disk-view.ts'
import { isGood, type Judge, type Verdict, verdictText } from './judge.ts'
import type { DataJudge, KeptFile } from './user-files.ts'

/** A part of a log that is told of by itself. */
export interface Phase {
  /** Its name in the report. */
  readonly name: string
  /** Mark at which it begins. Default: the beginning of the log. */
  readonly from?: string
  /** Mark at which it ends. Default: the end of the log. */
  readonly to?: string
}

/** A recorded past, and what is known of it. */
export interface Past {
  readonly log: DiskLog
  readonly judge: Judge
  /** The data partition's judge; undefined where nothing is written to it. */
  readonly data?: DataJudge
  /** Files that were promised to be safe, by the mark that tells of it. */
  readonly kept: ReadonlyMap<string, KeptFile>
  /** Counters of releases that were said to be installed, by the mark that tells of it: none older may run then. */
  readonly installed: ReadonlyMap<string, number>
  readonly phases: readonly Phase[]
}

/** A state that must not be. */
export interface BrokenState {
  readonly phase: string
  /** As `crashState` takes it. */
  readonly name: string
  readonly description: string
  readonly verdict: string
}

/** A state that was judged. */
export interface JudgedState {
  readonly phase: string
  readonly state: CrashState
  readonly verdict: Verdict
}

/** What was found in a phase. */
export interface PhaseReport {
  readonly phase: string
  /** Distinct states that were judged. */
  judged: number
  /** States in which no whole version would run, or something damaged would be started. */
  unbootable: number
  /** States in which the data partition could not be used, or files were missing. */
  lostFiles: number
  /** States in which an older release would run than one that was said to be installed. */
  forgotten: number
  /** How many states end in which version. */
  readonly versions: Record<string, number>
}

/** Options of {@link Survey.round}. */
export interface RoundOptions extends Pick<
  CrashStatesOptions,
  'exhaustiveWrites' | 'samplesPerEpoch' | 'tornPerEpoch' | 'seed'
> {
  /** When it has to end, as `performance.now()` tells it. Default: when all is judged. */
  readonly untilMs?: number
  /** Ends it early: it rejects with the signal's reason. */
  readonly signal?: AbortSignal
}

/** Between two looks at what else there is to do: guests' consoles, signals. */
const TURN_MS = 50

/** More are counted, but not kept. */
const BROKEN_MAX = 1000

/** So many states of a phase are kept to be booted. */
const CHOSEN_MAX = 100

/** Judges the states of a past. */
export class Survey {
  readonly reports: readonly PhaseReport[]
  /** States that must not be; the first of them. */
  readonly broken: BrokenState[] = []
  readonly #past: Past
  readonly #seen = new Set<string>()
  /** Some of the states of each phase, by chance: those whose hashes with the seed come first. */
  readonly #chosen = new Map<string, (JudgedState & { readonly rank: string })[]>()
  readonly #seed: string | number

  /** @param seed - decides which states {@link Survey.sample} gives */
  constructor(past: Past, seed: string | number = 0) {
    this.#past = past
    this.#seed = seed
    this.reports = past.phases.map(({ name }) => {
      return { phase: name, judged: 0, unbootable: 0, lostFiles: 0, forgotten: 0, versions: {} }
    })
  }

  /**
   * Judges the states of all phases that were not judged yet.
   *
   * @returns whether it came to the end
   */
  async round(options: RoundOptions): Promise<boolean> {
    const { untilMs = Number.POSITIVE_INFINITY, signal, ...limits } = options
    const { log, phases } = this.#past
    let turnMs = performance.now()
    for (const [index, { from, to }] of phases.entries()) {
      const report = this.reports[index] as PhaseReport
      const range = { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) }
      for (const state of crashStates(log, { ...limits, ...range })) {
        const nowMs = performance.now()
        if (nowMs > untilMs) return false
        if (nowMs - turnMs > TURN_MS) {
          await setImmediate()
          signal?.throwIfAborted()
          turnMs = performance.now()
        }
        const key = `${state.hash}/${state.marks.length}`
        if (this.#seen.has(key)) continue
        this.#seen.add(key)
        await this.#judge(state, report)
      }
    }
    return true
  }

  /** Up to `count` of the states that were judged, from all phases in turn. */
  sample(count: number): JudgedState[] {
    const phases = [...this.#chosen.values()]
    const rounds = Array.from({ length: CHOSEN_MAX }, (_, round) =>
      phases.flatMap((chosen) => chosen[round] ?? []),
    )
    return rounds.flat().slice(0, count)
  }

  /** A state that was told of. */
  stateNamed(name: string): CrashState {
    return crashState(this.#past.log, name)
  }

  #choose(phase: string, state: CrashState, verdict: Verdict): void {
    const rank = createHash('sha1').update(`${this.#seed}/${state.hash}`).digest('hex')
    const chosen = this.#chosen.get(phase) ?? []
    if (chosen.length >= CHOSEN_MAX && rank > (chosen.at(-1)?.rank ?? '')) return
    const all = [...chosen, { phase, state, verdict, rank }].toSorted((a, b) => (a.rank < b.rank ? -1 : 1))
    this.#chosen.set(phase, all.slice(0, CHOSEN_MAX))
  }

  async #judge(state: CrashState, report: PhaseReport): Promise<void> {
    const verdict = await this.#past.judge.judge(state)
    report.judged += 1
    this.#choose(report.phase, state, verdict)
    const version = verdict.version ?? 'none'
    report.versions[version] = (report.versions[version] ?? 0) + 1
    const isBootable = isGood(verdict)
    if (!isBootable) report.unbootable += 1
    const lost = await this.#lost(state, verdict)
    if (lost !== undefined) report.lostFiles += 1
    const forgotten = this.#forgotten(state, verdict)
    if (forgotten !== undefined) report.forgotten += 1
    const problems = [lost, forgotten].filter((problem) => problem !== undefined)
    if ((isBootable && problems.length === 0) || this.broken.length >= BROKEN_MAX) return
    const { name, description } = state
    const words = [verdictText(verdict), ...problems].join('; ')
    this.broken.push({ phase: report.phase, name, description, verdict: words })
  }

  #forgotten(state: CrashState, { counter = 0 }: Verdict): string | undefined {
    const { installed } = this.#past
    const promised = Math.max(0, ...state.marks.map((mark) => installed.get(mark) ?? 0))
    return counter < promised ? `release ${promised} had been installed` : undefined
  }

  /** What of the user's files is not there, in words. */
  async #lost(state: CrashState, { version }: Verdict): Promise<string | undefined> {
    const { data, judge, kept } = this.#past
    if (data === undefined || version === undefined) return undefined
    const partitions = await judge.partitions(state)
    const partition =
      typeof partitions === 'string' ? undefined : partitions.find(({ name }) => name === 'data')
    if (partition === undefined) return 'no data partition'
    const { firstLba, lastLba } = partition
    const view = partOf(state, firstLba * 512, (lastLba + 1 - firstLba) * 512)
    const promised = state.marks.flatMap((mark) => kept.get(mark) ?? [])
    const { lost, problem } = await data.judge(view, promised)
    if (problem !== undefined) return `data partition: ${problem}`
    return lost.length === 0 ? undefined : `lost: ${lost.join(', ')}`
  }
}
