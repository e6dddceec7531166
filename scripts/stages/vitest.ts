/** A vitest project as a stage: its own output streams by, its numbers come from its JSON report. */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { $ } from 'zx'
import { FILE_TIMES_VARIABLE, type FileTime } from './file-times.ts'
import type { Stage } from './stage.ts'

/** The fields of vitest's JSON report that count. */
interface VitestReport {
  numPassedTests: number
  numFailedTests: number
  numPendingTests: number
  numTodoTests: number
  success: boolean
  testResults: { name: string; status: string; assertionResults: VitestResult[] }[]
}

/** One test of it. */
interface VitestResult {
  fullName: string
  status: string
  failureMessages?: string[]
}

/** Of a failed test's message: enough to know it again; the rest was printed by vitest. */
const messageLines = 6

/**
 * @param root - the repository's folder
 * @param project - the vitest project's name
 * @param filter - only files whose path contains it
 */
export function vitestStage(root: string, project: 'unit' | 'vm', filter?: string): Stage {
  return {
    name: `${project} tests`,
    run: async () => {
      const folder = join(root, '.cache/test')
      const [reportFile, timesFile] = [join(folder, `${project}.json`), join(folder, `${project}-times.json`)]
      mkdirSync(folder, { recursive: true })
      for (const file of [reportFile, timesFile]) rmSync(file, { force: true })
      const reporters = ['default', 'json', './scripts/stages/file-times.ts'].map(
        (name) => `--reporter=${name}`,
      )
      const files = filter === undefined ? [] : [filter, '--passWithNoTests']
      const env = { ...process.env, [FILE_TIMES_VARIABLE]: timesFile }
      const result = await $({ cwd: root, env, nothrow: true, quiet: true, stdio: 'inherit' })`
        bun --preload ./scripts/vitest-fork-preload.ts node_modules/vitest/vitest.mjs run --project ${project} ${reporters} --outputFile.json=${reportFile} ${files}`
      if (!existsSync(reportFile)) return { passed: 0, failed: 1, output: 'vitest ended without a report' }
      const report = JSON.parse(readFileSync(reportFile, 'utf8')) as VitestReport
      const failures = describeFailures(report, root, project)
      const fileTimes = existsSync(timesFile)
        ? (JSON.parse(readFileSync(timesFile, 'utf8')) as FileTime[])
        : []
      return { passed: report.numPassedTests, ...countFailures(report, result.exitCode), failures, fileTimes }
    },
  }
}

/** The failed tests of a run: file, name, the beginning of the message, and the command that runs the file again. */
export function describeFailures(report: VitestReport, root: string, project: string): string[] {
  return report.testResults.flatMap((file) => {
    const path = relative(root, file.name)
    const failed = file.assertionResults.filter((result) => result.status === 'failed')
    return failed.map(({ fullName, failureMessages = [] }) => {
      const message = failureMessages.join('\n').split('\n').slice(0, messageLines)
      const again = `again: npm test -- --${project} --filter ${path}`
      return [`${path} > ${fullName}`, ...message, again].join('\n  ')
    })
  })
}

/**
 * What went wrong in a run: failed tests, files that failed before their first test, skipped tests (a test
 * that does not run proves nothing), and an exit status that none of these explains.
 *
 * @param report - vitest's JSON report
 * @param exitStatus - vitest's own
 */
export function countFailures(
  report: VitestReport,
  exitStatus: number | null,
): { failed: number; output: string } {
  const brokenFiles = report.testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.length === 0,
  )
  const skipped = report.numPendingTests + report.numTodoTests
  const lines = brokenFiles.map((file) => `${file.name} failed before its first test`)
  if (skipped > 0) lines.push(`${skipped} skipped or todo tests: each test must run`)
  const counted = report.numFailedTests + brokenFiles.length + skipped
  if (counted > 0 || exitStatus === 0) return { failed: counted, output: lines.join('\n') }
  return { failed: 1, output: `vitest exited with ${exitStatus} though every test passed` }
}
