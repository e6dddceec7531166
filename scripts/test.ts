/**
 * `npm test`: every check there is, each timed, the test files that took longest, and `N passed, N failed` as the last
 * line.
 *
 * A stage that fails does not stop the others: one run tells everything that is wrong. A static check counts
 * as one test, a vitest run as its tests. Flags: `--static`, `--unit`, `--vm` pick a part, `--filter TEXT`
 * runs the tests of the files whose path contains TEXT.
 */
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type FileTime, slowest } from './stages/file-times.ts'
import { staticStages } from './stages/static.ts'
import { vitestStage } from './stages/vitest.ts'
import type { Stage } from './stages/stage.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

interface Options {
  static: boolean
  unit: boolean
  vm: boolean
  filter?: string
}

function readOptions(words: string[]): Options {
  const { values } = parseArgs({
    args: words,
    options: {
      static: { type: 'boolean' },
      unit: { type: 'boolean' },
      vm: { type: 'boolean' },
      filter: { type: 'string' },
    },
  })
  const everything = !values.static && !values.unit && !values.vm
  return {
    static: values.static ?? (everything && values.filter === undefined),
    unit: values.unit ?? everything,
    vm: values.vm ?? everything,
    ...(values.filter === undefined ? {} : { filter: values.filter }),
  }
}

function chooseStages(options: Options): Stage[] {
  const stages: Stage[] = []
  if (options.static) stages.push(...staticStages(root))
  if (options.unit) stages.push(vitestStage(root, 'unit', options.filter))
  if (options.vm) stages.push(vitestStage(root, 'vm', options.filter))
  return stages
}

/**
 * The tools get a Ctrl-C by themselves; turbo needs a moment to end its tasks, which have process groups of
 * their own. So this process stays until the stage has ended.
 */
let interruptedBy: 'SIGINT' | 'SIGTERM' | undefined
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => (interruptedBy ??= signal))

/** So many test files are told of. */
const SLOWEST = 5

async function runStages(stages: Stage[]): Promise<{ passed: number; failed: number }> {
  const total = { passed: 0, failed: 0 }
  const failures: string[] = []
  const fileTimes: FileTime[] = []
  for (const stage of stages) {
    const startedMs = performance.now()
    process.stdout.write(`${stage.name} …\n`)
    const { passed, failed, output, failures: ofStage = [], fileTimes: ofFiles = [] } = await stage.run()
    if (interruptedBy !== undefined) process.exit(128 + constants.signals[interruptedBy])
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
    if (failed > 0 && output !== '') process.stdout.write(`${output.trimEnd()}\n`)
    process.stdout.write(`${stage.name}: ${failed > 0 ? `${failed} failed` : 'ok'} (${seconds} s)\n`)
    total.passed += passed
    total.failed += failed
    failures.push(...(failed > 0 && ofStage.length === 0 ? [stage.name] : ofStage))
    fileTimes.push(...ofFiles)
  }
  const lines = slowest(fileTimes, SLOWEST)
  if (lines.length > 0) process.stdout.write(`\nthe slowest test files:\n${lines.join('\n')}\n`)
  // Often only the end of a long log is at hand.
  if (failures.length > 0) process.stdout.write(`\nfailed:\n\n${failures.join('\n\n')}\n`)
  return total
}

try {
  const startedMs = performance.now()
  const { passed, failed } = await runStages(chooseStages(readOptions(process.argv.slice(2))))
  process.stdout.write(`\nall stages: ${((performance.now() - startedMs) / 1000).toFixed(1)} s\n`)
  process.stdout.write(`${passed} passed, ${failed} failed\n`)
  // Nothing tested is not a success: a mistyped filter would look like one.
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1
} catch (error) {
  if (!(error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')))
    throw error
  process.stderr.write(`${error.message}\nusage: npm test [-- --static | --unit | --vm] [--filter TEXT]\n`)
  process.exitCode = 2
}
