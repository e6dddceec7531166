// Whole test files in guests with a kernel of their own: what becomes of them when the kernel goes, and how soon one
// runs in a guest restored from a saved one.
import { describe, expect, test } from 'vitest'
import { descendants, Fixture, isAlive, statuses } from './vitest/run-vitest.ts'

/** A saved machine is made within it, on a busy machine without KVM. */
const TIMEOUT = { timeout: 240_000 }

/** The lines that `draw.ts` prints. */
function drawn(output: string): string[] {
  return [...output.matchAll(/^drawn: (.*)$/gm)].flatMap((match) => match[1]?.split(' ') ?? [])
}

describe.each(['root', 'pid1'])('restored guests of QEMU, as %s', (runAs) => {
  test('share nothing random, know the time, and start without a boot', TIMEOUT, async () => {
    using fixture = new Fixture(
      'guests',
      `backend: 'qemu', snapshot: true, runAs: '${runAs}'`,
      'fileParallelism: false',
    )
    // The first run may have to save the machine.
    const first = await fixture.run('random-1')
    expect(statuses(first.report), first.output).toEqual(['draws: passed'])
    const beginMs = Date.now()
    const { output, report } = await fixture.run('random')
    const endMs = Date.now()
    expect(statuses(report), output).toEqual(['draws: passed', 'draws: passed', 'draws: passed'])
    const all = [...drawn(first.output), ...drawn(output)]
    expect(all).toHaveLength(4 * 6)
    expect(new Set(all).size).toBe(all.length)
    const places = [...output.matchAll(/^process (\d+) of qemu at (\d+)$/gm)]
    expect(places).toHaveLength(3)
    for (const [, pid, atMs] of places) {
      expect(Number(pid) === 1).toBe(runAs === 'pid1')
      // However long the run took.
      expect(Number(atMs)).toBeGreaterThan(beginMs - 30_000)
      expect(Number(atMs)).toBeLessThan(endMs + 30_000)
    }
    const startsMs = report.testResults.map(({ startTime }) => startTime).toSorted((a, b) => a - b)
    const betweenMs = startsMs.slice(1).map((startMs, index) => startMs - (startsMs[index] ?? 0))
    process.stdout.write(`a file in a fresh guest, as ${runAs}: ${betweenMs.map(Math.round).join(', ')} ms\n`)
  })
})

test.each([
  ['uml', "backend: 'uml'"],
  ['restored as PID 1', "backend: 'qemu', snapshot: true, runAs: 'pid1'"],
])(
  'a guest (%s) has the project, whose changes it keeps, and finds its disks',
  TIMEOUT,
  async (_, machine) => {
    using fixture = new Fixture('share', `${machine}, shareProject: true, disks: [{ sizeBytes: 1 << 20 }]`)
    const { output, report } = await fixture.run('--update')
    expect(statuses(report), output).toEqual([
      'changes files for itself: passed',
      'finds its disk: passed',
      'reads a fixture: passed',
      'writes a snapshot: passed',
    ])
    expect(fixture.read('data.txt')).toBe('of the host\n')
  },
)

test('files run in PID 1 of User Mode Linux', TIMEOUT, async () => {
  using fixture = new Fixture('report', "backend: 'uml', runAs: 'pid1'")
  const { output, report } = await fixture.run('-t', 'a guest')
  expect(
    statuses(report).filter((line) => line.endsWith('passed')),
    output,
  ).toEqual(['here is a guest: passed'])
  expect(output).toContain('pid 1 uid 0')
})

test(
  'a panic and an end of memory fail their files, with the console, and others go on',
  TIMEOUT,
  async () => {
    using fixture = new Fixture('guests', "backend: 'uml', memoryMiB: 256", 'maxWorkers: 1')
    const { code, output, report } = await fixture.run('panic', 'memory', 'healthy')
    expect(code).toBe(1)
    expect(statuses(report), output).toEqual([
      'after the panic: skipped',
      'before the panic: passed',
      'is unharmed: passed',
      'panics: failed',
      'takes all memory: failed',
    ])
    expect(output).toMatch(
      /GuestPanicError: the guest's kernel panicked: sysrq triggered crash\n[^]*❯ panic\.fixture\.ts:5:1/,
    )
    expect(output).toContain("The console's last lines:")
    expect(output).toMatch(/GuestOutOfMemoryError: [^]*❯ memory\.fixture\.ts:4:1/)
  },
)

test('Ctrl-C and SIGKILL of vitest leave nothing of a guest', TIMEOUT, async () => {
  for (const signal of ['SIGINT', 'SIGKILL'] as const) {
    using fixture = new Fixture('guests', "backend: 'uml'")
    const child = fixture.start('run', 'forever')
    let output = ''
    child.stdout?.on('data', (chunk) => (output += String(chunk)))
    await expect.poll(() => output, { timeout: 200_000 }).toContain('runs for ever')
    const started = descendants(child.pid ?? 0)
    expect(started.length).toBeGreaterThan(1)
    child.kill(signal)
    const [, ...guests] = started
    await expect.poll(() => guests.filter((pid) => isAlive(pid))).toEqual([])
  }
})
