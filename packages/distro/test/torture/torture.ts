// The long run: a machine's life recorded, all its crash states judged until the time is over, and some of them booted.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inLanes } from './lanes.ts'
import { type Life, recordLife } from './life.ts'
import { bootState } from './real-boot.ts'
import { loadLife, saveLife } from './saved-life.ts'
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
  /** How long it may take; the round of the judge that is promised, and {@link BOOTS_MIN} boots, are done in any case. */
  readonly minutes: number
  /** When that round has to end as well, though it is not through: the report says so. Default: never. */
  readonly minutesMax?: number
  /** How many updates the machine gets. */
  readonly updates: number
  /** How many states are booted at most, while there is time; {@link BOOTS_MIN} in any case. */
  readonly boots: number
  /** Where the machine's life, and the disks of states that must not be, are left. Default: nowhere. */
  readonly keep?: string
  /** Folder of a life that was kept: it is judged and booted again, and nothing is recorded. */
  readonly replay?: string
  /** Told of each step. */
  readonly onStep?: (step: string) => void
  /** Ends it early: what is known by then is reported. */
  readonly signal?: AbortSignal
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

/** What was found in a phase, and how many of its states were booted. */
export interface TorturedPhase extends PhaseReport {
  readonly booted: number
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
  /** Gives the same choices again, for the same life. */
  readonly seed: string
  /** Whether the round of the judge came to its end: all that is promised of it was looked at. */
  readonly complete: boolean
  /** A signal has ended it. */
  readonly interrupted?: true
  readonly phases: readonly TorturedPhase[]
  readonly boots: readonly BootedState[]
  /** States that must not be. */
  readonly broken: readonly BrokenState[]
}

/** So many states are booted however little time there is. */
export const BOOTS_MIN = 5

/** Runs it. */
export async function runTorture(options: TortureOptions): Promise<TortureReport> {
  const { folder, seed, replay, keep, signal } = options
  const work: Work = {
    ...{ options, startMs: performance.now(), boots: [], survey: undefined, complete: false },
  }
  mkdirSync(folder, { recursive: true })
  try {
    await using life = replay === undefined ? await recordLife(options) : loadLife(replay, folder)
    if (keep !== undefined && keep !== replay) await saveLife(life, keep)
    work.survey = new Survey(life.past, seed)
    await judgeAndBoot(work, life, work.survey)
    if (keep !== undefined) await keepBroken(work.survey, keep)
  } catch (error) {
    // What the signal has ended fails in its own words.
    if (signal?.aborted !== true) throw error
  }
  return reportOf(work)
}

/** What has been done. */
interface Work {
  readonly options: TortureOptions
  readonly startMs: number
  readonly boots: BootedState[]
  survey: Survey | undefined
  complete: boolean
}

function reportOf({ options, survey, boots, complete }: Work): TortureReport {
  const reports = survey?.reports ?? []
  const sum = (count: (report: PhaseReport) => number): number =>
    reports.reduce((total, report) => total + count(report), 0)
  return {
    judged: sum(({ judged }) => judged),
    booted: boots.length,
    unbootable:
      sum(({ unbootable }) => unbootable) + boots.filter(({ problem }) => problem !== undefined).length,
    lostFiles: sum(({ lostFiles }) => lostFiles),
    forgotten: sum(({ forgotten }) => forgotten),
    ...{ seed: options.seed, complete },
    ...(options.signal?.aborted === true ? { interrupted: true } : {}),
    phases: reports.map((report) => {
      return Object.assign({}, report, { booted: boots.filter(({ phase }) => phase === report.phase).length })
    }),
    boots,
    broken: survey?.broken ?? [],
  }
}

/** Enough to choose from what is booted: the rest is judged beside the boots, which wait for their guests. */
const FIRST_LOOK: StateLimits = { exhaustiveWrites: 8, samplesPerEpoch: 64, tornPerEpoch: 32 }

/**
 * One round of the judge is promised, with all that the limits say; boots go on beside it, and what time is left when
 * they are done is the judge's.
 */
async function judgeAndBoot(work: Work, life: Life, survey: Survey): Promise<void> {
  const { options, startMs } = work
  const { seed, onStep = () => {}, signal } = options
  const {
    exhaustiveWrites = LIMITS.exhaustiveWrites,
    samplesPerEpoch = LIMITS.samplesPerEpoch,
    tornPerEpoch = LIMITS.tornPerEpoch,
  } = options
  const common = { seed, ...(signal === undefined ? {} : { signal }) }
  onStep('judging')
  await survey.round({ ...FIRST_LOOK, ...common })
  tellJudged(survey, onStep)
  const endMs = startMs + options.minutes * 60_000
  const untilMs = startMs + (options.minutesMax ?? Number.POSITIVE_INFINITY) * 60_000
  const booting = bootSome(work, life, survey, endMs)
  // Whoever waits for it hears of it; until then it is nobody's failure.
  booting.catch(() => {})
  const limits = { exhaustiveWrites, samplesPerEpoch, tornPerEpoch, ...common }
  try {
    work.complete = await survey.round({ ...limits, untilMs })
    tellJudged(survey, onStep)
    // Boots come first: more judging beside them would take their processors.
    await booting
    for (let round = 1; performance.now() < endMs; round += 1)
      await survey.round({ ...limits, seed: `${seed}/${round}`, untilMs: endMs })
  } finally {
    // The guests end by the same signal, and nothing of them is left when the report is made.
    if (signal?.aborted === true) await booting.catch(() => {})
  }
  tellJudged(survey, onStep)
}

function tellJudged({ reports }: Survey, onStep: (step: string) => void): void {
  const phases = reports.map(({ phase, judged }) => `${phase} ${judged}`).join(', ')
  onStep(`judged: ${phases}`)
}

async function bootSome(
  { options, boots: done }: Work,
  life: Life,
  survey: Survey,
  endMs: number,
): Promise<void> {
  const { boots, folder, onStep = () => {}, signal } = options
  const waiting = survey.sample(boots)
  let begun = 0
  const next = (): (typeof waiting)[number] | undefined => {
    signal?.throwIfAborted()
    return begun >= BOOTS_MIN && performance.now() > endMs ? undefined : waiting[begun++]
  }
  await inLanes(next, async (judged) => {
    const { phase, state } = judged
    const { readyMs, problem } = await bootState(life, judged, folder, signal)
    done.push({ phase, state: state.name, readyMs, ...(problem === undefined ? {} : { problem }) })
    onStep(`booted ${done.length} of ${waiting.length}: ${phase} ${state.name}: ${problem ?? 'as judged'}`)
  })
}

/** How many disks of broken states are kept: each takes as much room as the machine's disk. */
const KEPT_MAX = 5

async function keepBroken(survey: Survey, keep: string): Promise<void> {
  writeFileSync(join(keep, 'broken.json'), JSON.stringify(survey.broken, undefined, 2))
  for (const { name } of survey.broken.slice(0, KEPT_MAX))
    await survey.stateNamed(name).writeTo(join(keep, `${name}.img`))
}
