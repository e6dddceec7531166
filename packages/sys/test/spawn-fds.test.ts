// Which descriptors a child of spawn() has: exactly those that were asked for, each at its number.
import { readdirSync } from 'node:fs'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AT_FDCWD, O_RDONLY } from '../src/constants.ts'
import { openat } from '../src/fs.ts'
import { dup3, duplicate, memfd_create, pipe2 } from '../src/io.ts'
import { bind } from '../src/raw.ts'
import { spawn, type SpawnOptions } from '../src/spawn.ts'
import { output, readAll, run, shell } from './child-output.ts'
import { runScript, scriptResult } from './child-script.ts'

const ownFds = (): string[] => readdirSync('/proc/self/fd').toSorted()

/** What the child has: `number link`, but for the folders that find opens itself. */
async function listed(options: Partial<SpawnOptions>): Promise<string[]> {
  const args = ['/proc/self/fd', '-type', 'l', '-printf', '%f %l\n']
  const lines = (await output({ file: '/usr/bin/find', args, env: {}, cwd: '/', ...options }))
    .trim()
    .split('\n')
  return lines.filter((line) => !/^\d+ \/(proc\/\d+\/fd)?$/.test(line))
}

describe('spawn() gives', () => {
  test('nothing above stdio when nothing is asked for, close-on-exec or not', async () => {
    using file = memfd_create('inheritable', 0)
    const F_SETFD = 2
    bind('fcntl', 'int', 'int', 'int')(file.fd, F_SETFD, 0)
    expect(await listed({})).toEqual([
      '0 /dev/null',
      expect.stringMatching(/^1 pipe:/),
      expect.stringMatching(/^2 /),
    ])
  })

  test('extra descriptors by number, and closes all between', async () => {
    using first = memfd_create('first', 0)
    using second = memfd_create('second', 0)
    const fds = await listed({ fds: { 5: first, 9: second, 12: first } })
    expect(fds.slice(3).toSorted()).toEqual([
      '12 /memfd:first (deleted)',
      '5 /memfd:first (deleted)',
      '9 /memfd:second (deleted)',
    ])
  })

  test('/dev/null for reading and writing', async () => {
    expect(await shell('cat; echo lost >&2; echo found', { stdio: ['null', 'pipe', 'null'] })).toBe('found\n')
  })

  test('standard error apart from standard output, or one descriptor for both', async () => {
    using child = spawn({
      file: '/bin/sh',
      args: ['-c', 'echo out; echo err >&2'],
      env: {},
      stdio: ['null', 'pipe', 'pipe'],
    })
    if (child.stdout === undefined || child.stderr === undefined) throw new TypeError('no pipes')
    expect(await Promise.all([readAll(child.stdout), readAll(child.stderr)])).toEqual(['out\n', 'err\n'])
    await child.wait()
    using pipe = pipe2(0o4000)
    const status = await run({
      file: '/bin/sh',
      args: ['-c', 'echo out; echo err >&2'],
      env: {},
      stdio: ['null', pipe.write, pipe.write],
    })
    pipe.write.close()
    expect(status.code).toBe(0)
    expect(await readAll(pipe.read)).toBe('out\nerr\n')
  })

  test('swapped standard output and error', () => {
    const { stdout, stderr } = runScript(`
      import { spawn } from '@pkg/sys/spawn'
      const script = 'echo to standard output; echo to standard error >&2'
      using child = spawn({ file: '/bin/sh', args: ['-c', script], env: {}, stdio: ['null', 2, 1] })
      await child.wait()`)
    expect([stdout, stderr]).toEqual(['to standard error\n', 'to standard output\n'])
  })

  test('inherited standard input closed when it is closed here, and no pipe in its place', () => {
    const links = scriptResult(`
      import { spawn } from '@pkg/sys/spawn'
      import { syscall } from '@pkg/sys/raw'
      import { readAll } from './test/child-output.ts'
      syscall('close', 0)
      const script = 'for n in 0 1 2; do readlink /proc/$$/fd/$n || echo none; done'
      using child = spawn({ file: '/bin/sh', args: ['-c', script], env: {}, stdio: ['inherit', 'pipe', 'inherit'] })
      const text = await readAll(child.stdout)
      await child.wait()
      process.stdout.write(JSON.stringify(text.split('\\n')))`)
    expect(links).toEqual(['none', expect.stringMatching(/^pipe:/), expect.not.stringMatching(/^pipe:/), ''])
  })
})

describe('spawn() with any map of numbers', () => {
  /** Files whose first byte tells which they are, at numbers that collide with the targets. */
  const numbers = Array.from({ length: 12 }, (_, index) => 40 + index)
  beforeAll(() => {
    for (const number of numbers) {
      using file = memfd_create(`n${number}`, 0)
      dup3(file, number, 0o2000000)
    }
  })
  afterAll(() => {
    for (const number of numbers) bind('close', 'int')(number)
  })

  test('puts each source at its target, whatever collides, and leaves ours as they are', async () => {
    const target = fc.integer({ min: 38, max: 54 })
    const source = fc.constantFrom(...numbers)
    const stdio = fc.tuple(
      fc.oneof(fc.constant('null' as const), source),
      fc.constant('pipe' as const),
      fc.oneof(fc.constant('null' as const), fc.constant('inherit' as const), source),
    )
    const before = new Set(ownFds())
    await fc.assert(
      fc.asyncProperty(fc.dictionary(target.map(String), source, { maxKeys: 8 }), stdio, async (map, io) => {
        const fds = Object.fromEntries(Object.entries(map).map(([number, fd]) => [Number(number), fd]))
        using child = spawn({
          file: '/usr/bin/readlink',
          args: Array.from({ length: 70 }, (_, number) => `/proc/self/fd/${number}`),
          env: {},
          fds,
          stdio: io,
        })
        if (child.stdout === undefined) throw new TypeError('no pipe')
        const found = (await readAll(child.stdout)).trim().split('\n')
        await child.wait()
        const expected = Object.entries(fds).toSorted(([a], [b]) => Number(a) - Number(b))
        const names = expected.map(([, fd]) => `/memfd:n${fd} (deleted)`)
        const first = typeof io[0] === 'number' ? `/memfd:n${io[0]} (deleted)` : '/dev/null'
        expect(found[0]).toBe(first)
        expect(found[1]).toMatch(/^pipe:/)
        if (io[2] !== 'inherit') {
          expect(found[2]).toBe(typeof io[2] === 'number' ? `/memfd:n${io[2]} (deleted)` : '/dev/null')
        }
        expect(found.slice(3)).toEqual(names)
      }),
      { numRuns: 120 },
    )
    // The engine may close meanwhile what it had from the tests before.
    expect(ownFds().filter((number) => !before.has(number))).toEqual([])
  })
})

test('spawn() names fcntl or dup3 when a source is not open', () => {
  expect(() => spawn({ file: '/bin/true', env: {}, fds: { 7: 900 } })).toThrow(
    /^spawn \/bin\/true: dup3\(\d+, \d+, 0\): EBADF/,
  )
  expect(() => spawn({ file: '/bin/true', env: {}, fds: { 7: 900, 900: 1 } })).toThrow(
    /^spawn \/bin\/true: fcntl\(900, F_GETFD\): EBADF/,
  )
})

test('spawn() refuses a source that is not open, whatever number its own descriptors get', () => {
  const free = duplicate(0)
  const closed = free.fd
  free.close()
  const start = (options: Partial<SpawnOptions>): unknown => spawn({ file: '/bin/true', env: {}, ...options })
  // The next that is opened gets the number.
  expect(() => start({ fds: { 77: closed }, stdio: ['null', 'null', 'null'] })).toThrow('EBADF')
  expect(() => start({ fds: { [closed]: closed }, stdio: ['null', 'null', 'null'] })).toThrow('EBADF')
  expect(() => start({ fds: { 777: 777 } })).toThrow('fcntl(777, F_SETFD, 0): EBADF')
  expect(() => start({ fds: { 775: 776, 776: 1, 774: 777 } })).toThrow('EBADF')
})

test('spawn() leaves closed what is inherited and closed here, with /dev/null for another', () => {
  const links = scriptResult(`
    import { spawn } from '@pkg/sys/spawn'
    import { syscall } from '@pkg/sys/raw'
    import { readAll } from './test/child-output.ts'
    syscall('close', 0)
    const script = 'for n in 0 2; do readlink /proc/$$/fd/$n || echo none; done'
    using child = spawn({ file: '/bin/sh', args: ['-c', script], env: {}, stdio: ['inherit', 'pipe', 'null'] })
    const text = await readAll(child.stdout)
    await child.wait()
    process.stdout.write(JSON.stringify(text.split('\\n')))`)
  expect(links).toEqual(['none', '/dev/null', ''])
})

test('spawn() hands on nothing else where close_range is refused, and fails where only the child may not', () => {
  const found = scriptResult(`
    import * as c from '@pkg/sys/constants'
    import { dup3 } from '@pkg/sys/io'
    import { prctl_set_no_new_privs } from '@pkg/sys/prctl'
    import { seccomp_set_mode_filter, seccompErrno, seccompFilter } from '@pkg/sys/seccomp'
    import { spawn } from '@pkg/sys/spawn'
    import { readAll } from './test/child-output.ts'
    // Without close-on-exec, as other libraries leave them; far away, too.
    for (const number of [50, 700]) dup3(0, number, 0)
    const list = async (setup) => {
      try {
        using child = spawn({ file: '/bin/ls', args: ['/proc/self/fd'], env: {}, stdio: ['null', 'pipe', 'inherit'], fds: { 60: 0 }, setup })
        const text = await readAll(child.stdout)
        await child.wait()
        return text.trim().split('\\n')
      } catch (error) { return error.message.replace(/close_range[^:]*: /, 'close_range: ') }
    }
    const filter = seccompFilter({ rules: [{ calls: ['close_range'], action: seccompErrno('EPERM') }] })
    const found = [await list()]
    found.push(await list((child) => {
      child.call('prctl', c.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
      child.call('seccomp', c.SECCOMP_SET_MODE_FILTER, 0, child.words([filter.length / 8, child.memory(filter)]))
    }))
    prctl_set_no_new_privs()
    seccomp_set_mode_filter(filter, c.SECCOMP_FILTER_FLAG_TSYNC)
    found.push(await list())
    process.stdout.write(JSON.stringify(found))`)
  // The last is of ls itself.
  const given = ['0', '1', '2', '3', '60']
  expect(found).toEqual([given, 'spawn /bin/ls: close_range: EPERM: Operation not permitted', given])
})

test('spawn() reports a closed OwnedFd before any call', () => {
  const file = openat(AT_FDCWD, '/dev/null', O_RDONLY)
  file.close()
  expect(() => spawn({ file: '/bin/true', env: {}, stdio: [file, 'null', 'null'] })).toThrow('is closed')
  expect(() => spawn({ file: '/bin/true', env: {}, fds: { 3: file } })).toThrow('is closed')
})
