// solo vm --shell at a terminal: `script` of util-linux is the terminal, and we are who types.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'solo-shell-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Starts the command at a terminal; `script` ends with its status. */
function atTerminal(words: readonly string[]): ChildProcess {
  const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))
  const command = [process.execPath, main, ...words].map((word) => `'${word}'`).join(' ')
  const env = { ...process.env, SHELL: '/bin/sh', TERM: 'dumb' }
  return spawn('script', ['--quiet', '--return', '--flush', '--command', command, '/dev/null'], {
    cwd: folder,
    env,
    stdio: 'pipe',
  })
}

test.each(['namespace', 'uml', 'qemu'])(
  'solo vm --backend %s --shell is a shell at a terminal',
  async (backend) => {
    const child = atTerminal(['--backend', backend, '--shell'])
    let said = ''
    child.stdout?.on('data', (bytes: Buffer) => (said += bytes.toString()))
    const type = (line: string): void => void child.stdin?.write(`${line}\n`)
    const closed = once(child, 'close')
    // A terminal echoes what is typed: what is looked for is not in it.
    await expect.poll(() => said, { timeout: 120_000 }).toMatch(/[#$] $/)
    type('stty size >/dev/null && tty && echo $((6 * 7)) is $(id -u)')
    await expect.poll(() => said, { timeout: 120_000 }).toMatch(/\/dev\/pts\/\d+\r\n42 is 0\r\n/)
    // Ctrl-C is the shell's program's affair, and not ours.
    type('sleep 1000')
    await expect.poll(() => said, { timeout: 120_000 }).toMatch(/sleep 1000\r\n/)
    child.stdin?.write('\u0003')
    type('exit 3')
    const [status] = (await closed) as [number | null]
    expect(status).toBe(3)
  },
)
