// Five tests that run inside, as root, in guests of three kinds. What a kind cannot do is skipped, and says why.
import { CLOCK_REALTIME } from '@pkg/sys/constants'
import { mount } from '@pkg/sys/mount'
import { sethostname } from '@pkg/sys/system'
import { clock_settime } from '@pkg/sys/time'
import { skipUnless } from '@pkg/vm/vitest'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, hostname } from 'node:os'
import { expect, test } from 'vitest'

test('is root, and names its machine', () => {
  expect(process.getuid?.()).toBe(0)
  sethostname('inside')
  expect(hostname()).toBe('inside')
})

test('mounts a file system', () => {
  mkdirSync('/mnt/memory', { recursive: true })
  mount('tmpfs', '/mnt/memory', 'tmpfs', 0, 'size=64k')
  expect(() => writeFileSync('/mnt/memory/file', new Uint8Array(1 << 20))).toThrow(/ENOSPC/)
})

test('changes a setting of the kernel', (context) => {
  skipUnless(context, 'kernel')
  writeFileSync('/proc/sys/kernel/panic_on_warn', '1')
  expect(readFileSync('/proc/sys/kernel/panic_on_warn', 'utf8')).toBe('1\n')
})

test('sets the clock', (context) => {
  skipUnless(context, 'clock')
  const then = Date.UTC(2040, 0, 1)
  clock_settime(CLOCK_REALTIME, BigInt(then) * 1_000_000n)
  expect(Date.now()).toBeGreaterThanOrEqual(then)
})

test('has more than one processor', (context) => {
  skipUnless(context, 'smp')
  expect(availableParallelism()).toBeGreaterThan(1)
})
