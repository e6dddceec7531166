// Releases that fail on trial: the machine comes back by itself, says why, and has lost nothing. Those that take three
// tries and a watchdog are in `npm run test:torture`.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { testFolder } from './support/folder.ts'
import { badReleases, Bench, rollbackText } from './torture/rollback-matrix.ts'

const folder = testFolder()
let bench: Bench

beforeAll(async () => (bench = await Bench.make(folder.path)), 400_000)
afterAll(() => folder[Symbol.dispose]())

test.each(badReleases.filter(({ isLong }) => !isLong))(
  'comes back to the release before when $name',
  async (bad) => {
    const report = await bench.run(bad, false)
    console.log(rollbackText(report))
    const { from, reason } = report.rollback
    expect(reason).toMatch(bad.reason)
    expect(from.slot).toBe('solo-b')
    // Of a kernel image that is damaged nobody knows which release it was.
    expect([2, null]).toContain(from.counter)
    // The service keeps four files at each start; it may have got so far in the trial.
    expect(report.files).toMatch(/^(4 up to 4|8 up to 8), damaged: none$/)
  },
  600_000,
)
