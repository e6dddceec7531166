// spawn(): finding programs, failures named by their step, waiting, and what thousands of children leave behind.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AT_FDCWD, O_RDONLY, SIGKILL } from '../src/constants.ts'
import { SysError } from '../src/errno.ts'
import { openat } from '../src/fs.ts'
import { pipe2, write } from '../src/io.ts'
import { reactor } from '../src/reactor.ts'
import { spawn, type SpawnOptions } from '../src/spawn.ts'
import { output, shell } from './child-output.ts'
import { scriptResult } from './child-script.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'solo-spawn-'))
  chmodSync(folder, 0o755)
  for (const name of ['a', 'b', 'a/tool']) mkdirSync(join(folder, name))
  const script = (path: string, text: string, mode: number): void => {
    writeFileSync(join(folder, path), text)
    chmodSync(join(folder, path), mode)
  }
  script('b/tool', '#!/bin/sh\necho b\n', 0o755)
  script('tool', '#!/bin/sh\necho from the working directory\n', 0o755)
  script('text', 'no program', 0o755)
  script('closed', '#!/bin/sh\n', 0o644)
  script('orphaned', '#!/none/interpreter\n', 0o755)
})
afterAll(() => rmSync(folder, { recursive: true }))

function failure(options: Partial<SpawnOptions>): SysError {
  try {
    spawn({ file: '/bin/true', env: {}, ...options })[Symbol.dispose]()
  } catch (error) {
    if (error instanceof SysError) return error
    throw error
  }
  throw new Error('it did not fail')
}

/** For scripts: the descriptors that a spawn makes and are open, and the children that are not reaped. */
const left = `
  import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
  const left = () => ({
    children: readFileSync('/proc/self/task/' + process.pid + '/children', 'utf8'),
    fds: readdirSync('/proc/self/fd').map((name) => {
      // The folder itself is in its list, and closed by now.
      try { return readlinkSync('/proc/self/fd/' + name) } catch { return '' }
    }).filter((link) => /pipe|pidfd|null/.test(link)).toSorted(),
  })`

function expectNothingLeft(result: unknown): void {
  const [before, after] = result as [unknown, unknown]
  expect(after).toEqual(before)
  expect(after).toMatchObject({ children: '' })
}

describe('spawn() looks for a program', () => {
  const tool = (path: string, options: Partial<SpawnOptions> = {}): Promise<string> =>
    output({ file: 'tool', env: { PATH: path }, ...options })

  test('in each folder of PATH, passing over folders of its name', async () => {
    expect(await tool(`/none:${folder}/a:${folder}/b`)).toBe('b\n')
  })

  test('never outside PATH, in the working directory say', () => {
    const error = failure({ file: 'tool', env: { PATH: '/none' }, cwd: folder })
    expect(error.message).toBe('spawn tool: not in PATH: ENOENT: No such file or directory')
    expect(failure({ file: 'tool', env: { PATH: `${folder}/a` }, cwd: folder }).code).toBe('ENOENT')
  })

  test('in the usual folders when PATH is not set', async () => {
    expect(await output({ file: 'echo', args: ['x'], env: {} })).toBe('x\n')
  })

  test('relative to cwd when it has a slash', async () => {
    expect(await output({ file: './tool', env: {}, cwd: folder })).toBe('from the working directory\n')
  })
})

describe('spawn() names the step that failed', () => {
  test('execve: ENOENT, EACCES, ENOEXEC, and ENOENT for an interpreter', () => {
    const message = (name: string): string =>
      failure({ file: join(folder, name) }).message.replace(folder, '')
    expect(message('none')).toBe('spawn /none: execve: ENOENT: No such file or directory')
    expect(message('closed')).toBe('spawn /closed: execve: EACCES: Permission denied')
    expect(message('a')).toBe('spawn /a: execve: EACCES: Permission denied')
    expect(message('text')).toBe('spawn /text: execve: ENOEXEC: Exec format error')
    expect(message('orphaned')).toBe('spawn /orphaned: execve: ENOENT: No such file or directory')
  })

  test('chdir, with the folder; ioctl; in the shape of errors that Node has', () => {
    expect(failure({ cwd: '/none' }).message).toBe(
      'spawn /bin/true: chdir("/none"): ENOENT: No such file or directory',
    )
    using file = openat(AT_FDCWD, '/dev/null', O_RDONLY)
    expect(failure({ newSession: true, controllingTty: file }).message).toMatch(
      /^spawn \/bin\/true: ioctl\(\d+, TIOCSCTTY, 0\): ENOTTY/,
    )
    expect(failure({ cwd: '/none' })).toMatchObject({
      code: 'ENOENT',
      errno: -2,
      syscall: 'spawn',
      path: '/bin/true',
    })
  })

  test('clone3 for a cgroup that is none', () => {
    using file = openat(AT_FDCWD, '/', O_RDONLY)
    expect(failure({ cgroup: file }).message).toMatch(/^spawn \/bin\/true: clone3: E/)
  })

  test('leaves no zombie and no descriptor', () => {
    const result = scriptResult(`
      ${left}
      import { spawn } from '@pkg/sys/spawn'
      const fail = () => { try { spawn({ file: '/none', env: {}, stdio: ['pipe', 'pipe', 'pipe'] }) } catch {} }
      fail()
      const before = left()
      for (let count = 0; count < 500; count++) fail()
      const after = left() // before process.stdout opens a descriptor of its own
  process.stdout.write(JSON.stringify([before, after]))`)
    expectNothingLeft(result)
  })
})

describe('spawn() passes large argument lists', () => {
  test('over the first arena, and small ones again afterwards', async () => {
    const args = Array.from({ length: 3000 }, (_, index) => `${index}-${'ü'.repeat(20)}`)
    expect(await output({ file: '/usr/bin/printf', args: ['%s\n', ...args], env: {} })).toBe(
      `${args.join('\n')}\n`,
    )
    expect(await shell('echo small')).toBe('small\n')
  })

  test('and reports E2BIG for more than the kernel takes', async () => {
    // One string may have 32 pages (linux/binfmts.h, MAX_ARG_STRLEN).
    expect(failure({ args: ['x'.repeat(32 * 4096)] }).message).toMatch(/^spawn \/bin\/true: execve: E2BIG/)
    expect(await shell('echo small')).toBe('small\n')
  })
})

describe('Child.wait()', () => {
  const sleeping = (): ReturnType<typeof spawn> =>
    spawn({ file: '/bin/sleep', args: ['60'], env: {}, stdio: ['null', 'null', 'null'] })

  test('tells the exit status, again and to several at once', async () => {
    using child = spawn({ file: '/bin/sh', args: ['-c', 'sleep 0.05; exit 42'], env: { PATH: '/bin' } })
    const expected = { pid: child.pid, code: 42, signal: null, coreDumped: false }
    expect(await Promise.all([child.wait(), child.wait(), child.wait()])).toEqual([
      expected,
      expected,
      expected,
    ])
    expect(await child.wait()).toEqual(expected)
    child[Symbol.dispose]()
    expect(await child.wait()).toEqual(expected)
  })

  test('is given up by its own AbortSignal alone, and begins anew', async () => {
    using child = sleeping()
    const given = child.wait({ signal: AbortSignal.timeout(5) })
    const kept = child.wait()
    await expect(given).rejects.toMatchObject({ name: 'TimeoutError' })
    await expect(child.wait({ signal: AbortSignal.abort(new Error('mine')) })).rejects.toThrow('mine')
    child.kill(SIGKILL)
    expect((await kept).signal).toBe(SIGKILL)
    expect((await child.wait()).signal).toBe(SIGKILL)
  })

  test('rejects when the child is disposed, and the number can be watched again', async () => {
    const child = sleeping()
    const { pid } = child
    const number = child.pidfd.fd
    const waiting = child.wait()
    child[Symbol.dispose]()
    await expect(waiting).rejects.toThrow(`the child ${pid} was disposed`)
    await expect(child.wait()).rejects.toThrow('was disposed')
    using pipe = pipe2(0)
    expect([pipe.read.fd, pipe.write.fd]).toContain(number)
    write(pipe.write, new Uint8Array(1))
    await reactor().readable(pipe.read)
    process.kill(pid, 'SIGKILL')
  })
})

test('spawn() enters a cgroup before the program runs', () => {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n')
  const unified = mounts.map((line) => line.split(' ')).find(([, , type]) => type === 'cgroup2')?.[1]
  expect(unified, 'a mounted cgroup2').toBeDefined()
  const result = scriptResult(`
    import { mkdirSync, rmdirSync } from 'node:fs'
    import { AT_FDCWD, O_RDONLY } from '@pkg/sys/constants'
    import { openat } from '@pkg/sys/fs'
    import { spawn } from '@pkg/sys/spawn'
    import { output } from './test/child-output.ts'
    const path = ${JSON.stringify(unified)} + '/solo-test-' + process.pid
    mkdirSync(path)
    try {
      using cgroup = openat(AT_FDCWD, path, O_RDONLY)
      const text = await output({ file: '/bin/cat', args: ['/proc/self/cgroup'], env: {}, cgroup })
      process.stdout.write(JSON.stringify(text.includes('0::/solo-test-' + process.pid + '\\n')))
    } finally { rmdirSync(path) }`)
  expect(result).toBe(true)
})

/** Children with pipes, users and sessions, one after the other and at once; what is left of them afterwards. */
const manySpawns = (count: number): string => `
  ${left}
  import { spawn } from '@pkg/sys/spawn'
  const one = async (number) => {
    using child = spawn({ file: '/bin/sh', args: ['-c', 'exit ' + number % 256], env: {}, newSession: true,
      stdio: ['null', 'pipe', 'inherit'] })
    const { code } = await child.wait()
    if (code !== number % 256) throw new Error(number + ' ended with ' + code)
  }
  await one(0)
  const before = left()
  for (let number = 0; number < ${count}; number += 4) await Promise.all([0, 1, 2, 3].map((more) => one(number + more)))
  const after = left() // before process.stdout opens a descriptor of its own
  process.stdout.write(JSON.stringify([before, after]))`

describe('spawn() many times', () => {
  test('leaks no descriptor and no zombie', () => {
    expectNothingLeft(scriptResult(manySpawns(400)))
  })

  // 30,000 of them: bun packages/sys/test/torture-spawn.ts
  test('works while signals storm, memory is collected and code compiled', () => {
    const script = join(import.meta.dirname, 'torture-spawn.ts')
    const { stdout, status, stderr } = spawnSync(process.execPath, [script, '300'], { encoding: 'utf8' })
    expect([status, JSON.parse(stdout)], stderr).toEqual([
      0,
      expect.objectContaining({ count: 300, problems: {} }),
    ])
  })
})

describe('spawn() where clone3 is refused', () => {
  const wrapper = [
    'strace',
    '-f',
    '-qq',
    '-e',
    'trace=clone3',
    '-e',
    'inject=clone3:error=ENOSYS',
    '-o',
    '/dev/null',
  ]

  test('works by clone: status, options, failures, cgroup', () => {
    const result = scriptResult(
      `
      import { spawn } from '@pkg/sys/spawn'
      import { output } from './test/child-output.ts'
      const found = []
      process.on('SIGUSR2', () => {})
      const text = await output({ file: '/bin/sh', args: ['-c', 'umask; sed -n s/^SigCgt:.//p /proc/self/status'],
        env: { PATH: '/bin:/usr/bin' }, umask: 0o27, newSession: true })
      found.push(text.split('\\n')[0], text.split('\\n')[1])
      try { spawn({ file: '/none', env: {} }) } catch (error) { found.push(error.message) }
      try { spawn({ file: '/bin/true', env: {}, cgroup: 0 }) } catch (error) { found.push(error.syscall) }
      process.stdout.write(JSON.stringify(found))`,
      { wrapper },
    )
    expect(result).toEqual([
      '0027',
      '0000000000000000',
      'spawn /none: execve: ENOENT: No such file or directory',
      'spawn',
    ])
  })

  test('leaks nothing', () => {
    expectNothingLeft(scriptResult(manySpawns(40), { wrapper }))
  })
})

test('spawn() works when this process ignores SIGCHLD, but for the status, which nobody keeps', () => {
  const result = scriptResult(`
    import { syscall } from '@pkg/sys/raw'
    import { spawn } from '@pkg/sys/spawn'
    const SIG_IGN = BigUint64Array.of(1n, 0n, 0n, 0n)
    syscall('rt_sigaction', 17, SIG_IGN, null, 8)
    const found = []
    try { spawn({ file: '/none', env: {} }) } catch (error) { found.push(error.code) }
    using child = spawn({ file: '/bin/true', env: {} })
    try { await child.wait() } catch (error) { found.push(error.code) }
    process.stdout.write(JSON.stringify(found))`)
  expect(result).toEqual(['ENOENT', 'ECHILD'])
})
