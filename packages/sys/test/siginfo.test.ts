// Which fields a siginfo has, by what the signal came of: as the kernel delivers them.
import { expect, test } from 'vitest'
import { decodeSiginfo } from '../src/signal/siginfo.ts'
import { scriptResult } from './child-script.ts'

test('a siginfo has the fields of its code, and no others', () => {
  const found = scriptResult(`
    import * as c from '@pkg/sys/constants'
    import { pipe2, write } from '@pkg/sys/io'
    import { getpid, gettid } from '@pkg/sys/process'
    import { syscall } from '@pkg/sys/raw'
    import { rt_sigprocmask, rt_sigtimedwait, rt_tgsigqueueinfo } from '@pkg/sys/signal'
    import { tgkill } from '@pkg/sys/thread'
    rt_sigprocmask(c.SIG_BLOCK, [50])
    const take = () => rt_sigtimedwait([50], 10_000_000_000)
    const me = getpid()
    const found = []
    tgkill(me, gettid(), 50)
    found.push(take())
    rt_tgsigqueueinfo(me, gettid(), 50, -5)
    found.push(take())
    // asm-generic/fcntl.h
    const [F_SETSIG, F_SETOWN_EX, F_OWNER_TID, O_ASYNC] = [10, 15, 0, 0o20000]
    using pipe = pipe2(0)
    syscall('fcntl', pipe.read.fd, F_SETSIG, 50)
    // To this thread: another does not block the signal.
    syscall('fcntl', pipe.read.fd, F_SETOWN_EX, Int32Array.of(F_OWNER_TID, gettid()))
    syscall('fcntl', pipe.read.fd, c.F_SETFL, O_ASYNC)
    write(pipe.write, new Uint8Array(1))
    found.push({ ...take(), isPipe: pipe.read.fd })
    process.stdout.write(JSON.stringify([me, process.getuid(), ...found]))`) as unknown[]
  const [pid, uid, killed, queued, ready] = found
  expect(killed).toEqual({ signo: 50, errno: 0, code: -6, pid, uid })
  expect(queued).toEqual({ signo: 50, errno: 0, code: -1, pid, uid, value: -5 })
  const { isPipe, band } = ready as { isPipe: number; band: number }
  // POLLIN and POLLRDNORM.
  expect(ready).toEqual({ signo: 50, errno: 0, code: 1, band, fd: isPipe, isPipe })
  expect(band & 0x41).toBe(0x41)
})

test('a siginfo of a timer, a child and a refused call', () => {
  const decoded = (signo: number, code: number): unknown => {
    // pid and uid; the timer's id and overrun; the band: what lies there depends.
    const words = Int32Array.of(signo, 0, code, 0, 11, 12, 13, 14)
    return JSON.parse(JSON.stringify(decodeSiginfo(new DataView(words.buffer), 0)))
  }
  const [SIGCHLD, SIGSYS, SIGALRM] = [17, 31, 14]
  expect(decoded(SIGALRM, -2)).toEqual({ signo: SIGALRM, errno: 0, code: -2, overrun: 12, value: 13 })
  expect(decoded(SIGCHLD, 1)).toEqual({ signo: SIGCHLD, errno: 0, code: 1, pid: 11, uid: 12, status: 13 })
  expect(decoded(SIGCHLD, 0)).toEqual({ signo: SIGCHLD, errno: 0, code: 0, pid: 11, uid: 12 })
  expect(decoded(SIGSYS, 1)).toEqual({ signo: SIGSYS, errno: 0, code: 1 })
  expect(decoded(SIGALRM, 0x80)).toEqual({ signo: SIGALRM, errno: 0, code: 0x80, pid: 11, uid: 12 })
  expect(decoded(50, -3)).toEqual({ signo: 50, errno: 0, code: -3, pid: 11, uid: 12, value: 13 })
})
