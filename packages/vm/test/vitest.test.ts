import { existsSync, writeFileSync } from 'node:fs'
import { describe, test } from 'vitest'
import { descendants, Fixture, isAlive, statuses } from './vitest/run-vitest.ts'

/** Seconds for a vitest of its own on a busy machine. */
const TIMEOUT = { timeout: 240_000 }

describe.concurrent('guestPool()', () => {
  test(
    'reports names, diffs, stacks, durations, console output and retries as if local',
    TIMEOUT,
    async ({ expect }) => {
      using fixture = new Fixture('report')
      const { code, output, report } = await fixture.run()
      expect(code).toBe(1)
      expect(statuses(report)).toEqual([
        'here differs: failed',
        'here is a guest: passed',
        'here is skipped: skipped',
        'here succeeds when tried again: passed',
        'here takes its time: passed',
        'here throws elsewhere: failed',
        'here throws what the garbage collector has seen: failed',
        'here waits too long: failed',
      ])
      const file = report.testResults[0]
      expect(file?.name).toBe(fixture.path('report.fixture.ts'))
      const slow = file?.assertionResults.find(({ fullName }) => fullName === 'here takes its time')
      expect(slow?.duration).toBeGreaterThan(50)
      expect(output).toContain('-   "second": 3,\n+   "second": 2,')
      expect(output).toContain('report.fixture.ts:15:37')
      expect(output).toContain('RangeError: a is no number\n ❯ add add.ts:8:11')
      expect(output).toMatch(/❯ report\.fixture\.ts:19:\d+/)
      expect(output).toMatch(/Error: collected\n ❯ report\.fixture\.ts:39:\d+/)
      expect(output).not.toContain('❯ new Promise')
      expect(output).toContain(`stdout | report.fixture.ts > here > is a guest\n`)
      expect(output).toContain('written past the console\n')
      expect(output).toContain('retry x1')
    },
  )

  test('runs in PID 1 what -t selects', TIMEOUT, async ({ expect }) => {
    using fixture = new Fixture('report', "backend: 'namespace', runAs: 'pid1'")
    const { output, report } = await fixture.run('-t', 'a guest')
    expect(statuses(report).filter((line) => line.endsWith('passed'))).toEqual(['here is a guest: passed'])
    expect(output).toContain('pid 1 uid 0')
    expect(output).toContain('written past the console\n')
  })

  test.for(['root', 'pid1'])(
    'tells, as %s, what tests leave uncaught',
    TIMEOUT,
    async (runAs, { expect }) => {
      using fixture = new Fixture('ends', `backend: 'namespace', runAs: '${runAs}'`)
      const { code, output, report } = await fixture.run('uncaught')
      expect(code).toBe(1)
      expect(statuses(report)).toEqual(['leaves a rejection: passed', 'throws later: passed'])
      expect(output).toMatch(/Unhandled Rejection[^]*Error: rejected aside\n ❯ uncaught\.fixture\.ts:4:\d+/)
      expect(output).toMatch(/Uncaught Exception[^]*Error: thrown aside\n ❯ uncaught\.fixture\.ts:10:\d+/)
    },
  )

  test.for(['root', 'pid1'])('loses, as %s, no output at the end', TIMEOUT, async (runAs, { expect }) => {
    using fixture = new Fixture('ends', `backend: 'namespace', runAs: '${runAs}'`)
    const { code, output } = await fixture.run('flood')
    expect(code).toBe(0)
    expect(output).toContain(`${'y'.repeat(1000)}\nthe last line\n`)
    expect(output.split('y').length).toBeGreaterThan(5 << 20)
    expect(output).toContain('the last complaint\n')
  })

  test.for(['root', 'pid1'])(
    'shows, as %s, the project, and keeps the changes of guests',
    TIMEOUT,
    async (runAs, { expect }) => {
      const coverage = "coverage: { provider: 'v8', reporter: ['json'], include: ['sign.ts'] }"
      using fixture = new Fixture(
        'share',
        `backend: 'namespace', shareProject: true, runAs: '${runAs}'`,
        coverage,
      )
      const { code, output, report } = await fixture.run('--update', '--coverage', 'share.fixture')
      expect(code, output).toBe(0)
      expect(statuses(report)).toEqual([
        'changes files for itself: passed',
        'reads a fixture: passed',
        'writes a snapshot: passed',
      ])
      expect(fixture.read('data.txt')).toBe('of the host\n')
      expect(fixture.read('__snapshots__/share.fixture.ts.snap')).toContain('"kept"')
      expect(existsSync(fixture.path('made'))).toBe(false)
      expect(JSON.parse(fixture.read('coverage/coverage-final.json'))).toHaveProperty([
        fixture.path('sign.ts'),
      ])
    },
  )

  test('lets no guest write elsewhere on the host', TIMEOUT, async ({ expect }) => {
    using fixture = new Fixture('escape')
    const { code, output } = await fixture.run('--update')
    expect(code).toBe(1)
    expect(output).toContain('escaped.txt: a guest may change files below')
    expect(existsSync(fixture.path('../escaped.txt'))).toBe(false)
  })

  test('fails what dies, hangs or has no machine, at its line, and goes on', TIMEOUT, async ({ expect }) => {
    using fixture = new Fixture('faults', "backend: 'namespace', guest: 'shared', blockedTimeoutMs: 1500")
    writeFileSync(fixture.path('syntax.fixture.ts'), "import { test } from 'vitest'\ntest('x' => )\n")
    const { code, output, report } = await fixture.run()
    expect(code).toBe(1)
    expect(statuses(report)).toEqual([
      'after the crash: skipped',
      'before the crash: passed',
      'crashes beside others: failed',
      'crashes: failed',
      'ends beside others: passed',
      'hangs: failed',
      'is unharmed: passed',
      'runs beside a crash: failed',
      'runs: passed',
      'the clock goes on %i: skipped',
      'the clock is set: skipped',
    ])
    const message = (name: string): string | undefined =>
      report.testResults.flatMap((file) => file.assertionResults).find(({ fullName }) => fullName === name)
        ?.failureMessages[0]
    expect(message('crashes')).toContain('GuestWorkerError: the worker in the guest was killed by SIGSEGV')
    expect(message('crashes')).toContain('last words')
    expect(message('crashes beside others')).toContain('was killed by SIGKILL')
    expect(message('runs beside a crash')).toContain('was killed by SIGKILL')
    expect(message('hangs')).toContain('the worker in the guest did not answer for 1.5 s')
    expect(output).toContain("clock.fixture.ts is skipped: namespace: needs 'clock': the clock is the host's")
    const whole = (name: string): string | undefined =>
      report.testResults.find((file) => file.name === fixture.path(name))?.message
    expect(whole('import.fixture.ts')).toContain('was killed by SIGKILL')
    expect(whole('syntax.fixture.ts')).toMatch(/syntax\.fixture\.ts/)
    expect(output).toMatch(/UnsupportedError: namespace: needs 'clock': [^]*❯ unsupported\.fixture\.ts:4:43/)
    expect(output).toMatch(
      /memoryMib: there is no such option; did you mean memoryMiB\?\n ❯ typo\.fixture\.ts:7:3/,
    )
    expect(output).toMatch(/Number\(process\.env.* at run time only[^]*❯ wrong\.fixture\.ts:5:14/)
    expect(output).toMatch(/❯ crash\.fixture\.ts:6:1\n/)
    expect(output).not.toContain('Unhandled')
  })

  test(
    'has mocks, packages, set-up files, provided values, snapshots and coverage',
    TIMEOUT,
    async ({ expect }) => {
      using fixture = new Fixture(
        'features',
        undefined,
        `setupFiles: ['./setup.ts'], globalSetup: ['./global-setup.ts'],
       coverage: { provider: 'v8', reporter: ['json'], include: ['sign.ts'] }`,
      )
      const first = await fixture.run('--update', '--coverage')
      expect(statuses(first.report).filter((line) => !line.endsWith(': passed'))).toEqual([])
      expect(first.code).toBe(0)
      expect(fixture.read('__snapshots__/features.fixture.ts.snap')).toContain('"in",')
      expect(fixture.read('features.fixture.ts')).toContain('.toMatchInlineSnapshot(`"written here"`)')
      expect(fixture.read('raw.html')).toBe('<p>raw</p>')
      expect(coveredLines(fixture)).toEqual(['2: 2', '3: 1', '5: 1', '6: 0', '8: 1'])

      writeFileSync(fixture.path('raw.html'), '<p>other</p>')
      const second = await fixture.run()
      expect(second.code).toBe(1)
      expect(statuses(second.report).filter((line) => line.endsWith(': failed'))).toEqual([
        'a snapshot in a file of its own: failed',
      ])
    },
  )

  test('merges the coverage that istanbul counts', TIMEOUT, async ({ expect }) => {
    const coverage = "coverage: { provider: 'istanbul', reporter: ['json'], include: ['sign.ts'] }"
    using fixture = new Fixture('features', undefined, coverage)
    const { code, output } = await fixture.run('--coverage', 'positive', 'negative')
    expect(code, output).toBe(0)
    expect(coveredLines(fixture)).toEqual(['2: 2', '3: 1', '5: 1', '6: 0', '8: 1'])
  })

  test(
    'runs files anew in watch mode, and leaves no guest when it is killed',
    TIMEOUT,
    async ({ expect }) => {
      using fixture = new Fixture('features', "backend: 'namespace', guest: 'shared'")
      const child = fixture.start('--watch', 'positive', 'negative')
      try {
        let output = ''
        const shown = (text: string): Promise<void> =>
          new Promise((resolve) => {
            const look = (): void => void (output.includes(text) && resolve())
            for (const stream of [child.stdout, child.stderr]) stream?.on('data', look)
            look()
          })
        for (const stream of [child.stdout, child.stderr])
          stream?.on('data', (chunk) => (output += String(chunk)))
        await shown('for file changes...')
        output = ''
        writeFileSync(fixture.path('sign.ts'), fixture.read('sign.ts').replace("'negative'", "'minus'"))
        await shown("expected 'minus' to be 'negative'")
        await shown('1 failed | 1 passed')
      } finally {
        const started = descendants(child.pid ?? 0)
        // vitest, the guest that waits for the next run, its agent.
        expect(started.length).toBeGreaterThan(2)
        child.kill('SIGKILL')
        await expect.poll(() => started.filter((pid) => isAlive(pid))).toEqual([])
      }
    },
  )
})

/** `line: count` of every statement of sign.ts, merged over the guests that ran some of it. */
function coveredLines(fixture: Fixture): string[] {
  const coverage = JSON.parse(fixture.read('coverage/coverage-final.json')) as Record<
    string,
    { statementMap: Record<string, { start: { line: number } }>; s: Record<string, number> }
  >
  const { statementMap, s: counts } = coverage[fixture.path('sign.ts')] ?? { statementMap: {}, s: {} }
  return Object.entries(counts).map(([id, count]) => `${statementMap[id]?.start.line}: ${count}`)
}
