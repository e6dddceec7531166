// What a user of npm gets: the packed packages in a project of their own, under Node and under Bun.
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Report, statuses } from './vitest/run-vitest.ts'

const repository = join(import.meta.dirname, '../../..')
// In /tmp, so that nothing of the repository (paths of its tsconfig, node_modules) can be found from there.
const folder = mkdtempSync(join(tmpdir(), 'solo-packed-'))

interface Output {
  readonly status: number | null
  readonly text: string
}

function run(command: string, args: readonly string[], cwd: string): Output {
  const { VITEST: _1, VITEST_MODE: _2, NODE_ENV: _3, ...env } = process.env
  const options = { cwd, env: { ...env, NO_COLOR: '1', CI: '1' }, encoding: 'utf8' } as const
  const { status, stdout, stderr } = spawnSync(command, args, options)
  return { status, text: stdout + stderr }
}

function must(command: string, args: readonly string[], cwd: string): void {
  const { status, text } = run(command, args, cwd)
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: exit status ${status}\n${text}`)
}

beforeAll(() => {
  const names = ['sys', 'image', 'vm']
  // From turbo's cache when the sources are unchanged.
  const filters = names.map((name) => `--filter=@pkg/${name}`)
  const script = `"$0" --bun turbo run build ${filters.join(' ')} --output-logs=errors-only
    for name in ${names.join(' ')}; do
      (cd packages/$name && npm pack --silent --pack-destination "$1")
    done`
  // Locked: a test beside this one does the same (scripts/test/npm-pack.test.ts), and turbo writes what npm reads.
  must('flock', ['packages/sys/package.json', 'sh', '-ec', script, process.execPath, folder], repository)
  for (const name of names) {
    const installed = join(folder, 'node_modules/@pkg', name)
    mkdirSync(installed, { recursive: true })
    const archive = readdirSync(folder).find((file) => file.startsWith(`pkg-${name}-`)) ?? ''
    must('tar', ['-xzf', join(folder, archive), '--strip-components=1', '-C', installed], folder)
  }
  symlinkSync(join(repository, 'node_modules/vitest'), join(folder, 'node_modules/vitest'))
  symlinkSync(join(repository, 'packages/vm/node_modules/@stricli'), join(folder, 'node_modules/@stricli'))
  cpSync(join(import.meta.dirname, 'vitest/fixtures/report'), folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{"name":"user","private":true,"type":"module"}')
  writeFileSync(
    join(folder, 'vitest.config.ts'),
    `import { guestPool } from '@pkg/vm/vitest'
import { defineConfig } from 'vitest/config'

export default defineConfig({ test: { pool: guestPool({ backend: 'namespace' }), include: ['*.fixture.ts'] } })
`,
  )
}, 240_000)

afterAll(() => rmSync(folder, { recursive: true }))

// Plain Node does not know TypeScript, nor our alias: only what is in the packages can work.
describe.each([
  ['Node', 'node', []],
  ['Bun', process.execPath, ['--bun']],
] as const)('under %s', (_, engine, flags) => {
  test('is what runs', () => {
    const { text } = run(engine, [...flags, '-p', 'typeof Bun'], folder)
    expect(text.trim()).toBe(engine === 'node' ? 'undefined' : 'object')
  })

  test('guestPool() runs test files in guests, and gives failures their places', { timeout: 240_000 }, () => {
    const json = join(folder, 'report.json')
    // vitest's own reporter for terminals asks for a newer Node than ours.
    const args = ['node_modules/vitest/vitest.mjs', 'run', '--reporter=json', `--outputFile=${json}`]
    const { status, text } = run(engine, [...flags, ...args], folder)
    const report = JSON.parse(readFileSync(json, 'utf8')) as Report
    rmSync(json)
    expect(status, text).toBe(1)
    expect(statuses(report), text).toEqual([
      'here differs: failed',
      'here is a guest: passed',
      'here is skipped: skipped',
      'here succeeds when tried again: passed',
      'here takes its time: passed',
      'here throws elsewhere: failed',
      'here throws what the garbage collector has seen: failed',
      'here waits too long: failed',
    ])
    const tests = report.testResults.flatMap(({ assertionResults }) => assertionResults)
    const messageOf = (name: string): string | undefined =>
      tests.find(({ fullName }) => fullName === name)?.failureMessages[0]
    expect(messageOf('here differs')).toContain(`${folder}/report.fixture.ts:15:37`)
    expect(messageOf('here throws elsewhere')).toContain(`${folder}/add.ts:8:11`)
  })

  test('a file that does not fit fails with its code', { timeout: 120_000 }, () => {
    const program = `import { boot } from '@pkg/vm'
const vm = await boot({ backend: 'namespace' })
await vm.run(async () => {
  const { mkdirSync } = await import('node:fs')
  const { mount } = await import('@pkg/sys/mount')
  mkdirSync('/mnt/small')
  mount('none', '/mnt/small', 'tmpfs', 0, 'size=1M')
})
const error = await vm.writeFile('/mnt/small/x', new Uint8Array(8 << 20)).catch((reason) => reason)
await vm[Symbol.asyncDispose]()
process.stdout.write(String(error?.code))
`
    writeFileSync(join(folder, 'full.mjs'), program)
    expect(run(engine, ['full.mjs'], folder)).toEqual({ status: 0, text: 'ENOSPC' })
  })

  test('the command carries input, output and statuses', { timeout: 240_000 }, () => {
    const vm = (...args: string[]): ReturnType<typeof spawnSync> =>
      spawnSync(engine, ['node_modules/@pkg/vm/dist/main.js', '--backend', 'namespace', '--', ...args], {
        cwd: folder,
        encoding: 'utf8',
        input: 'given',
      })
    expect(vm('sh', '-c', 'cat; echo no >&2; exit 3')).toMatchObject({
      status: 3,
      stdout: 'given',
      stderr: expect.stringContaining('no\n') as string,
    })
    expect(vm('sh', '-c', 'kill -TERM $$').status).toBe(128 + 15)
  })
})
