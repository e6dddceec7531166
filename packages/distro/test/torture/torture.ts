// The long run: a machine's life recorded, all its crash states judged until the time is over, and some of them booted.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Life, recordLife } from './life.ts'
import { bootState } from './real-boot.ts'
import { saveLog } from './saved-log.ts'
import { type BrokenState, type PhaseReport, Survey } from './survey.ts'

/** How many states are looked at; see `CrashStatesOptions`. */
interface StateLimits {
  /** Up to so many writes, every subset of them is tried. */
  readonly exhaustiveWrites: number
  /**
   * Half of the samples are single lost writes: {@link LIMITS} has enough for each of the longest epoch of a boot
   * partition, in which the table of a whole kernel image is written sector by sector.
   */
  readonly samplesPerEpoch: number
  /** How many torn writes. */
  readonly tornPerEpoch: number
}

/** What is promised of every long run. */
const LIMITS: StateLimits = { exhaustiveWrites: 12, samplesPerEpoch: 2_000, tornPerEpoch: 400 }

/** What is to be done. */
export interface TortureOptions extends Partial<StateLimits> {
  /** For builds, disks and logs; made when it is not there. */
  readonly folder: string
  /** Decides what is chosen where not everything is looked at. */
  readonly seed: string
  /** How long it may take. What is promised of every run is done in any case. */
  readonly minutes: number
  /** How many updates the machine gets. */
  readonly updates: number
  /** How many states are booted at most, while there is time; {@link BOOTS_MIN} in any case. */
  readonly boots: number
  /** Where the log, and the disks of states that must not be, are left. Default: nowhere. */
  readonly keep?: string
  /** Told of each step. */
  readonly onStep?: (step: string) => void
}

/** A state that was booted by firmware. */
export interface BootedState {
  readonly phase: string
  readonly state: string
  /** From power-on until PID 1 was ready, in milliseconds. */
  readonly readyMs: number
  /** What was not as the judge had said. */
  readonly problem?: string
}

/** What was found. */
export interface TortureReport {
  /** Distinct crash states that were judged. */
  readonly judged: number
  /** How many of them were booted for real. */
  readonly booted: number
  /** States in which no whole release would run, or something damaged would be started; with those seen booting. */
  readonly unbootable: number
  /** States in which files of the user would be missing, or the data partition be of no use. */
  readonly lostFiles: number
  /** States in which an older release would run than one that was said to be installed. */
  readonly forgotten: number
  /** Gives the same choices again. */
  readonly seed: string
  readonly phases: readonly PhaseReport[]
  readonly boots: readonly BootedState[]
  /** States that must not be. */
  readonly broken: readonly BrokenState[]
}

/** So many states are booted however little time there is. */
export const BOOTS_MIN = 5

/** Of the time that is left when the machine is recorded, this much goes to the judge; the rest to boots. */
const JUDGED_SHARE = 0.5

/** Runs it. */
export async function runTorture(options: TortureOptions): Promise<TortureReport> {
  const { folder, seed, updates, keep, onStep = () => {} } = options
  const endMs = performance.now() + options.minutes * 60_000
  mkdirSync(folder, { recursive: true })
  await using life = await recordLife({ folder, updates, onStep })
  if (keep !== undefined) await saveLog(life.past.log, keep)
  const survey = new Survey(life.past, seed)
  const judgedUntilMs = performance.now() + Math.max(0, endMs - performance.now()) * JUDGED_SHARE
  onStep('judging')
  await judgeUntil(survey, options, judgedUntilMs)
  const boots = await bootSome(life, survey, { ...options, endMs })
  if (keep !== undefined) await keepBroken(survey, keep)
  const sum = (count: (report: PhaseReport) => number): number =>
    survey.reports.reduce((total, report) => total + count(report), 0)
  return {
    judged: sum(({ judged }) => judged),
    booted: boots.length,
    unbootable:
      sum(({ unbootable }) => unbootable) + boots.filter(({ problem }) => problem !== undefined).length,
    lostFiles: sum(({ lostFiles }) => lostFiles),
    forgotten: sum(({ forgotten }) => forgotten),
    seed,
    phases: survey.reports,
    boots,
    broken: survey.broken,
  }
}

/** One round is promised; more, with other choices, as time allows. */
async function judgeUntil(survey: Survey, options: TortureOptions, untilMs: number): Promise<void> {
  const {
    seed,
    exhaustiveWrites = LIMITS.exhaustiveWrites,
    samplesPerEpoch = LIMITS.samplesPerEpoch,
    tornPerEpoch = LIMITS.tornPerEpoch,
  } = options
  const limits = { exhaustiveWrites, samplesPerEpoch, tornPerEpoch }
  await survey.round({ ...limits, seed })
  for (let round = 1; performance.now() < untilMs; round += 1)
    await survey.round({ ...limits, seed: `${seed}/${round}`, untilMs })
}

async function bootSome(
  life: Life,
  survey: Survey,
  { boots, endMs, folder, onStep = () => {} }: TortureOptions & { readonly endMs: number },
): Promise<BootedState[]> {
  const done: BootedState[] = []
  for (const judged of survey.sample(boots)) {
    if (done.length >= BOOTS_MIN && performance.now() > endMs) break
    const { phase, state } = judged
    onStep(`booting ${done.length + 1}: ${phase}, ${state.name}`)
    const { readyMs, problem } = await bootState(life, judged, folder)
    done.push({ phase, state: state.name, readyMs, ...(problem === undefined ? {} : { problem }) })
  }
  return done
}

/** How many disks of broken states are kept: each takes as much room as the machine's disk. */
const KEPT_MAX = 5

async function keepBroken(survey: Survey, keep: string): Promise<void> {
  writeFileSync(join(keep, 'broken.json'), JSON.stringify(survey.broken, undefined, 2))
  for (const { name } of survey.broken.slice(0, KEPT_MAX))
    await survey.stateNamed(name).writeTo(join(keep, `${name}.img`))
}
