// Processes: ids, signals, waiting.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  CLD_EXITED,
  CLD_KILLED,
  CLD_STOPPED,
  P_ALL,
  P_PID,
  P_PIDFD,
  SIGCONT,
  SIGKILL,
  SIGSTOP,
  WEXITED,
  WNOHANG,
  WNOWAIT,
  WSTOPPED,
} from '../src/constants.ts'
import * as sys from '../src/process.ts'
import { spawn } from '../src/spawn.ts'
import { scriptResult } from './child-script.ts'

const statusField = (field: string): string =>
  new RegExp(`^${field}:\\s*(.*)$`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
const sleeping = (): ReturnType<typeof spawn> =>
  spawn({ file: '/bin/sleep', args: ['60'], env: {}, stdio: ['null', 'null', 'null'] })
function codeOf(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return (error as { code?: string }).code
  }
}

describe('ids', () => {
  test('of getpid(), getppid(), gettid(), getuid(), geteuid(), getgid(), getegid() and getsid() are those of /proc', () => {
    expect([sys.getpid(), sys.getppid()]).toEqual([process.pid, process.ppid])
    expect([sys.getuid(), sys.geteuid()].map(String)).toEqual(statusField('Uid').split('\t').slice(0, 2))
    expect([sys.getgid(), sys.getegid()].map(String)).toEqual(statusField('Gid').split('\t').slice(0, 2))
    expect(sys.gettid()).toBe(process.pid)
    expect(sys.getsid()).toBe(Number(readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ')[3]))
  })

  test('setsid() makes a session where it may', () => {
    const result = scriptResult(`
      import { getpid, getsid, setsid } from '@pkg/sys/process'
      const found = [setsid() === getpid(), getsid() === getpid()]
      try { setsid() } catch (error) { found.push(error.code) }
      process.stdout.write(JSON.stringify(found))`)
    expect(result).toEqual([true, true, 'EPERM'])
  })
})

describe('kill(), pidfd_send_signal() and pidfd_open()', () => {
  test('ask with signal 0, and report ESRCH and EINVAL', () => {
    sys.kill(sys.getpid(), 0)
    expect(codeOf(() => sys.kill(0x7fff_ffff, 0))).toBe('ESRCH')
    expect(codeOf(() => sys.kill(sys.getpid(), 65))).toBe('EINVAL')
    expect(() => sys.kill(undefined as unknown as number, 9)).toThrow(TypeError)
    expect(() => sys.kill(sys.getpid(), Number.NaN)).toThrow(RangeError)
    expect(codeOf(() => sys.pidfd_open(0x7fff_ffff))).toBe('ESRCH')
    expect(codeOf(() => sys.pidfd_send_signal(0, 0))).toBe('EBADF')
  })

  test('hit the process that the pidfd was opened for', async () => {
    using child = sleeping()
    using pidfd = sys.pidfd_open(child.pid)
    sys.pidfd_send_signal(pidfd, 0)
    sys.pidfd_send_signal(pidfd, SIGKILL)
    expect((await child.wait()).signal).toBe(SIGKILL)
    expect(codeOf(() => sys.pidfd_send_signal(pidfd, 0))).toBe('ESRCH')
  })
})

describe('waitid()', () => {
  test('tells stops and ends, without reaping when asked so', () => {
    using child = sleeping()
    const { pid, pidfd } = child
    expect(sys.waitid({ idtype: P_PID, id: pid, options: WEXITED | WNOHANG })).toBeNull()
    child.kill(SIGSTOP)
    expect(sys.waitid({ idtype: P_PID, id: pid, options: WSTOPPED })).toMatchObject({
      pid,
      code: CLD_STOPPED,
      status: SIGSTOP,
    })
    child.kill(SIGCONT)
    child.kill(SIGKILL)
    const ended = { pid, uid: sys.getuid(), code: CLD_KILLED, status: SIGKILL }
    expect(sys.waitid({ idtype: P_PIDFD, id: pidfd, options: WEXITED | WNOWAIT })).toEqual(ended)
    expect(sys.waitid({ idtype: P_PIDFD, id: pidfd, options: WEXITED })).toEqual(ended)
    expect(codeOf(() => sys.waitid({ idtype: P_PIDFD, id: pidfd, options: WEXITED }))).toBe('ECHILD')
  })

  test('tells every exit status', () => {
    for (const status of [0, 1, 127, 128, 255]) {
      using child = spawn({ file: '/bin/sh', args: ['-c', `exit ${status}`], env: {} })
      expect(sys.waitid({ idtype: P_PID, id: child.pid, options: WEXITED })).toMatchObject({
        code: CLD_EXITED,
        status,
      })
    }
  })

  test('refuses what cannot be', () => {
    expect(codeOf(() => sys.waitid({ idtype: P_ALL, options: 0 }))).toBe('EINVAL')
    expect(() => sys.waitid({ idtype: P_PIDFD, options: WEXITED })).toThrow(TypeError)
    expect(() => sys.waitid({ idtype: P_PID, id: 1.5, options: WEXITED })).toThrow(RangeError)
  })
})

describe('prctl', () => {
  test('a subreaper gets the orphans of its descendants', () => {
    const result = scriptResult(`
      import { P_ALL, WEXITED } from '@pkg/sys/constants'
      import { prctl_get_child_subreaper, prctl_set_child_subreaper, waitid } from '@pkg/sys/process'
      import { spawn } from '@pkg/sys/spawn'
      const found = [prctl_get_child_subreaper()]
      prctl_set_child_subreaper(true)
      found.push(prctl_get_child_subreaper())
      using child = spawn({ file: '/bin/sh', args: ['-c', '(sleep 0.05; exit 7) & exit 3'], env: { PATH: '/bin' } })
      const statuses = [waitid({ idtype: P_ALL, options: WEXITED }), waitid({ idtype: P_ALL, options: WEXITED })]
      found.push(statuses.map(({ status }) => status))
      process.stdout.write(JSON.stringify(found))`)
    expect(result).toEqual([false, true, [3, 7]])
  })

  test('prctl_set_name() names the process, cut to 15 bytes', () => {
    const result = scriptResult(`
      import { readFileSync } from 'node:fs'
      import { prctl_set_name } from '@pkg/sys/process'
      prctl_set_name('solo-0123456789-too-long')
      process.stdout.write(JSON.stringify(readFileSync('/proc/self/comm', 'utf8')))`)
    expect(result).toBe('solo-0123456789\n')
  })
})
