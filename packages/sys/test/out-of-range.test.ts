// Numbers that the kernel would read as others, and texts that it would cut: refused before the call, in words that say
// what was expected.
import { describe, expect, test } from 'vitest'
import { capget } from '../src/capability.ts'
import * as c from '../src/constants.ts'
import * as event from '../src/event.ts'
import * as futex from '../src/futex.ts'
import * as limits from '../src/limits.ts'
import { mmap } from '../src/memory.ts'
import * as queue from '../src/message-queue.ts'
import { migrate_pages } from '../src/numa.ts'
import { perf_event_open } from '../src/perf.ts'
import { prctl_set_ptracer } from '../src/prctl.ts'
import * as process from '../src/process.ts'
import { process_vm_readv } from '../src/process-memory.ts'
import * as scheduler from '../src/scheduler.ts'
import { rt_sigqueueinfo, rt_sigtimedwait, rt_tgsigqueueinfo } from '../src/signal.ts'
import * as system from '../src/system.ts'
import * as ipc from '../src/sysv-ipc.ts'
import * as thread from '../src/thread.ts'
import * as time from '../src/time.ts'
import { scriptResult } from './child-script.ts'

/** What TypeScript refuses and a caller may have: from `JSON.parse`, say. */
const any = (value: unknown): never => value as never

test('process ids are signed: 2³² − 1 is not −1', () => {
  const pid = 0xffff_ffff
  for (const call of [
    () => process.kill(pid, 0),
    () => process.getsid(pid),
    () => process.getpgid(pid),
    () => process.setpgid(pid, 0),
    () => process.setpgid(0, pid),
    () => process.kcmp(pid, 1, c.KCMP_VM),
    () => process.wait4(pid, c.WNOHANG),
    () => process.pidfd_open(pid),
    () => process.waitid({ idtype: c.P_PID, id: pid, options: c.WEXITED | c.WNOHANG }),
    () => limits.prlimit64(pid, c.RLIMIT_CORE),
    () => rt_sigqueueinfo(pid, 0, 0),
    () => rt_tgsigqueueinfo(pid, 1, 0, 0),
    () => thread.tgkill(pid, 1, 0),
    () => thread.tkill(pid, 0),
    () => scheduler.sched_getaffinity(pid),
    () => scheduler.sched_getscheduler(pid),
    () => process_vm_readv(pid, 4096, new Uint8Array(1)),
    () => capget(pid),
    () => prctl_set_ptracer(pid),
    () => perf_event_open({ type: c.PERF_TYPE_SOFTWARE, config: c.PERF_COUNT_SW_PAGE_FAULTS, pid }),
    () => perf_event_open({ type: c.PERF_TYPE_SOFTWARE, config: c.PERF_COUNT_SW_PAGE_FAULTS, cpu: pid }),
    () => migrate_pages(pid, [0], [0]),
  ])
    expect(call).toThrow(RangeError)
  expect(() => process.wait4(-1, c.WNOHANG)).not.toThrow(RangeError)
})

test('counts, a nice value and a time zone are signed, and the flags of a semaphore have 16 bits', () => {
  using mapping = mmap({ lengthBytes: 4096 })
  const word = { mapping, offset: 0 }
  const before = limits.getpriority(c.PRIO_PROCESS, 0)
  for (const call of [
    () => futex.futex_wake_all(word, 0xffff_ffff),
    () => futex.futex_wake(word, 0xffff_ffff),
    () => limits.setpriority(c.PRIO_PROCESS, 0, 0xffff_ffff),
    () => limits.getrusage(0xffff_ffff),
    () => time.settimeofday({ timezone: { tz_minuteswest: 0xffff_ffff, tz_dsttime: 0 } }),
    () => ipc.semop(0, [{ sem_num: 0, sem_op: 1, sem_flg: 0x1_0000 }]),
  ])
    expect(call).toThrow(RangeError)
  expect(limits.getpriority(c.PRIO_PROCESS, 0)).toBe(before)
})

test('clock_settime() and settimeofday() refuse seconds that would wrap', () => {
  const wrapped = 2n ** 64n * 1_000_000_000n
  expect(() => time.clock_settime(c.CLOCK_MONOTONIC, wrapped + 5n)).toThrow(RangeError)
  expect(() => time.clock_settime(c.CLOCK_MONOTONIC, -1n)).toThrow(RangeError)
  expect(() => time.clock_settime(c.CLOCK_MONOTONIC, any(5))).toThrow('timeNs must be a bigint')
  expect(() => time.clock_settime(c.CLOCK_MONOTONIC, 5n)).toThrow('EINVAL')
  expect(() => time.settimeofday({ timeUs: wrapped })).toThrow(RangeError)
  expect(() => time.settimeofday({ timeUs: -1n })).toThrow(RangeError)
  expect(() => time.settimeofday({ timeUs: any(5) })).toThrow('timeUs must be a bigint')
})

test('semctl_setall() refuses values of more than 16 bits, and the kernel those above 32767', () => {
  const set = ipc.semget(c.IPC_PRIVATE, 2, 0o600)
  try {
    ipc.semctl_setall(set, [7, 8])
    expect(() => ipc.semctl_setall(set, [65_536 + 1, 1])).toThrow(RangeError)
    expect(() => ipc.semctl_setall(set, [-1, 1])).toThrow(RangeError)
    expect(() => ipc.semctl_setall(set, [1.5, 1])).toThrow(RangeError)
    expect(() => ipc.semctl_setall(set, [32_768, 1])).toThrow('ERANGE')
    expect(ipc.semctl_getall(set)).toEqual([7, 8])
  } finally {
    ipc.semctl_rmid(set)
  }
})

test('ioprio_set() refuses classes that there are not', () => {
  const before = limits.ioprio_get(c.IOPRIO_WHO_PROCESS, 0)
  // 2¹⁹ would be shifted out, and leave IOPRIO_CLASS_NONE.
  for (const kind of [2 ** 19, 8, -1, 1.5, any(undefined)])
    expect(() => limits.ioprio_set(c.IOPRIO_WHO_PROCESS, 0, { class: kind, level: 0 })).toThrow(RangeError)
  expect(limits.ioprio_get(c.IOPRIO_WHO_PROCESS, 0)).toEqual(before)
})

test('ppoll() refuses events of more than 16 bits, epoll_pwait() more than 31 bits of milliseconds', () => {
  using counter = event.eventfd2(1)
  expect(() => event.ppoll([{ fd: counter, events: 0x1_0000 + c.POLLIN }], 0)).toThrow(RangeError)
  expect(() => event.ppoll([{ fd: counter, events: any(undefined) }], 0)).toThrow(RangeError)
  expect(event.ppoll([{ fd: counter, events: 0x8000 + c.POLLIN }], 0)).toEqual([c.POLLIN])
  using set = event.epoll_create1()
  event.epoll_ctl(set, c.EPOLL_CTL_ADD, counter, { events: c.EPOLLIN, data: 0n })
  expect(() => event.epoll_pwait(set, 2 ** 31)).toThrow(RangeError)
  expect(event.epoll_pwait(set, 2 ** 31 - 1)).toHaveLength(1)
})

test('sethostname() and setdomainname() refuse what is no text, and a NUL', () => {
  const before = system.uname()
  for (const name of [any(undefined), any(5), 'a\0b']) {
    expect(() => system.sethostname(name)).toThrow(TypeError)
    expect(() => system.setdomainname(name)).toThrow(TypeError)
  }
  expect(system.uname()).toEqual(before)
})

test('setitimer() rounds up to a microsecond, and carries into the second', () => {
  const found = scriptResult(`
    import { ITIMER_VIRTUAL, SIGVTALRM } from '@pkg/sys/constants'
    import { watchSignals } from '@pkg/sys/signal'
    import { getitimer, setitimer } from '@pkg/sys/time'
    let count = 0
    const watch = watchSignals([SIGVTALRM], () => count++)
    setitimer(ITIMER_VIRTUAL, { valueNs: 500n })
    while (count === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    setitimer(ITIMER_VIRTUAL, { valueNs: 100_999_999_500n, intervalNs: 999_999_500n })
    const { valueNs, intervalNs } = setitimer(ITIMER_VIRTUAL, { valueNs: 0n })
    watch[Symbol.dispose]()
    process.stdout.write(JSON.stringify([count, valueNs > 100_000_000_000n, Number(intervalNs)]))`)
  expect(found).toEqual([1, true, 1_000_000_000])
})

describe('timeouts are nanoseconds as a number or a bigint', () => {
  const mapping = mmap({ lengthBytes: 4096 })
  const word = { mapping, offset: 0 }
  const name = `/solo-timeouts-${globalThis.process.pid}`
  const size = { mq_maxmsg: 1, mq_msgsize: 8 }

  const waits: [name: string, wait: (timeout: number | bigint) => unknown, ended: unknown][] = [
    ['ppoll()', (timeout) => event.ppoll([], timeout), []],
    [
      'epoll_pwait2()',
      (timeout) => {
        using set = event.epoll_create1()
        return event.epoll_pwait2(set, timeout)
      },
      [],
    ],
    ['futex_wait_relative()', (timeout) => futex.futex_wait_relative(word, 0, timeout), 'ETIMEDOUT'],
    ['futex_waitv()', (timeout) => futex.futex_waitv([{ ...word, value: 0 }], timeout), 'ETIMEDOUT'],
    ['rt_sigtimedwait()', (timeout) => rt_sigtimedwait([60], timeout), null],
    [
      'mq_timedreceive()',
      (timeout) => {
        using own = queue.mq_open(name, c.O_RDWR | c.O_CREAT, 0o600, size)
        queue.mq_unlink(name)
        return queue.mq_timedreceive(own, timeout)
      },
      'ETIMEDOUT',
    ],
    [
      'semtimedop()',
      (timeout) => {
        const set = ipc.semget(c.IPC_PRIVATE, 1, 0o600)
        try {
          return ipc.semtimedop(set, [{ sem_num: 0, sem_op: -1 }], timeout)
        } finally {
          ipc.semctl_rmid(set)
        }
      },
      'EAGAIN',
    ],
  ]

  test.each(waits)('%s', (_, wait, ended) => {
    for (const timeout of [1000, 1000n]) {
      if (typeof ended === 'string') expect(() => wait(timeout)).toThrow(ended)
      else expect(wait(timeout)).toEqual(ended)
    }
    for (const timeout of ['1', null, {}]) expect(() => wait(any(timeout))).toThrow('a bigint or a number')
    for (const timeout of [1.5, Number.NaN, Infinity, 2n ** 63n])
      expect(() => wait(timeout)).toThrow(RangeError)
  })
})
