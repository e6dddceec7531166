/**
 * `npm run test:torture`: cuts a machine's power at every write of its first boot, of updates and of their trial
 * boots, has an independent model judge what is left, and boots a sample of it; then it gives a machine one bad
 * release after another, and sees it come back.
 *
 * Flags: `--minutes N` for the power cuts (default 20), `--seed S` (default: by chance, printed), `--boots N` (default
 * 50), `--updates N` (default 2), `--only power-cuts` or `--only rollbacks` (default: both), `--keep DIR` leaves the
 * write log and the disks of broken states there, `--json` prints one JSON object and nothing else on standard output.
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import {
  badReleases,
  Bench,
  type RollbackReport,
  rollbackText,
} from '../packages/distro/test/torture/rollback-matrix.ts'
import { runTorture, type TortureReport } from '../packages/distro/test/torture/torture.ts'

const USAGE =
  'usage: npm run test:torture -- [--json] [--minutes N] [--seed S] [--boots N] [--updates N] [--keep DIR] ' +
  '[--only power-cuts | --only rollbacks]'

const PARTS = ['power-cuts', 'rollbacks'] as const
type Part = (typeof PARTS)[number]

interface Options {
  json: boolean
  minutes: number
  seed: string
  boots: number
  updates: number
  parts: readonly Part[]
  keep?: string
}

function readOptions(words: string[]): Options {
  const { values } = parseArgs({
    args: words,
    options: {
      json: { type: 'boolean' },
      minutes: { type: 'string' },
      seed: { type: 'string' },
      boots: { type: 'string' },
      updates: { type: 'string' },
      keep: { type: 'string' },
      only: { type: 'string' },
    },
  })
  const only = PARTS.find((part) => part === values.only)
  if (values.only !== undefined && only === undefined)
    throw new UsageError(`--only: expected ${PARTS.join(' or ')}, got ${JSON.stringify(values.only)}`)
  return {
    json: values.json ?? false,
    minutes: readNumber('minutes', values.minutes, 20),
    seed: values.seed ?? randomBytes(4).toString('hex'),
    boots: readNumber('boots', values.boots, 50),
    updates: readNumber('updates', values.updates, 2),
    parts: only === undefined ? PARTS : [only],
    ...(values.keep === undefined ? {} : { keep: values.keep }),
  }
}

class UsageError extends Error {}

function readNumber(flag: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text)
  if (text === '' || !Number.isFinite(value) || value < 0)
    throw new UsageError(`--${flag}: expected a number from 0, got ${JSON.stringify(text)}`)
  return value
}

function show({ phases, boots, broken, ...totals }: TortureReport): string {
  const lines = phases.map(
    ({ phase, judged, unbootable, lostFiles, forgotten, versions }) =>
      `${phase}: ${judged} judged, ${unbootable} unbootable, ${lostFiles} with lost files, ` +
      `${forgotten} forgetful; they boot ${JSON.stringify(versions)}`,
  )
  for (const { phase, state, readyMs, problem } of boots)
    lines.push(`booted ${phase} ${state}: ${problem ?? `ready in ${Math.round(readyMs)} ms`}`)
  for (const { phase, name, description, verdict } of broken.slice(0, 20))
    lines.push(`BROKEN ${phase} ${name}: ${description}: ${verdict}`)
  return [...lines, JSON.stringify(totals)].join('\n')
}

/** What was seen of a bad release: how the machine came back, or why it did not. */
type Rollback = RollbackReport | { readonly name: string; readonly problem: string }

async function rollBacks(folder: string, onStep: (step: string) => void): Promise<Rollback[]> {
  const bench = await Bench.make(folder, onStep)
  const seen: Rollback[] = []
  for (const bad of badReleases) {
    try {
      const report = await bench.run(bad, true)
      const isTold = bad.reason.test(report.rollback.reason) && report.files.endsWith('damaged: none')
      seen.push(isTold ? report : { name: bad.name, problem: rollbackText(report) })
    } catch (error) {
      seen.push({ name: bad.name, problem: error instanceof Error ? error.message : String(error) })
    }
  }
  return seen
}

const folder = mkdtempSync(join(tmpdir(), 'solo-torture-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))
try {
  const { json, parts, ...options } = readOptions(process.argv.slice(2))
  const onStep = (step: string): void => void process.stderr.write(`torture: ${step}\n`)
  const report = parts.includes('power-cuts') ? await runTorture({ ...options, folder, onStep }) : undefined
  const rollbacks = parts.includes('rollbacks') ? await rollBacks(join(folder, 'rollbacks'), onStep) : []
  if (json) process.stdout.write(`${JSON.stringify({ ...report, rollbacks })}\n`)
  else {
    for (const seen of rollbacks)
      process.stdout.write(
        `${'problem' in seen ? `FAILED ${seen.name}: ${seen.problem}` : rollbackText(seen)}\n`,
      )
    if (report !== undefined) process.stdout.write(`${show(report)}\n`)
  }
  const { unbootable = 0, lostFiles = 0, forgotten = 0 } = report ?? {}
  const failed = rollbacks.filter((seen) => 'problem' in seen).length
  process.exitCode = unbootable + lostFiles + forgotten + failed === 0 ? 0 : 1
} catch (error) {
  const isUsage =
    error instanceof UsageError ||
    (error instanceof TypeError && 'code' in error && /PARSE_ARGS/.test(String(error.code)))
  if (!isUsage) throw error
  process.stderr.write(`${error.message}\n${USAGE}\n`)
  process.exitCode = 2
}
