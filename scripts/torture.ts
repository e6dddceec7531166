/**
 * `npm run test:torture`: cuts a machine's power at every write of its first boot, of updates and of their trial
 * boots, has an independent model judge what is left, and boots a sample of it; then goes through the matrix of faults,
 * phases and contents, and sees the machine come back each time.
 *
 * Flags: `--minutes N` for all of it (default 90), `--seed S` (default: by chance, printed), `--boots N` (default 60),
 * `--updates N` (default 2), `--only power-cuts` or `--only matrix` (default: both), `--cell TEXT` for the cells of the
 * matrix whose names contain it, or one of several, `--cells` lists them all, and what is left out with the reason.
 * `--keep DIR` leaves the machine's life and the disks of broken states there, `--replay DIR` judges and boots such a life
 * again. `--json` prints one JSON object and nothing else on standard output. Ctrl-C ends it, with what is known by then.
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type CellReport, cellText, runMatrix } from '../packages/distro/test/torture/matrix-run.ts'
import { beyond, cellName, cells, leftOut } from '../packages/distro/test/torture/matrix.ts'
import { runTorture, type TortureReport } from '../packages/distro/test/torture/torture.ts'

const USAGE =
  'usage: npm run test:torture -- [--json] [--minutes N] [--seed S] [--boots N] [--updates N] [--keep DIR] ' +
  '[--replay DIR] [--only power-cuts | --only matrix] [--cell TEXT]... [--cells] [--help]'

const PARTS = ['power-cuts', 'matrix'] as const
type Part = (typeof PARTS)[number]

/** Of the time for both parts, this much goes to the power cuts. */
const POWER_CUTS_SHARE = 0.7

interface Options {
  json: boolean
  isList: boolean
  isHelp: boolean
  minutes: number
  seed: string
  boots: number
  updates: number
  parts: readonly Part[]
  /** Texts, of which a cell's name contains one. */
  wanted: readonly string[]
  keep?: string
  replay?: string
}

function readOptions(words: string[]): Options {
  const { values } = parseArgs({
    args: words,
    options: {
      json: { type: 'boolean' },
      cells: { type: 'boolean' },
      minutes: { type: 'string' },
      seed: { type: 'string' },
      boots: { type: 'string' },
      updates: { type: 'string' },
      keep: { type: 'string' },
      replay: { type: 'string' },
      only: { type: 'string' },
      cell: { type: 'string', multiple: true },
      help: { type: 'boolean', short: 'h' },
    },
  })
  const only = PARTS.find((part) => part === (values.only ?? (values.cell === undefined ? '' : 'matrix')))
  if (values.only !== undefined && only === undefined)
    throw new UsageError(`--only: expected ${PARTS.join(' or ')}, got ${JSON.stringify(values.only)}`)
  const { cell: wanted = [''], keep, replay } = values
  const unknown = wanted.find((text) => !cells.some((each) => cellName(each).includes(text)))
  if (unknown !== undefined)
    throw new UsageError(`--cell: no cell's name contains ${JSON.stringify(unknown)}; see --cells`)
  return {
    json: values.json ?? false,
    isList: values.cells ?? false,
    isHelp: values.help ?? false,
    minutes: readNumber('minutes', values.minutes, 90),
    seed: values.seed ?? randomBytes(4).toString('hex'),
    boots: readNumber('boots', values.boots, 60),
    updates: readNumber('updates', values.updates, 2),
    parts: only === undefined ? PARTS : [only],
    wanted,
    ...(keep === undefined ? {} : { keep }),
    ...(replay === undefined ? {} : { replay }),
  }
}

class UsageError extends Error {}

function readNumber(flag: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text)
  if (text === '' || !Number.isFinite(value) || value < 0)
    throw new UsageError(`--${flag}: expected a number from 0, got ${JSON.stringify(text)}`)
  return value
}

function list(): string {
  const out = [...leftOut, ...beyond].map(({ what, why }) => `left out: ${what}: ${why}`)
  return [...cells.map((cell) => cellName(cell)), ...out].join('\n')
}

function show({ phases, boots, broken, ...totals }: TortureReport): string {
  const lines = phases.map(
    ({ phase, judged, booted, unbootable, lostFiles, forgotten, versions }) =>
      `${phase}: ${judged} judged, ${booted} booted, ${unbootable} unbootable, ${lostFiles} with lost files, ` +
      `${forgotten} forgetful; they boot ${JSON.stringify(versions)}`,
  )
  for (const { phase, state, readyMs, problem } of boots)
    lines.push(`booted ${phase} ${state}: ${problem ?? `ready in ${Math.round(readyMs)} ms`}`)
  for (const { phase, name, description, verdict } of broken.slice(0, 20))
    lines.push(`BROKEN ${phase} ${name}: ${description}: ${verdict}`)
  return [...lines, JSON.stringify(totals)].join('\n')
}

/** What was seen of the matrix. */
interface MatrixReport {
  readonly cells: number
  readonly passed: number
  readonly failed: number
  /** Cells for which there was no time. */
  readonly notReached: readonly string[]
  readonly reports: readonly CellReport[]
}

async function matrix(options: Options, work: MatrixWork): Promise<MatrixReport> {
  const chosen = cells.filter((cell) => options.wanted.some((text) => cellName(cell).includes(text)))
  const reports = await runMatrix({ ...work, cells: chosen, seed: options.seed })
  const names = new Set(reports.map(({ name }) => name))
  const failed = reports.filter(({ problem }) => problem !== undefined).length
  const notReached = chosen.map((cell) => cellName(cell)).filter((name) => !names.has(name))
  return { cells: chosen.length, passed: reports.length - failed, failed, notReached, reports }
}

interface MatrixWork {
  readonly folder: string
  readonly endMs: number
  readonly onStep: (step: string) => void
  readonly signal: AbortSignal
}

async function run(options: Options, folder: string, signal: AbortSignal): Promise<void> {
  const { json, parts, seed, minutes } = options
  const endMs = performance.now() + minutes * 60_000
  const startedMs = performance.now()
  const onStep = (step: string): void => {
    const seconds = Math.round((performance.now() - startedMs) / 1000)
    process.stderr.write(`torture: ${seconds} s: ${step}\n`)
  }
  onStep(`seed ${seed}`)
  const share = parts.includes('matrix') ? POWER_CUTS_SHARE : 1
  const report = parts.includes('power-cuts')
    ? await runTorture({ ...options, folder, onStep, signal, minutes: minutes * share, minutesMax: minutes })
    : undefined
  const seen =
    parts.includes('matrix') && !signal.aborted
      ? await matrix(options, { folder: join(folder, 'matrix'), endMs, onStep, signal })
      : undefined
  const interrupted = signal.aborted ? ({ interrupted: true } as const) : {}
  if (json) process.stdout.write(`${JSON.stringify({ seed, ...report, ...interrupted, matrix: seen })}\n`)
  else {
    for (const each of seen?.reports ?? []) process.stdout.write(`${cellText(each)}\n`)
    for (const name of seen?.notReached ?? []) process.stdout.write(`not reached: ${name}\n`)
    if (report !== undefined) process.stdout.write(`${show({ ...report, ...interrupted })}\n`)
  }
  const { unbootable = 0, lostFiles = 0, forgotten = 0 } = report ?? {}
  const isGood = unbootable + lostFiles + forgotten + (seen?.failed ?? 0) === 0
  process.exitCode = signal.aborted ? 130 : isGood ? 0 : 1
}

const folder = mkdtempSync(join(tmpdir(), 'solo-torture-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const interruption = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    // Whoever asks twice does not want to wait for guests to end.
    if (interruption.signal.aborted) process.exit(130)
    interruption.abort(new Error(`ended by ${signal}`))
  })
try {
  const options = readOptions(process.argv.slice(2))
  if (options.isHelp) process.stdout.write(`${USAGE}\n`)
  else if (options.isList) process.stdout.write(`${list()}\n`)
  else await run(options, folder, interruption.signal)
} catch (error) {
  const isUsage =
    error instanceof UsageError ||
    (error instanceof TypeError && 'code' in error && /PARSE_ARGS/.test(String(error.code)))
  if (!isUsage) throw error
  process.stderr.write(`${error.message}\n${USAGE}\n`)
  process.exitCode = 2
}
