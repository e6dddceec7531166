import { expect, it } from 'vitest'
import { slowest } from '../stages/file-times.ts'
import { countFailures, describeFailures } from '../stages/vitest.ts'

const clean = {
  numPassedTests: 3,
  numFailedTests: 0,
  numPendingTests: 0,
  numTodoTests: 0,
  success: true,
  testResults: [],
}

it('countFailures() finds nothing in a clean run', () => {
  expect(countFailures(clean, 0)).toEqual({ failed: 0, output: '' })
})

it('countFailures() counts a skipped test as a failure', () => {
  expect(countFailures({ ...clean, numPendingTests: 2 }, 0).failed).toBe(2)
})

it('countFailures() counts a file that failed before its first test', () => {
  const testResults = [{ name: 'a.test.ts', status: 'failed', assertionResults: [] }]
  const { failed, output } = countFailures({ ...clean, testResults }, 1)
  expect(failed).toBe(1)
  expect(output).toContain('a.test.ts')
})

it('countFailures() does not let an unexplained exit status pass', () => {
  expect(countFailures(clean, 1).failed).toBe(1)
  expect(countFailures(clean, null).failed).toBe(1)
})

it('describeFailures() names file, test, the beginning of its message, and how to run it again', () => {
  const assertionResults = [
    { fullName: 'a works', status: 'passed' },
    {
      fullName: 'b works',
      status: 'failed',
      failureMessages: ['AssertionError: expected 1 to be 2\n'.repeat(9)],
    },
  ]
  const testResults = [{ name: '/repo/packages/a/test/a.test.ts', status: 'failed', assertionResults }]
  const [failure, ...more] = describeFailures({ ...clean, testResults }, '/repo', 'unit')
  expect(more).toEqual([])
  const lines = failure?.split('\n')
  expect(lines?.[0]).toBe('packages/a/test/a.test.ts > b works')
  expect(lines?.[1]).toBe('  AssertionError: expected 1 to be 2')
  expect(lines?.at(-1)).toBe('  again: npm test -- --unit --filter packages/a/test/a.test.ts')
  expect(lines).toHaveLength(8)
})

it('slowest() names the files that took longest, the longest first', () => {
  const times = [1234, 98_765, 50, 7000].map((durationMs) => ({ path: `${durationMs}.test.ts`, durationMs }))
  expect(slowest(times, 3)).toEqual([
    '   98.8 s 98765.test.ts',
    '    7.0 s 7000.test.ts',
    '    1.2 s 1234.test.ts',
  ])
})
