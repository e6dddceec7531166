// solo vm in namespaces: the same programs, within milliseconds.
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { descendantsOf, stateOf } from '../src/process-machine/process-tree.ts'
import { runCommand, startCommand } from './command-process.ts'

const folder = mkdtempSync(join(tmpdir(), 'solo-command-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** One that waits for a slow init of the host to reap it is gone. */
function isAlive(pid: number): boolean {
  return ![undefined, 'Z'].includes(stateOf(pid))
}

// Bun takes a `--` that comes first for its own.
test.each([[['--', 'sh', '-c', 'exit 3']], [['sh', '-c', 'exit 3']]])(
  'solo vm reads no flags of its own after a program that comes first: %j',
  (words) => {
    const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))
    // No cache folder can be there: it stops before there is a machine, and after the flags.
    const env = { ...process.env, SOLO_CACHE_DIR: '/dev/null/x' }
    const { status, stderr } = spawnSync(process.execPath, [main, ...words], { env, encoding: 'utf8' })
    expect(stderr).toContain('/dev/null/x')
    expect(status).toBe(125)
  },
)

describe.each(['namespace'])('solo vm --backend %s', (backend) => {
  const vm = (words: readonly string[], input?: Uint8Array | string) =>
    runCommand(['--backend', backend, ...words], folder, input)

  test('solo vm carries the exit status of busybox', async () => {
    expect(await vm(['--', 'busybox', 'sh', '-c', 'exit 7'])).toMatchObject({ status: 7, stderr: '' })
  })

  test.each([
    ['no-such-program', 127],
    ['/no/such/program', 127],
    ['/etc/passwd/program', 127],
    ['/etc/passwd', 126],
    ['/etc', 126],
  ])('solo vm cannot run %s: status %i', async (program, status) => {
    const ended = await vm(['--', program])
    expect(ended).toMatchObject({ status })
    expect(ended.stderr).toContain(program)
    // Of a root of ours nobody has heard.
    expect(ended.stderr).not.toContain('/run/')
  })

  test('solo vm has the kernel of the host, and the present folder', async () => {
    const { stdout, status } = await vm([
      '--',
      'sh',
      '-c',
      'uname -r; pwd; echo written > file; touch /etc/x',
    ])
    expect(status).toBe(0)
    const [kernel, where] = stdout.toString().split('\n')
    expect(kernel).toBe(release())
    expect(where).toBe(folder)
    expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('written\n')
    expect(existsSync('/etc/x')).toBe(false)
  })

  test('solo vm carries 10 MB through cat', async () => {
    const bytes = randomBytes(10_000_000)
    const { status, stdout } = await vm(['--', 'cat'], bytes)
    expect(status).toBe(0)
    expect(stdout.equals(bytes)).toBe(true)
  })

  test('solo vm runs stressors of files and processes', async () => {
    const stressors = ['dentry', 'fork', 'vfork', 'clone', 'pipe'].flatMap((name) => [`--${name}`, '1'])
    const { status, stderr } = await vm([
      ...['--', 'stress-ng', ...stressors],
      ...['--timeout', '3', '--temp-path', '/tmp'],
    ])
    expect(status, stderr).toBe(0)
  })

  test('solo vm leaves nothing after SIGKILL', async () => {
    const child = startCommand(['--backend', backend, '--', 'sh', '-c', 'echo up; sleep 100'], folder)
    await once(child.stdout ?? child, 'data')
    const machines = descendantsOf(child.pid ?? 0)
    expect(machines.length).toBeGreaterThan(0)
    child.kill('SIGKILL')
    await expect.poll(() => machines.filter((pid) => isAlive(pid))).toEqual([])
  })
})
