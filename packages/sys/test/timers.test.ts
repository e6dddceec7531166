// Timers, sleeping, the state of clocks; signals by hand; epoll and poll; futexes.
import { describe, expect, test } from 'vitest'
import * as c from '../src/constants.ts'
import * as event from '../src/event.ts'
import * as futex from '../src/futex.ts'
import { memfd_create, ftruncate, pipe2, write } from '../src/io.ts'
import { mmap } from '../src/memory.ts'
import { spawn } from '../src/spawn.ts'
import * as time from '../src/time.ts'
import { scriptResult } from './child-script.ts'

function codeOf(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).name
  }
}
const ms = 1_000_000n

describe('timers', () => {
  test('timer_create() and timer_settime() send their signal and value, timer_gettime() tells what is left, timer_getoverrun() and timer_delete()', () => {
    const result = scriptResult(`
      import { watchSignals } from '@pkg/sys/signal'
      import * as t from '@pkg/sys/time'
      const timer = t.timer_create(1, 44, -7)
      const found = []
      const watch = watchSignals([44], ({ code, value }) => {
        found.push([code, value])
        if (found.length !== 2) return
        const { intervalNs, valueNs } = t.timer_gettime(timer)
        const left = t.timer_settime(timer, 0, { valueNs: 0n })
        const rest = [intervalNs === 3000001n, valueNs <= 3000001n, left.intervalNs === 3000001n,
          t.timer_gettime(timer).valueNs === 0n, t.timer_getoverrun(timer) >= 0]
        t.timer_delete(timer)
        try { t.timer_gettime(timer) } catch (error) { rest.push(error.code) }
        process.stdout.write(JSON.stringify([found, rest]))
        // Not before the timer is gone: on a busy machine it would end the process by its next signal.
        watch[Symbol.dispose]()
      })
      t.timer_settime(timer, 0, { valueNs: 1000000n, intervalNs: 3000001n })`)
    // SI_TIMER is −2.
    expect(result).toEqual([
      [
        [-2, -7],
        [-2, -7],
      ],
      [true, true, true, true, true, 'EINVAL'],
    ])
  })

  test('setitimer() and getitimer() are SIGALRM', () => {
    const result = scriptResult(`
      import { ITIMER_REAL, SIGALRM } from '@pkg/sys/constants'
      import { watchSignals } from '@pkg/sys/signal'
      import { getitimer, setitimer } from '@pkg/sys/time'
      const watch = watchSignals([SIGALRM], () => {
        watch[Symbol.dispose]()
        const left = setitimer(ITIMER_REAL, { valueNs: 0n })
        process.stdout.write(JSON.stringify([String(left.intervalNs), String(getitimer(ITIMER_REAL).valueNs)]))
      })
      setitimer(ITIMER_REAL, { valueNs: 2000000n, intervalNs: 60000000000n })`)
    expect(result).toEqual(['60000000000', '0'])
  })

  test('nanosleep() and clock_nanosleep() take their time', () => {
    const start = time.clock_gettime(c.CLOCK_MONOTONIC)
    time.nanosleep(3n * ms)
    const middle = time.clock_gettime(c.CLOCK_MONOTONIC)
    time.clock_nanosleep(c.CLOCK_MONOTONIC, 1, middle + 4n * ms)
    const end = time.clock_gettime(c.CLOCK_MONOTONIC)
    expect(middle - start >= 3n * ms && end - middle >= 4n * ms).toBe(true)
    time.clock_nanosleep(c.CLOCK_MONOTONIC, 1, 0n)
    expect(codeOf(() => time.clock_nanosleep(99, 0, 1n))).toBe('EINVAL')
    expect(() => time.nanosleep(-1n)).toThrow(RangeError)
    expect(() => time.nanosleep(1 as unknown as bigint)).toThrow(TypeError)
  })
})

describe('clocks', () => {
  test('clock_adjtime() and adjtimex() tell how the clock is steered, and steer it', () => {
    const { state, timex } = time.clock_adjtime(c.CLOCK_REALTIME)
    expect(state).toBeGreaterThanOrEqual(0)
    expect(Number(timex.get('tick'))).toBeGreaterThan(9000)
    // As root of this machine: the same tick again changes nothing, a wrong one is refused.
    const tick = timex.get('tick')
    const ADJ_TICK = 0x4000
    expect(
      time.adjtimex((change) => (change.set('modes', ADJ_TICK), change.set('tick', tick))).timex.get('tick'),
    ).toBe(tick)
    expect(
      codeOf(() => time.adjtimex((change) => (change.set('modes', ADJ_TICK), change.set('tick', 1)))),
    ).toBe('EINVAL')
    const seconds = Number(time.adjtimex().timex.get('time.tv_sec'))
    expect(Math.abs(seconds - Date.now() / 1000)).toBeLessThan(2)
  })

  test('gettimeofday() and settimeofday(): the time, and a zone that is kept', () => {
    const { timeUs, timezone } = time.gettimeofday()
    expect(Math.abs(Number(timeUs) / 1000 - Date.now())).toBeLessThan(1000)
    time.settimeofday({ timezone: { ...timezone, tz_dsttime: 1 } })
    expect(time.gettimeofday().timezone.tz_dsttime).toBe(1)
    time.settimeofday({ timezone })
    expect(time.gettimeofday().timezone).toEqual(timezone)
    expect(codeOf(() => time.settimeofday({ timeUs: 2n ** 63n - 1n }))).toBe('EINVAL')
  })
})

describe('signals by hand', () => {
  test('rt_sigqueueinfo() and rt_tgsigqueueinfo() bring a value', () => {
    const result = scriptResult(`
      import { gettid } from '@pkg/sys/process'
      import { rt_sigqueueinfo, rt_tgsigqueueinfo, watchSignals } from '@pkg/sys/signal'
      const found = []
      const watch = watchSignals([50], ({ code, value, pid }) => {
        found.push([code, value, pid === process.pid])
        if (found.length < 2) return
        watch[Symbol.dispose]()
        let code2; try { rt_sigqueueinfo(0x7ffffffe, 50, 1) } catch (error) { code2 = error.code }
        process.stdout.write(JSON.stringify([found, code2]))
      })
      rt_sigqueueinfo(process.pid, 50, 1234567)
      rt_tgsigqueueinfo(process.pid, gettid(), 50, -1)`)
    // SI_QUEUE is −1.
    expect(result).toEqual([
      [
        [-1, 1_234_567, true],
        [-1, -1, true],
      ],
      'ESRCH',
    ])
  })

  test('rt_sigprocmask(), rt_sigpending() and rt_sigtimedwait(): a blocked signal waits until it is taken', () => {
    const result = scriptResult(`
      import { readFileSync } from 'node:fs'
      import { SIG_BLOCK, SIG_UNBLOCK } from '@pkg/sys/constants'
      import { gettid } from '@pkg/sys/process'
      import { rt_sigpending, rt_sigprocmask, rt_sigtimedwait, rt_tgsigqueueinfo } from '@pkg/sys/signal'
      const before = rt_sigprocmask(SIG_BLOCK, [51, 52])
      const blocked = BigInt('0x' + /SigBlk:\\t(.*)/.exec(readFileSync('/proc/thread-self/status', 'utf8'))[1])
      rt_tgsigqueueinfo(process.pid, gettid(), 51, 99)
      const pending = rt_sigpending()
      const info = rt_sigtimedwait([51, 52], 1000000000n)
      const none = rt_sigtimedwait([51, 52], 1000000n)
      const during = rt_sigprocmask(SIG_UNBLOCK, [51])
      process.stdout.write(JSON.stringify([before.includes(51), (blocked >> 50n) & 1n ? 1 : 0, pending,
        [info.signo, info.value], none, during.includes(51), rt_sigpending()]))`)
    expect(result).toEqual([false, 1, [51], [51, 99], null, true, []])
  })
})

describe('waiting for several', () => {
  test('epoll_create1(), epoll_ctl(), epoll_pwait() and epoll_pwait2() tell who is ready', () => {
    using set = event.epoll_create1()
    using first = event.eventfd2(0, c.EFD_NONBLOCK)
    using second = event.eventfd2(1, c.EFD_NONBLOCK)
    event.epoll_ctl(set, c.EPOLL_CTL_ADD, first, { events: c.EPOLLIN, data: 2n ** 64n - 1n })
    event.epoll_ctl(set, c.EPOLL_CTL_ADD, second, { events: c.EPOLLIN, data: 22n })
    expect(event.epoll_pwait(set, -1)).toEqual([{ events: c.EPOLLIN, data: 22n }])
    write(first, new Uint8Array(BigUint64Array.of(1n).buffer))
    expect(
      event
        .epoll_pwait2(set)
        .map(({ data }) => data)
        .toSorted((a, b) => Number(b > a) - Number(a > b)),
    ).toEqual([2n ** 64n - 1n, 22n])
    expect(event.epoll_pwait(set, 0, 1)).toHaveLength(1)
    event.epoll_ctl(set, c.EPOLL_CTL_MOD, second, { events: c.EPOLLOUT | c.EPOLLET, data: 5n })
    event.epoll_ctl(set, c.EPOLL_CTL_DEL, first)
    expect(event.epoll_pwait2(set, 0n)).toEqual([{ events: c.EPOLLOUT, data: 5n }])
    const start = performance.now()
    expect(event.epoll_pwait2(set, 5n * ms)).toEqual([])
    expect(performance.now() - start).toBeGreaterThan(4)
    expect(codeOf(() => event.epoll_ctl(set, c.EPOLL_CTL_DEL, first))).toBe('ENOENT')
    expect(() => event.epoll_ctl(set, c.EPOLL_CTL_ADD, first)).toThrow(TypeError)
    expect(() => event.epoll_pwait(set, 0, 0)).toThrow(RangeError)
  })

  test('ppoll() tells what each is', () => {
    using pipe = pipe2(0)
    const state = (): number[] =>
      event.ppoll(
        [
          { fd: pipe.read, events: c.POLLIN },
          { fd: pipe.write, events: c.POLLOUT },
          { fd: 9999, events: c.POLLIN },
        ],
        ms,
      )
    expect(state()).toEqual([0, c.POLLOUT, c.POLLNVAL])
    write(pipe.write, new Uint8Array(1))
    expect(state()).toEqual([c.POLLIN, c.POLLOUT, c.POLLNVAL])
    expect(event.ppoll([], 1n)).toEqual([])
  })
})

describe('futexes', () => {
  test('futex_wait(), futex_wait_relative() and futex_waitv() do not sleep when the word is another, and end in time', () => {
    using mapping = mmap({ lengthBytes: 4096, flags: c.MAP_SHARED | c.MAP_ANONYMOUS })
    const word = { mapping, offset: 8 }
    mapping.bytes[8] = 5
    const soon = (): bigint => time.clock_gettime(c.CLOCK_MONOTONIC) + 2n * ms
    expect(codeOf(() => futex.futex_wait(word, 4))).toBe('EAGAIN')
    expect(codeOf(() => futex.futex_wait(word, 5, soon()))).toBe('ETIMEDOUT')
    expect(codeOf(() => futex.futex_wait_relative(word, 4))).toBe('EAGAIN')
    expect(codeOf(() => futex.futex_wait_relative(word, 5, 2n * ms))).toBe('ETIMEDOUT')
    const two = [
      { ...word, value: 5 },
      { mapping, offset: 12, value: 0 },
    ]
    expect(codeOf(() => futex.futex_waitv(two, soon()))).toBe('ETIMEDOUT')
    expect(codeOf(() => futex.futex_waitv([{ ...word, value: 1 }]))).toBe('EAGAIN')
    expect(() => futex.futex_wait({ mapping, offset: 4094 }, 0)).toThrow(RangeError)
    expect(() => futex.futex_waitv([])).toThrow(RangeError)
  })

  /** A process that sleeps at the first word of the shared file by the given code. */
  const sleeper = (code: string, file: ReturnType<typeof memfd_create>): ReturnType<typeof spawn> =>
    spawn({
      file: process.execPath,
      args: [
        '-e',
        `import { mmap } from '@pkg/sys/memory'
         import * as futex from '@pkg/sys/futex'
         const mapping = mmap({ lengthBytes: 4096, flags: 1, fd: 3 })
         const word = { mapping, offset: 0 }
         ${code}
         process.exit(7)`,
      ],
      env: {},
      cwd: `${import.meta.dirname}/..`,
      fds: { 3: file },
    })
  const sleepers = [
    ['futex_wake()', 'futex.futex_wait(word, 0)'],
    ['futex_wake()', 'futex.futex_waitv([{ ...word, value: 0 }])'],
    ['futex_wake_all()', 'futex.futex_wait_relative(word, 0)'],
  ] as const

  test('futex_wake(), futex_wake_all(): processes that sleep by futex_wait(), futex_waitv() and futex_wait_relative()', async () => {
    for (const [waker, code] of sleepers) {
      using file = memfd_create('futex', 0)
      ftruncate(file, 4096)
      using mapping = mmap({ lengthBytes: 4096, flags: c.MAP_SHARED, fd: file })
      using child = sleeper(code, file)
      const word = { mapping, offset: 0 }
      let woken = 0
      for (let round = 0; round < 5000 && woken === 0; round++) {
        await Bun.sleep(10)
        woken = waker === 'futex_wake()' ? futex.futex_wake(word, 1) : futex.futex_wake_all(word)
      }
      expect(woken, code).toBe(1)
      expect((await child.wait()).code).toBe(7)
    }
  })

  test('futex_requeue() and futex_cmp_requeue() let who sleeps at one word sleep at another', async () => {
    using file = memfd_create('futex', 0)
    ftruncate(file, 4096)
    using mapping = mmap({ lengthBytes: 4096, flags: c.MAP_SHARED, fd: file })
    using child = sleeper('futex.futex_wait(word, 0)', file)
    const [first, second, third] = [0, 4, 8].map((offset) => ({ mapping, offset, value: 0 }))
    if (first === undefined || second === undefined || third === undefined) throw new TypeError('no words')
    let moved = 0
    for (let round = 0; round < 5000 && moved === 0; round++) {
      await Bun.sleep(10)
      moved = futex.futex_requeue(first, second, { wake: 0, move: 1 })
    }
    expect(moved).toBe(1)
    expect(futex.futex_wake(first)).toBe(0)
    expect(futex.futex_cmp_requeue(second, 0, third, { wake: 0, move: 1 })).toBe(1)
    expect(codeOf(() => futex.futex_cmp_requeue(second, 1, third, { wake: 0, move: 1 }))).toBe('EAGAIN')
    expect(futex.futex_wake(third)).toBe(1)
    expect((await child.wait()).code).toBe(7)
  })
})
