// The suites of @pkg/sys on another processor than the host's: a part of them, within a minute on an idle machine. All of
// them, and those on x86-64, are a command: see suites/vitest.config.ts.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import type { Architecture } from '../src/machine.ts'

const folder = mkdtempSync(join(tmpdir(), 'solo-suites-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** What differs most between processors and kernels: numbers of system calls, structs, what a kernel can do. */
const CHOSEN = ['raw', 'mount']

/** Of what vitest's JSON reporter writes: each test's end. */
interface Report {
  readonly testResults: readonly {
    readonly status: string
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[]
  }[]
}

async function runSuites(architecture: Architecture, names: readonly string[]): Promise<[Report, string]> {
  const repository = fileURLToPath(new URL('../../..', import.meta.url))
  const json = join(folder, `${architecture}.json`)
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile=${json}`]
  const config = 'packages/vm/test/suites/vitest.config.ts'
  const files = names.map((name) => `packages/sys/test/${name}.test.ts`)
  const { VITEST: _1, VITEST_MODE: _2, NODE_ENV: _3, ...env } = process.env
  const preload = ['--preload', './scripts/vitest-fork-preload.ts']
  const args = [
    ...preload,
    'node_modules/vitest/vitest.mjs',
    'run',
    // Bun itself loads it: Vite would find builds of our packages instead of the sources.
    '--configLoader=native',
    '--config',
    config,
    '--project',
    architecture,
    ...reporters,
    ...files,
  ]
  const child = spawn(process.execPath, args, {
    cwd: repository,
    env: { ...env, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (bytes: Buffer) => (output += bytes.toString()))
  await once(child, 'close')
  return [JSON.parse(readFileSync(json, 'utf8')) as Report, output]
}

test('suites of @pkg/sys pass in guests with a processor of arm64', { timeout: 600_000 }, async () => {
  const [{ testResults }, output] = await runSuites('aarch64', CHOSEN)
  const tests = testResults.flatMap(({ assertionResults }) => assertionResults)
  const named = (wanted: string): string[] =>
    tests.filter(({ status }) => status === wanted).map(({ fullName }) => fullName)
  expect(named('failed'), output).toEqual([])
  expect(
    testResults.map(({ status }) => status),
    output,
  ).toEqual(CHOSEN.map(() => 'passed'))
  expect(named('passed').length, output).toBeGreaterThan(15)
  // Some are not for a kernel or a processor, but few; all others have run.
  expect(named('skipped').length, output).toBeLessThan(10)
  expect(named('passed').length + named('skipped').length).toBe(tests.length)
})
