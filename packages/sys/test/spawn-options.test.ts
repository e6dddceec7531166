// Every option of spawn(), as the child itself and /proc see it.
import { readFileSync, readlinkSync, realpathSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import * as c from '../src/constants.ts'
import { AT_FDCWD, RLIMIT_CORE, RLIMIT_NOFILE, SIGKILL, SIGTERM } from '../src/constants.ts'
import { type OwnedFd, traceFds } from '../src/fd.ts'
import { openat } from '../src/fs.ts'
import { ioprio_get } from '../src/limits.ts'
import { getsid, getuid } from '../src/process.ts'
import { syscall } from '../src/raw.ts'
import { reactor } from '../src/reactor.ts'
import { sched_getscheduler } from '../src/scheduler.ts'
import { spawn, type SpawnOptions } from '../src/spawn.ts'
import { openpty } from '../src/terminal.ts'
import { output, readAll, run, shell } from './child-output.ts'
import { runScript, scriptResult } from './child-script.ts'

const open = new Set<OwnedFd>()
// The reactor's own descriptors live as long as the process.
beforeAll(() => void reactor())
beforeEach(() => {
  open.clear()
  traceFds({ opened: (fd) => open.add(fd), closed: (fd) => open.delete(fd) })
})
afterEach(() => {
  traceFds(undefined)
  expect(open.size, 'descriptors left open').toBe(0)
})

const isRoot = getuid() === 0
const status = async (field: string, options: Partial<SpawnOptions>): Promise<string> =>
  (await shell(`sed -n 's/^${field}:[[:space:]]*//p' /proc/self/status`, options)).trim()

describe('spawn() sets', () => {
  test('argv, argv0 and nothing but the environment that is given', async () => {
    const commandLine = (extra: Partial<SpawnOptions>): Promise<string> =>
      output({
        file: '/bin/cat',
        args: ['/proc/self/cmdline', '--', '/proc/self/environ'],
        env: {},
        ...extra,
      })
    expect(await commandLine({})).toBe('/bin/cat\0/proc/self/cmdline\0--\0/proc/self/environ\0')
    const named = await commandLine({ argv0: 'tac', env: { A: 'ä=1', EMPTY: '' } })
    expect(named).toBe('tac\0/proc/self/cmdline\0--\0/proc/self/environ\0A=ä=1\0EMPTY=\0')
  })

  test('cwd', async () => {
    expect(await shell('pwd -P', { cwd: tmpdir() })).toBe(`${realpathSync(tmpdir())}\n`)
  })

  test('umask, leaving ours', async () => {
    const before = process.umask()
    expect(await shell('umask', { umask: 0o137 })).toBe('0137\n')
    expect(process.umask()).toBe(before)
  })

  test('nice', async () => {
    expect(await shell('nice', { nice: 7 })).toBe('7\n')
  })

  test('oomScoreAdj', async () => {
    expect(await shell('cat /proc/self/oom_score_adj', { oomScoreAdj: 321 })).toBe('321\n')
  })

  test('rlimits, Infinity as none', async () => {
    const rlimits = [
      { resource: RLIMIT_NOFILE, soft: 33, hard: 44 },
      { resource: RLIMIT_CORE, soft: 0, hard: Infinity },
    ]
    const hardCore = /Max core file size\s+\S+\s+(\S+)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    expect(hardCore).toBe('unlimited')
    expect(await shell('ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc', { rlimits })).toBe(
      '33\n44\n0\nunlimited\n',
    )
  })

  test('a disk priority and a policy of the scheduler', async () => {
    const ioPriority = { class: c.IOPRIO_CLASS_BE, level: 6 }
    const scheduling = { policy: c.SCHED_BATCH, priority: 0 }
    using child = spawn({ file: '/bin/sleep', args: ['9'], env: {}, ioPriority, scheduling })
    expect(ioprio_get(c.IOPRIO_WHO_PROCESS, child.pid)).toEqual(ioPriority)
    expect(sched_getscheduler(child.pid)).toBe(c.SCHED_BATCH)
    child.kill(SIGKILL)
    await child.wait()
    for (const bad of [
      { ioPriority: { class: 2, level: 8 } },
      { scheduling: { policy: c.SCHED_FIFO, priority: 100 } },
    ])
      expect(() => spawn({ file: '/bin/true', env: {}, ...bad })).toThrow(RangeError)
    const wrong = { scheduling: { policy: c.SCHED_BATCH, priority: 5 } }
    expect(() => spawn({ file: '/bin/true', env: {}, ...wrong })).toThrow('sched_setscheduler')
  })

  test('a limit of descriptors that is lower than the numbers in use here', async () => {
    const rlimits = [{ resource: RLIMIT_NOFILE, soft: 4, hard: 4 }]
    expect(await shell('ulimit -n', { rlimits, stdio: ['null', 'pipe', 'null'] })).toBe('4\n')
  })

  test('a new session, whose leader the child is', async () => {
    const fields = (await shell('cat /proc/self/stat', { newSession: true })).split(') ')[1]?.split(' ')
    const [, , group, session, terminal] = fields ?? []
    expect([group, terminal]).toEqual([session, '0'])
    expect(Number(session)).not.toBe(getsid())
    using child = spawn({ file: '/bin/sleep', args: ['9'], env: {}, newSession: true })
    expect(getsid(child.pid)).toBe(child.pid)
    child.kill(SIGKILL)
    await child.wait()
  })

  test('a new process group in our session', async () => {
    using child = spawn({ file: '/bin/sleep', args: ['9'], env: {}, newProcessGroup: true })
    expect(getsid(child.pid)).toBe(getsid())
    expect(syscall('getpgid', child.pid)).toBe(child.pid)
    child.kill(SIGKILL)
    await child.wait()
  })

  test('a controlling terminal', async () => {
    using terminal = openat(AT_FDCWD, '/dev/ptmx', 2)
    // TIOCSPTLCK, TIOCGPTN (asm-generic/ioctls.h)
    syscall('ioctl', terminal.fd, 0x40045431, new Int32Array(new ArrayBuffer(4)))
    const number = new Int32Array(new ArrayBuffer(4))
    syscall('ioctl', terminal.fd, 0x80045430, number)
    const O_NOCTTY = 0o400
    using slave = openat(AT_FDCWD, `/dev/pts/${number[0]}`, 2 | O_NOCTTY)
    const script = 'test -t 0 && tty && : > /dev/tty && echo has one'
    const options = { newSession: true, controllingTty: slave, stdio: [slave, 'pipe', 'inherit'] as const }
    expect(await shell(script, options)).toBe(`/dev/pts/${number[0]}\nhas one\n`)
  })

  test('a controlling terminal whose number another descriptor gets', async () => {
    using pty = openpty()
    using other = openat(AT_FDCWD, '/dev/null', c.O_RDWR)
    const text = await shell('read -r line < /proc/self/stat; set -- $line; [ $7 = 0 ] || echo has one', {
      newSession: true,
      controllingTty: pty.slave,
      fds: { [pty.slave.fd]: other },
    })
    expect(text).toBe('has one\n')
  })

  test('noNewPrivileges', async () => {
    expect(await status('NoNewPrivs', { noNewPrivileges: true })).toBe('1')
    expect(await status('NoNewPrivs', {})).toBe('0')
  })

  test('no signal mask and no ignored or handled signal, whatever this process has', async () => {
    const masks = ['SigBlk', 'SigIgn', 'SigCgt'].map((field) => status(field, {}))
    expect(await Promise.all(masks)).toEqual(['0000000000000000', '0000000000000000', '0000000000000000'])
  })

  test('namespaces of its own', async () => {
    const script = 'readlink /proc/self/ns/uts /proc/self/ns/ipc /proc/self/ns/mnt; echo $$'
    const code = `
      import { CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUTS } from '@pkg/sys/constants'
      import { spawn } from '@pkg/sys/spawn'
      const child = spawn({ file: '/bin/sh', args: ['-c', ${JSON.stringify(script)}], env: { PATH: '/usr/bin:/bin' },
        namespaces: CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNS | CLONE_NEWPID, stdio: ['null', 1, 2] })
      await child.wait()`
    const lines = runScript(code, { wrapper: ['unshare', '-rm'] })
      .stdout.trim()
      .split('\n')
    const ours = ['uts', 'ipc', 'mnt'].map((name) => readlinkSync(`/proc/self/ns/${name}`))
    expect(lines).toHaveLength(4)
    for (const [index, name] of ours.entries()) expect(lines[index]).not.toBe(name)
    expect(lines[3]).toBe('1')
  })

  test('a parent-death signal, which kills the child when its parent ends', () => {
    const result = scriptResult(`
      import { SIGKILL } from '@pkg/sys/constants'
      import { prctl_set_child_subreaper, waitid } from '@pkg/sys/process'
      import { spawn } from '@pkg/sys/spawn'
      prctl_set_child_subreaper(true)
      const code = \`
        import { SIGKILL } from '@pkg/sys/constants'
        import { spawn } from '@pkg/sys/spawn'
        spawn({ file: '/bin/sleep', args: ['60'], env: {}, parentDeathSignal: SIGKILL })
        process.exit(0)\`
      using parent = spawn({ file: process.execPath, args: ['-e', code], env: {}, stdio: ['null', 'inherit', 'inherit'] })
      await parent.wait()
      const orphan = waitid({ idtype: 0, options: 4 })
      process.stdout.write(JSON.stringify([orphan.code, orphan.status]))`)
    expect(result).toEqual([2, SIGKILL])
  })
})

describe('spawn() as another user', () => {
  const ids = { uid: 12_345, gid: 23_456, groups: [1, 77, 34_567] }

  test.runIf(isRoot)('sets real, effective and saved ids, and the groups', async () => {
    expect(await status('Uid', ids)).toBe('12345\t12345\t12345\t12345')
    expect(await status('Gid', ids)).toBe('23456\t23456\t23456\t23456')
    expect(await status('Groups', ids)).toBe('1 77 34567')
    expect(await status('Groups', { ...ids, groups: [] })).toBe('')
    expect(await status('CapEff', ids)).toBe('0000000000000000')
  })

  test.runIf(isRoot)('leaves this process traceable: its memory was shared with the child', async () => {
    const PR_GET_DUMPABLE = 3
    expect(syscall('prctl', PR_GET_DUMPABLE, 0, 0, 0, 0)).toBe(1)
    await run({ file: '/bin/true', env: {}, ...ids })
    expect(syscall('prctl', PR_GET_DUMPABLE, 0, 0, 0, 0)).toBe(1)
    expect(() => spawn({ file: '/none', env: {}, ...ids })).toThrow('ENOENT')
    expect(syscall('prctl', PR_GET_DUMPABLE, 0, 0, 0, 0)).toBe(1)
  })

  test('is EPERM for who is not root, and names the step', () => {
    const code = `
      import { spawn } from '@pkg/sys/spawn'
      const messages = []
      for (const options of [{ uid: 1 }, { gid: 1 }, { groups: [] }, { nice: -5 }]) {
        try { spawn({ file: '/bin/true', env: {}, ...options }) } catch (error) { messages.push(error.message) }
      }
      process.stdout.write(JSON.stringify(messages))`
    const wrapper = isRoot ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : []
    expect(scriptResult(code, { wrapper })).toEqual([
      'spawn /bin/true: setresuid(1, 1, 1): EPERM: Operation not permitted',
      'spawn /bin/true: setresgid(1, 1, 1): EPERM: Operation not permitted',
      'spawn /bin/true: setgroups(0, ""): EPERM: Operation not permitted',
      'spawn /bin/true: setpriority(0, 0, -5): EACCES: Permission denied',
    ])
  })
})

describe('spawn() refuses before any call', () => {
  const refused: [string, Partial<SpawnOptions>][] = [
    ['an empty file', { file: '' }],
    ['a NUL in the file', { file: '/bin/a\0b' }],
    ['a NUL in an argument', { args: ['a\0b'] }],
    ['a NUL in the environment', { env: { A: 'b\0c' } }],
    ['a NUL in cwd', { cwd: '/a\0b' }],
    ['a variable without a name', { env: { '': 'x' } }],
    ['a variable with = in its name', { env: { 'A=B': 'x' } }],
    ['nice above 19', { nice: 20 }],
    ['nice that is no integer', { nice: Number.NaN }],
    ['oomScoreAdj below −1000', { oomScoreAdj: -1001 }],
    ['a negative limit', { rlimits: [{ resource: RLIMIT_NOFILE, soft: -1, hard: 1 }] }],
    ['a fractional limit', { rlimits: [{ resource: RLIMIT_NOFILE, soft: 1.5, hard: 2 }] }],
    ['a flag that is no namespace', { namespaces: 0x0000_0100 }],
    ['fds of stdio', { fds: { 2: 1 } }],
    ['a negative descriptor', { fds: { 3: -1 } }],
    ['a bad descriptor after a pipe was made', { stdio: ['pipe', 'pipe', -1] }],
    ['a fractional uid', { uid: 1.5 }],
    ['a group that is no number', { groups: ['x' as unknown as number] }],
  ]
  test.each(refused)('%s', (_, options) => {
    expect(() => spawn({ file: '/bin/true', env: {}, ...options })).toThrow(/./)
    try {
      spawn({ file: '/bin/true', env: {}, ...options })
    } catch (error) {
      expect(error instanceof TypeError || error instanceof RangeError, String(error)).toBe(true)
    }
  })
})

test('spawn() leaves out variables that are undefined', async () => {
  expect(await output({ file: '/usr/bin/env', env: { A: undefined, B: '' } })).toBe('B=\n')
})

test('spawn() says what it expected', () => {
  const start = (options: object) => (): unknown => spawn({ file: '/bin/true', env: {}, ...options })
  expect(() => spawn(undefined as unknown as SpawnOptions)).toThrow(TypeError)
  for (const [options, message] of [
    [{ file: 5 }, 'file must be a string: not a number'],
    [{ file: '' }, 'file is empty'],
    [{ env: undefined }, 'env must be an object of strings: the whole environment: it is missing'],
    [{ env: { A: 5 } }, 'env.A must be a string: not a number'],
    [{ env: { 'A=': '' } }, 'env: not a variable'],
    [{ args: 'hello' }, 'args must be a list of strings: not a string'],
    [{ args: ['a', 5] }, 'args[1] must be a string: not a number'],
    [{ argv0: 5 }, 'argv0 must be a string'],
    [{ stdio: 'pipe' }, 'stdio must be a list of three'],
    [{ stdio: ['null', 'pipes'] }, "stdio[1] must be 'null', 'inherit', 'pipe' or a descriptor"],
    [{ fds: [0] }, 'fds must be an object'],
    [{ rlimits: { soft: 1 } }, 'rlimits must be a list of { resource, soft, hard }: not an object'],
    [{ rlimits: [null] }, 'rlimits[0] must be { resource, soft, hard }: not null'],
    [{ rlimits: [{ resource: 7, soft: 1 }] }, 'rlimits[0].hard must be a number: it is missing'],
  ] as const) {
    expect(start(options)).toThrow(TypeError)
    expect(start(options)).toThrow(message)
  }
  expect(start({ oomScoreAdj: 1001 })).toThrow(RangeError)
})

test('Child.kill() signals the child, and the status tells which signal', async () => {
  using child = spawn({ file: '/bin/sleep', args: ['60'], env: {} })
  child.kill(SIGTERM)
  expect(await child.wait()).toEqual({ pid: child.pid, code: null, signal: SIGTERM, coreDumped: false })
  expect(() => child.kill(SIGTERM)).toThrow('ESRCH')
})

test('a child that reads standard input to its end gets what is written', async () => {
  using child = spawn({ file: '/bin/cat', env: {}, stdio: ['pipe', 'pipe', 'inherit'] })
  if (child.stdin === undefined || child.stdout === undefined) throw new TypeError('no pipes')
  expect(child.stderr).toBeUndefined()
  syscall('write', child.stdin.fd, new TextEncoder().encode('to and fro'), 10)
  child.stdin.close()
  expect(await readAll(child.stdout)).toBe('to and fro')
  expect((await child.wait()).code).toBe(0)
})
