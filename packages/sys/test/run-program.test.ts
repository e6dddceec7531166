// Programs in borrowed processes: results, namespaces, descriptors, failures.
import { execFileSync } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { describe, expect, test } from 'vitest'
import * as c from '../src/constants.ts'
import { OwnedFd } from '../src/fd.ts'
import { openat } from '../src/fs.ts'
import { ioctl } from '../src/io.ts'
import { Program } from '../src/program.ts'
import { getresuid } from '../src/thread.ts'
import { runProgram } from '../src/run-program.ts'
import { spawn } from '../src/spawn.ts'
import { scriptResult } from './child-script.ts'
import { leftOpen, zombieCount } from './left-behind.ts'

function messageOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    return (error as Error).message
  }
  return 'nothing thrown'
}

describe('runProgram()', () => {
  test('gives back results and memory, from namespaces that are gone afterwards', () => {
    const program = new Program()
    program.call('sethostname', 'elsewhere', 9)
    const names = program.memory(6 * 65)
    program.call('uname', names)
    const pid = program.call('getpid')
    const missing = program.call('openat', c.AT_FDCWD, '/none', c.O_RDONLY, 0).ignoreErrors()
    const end = program.label()
    program.jump(end)
    const skipped = program.call('getppid')
    program.place(end)
    const namespaces = c.CLONE_NEWUSER | c.CLONE_NEWUTS | c.CLONE_NEWPID
    const before = hostname()
    const run = runProgram(program, { namespaces })
    expect(new TextDecoder().decode(run.contents(names).subarray(65, 75))).toBe('elsewhere\0')
    expect([run.result(pid), run.result(missing), run.result(skipped)]).toEqual([1, -2, 0])
    expect(hostname()).toBe(before)
    // It can run again, and what the first run left stays.
    expect(runProgram(program, { namespaces }).result(pid)).toBe(1)
    expect(new TextDecoder().decode(run.contents(names).subarray(65, 74))).toBe('elsewhere')
  })

  test('opens a socket inside the network of another process, and leaves it open here', async () => {
    using child = spawn({
      file: '/bin/sleep',
      args: ['60'],
      env: {},
      namespaces: c.CLONE_NEWUSER | c.CLONE_NEWNET,
    })
    using user = openat(c.AT_FDCWD, `/proc/${child.pid}/ns/user`, c.O_RDONLY)
    using net = openat(c.AT_FDCWD, `/proc/${child.pid}/ns/net`, c.O_RDONLY)
    const program = new Program()
    program.call('setns', user.fd, c.CLONE_NEWUSER)
    program.call('setns', net.fd, c.CLONE_NEWNET)
    const opened = program.call('socket', c.AF_INET, c.SOCK_DGRAM | c.SOCK_CLOEXEC, 0)
    using socket = new OwnedFd(runProgram(program, { sharesDescriptors: true }).result(opened))
    using found = new OwnedFd(ioctl(socket, c.SIOCGSKNS))
    const name = (path: string): string => readlinkSync(path)
    expect(name(`/proc/self/fd/${found.fd}`)).toBe(name(`/proc/${child.pid}/ns/net`))
    expect(name(`/proc/self/fd/${found.fd}`)).not.toBe(name('/proc/self/ns/net'))
    child.kill(9)
    await child.wait()
  })

  test('changes users, root and folders of the borrowed process alone', () => {
    const program = new Program()
    program.call('chroot', '/proc')
    program.call('chdir', '/')
    program.call('setresuid', 12, 12, 12)
    const uid = program.call('getuid')
    const folder = process.cwd()
    const before = getresuid()
    const dumpable = (): string =>
      execFileSync('stat', ['-c', '%u', `/proc/${process.pid}/stat`], { encoding: 'utf8' })
    const owner = dumpable()
    expect(runProgram(program).result(uid)).toBe(12)
    expect([getresuid(), process.cwd(), dumpable()]).toEqual([before, folder, owner])
  })

  test('names the step that ended the program, or what killed it, and leaves nothing', async () => {
    const fails = new Program()
    fails.call('getpid')
    fails.call('mkdirat', c.AT_FDCWD, '/proc/none', 0o755)
    const killed = new Program()
    killed.call('kill', killed.call('getpid'), 9)
    killed.call('ppoll', null, 0, null, null, 0)
    const left = await leftOpen(() => {
      expect(messageOf(() => runProgram(fails))).toBe(
        'runProgram: step 1, mkdirat(AT_FDCWD, "/proc/none", 0755): ENOENT: No such file or directory',
      )
      expect(messageOf(() => runProgram(killed))).toBe(
        'runProgram: ended by signal 9: EINTR: Interrupted system call',
      )
      expect(messageOf(() => runProgram(fails, { namespaces: c.CLONE_SIGHAND }))).toContain(
        'not possible: 0x800',
      )
      expect(() => runProgram({} as Program)).toThrow(TypeError)
      const run = runProgram(new Program())
      expect(() => run.result(fails.steps[0] as never)).toThrow(TypeError)
    })
    expect(left).toBe(0)
    expect(zombieCount()).toBe(0)
  })
})

describe('under the filter of a container runtime, which answers clone3 with ENOSYS and io_uring with EPERM', () => {
  /** `script` in a process of whose threads each has such a filter. */
  const filtered = (script: string): unknown =>
    scriptResult(`
      import * as c from '@pkg/sys/constants'
      import { prctl_set_no_new_privs } from '@pkg/sys/prctl'
      import { Program } from '@pkg/sys/program'
      import { reactor } from '@pkg/sys/reactor'
      import { runProgram } from '@pkg/sys/run-program'
      import { seccomp_set_mode_filter, seccompErrno, seccompFilter } from '@pkg/sys/seccomp'
      import { spawn } from '@pkg/sys/spawn'
      prctl_set_no_new_privs()
      const rules = [
        { calls: ['clone3'], action: seccompErrno('ENOSYS') },
        { calls: ['io_uring_setup'], action: seccompErrno('EPERM') },
      ]
      seccomp_set_mode_filter(seccompFilter({ rules }), c.SECCOMP_FILTER_FLAG_TSYNC)
      const text = async (child) => [await new Response(Bun.file(child.stdout.fd)).text(), (await child.wait()).code]
      const found = await (async () => { ${script} })()
      process.stdout.write(JSON.stringify(found))`)

  test('spawn() and runProgram() go on by clone, and the reactor in the engine’s loop', () => {
    const found = filtered(`
      const options = { args: ['-c', 'echo $0 $PWD; sleep 0.02; exit 3'], argv0: 'x', env: {}, cwd: '/proc', stdio: ['null', 'pipe', 'inherit'] }
      using child = spawn({ file: '/bin/sh', ...options, namespaces: c.CLONE_NEWUSER | c.CLONE_NEWPID })
      const [output, code] = await text(child)
      const program = new Program()
      const pid = program.call('getpid')
      const inside = runProgram(program, { namespaces: c.CLONE_NEWUSER | c.CLONE_NEWPID }).result(pid)
      let failure
      try { spawn({ file: '/none', env: {} }) } catch (error) { failure = error.message }
      return [output, code, inside, reactor().wakerKind, failure]`)
    const failure = 'spawn /none: execve: ENOENT: No such file or directory'
    expect(found).toEqual(['x /proc\n', 3, 1, 'loop', failure])
  })

  test('spawn() maps ranges of users by clone, too', () => {
    const found = filtered(`
      const ranges = [{ inside: 0, outside: 100000, count: 10 }, { inside: 20, outside: 200000 }]
      const ids = { uid: 0, gid: 0, groups: [] }
      const script = 'cat /proc/self/uid_map; id -u'
      using child = spawn({ file: '/bin/sh', args: ['-c', script], env: { PATH: '/usr/bin:/bin' }, stdio: ['null', 'pipe', 'inherit'],
        namespaces: c.CLONE_NEWUSER, uidMap: ranges, gidMap: ranges, ...ids })
      return await text(child)`) as [string, number]
    expect([found[0].split('\n').map((line) => line.trim().split(/ +/).join(' ')), found[1]]).toEqual([
      ['0 100000 10', '20 200000 1', '0', ''],
      0,
    ])
  })
})
