// watchSignals(): in processes of their own, for a signal is a process's.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { SIGCHLD, SIGPWR, SIGRTMIN, SIGTERM } from '../src/constants.ts'
import { watchSignals } from '../src/signal.ts'
import { scriptResult } from './child-script.ts'

/** Imports, and `next(signal)`: the next one; `done(value)` tells the result. */
const prelude = `
  import { readFileSync } from 'node:fs'
  import { SIGCHLD, SIGPWR, SIGRTMAX, SIGRTMIN, SIGTERM, SIGUSR1, SIGUSR2 } from '@pkg/sys/constants'
  import { getpid, kill } from '@pkg/sys/process'
  import { addressOf, syscall } from '@pkg/sys/raw'
  import { watchSignals } from '@pkg/sys/signal'
  import { spawn } from '@pkg/sys/spawn'
  const next = (signal) => new Promise((resolve) => {
    const watch = watchSignals([signal], (info) => { watch[Symbol.dispose](); resolve(info) })
  })
  /** rt_sigqueueinfo(2): si_code SI_QUEUE at 8, pid and uid at 16 and 20, the value at 24. */
  const info = new Int32Array(new ArrayBuffer(128))
  info[2] = -1
  const queue = (signal, value) => { info[6] = value; return syscall('rt_sigqueueinfo', getpid(), signal, info) }
  const masks = () => Object.fromEntries(readFileSync('/proc/self/status', 'utf8').split('\\n')
    .filter((line) => /^Sig(Cgt|Ign)/.test(line)).map((line) => line.split(':\\t')))
  const action = (signal) => {
    const old = new Uint8Array(new ArrayBuffer(32)); syscall('rt_sigaction', signal, null, old, 8); return old.toHex() }
  const turn = () => new Promise((resolve) => setImmediate(resolve))
  const done = (value) => process.stdout.write(JSON.stringify(value))
`
const script = (code: string): unknown => scriptResult(prelude + code)

describe('watchSignals()', () => {
  test('tells sender and kind of SIGTERM, SIGPWR and a realtime signal', () => {
    const result = script(`
      const found = []
      for (const signal of [SIGTERM, SIGPWR, SIGRTMIN + 3, SIGRTMAX]) {
        const info = next(signal)
        kill(getpid(), signal)
        const { signo, code, pid, uid } = await info
        found.push([signo, code, pid === getpid(), uid === process.getuid()])
      }
      const told = next(SIGTERM)
      using child = spawn({ file: '/bin/sh', args: ['-c', 'kill -TERM ' + getpid()], env: {} })
      const { pid } = await told
      await child.wait()
      done([found, pid === child.pid])`)
    const bySelf = (signal: number): unknown => [signal, 0, true, true]
    expect(result).toEqual([[SIGTERM, SIGPWR, SIGRTMIN + 3, 64].map(bySelf), true])
  })

  test('tells child and status of SIGCHLD', () => {
    const result = script(`
      const told = next(SIGCHLD)
      using child = spawn({ file: '/bin/sh', args: ['-c', 'exit 9'], env: {} })
      const { signo, code, pid, status } = await told
      await child.wait()
      done([signo, code, pid === child.pid, status])`)
    expect(result).toEqual([SIGCHLD, 1, true, 9])
  })

  test('tells every realtime signal with its value, in order, thousands at once', () => {
    const result = script(`
      const values = []
      using watch = watchSignals([SIGRTMIN + 1], ({ value }) => values.push(value))
      // 8000 records fit into the pipe between two turns of the loop.
      for (const start of [0, 5000]) {
        for (let value = 0; value < 5000; value++) if (queue(SIGRTMIN + 1, start + value) !== 0) throw new Error('queue')
        while (values.length < start + 5000) await turn()
      }
      done([values.length, values.every((value, index) => value === index)])`)
    expect(result).toEqual([10_000, true])
  })

  test('loses none that a child sends while the heap is collected', () => {
    const result = script(`
      let count = 0
      using watch = watchSignals([SIGRTMIN + 2], () => count++)
      const script = 'n=0; while [ $n -lt 2000 ]; do kill -' + (SIGRTMIN + 2) + ' ' + getpid() + '; n=$((n+1)); done'
      using child = spawn({ file: '/bin/sh', args: ['-c', script], env: {} })
      const ended = child.wait()
      let over = false
      void ended.then(() => { over = true })
      while (!over) { Bun.gc(true); await turn() }
      while (count < 2000) await turn()
      done(count)`)
    expect(result).toBe(2000)
  })

  test('leaves the engine its own use of SIGPWR: the heap is collected while threads run', () => {
    const result = script(`
      let told = 0
      using watch = watchSignals([SIGPWR], () => told++)
      const worker = new Worker('data:text/javascript,' + encodeURIComponent(
        'let a = []; for (let n = 0; n < 40; n++) { a = Array.from({ length: 20000 }, (_, i) => ({ i })); Bun.gc(true) } postMessage(a.length)'))
      const finished = new Promise((resolve) => { worker.onmessage = resolve })
      for (let count = 0; count < 20; count++) { Bun.gc(true); kill(getpid(), SIGPWR); await turn() }
      await finished
      worker.terminate()
      while (told === 0) await turn()
      done(told >= 1 && told <= 20)`)
    expect(result).toBe(true)
  })

  test('puts back exactly what was there before', () => {
    const result = script(`
      process.on('SIGUSR2', () => {})
      const signals = [SIGTERM, SIGPWR, SIGUSR1, SIGUSR2, SIGRTMIN + 5]
      const before = signals.map(action)
      const masksBefore = masks()
      const watches = [watchSignals(signals, () => {}), watchSignals(signals, () => {})]
      const during = signals.map(action)
      watches[0][Symbol.dispose]()
      const still = signals.map(action)
      watches[1][Symbol.dispose]()
      watches[1][Symbol.dispose]()
      done([during.every((value, index) => value !== before[index]), JSON.stringify(still) === JSON.stringify(during),
        JSON.stringify(signals.map(action)) === JSON.stringify(before), JSON.stringify(masks()) === JSON.stringify(masksBefore)])
      process.exit()`)
    expect(result).toEqual([true, true, true, true])
  })

  test('serves two watches of one function apart', () => {
    const result = script(`
      let count = 0
      const listener = () => { count++ }
      const first = watchSignals([SIGUSR1], listener)
      using second = watchSignals([SIGUSR1], listener)
      kill(getpid(), SIGUSR1)
      while (count < 2) await turn()
      first[Symbol.dispose]()
      kill(getpid(), SIGUSR1)
      while (count < 3) await turn()
      done(count)`)
    expect(result).toBe(3)
  })

  test('tells later watches nothing that came for earlier ones', () => {
    const result = script(`
      const first = watchSignals([SIGUSR1], () => {})
      kill(getpid(), SIGUSR1)
      first[Symbol.dispose]()
      let told = 0
      using second = watchSignals([SIGUSR1], () => { told++ })
      for (let count = 0; count < 20; count++) await turn()
      done(told)`)
    expect(result).toBe(0)
  })

  test('goes on after a listener that throws, which is an uncaught exception', () => {
    const result = script(`
      const uncaught = []
      process.on('uncaughtException', (error) => uncaught.push(error.message))
      let told = 0
      using first = watchSignals([SIGUSR1], () => { throw new Error('listener') })
      using second = watchSignals([SIGUSR1, SIGUSR2], () => { told++ })
      kill(getpid(), SIGUSR1)
      kill(getpid(), SIGUSR2)
      while (told < 2) await turn()
      await turn()
      done([told, uncaught])`)
    expect(result).toEqual([2, ['listener']])
  })

  test('keeps the process alive until it is disposed, and no longer', () => {
    const result = script(`
      const watch = watchSignals([SIGUSR1], () => { watch[Symbol.dispose](); done('told') })
      setTimeout(() => kill(getpid(), SIGUSR1), 20).unref()`)
    expect(result).toBe('told')
  })

  test.each([0, -1, 65, 1.5, Number.NaN, 9, 19, 4, 5, 7, 8, 11, 32, 33])('refuses signal %d', (signal) => {
    const before = readFileSync('/proc/self/status', 'utf8').match(/SigCgt.*/)?.[0]
    expect(() => watchSignals([SIGTERM, signal], () => {})).toThrow(RangeError)
    expect(readFileSync('/proc/self/status', 'utf8').match(/SigCgt.*/)?.[0]).toBe(before)
  })
})
