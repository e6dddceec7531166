import { expect, it } from 'vitest'
import { countFailures } from '../stages/vitest.ts'

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
