// Other processes: their memory, their descriptors, their groups and their ends; and becoming another program.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import * as c from '../src/constants.ts'
import { execve } from '../src/exec.ts'
import { memfd_create, write } from '../src/io.ts'
import * as memory from '../src/process-memory.ts'
import * as sys from '../src/process.ts'
import { type Child, spawn } from '../src/spawn.ts'
import { runScript, scriptResult } from './child-script.ts'

function codeOf(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).name
  }
}
const start = (options: Partial<Parameters<typeof spawn>[0]> = {}): Child =>
  spawn({
    file: '/bin/sleep',
    args: ['60'],
    env: { SOLO_MARK: 'solo-in-memory' },
    stdio: ['null', 'null', 'null'],
    ...options,
  })
async function end(child: Child): Promise<void> {
  child.kill(c.SIGKILL)
  await child.wait()
}
/**
 * Where the environment of a process begins, from /proc/<pid>/stat (proc_pid_stat(5), env_start, field 50). A process that
 * has just executed its program has none yet.
 */
async function environmentOf(pid: number): Promise<bigint> {
  const begin = (): bigint =>
    BigInt(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[47] ?? 0)
  await expect.poll(begin).not.toBe(0n)
  return begin()
}

test('process_vm_readv() and process_vm_writev() reach the memory of another process', async () => {
  using child = start()
  const buffer = new Uint8Array(24)
  const environment = await environmentOf(child.pid)
  expect(memory.process_vm_readv(child.pid, environment, buffer)).toBe(24)
  expect(new TextDecoder().decode(buffer)).toBe('SOLO_MARK=solo-in-memory')
  expect(memory.process_vm_writev(child.pid, environment, new TextEncoder().encode('OTHER'))).toBe(5)
  expect(readFileSync(`/proc/${child.pid}/environ`, 'utf8')).toBe('OTHERMARK=solo-in-memory\0')
  expect(codeOf(() => memory.process_vm_readv(child.pid, 0, buffer))).toBe('EFAULT')
  expect(codeOf(() => memory.process_vm_readv(0x7fff_fffe, 0, buffer))).toBe('ESRCH')
  expect(() => memory.process_vm_writev(process.pid, 4096, buffer)).toThrow(RangeError)
  expect(() => memory.process_vm_readv(child.pid, 2n ** 64n, buffer)).toThrow(RangeError)
  await end(child)
})

test('process_madvise() covers memory of another process, and process_mrelease() wants it killed', async () => {
  using child = start()
  const page = (await environmentOf(child.pid)) & ~4095n
  expect(memory.process_madvise(child.pidfd, page, 4096, c.MADV_COLD)).toBe(4096)
  expect(() => memory.process_madvise(child.pidfd, page, 4096, c.MADV_DONTNEED)).toThrow(RangeError)
  expect(codeOf(() => memory.process_mrelease(child.pidfd))).toBe('EINVAL')
  // Killed while it is stopped in the kernel it may be gone already; released or gone are both right.
  child.kill(c.SIGKILL)
  expect(['ESRCH', undefined]).toContain(codeOf(() => memory.process_mrelease(child.pidfd)))
  await child.wait()
  expect(codeOf(() => memory.process_mrelease(child.pidfd))).toBe('ESRCH')
})

test('pidfd_getfd() duplicates a descriptor, and kcmp() knows that it is the same file', async () => {
  using file = memfd_create('shared', 0)
  write(file, new Uint8Array(5))
  using child = start({ fds: { 7: file } })
  using copy = sys.pidfd_getfd(child.pidfd, 7)
  expect(sys.kcmp(process.pid, child.pid, c.KCMP_FILE, copy.fd, 7)).toBe(0)
  expect(sys.kcmp(process.pid, process.pid, c.KCMP_FILE, copy.fd, file.fd)).toBe(0)
  expect([1, 2]).toContain(sys.kcmp(process.pid, child.pid, c.KCMP_VM))
  expect(codeOf(() => sys.pidfd_getfd(child.pidfd, 99))).toBe('EBADF')
  expect(codeOf(() => sys.kcmp(process.pid, child.pid, c.KCMP_FILE, 9999, 7))).toBe('EBADF')
  await end(child)
})

test('getpgid() and setpgid() are the group of /proc', () => {
  const result = scriptResult(`
    import { readFileSync } from 'node:fs'
    import { getpgid, getpid, setpgid } from '@pkg/sys/process'
    const inProc = () => Number(readFileSync('/proc/self/stat', 'utf8').split(') ')[1].split(' ')[2])
    const found = [getpgid() === inProc()]
    setpgid(0, 0)
    found.push(getpgid() === getpid(), inProc() === getpid())
    try { setpgid(1, 0) } catch (error) { found.push(error.code) }
    process.stdout.write(JSON.stringify(found))`)
  expect(result).toEqual([true, true, true, 'ESRCH'])
})

test('personality() is what /proc shows and uname(1) obeys', () => {
  const result = scriptResult(`
    import { readFileSync } from 'node:fs'
    import { personality } from '@pkg/sys/process'
    const before = personality(0xffffffff)
    personality(before | 0x0020000)
    process.stdout.write(JSON.stringify([readFileSync('/proc/self/personality', 'utf8').trim(),
      Bun.spawnSync(['uname', '-r']).stdout.toString().startsWith('2.6.')]))`)
  expect(result).toEqual(['00020000', true])
})

test('wait4() reaps with what was used', () => {
  using child = spawn({
    file: '/bin/sh',
    args: ['-c', 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 9'],
    env: {},
  })
  const result = sys.wait4(child.pid)
  expect(result).toMatchObject({ pid: child.pid, status: 9 << 8 })
  expect((result?.rusage.userUs ?? 0) + (result?.rusage.systemUs ?? 0)).toBeGreaterThan(1000)
  expect(result?.rusage.ru_maxrss).toBeGreaterThan(100)
  expect(codeOf(() => sys.wait4(child.pid))).toBe('ECHILD')
  using other = start()
  expect(sys.wait4(other.pid, c.WNOHANG)).toBeNull()
  other.kill(c.SIGKILL)
  expect(sys.wait4(other.pid)).toMatchObject({ status: c.SIGKILL })
})

test('execve() becomes another program with its arguments and environment', () => {
  const { stdout, status } = runScript(`
    import { execve } from '@pkg/sys/exec'
    const before = process.pid
    try { execve('/none', [], {}) } catch (error) { console.log(error.code) }
    execve('/bin/sh', ['shell', '-c', 'echo $0 $A "$B"; [ $$ = ' + before + ' ] && exit 5'], { A: 'ü', B: 'two words' })`)
  expect([stdout, status]).toEqual(['ENOENT\nshell ü two words\n', 5])
  expect(
    runScript(`import { execve } from '@pkg/sys/exec'; execve('/bin/true', ['a\\0'], {})`).stderr,
  ).toContain('NUL')
})

test('execve() lets the next program end by SIGPIPE, and leaves out variables that are undefined', () => {
  const { stdout, stderr } = runScript(`
    import { readFileSync } from 'node:fs'
    import { execve } from '@pkg/sys/exec'
    const ignored = () => /SigIgn:\\t(.*)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]
    const before = ignored()
    try { execve('/none', [], {}) } catch {}
    console.log(before === ignored(), before !== '0000000000000000')
    execve('/bin/sh', ['sh', '-c', 'grep SigIgn /proc/self/status; env'], { PATH: '/usr/bin:/bin', PWD: '/', A: undefined })`)
  expect(stderr).toBe('')
  const [first, second, ...variables] = stdout.trim().split('\n')
  expect([first, second]).toEqual(['true true', 'SigIgn:\t0000000000000000'])
  expect(variables.filter((line) => line.startsWith('A='))).toEqual([])
})

test('execve() says what it expected', () => {
  const call = execve as (...parameters: unknown[]) => never
  expect(() => call('/none', 'hello', {})).toThrow('args must be a list of strings')
  expect(() => call('/none', [5], {})).toThrow('args must be a string')
  expect(() => call('/none', [])).toThrow('env must be an object of strings')
  expect(() => call('/none', [], { A: 5 })).toThrow('env.A must be a string')
})

test('execveat() executes an open file, and with AT_EXECVE_CHECK only asks', () => {
  const { stdout } = runScript(`
    import { AT_EMPTY_PATH, AT_EXECVE_CHECK, AT_FDCWD, O_PATH } from '@pkg/sys/constants'
    import { execveat } from '@pkg/sys/exec'
    import { openat } from '@pkg/sys/fs'
    execveat(AT_FDCWD, '/bin/true', ['x'], {}, AT_EXECVE_CHECK)
    try { execveat(AT_FDCWD, '/etc/passwd', ['x'], {}, AT_EXECVE_CHECK) } catch (error) { console.log(error.code) }
    const program = openat(AT_FDCWD, '/bin/echo', O_PATH)
    execveat(program, '', ['echo', 'from a descriptor'], {}, AT_EMPTY_PATH)`)
  expect(stdout).toBe('EACCES\nfrom a descriptor\n')
})
