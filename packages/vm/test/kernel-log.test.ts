import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { GuestConsole } from '../src/console.ts'
import { GuestPanicError } from '../src/errors.ts'
import {
  GuestLockupError,
  GuestOutOfMemoryError,
  initEnd,
  KernelLog,
  kernelTroubles,
  troubleError,
} from '../src/kernel-log.ts'

// Lines as Debian's kernels 6.1 and UML 6.1 printed them.
const PANIC = '[    1.204011] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000300'
const SOFT = '[   28.116013] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [insmod:75]'
const OOM =
  '[    3.311502] Out of memory: Killed process 80 (tail) total-vm:92132kB, anon-rss:88064kB, file-rss:4kB, shmem-rss:0kB, UID:0 pgtables:224kB oom_score_adj:0'
const CGROUP =
  '[    3.311502] Memory cgroup out of memory: Killed process 80 (tail) total-vm:92132kB, anon-rss:88064kB'

describe('kernelTroubles()', () => {
  test.each([
    ['panic', PANIC, 'Attempted to kill init! exitcode=0x00000300'],
    [
      'panic',
      '[    1.2][    T1] Kernel panic - not syncing: VFS: Unable to mount root fs',
      'VFS: Unable to mount root fs',
    ],
    ['panic', 'Kernel panic - not syncing: no stamp', 'no stamp'],
    ['panic', 'Kernel panic - not syncing', ''],
    ['lockup', SOFT, 'watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [insmod:75]'],
    [
      'lockup',
      '[ 9.1] NMI watchdog: Watchdog detected hard LOCKUP on cpu 1',
      'NMI watchdog: Watchdog detected hard LOCKUP on cpu 1',
    ],
    [
      'lockup',
      '[ 21.0] rcu: INFO: rcu_sched self-detected stall on CPU',
      'rcu: INFO: rcu_sched self-detected stall on CPU',
    ],
    [
      'lockup',
      '[ 21.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:',
      'rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:',
    ],
    ['oom', OOM, OOM.slice(15)],
  ])('finds a %s in %j', (kind, line, message) => {
    const text = `before\n${line}\nafter\n`
    expect(kernelTroubles(text)).toEqual([{ kind, message, position: 7 }])
  })

  test.each([
    '[    1.5] web: Kernel panic - not syncing: no',
    'the words Kernel panic - not syncing: are known',
    CGROUP,
    `[ 1.5] Kernel panic - not syncing: ${'x'.repeat(3_000)}`,
    '[ 1.5] rcu: Hierarchical SRCU implementation.',
  ])('finds nothing in %j', (line) => {
    expect(kernelTroubles(`${line}\n`)).toEqual([])
  })
})

test('KernelLog finds the same however the text is cut', () => {
  const text = `${'x'.repeat(5_000)}\n${PANIC}\n\n${SOFT}\nend\n${OOM}`
  const expected = kernelTroubles(text)
  expect(expected.map(({ kind }) => kind)).toEqual(['panic', 'lockup', 'oom'])
  expect(expected.every(({ position }) => text[position] === '[')).toBe(true)
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 60 }), (sizes) => {
      const log = new KernelLog()
      const found = []
      let offset = 0
      for (const size of [...sizes, text.length]) {
        found.push(...log.receive(text.slice(offset, offset + size)))
        offset += size
      }
      expect([...found, ...log.finish()]).toEqual(expected)
    }),
  )
})

test('initEnd() reads the status or the signal of PID 1', () => {
  expect(initEnd('Attempted to kill init! exitcode=0x00000300')).toEqual({ code: 3, signal: null })
  expect(initEnd('Attempted to kill init! exitcode=0x0000008b')).toEqual({ code: null, signal: 11 })
  expect(initEnd('No working init found.')).toBeUndefined()
})

describe('troubleError()', () => {
  const consoleWith = (text: string): GuestConsole => {
    const guestConsole = new GuestConsole()
    guestConsole.append(new TextEncoder().encode(text))
    return guestConsole
  }

  test('shows the line and what came just before it, however long the trace', () => {
    const trace = Array.from({ length: 200 }, (_, index) => `[    1.3]  frame_${index}\n`).join('')
    const guestConsole = consoleWith(`${'old\n'.repeat(100)}why\n${PANIC}\n${trace}`)
    const [trouble] = kernelTroubles(guestConsole.text)
    const error = trouble && troubleError(trouble, guestConsole)
    expect(error).toBeInstanceOf(GuestPanicError)
    expect(error?.console).toMatch(/why\n\[ +1\.204011\] Kernel panic[^]*frame_199$/)
  })

  test.each([
    [SOFT, GuestLockupError, { lockup: SOFT.slice(15) }],
    [OOM, GuestOutOfMemoryError, { victim: OOM.slice(15) }],
  ])('gives %j its own class', (line, errorClass, fields) => {
    const guestConsole = consoleWith(`${line}\n`)
    const [trouble] = kernelTroubles(guestConsole.text)
    const error = trouble && troubleError(trouble, guestConsole)
    expect(error).toBeInstanceOf(errorClass)
    expect(error).toMatchObject(fields)
  })
})
