// Reactor and watchSignals where they are held wrongly: nothing spins, nothing is lost for others.
import { readdirSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import * as c from '../src/constants.ts'
import type { OwnedFd } from '../src/fd.ts'
import { duplicate, pipe2, write } from '../src/io.ts'
import { prlimit64 } from '../src/limits.ts'
import { type OnEvents, Reactor, reactor, type WakerKind } from '../src/reactor.ts'
import { scriptResult } from './child-script.ts'

const one = new Uint8Array(1)
const fdCount = (): number => readdirSync('/proc/self/fd').length

describe('reactor()', () => {
  test('is everybody’s: disposing it ends nothing of others', async () => {
    using pipe = pipe2(0)
    const waiting = reactor().readable(pipe.read)
    {
      using _mine = reactor()
    }
    write(pipe.write, one)
    await waiting
    await reactor().readable(pipe.read)
  })

  test('of a Worker is given back when that ends', () => {
    const result = scriptResult(`
      import { readdirSync, readFileSync } from 'node:fs'
      const code = ${JSON.stringify(`
        import { reactor } from '@pkg/sys/reactor'
        import { pipe2, write } from '@pkg/sys/io'
        using pipe = pipe2(0)
        write(pipe.write, new Uint8Array(1))
        await reactor().readable(pipe.read)
        postMessage(reactor().wakerKind)`)}
      const kinds = new Set()
      const use = async (times) => {
        for (let count = 0; count < times; count++) {
          const worker = new Worker(URL.createObjectURL(new Blob([code])))
          worker.onmessage = ({ data }) => kinds.add(data)
          await new Promise((resolve) => worker.addEventListener('close', resolve))
        }
        await Bun.sleep(100)
        const rings = readFileSync('/proc/self/maps', 'utf8').split('[io_uring]').length - 1
        return [readdirSync('/proc/self/fd').length, rings]
      }
      const before = await use(2)
      const after = await use(5)
      process.stdout.write(JSON.stringify([after[0] - before[0], after[1], ...kinds]))`)
    expect(result).toEqual([0, 0, 'io_uring'])
  })
})

describe('Reactor', () => {
  test.each(['io_uring', 'loop'] as const)(
    'by %s leaves no descriptor open when it cannot be made',
    (kind) => {
      const before = fdCount()
      const limits = prlimit64(0, c.RLIMIT_NOFILE)
      const fillers: OwnedFd[] = []
      let failure: unknown
      try {
        // Room for two: the epoll instance and one more.
        using probe = duplicate(0)
        prlimit64(0, c.RLIMIT_NOFILE, { soft: probe.fd + 40, hard: limits.hard })
        try {
          for (;;) fillers.push(duplicate(0))
        } catch {
          for (const last of fillers.splice(-2)) last.close()
        }
        try {
          new Reactor(kind)[Symbol.dispose]()
        } catch (error) {
          failure = error
        }
      } finally {
        prlimit64(0, c.RLIMIT_NOFILE, limits)
        for (const filler of fillers) filler.close()
      }
      expect(failure === undefined ? kind : failure).toSatisfy(
        (told) => told === 'loop' || told instanceof TypeError,
      )
      expect(fdCount()).toBe(before)
    },
  )

  test('falls back where io_uring is there and what belongs to it is refused', () => {
    const code = `
      const code = ${JSON.stringify(`
        import { Reactor } from '@pkg/sys/reactor'
        import { pipe2, write } from '@pkg/sys/io'
        const pipe = pipe2(0)
        const reactor = new Reactor()
        write(pipe.write, new Uint8Array(1))
        await reactor.readable(pipe.read)
        postMessage(reactor.wakerKind)
        reactor[Symbol.dispose]()`)}
      const worker = new Worker(URL.createObjectURL(new Blob([code])))
      worker.onmessage = ({ data }) => { process.stdout.write(JSON.stringify(data)); worker.terminate() }`
    const inject = ['-e', 'trace=socketpair', '-e', 'inject=socketpair:error=EACCES', '-o', '/dev/null']
    expect(scriptResult(code, { wrapper: ['strace', '-f', '-qq', ...inject] })).toBe('worker')
  })

  test('refuses kinds, events and callbacks that are none', () => {
    const before = fdCount()
    expect(() => new Reactor('thread' as WakerKind)).toThrow(TypeError)
    expect(fdCount()).toBe(before)
    using own = new Reactor()
    using pipe = pipe2(0)
    const watch = (events: unknown, onEvents: unknown = () => {}) =>
      own.watch(pipe.read, events as number, onEvents as OnEvents)
    for (const flag of [c.EPOLLET, c.EPOLLONESHOT, c.EPOLLEXCLUSIVE, -1, 2 ** 40, Number.NaN])
      expect(() => watch(flag), String(flag)).toThrow(RangeError)
    for (const events of [undefined, '1', 1n]) expect(() => watch(events)).toThrow(TypeError)
    expect(() => watch(c.EPOLLIN, null)).toThrow(TypeError)
  })

  describe.each(['loop', 'io_uring', 'worker'] as const)('by %s', (kind) => {
    let own: Reactor | undefined
    afterEach(() => own?.[Symbol.dispose]())

    test('does not spin for a descriptor that was closed under its watch while a duplicate is open', async () => {
      own = new Reactor(kind)
      using idle = pipe2(0)
      using other = pipe2(0)
      using ended = own.watch(idle.read, c.EPOLLIN, () => {})
      const pipe = pipe2(0)
      write(pipe.write, one)
      using _kept = duplicate(pipe.read)
      const made = own
      await new Promise<void>((resolve) => {
        const watch = made.watch(pipe.read, c.EPOLLIN, () => {
          pipe.read.close()
          watch[Symbol.dispose]()
          resolve()
        })
      })
      const busyMs = async (): Promise<number> => {
        const before = process.cpuUsage()
        await Bun.sleep(300)
        const { user, system } = process.cpuUsage(before)
        return (user + system) / 1000
      }
      // Who spins takes all of each time that is looked at; a new worker takes some of the first.
      await expect.poll(busyMs).toBeLessThan(150)
      // Both what was watched before and what comes are told.
      const told = new Promise<void>((resolve) => {
        const again = own?.watch(idle.read, c.EPOLLIN, () => {
          again?.[Symbol.dispose]()
          resolve()
        })
      })
      write(idle.write, one)
      await told
      ended[Symbol.dispose]()
      write(other.write, one)
      await own.readable(other.read)
      pipe.write.close()
    })
  })
})

describe('watchSignals()', () => {
  const prelude = `
    import { SIGUSR1 } from '@pkg/sys/constants'
    import { getpid, kill } from '@pkg/sys/process'
    import { watchSignals } from '@pkg/sys/signal'
    const done = (value) => { process.stdout.write(JSON.stringify(value)); process.exit() }
  `

  test('tells a listener that arms itself again once, though another is there', () => {
    const result = scriptResult(`${prelude}
      const told = []
      watchSignals([SIGUSR1], () => told.push('other'))
      let watch
      const arm = () => {
        watch = watchSignals([SIGUSR1], () => {
          told.push('mine')
          if (told.length > 100) done('endless')
          watch[Symbol.dispose]()
          arm()
        })
      }
      arm()
      const ended = watchSignals([SIGUSR1], () => told.push('ended'))
      watchSignals([SIGUSR1], () => ended[Symbol.dispose]())
      kill(getpid(), SIGUSR1)
      await Bun.sleep(50)
      kill(getpid(), SIGUSR1)
      await Bun.sleep(50)
      done(told)`)
    expect(result).toEqual(['other', 'mine', 'ended', 'other', 'mine'])
  })

  test('ends with disposal, whatever became of the caller’s array', () => {
    const result = scriptResult(`${prelude}
      import { readFileSync } from 'node:fs'
      const caught = () => readFileSync('/proc/self/status', 'utf8').match(/SigCgt.*/)[0]
      const signals = [SIGUSR1]
      const before = caught()
      const watch = watchSignals(signals, () => {})
      signals.length = 0
      const during = caught()
      watch[Symbol.dispose]()
      done([during !== before, caught() === before])`)
    expect(result).toEqual([true, true])
  })

  test('refuses a Worker, whose end would leave its handlers behind, and a listener that is none', () => {
    const result = scriptResult(`${prelude}
      try { watchSignals([SIGUSR1], 1) } catch (error) { if (error.name !== 'TypeError') throw error }
      const code = ${JSON.stringify(`
        import { watchSignals } from '@pkg/sys/signal'
        try { watchSignals([10], () => {}) } catch (error) { postMessage([error.name, error.message]) }`)}
      const worker = new Worker(URL.createObjectURL(new Blob([code])))
      worker.onmessage = ({ data }) => done(data)`)
    expect(result).toEqual(['TypeError', 'watchSignals: signals can be watched on the main thread only'])
  })
})
