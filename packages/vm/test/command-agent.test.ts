// The command in a process of its own, with a real agent: real pipes, a real terminal, real signals, no machine.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import { closeSync, openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test, vi } from 'vitest'

vi.setConfig({ testTimeout: 30_000 })

const command = fileURLToPath(new URL('./command-agent.ts', import.meta.url))

function start(...words: readonly string[]): ChildProcess {
  return spawn(process.execPath, [command, ...words], { stdio: 'pipe' })
}

/** Gives it `input`, and waits for its end. */
async function run(
  words: readonly string[],
  input: Uint8Array | string = '',
): Promise<{ status: number | null; stdout: Buffer; stderr: string }> {
  const child = start(...words)
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  child.stdout?.on('data', (bytes: Buffer) => stdout.push(bytes))
  child.stderr?.on('data', (bytes: Buffer) => stderr.push(bytes))
  child.stdin?.end(input)
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() }
}

describe('the command and an agent', () => {
  test('the command carries 10 MB through cat, byte by byte', async () => {
    const bytes = randomBytes(10_000_000)
    const { status, stdout, stderr } = await run(['cat'], bytes)
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout.equals(bytes)).toBe(true)
  })

  test.each([
    [['busybox', 'sh', '-c', 'exit 7'], 7, ''],
    [['sh', '-c', 'kill -TERM $$'], 143, ''],
    [['sh', '-c', 'echo told >&2; exit 1'], 1, 'told\n'],
    [['/nonexistent'], 127, 'solo vm: spawn /nonexistent: execve: ENOENT: No such file or directory\n'],
    [['/etc/passwd'], 126, 'solo vm: spawn /etc/passwd: execve: EACCES: Permission denied\n'],
  ])('the command ends as %j does, with status %i', async (words, status, stderr) => {
    expect(await run(words)).toEqual({ status, stdout: Buffer.alloc(0), stderr })
  })

  test('the command ends with the program, though its own input stays open', async () => {
    const child = start('true')
    expect(await once(child, 'exit')).toEqual([0, null])
    child.stdin?.destroy()
  })

  test('the command ends by SIGPIPE when nobody reads on, as yes | head does', async () => {
    const child = start('yes')
    child.stdout?.once('data', () => child.stdout?.destroy())
    expect(await once(child, 'exit')).toEqual([141, null])
  })

  test('the command fails when output cannot be written, however little it is', async () => {
    using full = { fd: openSync('/dev/full', 'w'), [Symbol.dispose]: () => closeSync(full.fd) }
    const child = spawn(process.execPath, [command, 'echo', 'lost'], { stdio: ['ignore', full.fd, 'pipe'] })
    let told = ''
    child.stderr?.on('data', (bytes: Buffer) => (told += bytes.toString()))
    expect(await once(child, 'close')).toEqual([125, null])
    expect(told).toContain('solo vm: ENOSPC: no space left on device')
  })

  test('the command passes a signal on, and the second one ends everything', async () => {
    const polite = start('sh', '-c', 'trap "exit 9" INT; echo up; while :; do sleep 0.1; done')
    await once(polite.stdout ?? polite, 'data')
    polite.kill('SIGINT')
    expect(await once(polite, 'exit')).toEqual([9, null])
    const stubborn = start('sh', '-c', 'trap "echo heard" INT; echo $$; while :; do sleep 0.1; done')
    const [pid] = (await once(stubborn.stdout ?? stubborn, 'data')) as [Buffer]
    stubborn.kill('SIGINT')
    await once(stubborn.stdout ?? stubborn, 'data')
    stubborn.kill('SIGINT')
    expect(await once(stubborn, 'exit')).toEqual([130, null])
    // A guest would have ended with all that ran in it; this is the machine of the tests.
    process.kill(Number(pid.toString()), 'SIGKILL')
  })

  test('the command gives a terminal where it has one, and gives its own back', async () => {
    // script(1) runs it on a terminal of its own.
    const line = `stty cols 91 rows 17; ${process.execPath} ${command} sh -c 'stty size; exit 5'; echo status $?; stty -a`
    // Its input stays open: at an end of file script types a NUL.
    const child = spawn('script', ['-qec', line, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] })
    let text = ''
    child.stdout.on('data', (bytes: Buffer) => (text += bytes.toString()))
    await once(child, 'close')
    expect(text).toMatch(/^17 91\r\nstatus 5\r\n/)
    expect(text).toMatch(/[^-]opost[^]* icanon[^]* echo /)
  })
})
