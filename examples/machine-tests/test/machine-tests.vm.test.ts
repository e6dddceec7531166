// The example as a stranger would run it, green; and broken on purpose.
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'

const example = fileURLToPath(new URL('..', import.meta.url))
const repository = fileURLToPath(new URL('../../..', import.meta.url))

/** Machines may have to be fetched, booted and saved first. */
const TIMEOUT = { timeout: 240_000 }

/** What the JSON reporter wrote, as far as it matters here. */
interface Report {
  testResults: { name: string; assertionResults: { title: string; status: string }[] }[]
}

const folder = mkdtempSync(join(tmpdir(), 'solo-machine-tests-'))
afterAll(() => rmSync(folder, { recursive: true }))

cpSync(example, folder, { recursive: true })
rmSync(join(folder, 'node_modules'), { recursive: true, force: true })
symlinkSync(join(repository, 'node_modules'), join(folder, 'node_modules'))
// A stranger has the packages in node_modules; here they are the repository's sources.
writeFileSync(
  join(folder, 'tsconfig.json'),
  JSON.stringify({
    compilerOptions: {
      paths: {
        '@pkg/vm': [`${repository}packages/vm/src/index.ts`],
        '@pkg/vm/*': [`${repository}packages/vm/src/*.ts`],
      },
    },
  }),
)
writeFileSync(
  join(folder, 'repository.config.ts'),
  `import { mergeConfig } from 'vitest/config'
import example from './vitest.config.ts'

export default mergeConfig(example, {
  // Beside the link to the repository's node_modules, not in it: other vitests clear that.
  test: { fsModuleCachePath: '${folder}/cache' },
  resolve: {
    alias: [
      { find: /^@pkg\\/(\\w+)$/, replacement: '${repository}packages/$1/src/index.ts' },
      { find: /^@pkg\\/(\\w+)\\/(.+)$/, replacement: '${repository}packages/$1/src/$2.ts' },
    ],
  },
})
`,
)

async function vitest(...args: string[]): Promise<{ code: number | null; output: string; report: Report }> {
  const { VITEST: _1, VITEST_MODE: _2, NODE_ENV: _3, ...env } = process.env
  const json = join(folder, 'report.json')
  const program = [
    '--preload',
    join(repository, 'scripts/vitest-fork-preload.ts'),
    join(repository, 'node_modules/vitest/vitest.mjs'),
    'run',
    ...['--config', 'repository.config.ts', '--configLoader', 'native'],
    ...['--reporter=verbose', '--reporter=json', `--outputFile=${json}`],
  ]
  const child = spawn(process.execPath, [...program, ...args], {
    cwd: folder,
    env: { ...env, NO_COLOR: '1', CI: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)))
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { code, output, report: JSON.parse(readFileSync(json, 'utf8')) as Report }
}

function statuses({ testResults }: Report): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { assertionResults } of testResults)
    for (const { status } of assertionResults) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

test('ten tests mount, unload a module, set the clock and reboot in the middle', TIMEOUT, async () => {
  const { code, output, report } = await vitest('--project', 'host')
  expect(output).toContain('10 passed')
  expect(statuses(report)).toEqual({ passed: 10 })
  expect(code).toBe(0)
})

test(
  'five tests run in three kinds of guests; what one cannot do is skipped with the reason',
  TIMEOUT,
  async () => {
    const { code, output, report } = await vitest(
      '--project',
      'namespace',
      '--project',
      'uml',
      '--project',
      'qemu',
    )
    expect(output).toMatch(
      /↓ .*namespace.* sets the clock .*\[namespace: needs 'clock': the clock is the host's; /,
    )
    expect(output).toMatch(/↓ .*namespace.* changes a setting of the kernel .*runs on the host's own kernel/)
    expect(output).toMatch(/↓ .*uml.* has more than one processor .*User Mode Linux has one processor/)
    expect(output).toMatch(/✓ .*qemu.* has more than one processor/)
    expect(statuses(report)).toEqual({ passed: 11, skipped: 4 })
    expect(code).toBe(0)
  },
)

test('a test that is broken on purpose fails at its line, inside and outside', TIMEOUT, async () => {
  for (const [file, right, wrong] of [
    ['host/machine.test.ts', '.not.toBe(process.pid)', '.toBe(process.pid)'],
    ['guest/five.test.ts', "toBe('inside')", "toBe('outside')"],
  ] as const) {
    const text = readFileSync(join(folder, file), 'utf8')
    writeFileSync(join(folder, file), text.replace(right, wrong))
    const line = text.slice(0, text.indexOf(right)).split('\n').length
    const [name, project] = file.startsWith('host') ? ['Linux', 'host'] : ['names its machine', 'namespace']
    const { code, output } = await vitest('--project', project, '-t', name)
    expect(code).toBe(1)
    expect(output).toMatch(new RegExp(`❯ ${file}:${line}:\\d+`))
  }
})
