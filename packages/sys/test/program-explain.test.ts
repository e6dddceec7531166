// Programs as lines for people.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { bootStub } from '../src/boot-stub.ts'
import * as k from '../src/constants.ts'
import { Program, vector } from '../src/program.ts'
import type { Architecture } from '../src/raw.ts'
import { writeExecutable } from './run-executable.ts'

test('explain() names constants, results, memory, and where errors lead', () => {
  const program = new Program()
  const [late, end] = [program.label('late'), program.label()]
  const memory = program.memory(16)
  program.call('mkdirat', k.AT_FDCWD, '/run', 0o755).tolerate('EEXIST').tolerate('EROFS')
  const file = program
    .call('openat', k.AT_FDCWD, '/x', k.O_RDWR | k.O_CREAT | k.O_CLOEXEC, 0o600)
    .otherwise(late)
  program.call('mount', 'none', '/x', 'tmpfs', k.MS_NOSUID | k.MS_NODEV | 0x4000_0000, null).ignoreErrors()
  program.set(memory.at(8), file, 3)
  program.call('close', memory.word(8)).otherwise(end)
  program.equal(memory, Uint8Array.of(0, 65, 34)).otherwise(late)
  program.jump(late)
  program.place(end)
  program.call('ioctl', file, k.WDIOC_SETTIMEOUT, memory)
  program.call('execve', '/bin/sh', vector(['sh', '-c', 'a "b"']), vector([]))
  program.place(late)
  expect(program.explain()).toBe(`\
  0  mkdirat(AT_FDCWD, "/run", 0755)  except EROFS, EEXIST
  1  openat(AT_FDCWD, "/x", O_RDWR|O_CREAT|O_CLOEXEC, 0600)  or goto late
  2  mount("none", "/x", "tmpfs", MS_NOSUID|MS_NODEV|0x40000000, NULL)  or go on
  3  *m0+8 = $1 + 3
  4  close(*m0+8)  or goto label1
  5  equal(m0, "\\x00A\\x22", 3)  or goto late
  6  goto late
label1:
  7  ioctl($1, WDIOC_SETTIMEOUT, m0)
  8  execve("/bin/sh", ["sh", "-c", "a \\"b\\""], [])
late:
m0  16 bytes
`)
})

test('explain() cuts what is long', () => {
  const program = new Program()
  program.call('chdir', 'x'.repeat(1000))
  program.call('write', 1, new Uint8Array(1000).fill(0x79), 1000)
  for (const line of program.explain().trim().split('\n')) {
    expect(line).toMatch(/\.\.\./)
    expect(line.length).toBeLessThan(120)
  }
})

test('explain() says of a boot stub what strace sees of it', () => {
  const stub = bootStub({ program: '/none', args: ['a'], env: { A: '1' } })
  const folder = mkdtempSync(join(tmpdir(), 'solo-explain-'))
  try {
    const path = writeExecutable(folder, stub, process.arch as Architecture)
    // In namespaces of its own, for it mounts; and there devtmpfs is refused.
    const namespaces = ['--user', '--map-root-user', '--mount', '--pid', '--fork']
    const run = ['--output', join(folder, 'log'), '-f', 'unshare', ...namespaces, path]
    spawnSync('strace', run, { encoding: 'utf8', env: { PATH: process.env['PATH'] } })
    const { stdout } = spawnSync('grep', ['-A99', 'execve("/tmp', join(folder, 'log')], { encoding: 'utf8' })
    const explained = stub.explain().split('\n').slice(0, 4)
    const calls = explained.map((line) => /^ *\d+ {2}(\w+\(.*?\))( {2}|$)/.exec(line)?.[1] ?? line)
    expect(calls).toHaveLength(4)
    for (const call of calls) expect(stdout).toContain(call)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
