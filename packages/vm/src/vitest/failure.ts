/**
 * The report of a test file whose worker or guest was lost, in the words that the worker would have used: the test
 * that ran fails with the guest's error (where tests are concurrent, all that ran), those that had ended keep their result, those that never ran are skipped.
 */
import { relative } from 'node:path'
import type { RunnerTask, RunnerTaskEventPack, RunnerTaskResultPack, RunnerTestFile } from 'vitest'
import type { TestProject } from 'vitest/node'
import type { EndedTest, RunningTest } from './frames.ts'
import type { Place } from './machine-literal.ts'

/** An error as reporters take it. */
type ReportedError = NonNullable<NonNullable<RunnerTask['result']>['errors']>[number]

/** What a worker told of the tests before it was lost. */
export interface KnownProgress {
  /** The tests that ran. */
  running: readonly RunningTest[]
  /** Tests that had ended. */
  readonly ended: Map<string, EndedTest>
}

/** Calls to be made of vitest, as its workers make them. */
export interface FailureReport {
  /** Arguments of `onCollected`, when the file has not been collected. */
  readonly collected?: RunnerTestFile
  /** Arguments of `onTaskUpdate`. */
  readonly packs: RunnerTaskResultPack[]
  /** What reporters are told to have happened, in order. */
  readonly events: RunnerTaskEventPack[]
}

/**
 * Tells what is to be reported of `file`.
 *
 * @param place - where in a source the error belongs, if it is no test's
 */
export function failureOf(
  file: RunnerTestFile,
  progress: KnownProgress,
  error: Error,
  place?: Place,
): FailureReport {
  const packs: RunnerTaskResultPack[] = []
  const events: RunnerTaskEventPack[] = []
  const tests = testsOf(file)
  let blamed = false
  for (const test of tests) {
    const state = test.result?.state
    if (test.mode !== 'run' && test.mode !== 'queued') continue
    if (state === 'pass' || state === 'fail' || state === 'skip') continue
    const ended = progress.ended.get(test.id)
    const result: NonNullable<RunnerTask['result']> = {
      ...test.result,
      ...endOf(test, ended, progress, error),
    }
    blamed ||= result.state === 'fail' && result.errors !== undefined
    packs.push([test.id, result, test.meta])
    if (state === undefined) events.push([test.id, 'test-prepare', undefined])
    events.push([test.id, 'test-finished', undefined])
  }
  const whole = { ...file.result, state: 'fail' as const }
  // The error is shown once: where it struck, or, when that was in no test, for the whole file.
  packs.push([file.id, blamed ? whole : { ...whole, errors: [reported(error, place)] }, file.meta])
  if (tests.length === 0)
    return {
      collected: failed(file, error, place),
      packs,
      events: [[file.id, 'suite-failed-early', undefined]],
    }
  events.push([file.id, 'suite-finished', undefined])
  return { packs, events }
}

function endOf(
  test: RunnerTask,
  ended: EndedTest | undefined,
  { running }: KnownProgress,
  error: Error,
): NonNullable<RunnerTask['result']> {
  // Of several that ran at the time nobody can tell whose doing it was.
  const ran = running.find(({ id }) => id === test.id)
  if (ran !== undefined) return { state: 'fail', errors: [reported(error, placeIn(test.file, ran.location))] }
  if (ended?.state === 'pass') return { state: 'pass', duration: ended.durationMs }
  if (ended?.state === 'fail')
    return {
      state: 'fail',
      duration: ended.durationMs,
      errors: [reported(new Error('failed; why was lost with the guest'))],
    }
  return { state: 'skip' }
}

function placeIn({ filepath }: RunnerTestFile, location: RunningTest['location']): Place | undefined {
  return location && { file: filepath, ...location }
}

/** An error as reporters take it, which points to a place of the user's where there is one. */
function reported(error: Error, place?: Place): ReportedError {
  const { name, message } = error
  const head = `${name}: ${message}`
  const frame = place === undefined ? '' : `\n    at ${place.file}:${place.line}:${place.column}`
  // Our own frames, in the host's pool, say nothing about the test.
  const own = error.name === 'MachineDefinitionError' ? error.stack : undefined
  return { name, message, stack: own ?? head + frame }
}

/** The task of a file that its worker has not told of. */
export async function fileTask(project: TestProject, filepath: string): Promise<RunnerTestFile> {
  const { generateFileHash } = await import('vitest/node')
  const {
    root,
    name: projectName,
    mergeReportsLabel,
  } = project.serializedConfig as {
    root: string
    name?: string
    mergeReportsLabel?: string
  }
  const meta = mergeReportsLabel === undefined ? {} : { __vitest_label__: mergeReportsLabel }
  const path = relative(root, filepath)
  const file = {
    id: generateFileHash(path, projectName, meta),
    name: path,
    fullName: path,
    type: 'suite',
    mode: 'run',
    filepath,
    tasks: [],
    meta,
    projectName: projectName ?? '',
    pool: 'guest',
  } as unknown as RunnerTestFile
  file.file = file
  return file
}

function failed(file: RunnerTestFile, error: Error, place?: Place): RunnerTestFile {
  file.mode = 'run'
  file.result = { state: 'fail', errors: [reported(error, place)] }
  return file
}

function testsOf(suite: { tasks: RunnerTask[] }): RunnerTask[] {
  return suite.tasks.flatMap((task) => (task.type === 'suite' ? testsOf(task) : [task]))
}
