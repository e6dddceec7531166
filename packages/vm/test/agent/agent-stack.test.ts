import { execFile } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../../../..', import.meta.url))
const fixture = fileURLToPath(new URL('./fixtures/failing.ts', import.meta.url))

interface Output {
  readonly status: number | string | null
  readonly text: string
}

function run(args: readonly string[]): Promise<Output> {
  return new Promise((resolve) => {
    const env = { ...process.env, NO_COLOR: '1', VITEST: undefined, VITEST_WORKER_ID: undefined }
    const options = { cwd: root, env: env as unknown as NodeJS.ProcessEnv, timeout: 120_000 }
    execFile(process.execPath, [...args], options, (error, stdout, stderr) =>
      resolve({ status: error?.code ?? 0, text: stdout + stderr }),
    )
  })
}

async function lineOf(text: string): Promise<number> {
  const lines = (await readFile(fixture, 'utf8')).split('\n')
  return lines.findIndex((line) => line.includes(text)) + 1
}

test('vitest shows the line of a function that broke in the guest', { timeout: 240_000 }, async () => {
  const config = join(root, 'packages/vm/test/agent/fixtures', `vitest-${process.pid}.config.ts`)
  try {
    const text = `
const packages = ${JSON.stringify(join(root, 'packages'))}
export default {
  root: ${JSON.stringify(root)},
  resolve: { alias: [{ find: /^@pkg\\/(\\w+)\\/(.+)$/, replacement: packages + '/$1/src/$2.ts' }] },
  test: { pool: 'forks', include: ['packages/vm/test/agent/fixtures/failing.ts'] },
}`
    await writeFile(config, text)
    const preload = join(root, 'scripts/vitest-fork-preload.ts')
    const vitest = join(root, 'node_modules/vitest/vitest.mjs')
    const output = await run(['--preload', preload, vitest, 'run', '--config', config])
    expect(output.status, output.text).toBe(1)
    const line = await lineOf('// here it breaks')
    expect(output.text).toContain('RangeError: too long for guest')
    expect(output.text).toMatch(new RegExp(`❯ .*failing\\.ts:${line}:\\d+`))
    // The frame with the source itself.
    expect(output.text).toMatch(new RegExp(`${line}\\|.*throw new RangeError`))
    // And where it was called from.
    expect(output.text).toMatch(new RegExp(`failing\\.ts:${await lineOf('  await agent.client.run(')}:`))
  } finally {
    await rm(config, { force: true })
  }
})
