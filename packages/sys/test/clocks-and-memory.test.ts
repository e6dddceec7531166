// Clocks, timers, counters, mappings and what the machine says of itself.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { hostname, release, totalmem, uptime } from 'node:os'
import { describe, expect, test } from 'vitest'
import {
  AT_FDCWD,
  CLOCK_BOOTTIME,
  CLOCK_MONOTONIC,
  CLOCK_REALTIME,
  EFD_NONBLOCK,
  EFD_SEMAPHORE,
  MAP_PRIVATE,
  MAP_SHARED,
  O_RDONLY,
  PROT_READ,
  TFD_NONBLOCK,
  TFD_TIMER_ABSTIME,
  TFD_TIMER_CANCEL_ON_SET,
} from '../src/constants.ts'
import { eventfd2, timerfd_create, timerfd_gettime, timerfd_settime } from '../src/event.ts'
import { openat } from '../src/fs.ts'
import { ftruncate, memfd_create, pread64, read, write } from '../src/io.ts'
import { mmap } from '../src/memory.ts'
import { reactor } from '../src/reactor.ts'
import { sysinfo, uname } from '../src/system.ts'
import { clock_getres, clock_gettime, clock_settime } from '../src/time.ts'
import { scriptResult } from './child-script.ts'

function codeOf(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return (error as { code?: string }).code
  }
}
const readCounter = (fd: Parameters<typeof read>[0]): bigint => {
  const counter = new BigUint64Array(new ArrayBuffer(8))
  read(fd, new Uint8Array(counter.buffer))
  return counter[0] ?? 0n
}

describe('clocks', () => {
  test('clock_gettime() and clock_getres() are those that Node reads', () => {
    const before = BigInt(Date.now()) * 1_000_000n
    const now = clock_gettime(CLOCK_REALTIME)
    expect(now >= before && now < before + 5_000_000_000n).toBe(true)
    const boot = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])
    const seconds = Number(clock_gettime(CLOCK_BOOTTIME)) / 1e9
    expect(seconds).toBeGreaterThanOrEqual(boot)
    expect(seconds).toBeLessThan(boot + 5)
    expect(clock_gettime(CLOCK_MONOTONIC)).toBeLessThanOrEqual(clock_gettime(CLOCK_BOOTTIME))
    expect(clock_getres(CLOCK_MONOTONIC)).toBeGreaterThan(0n)
    expect(codeOf(() => clock_gettime(99))).toBe('EINVAL')
    expect(() => clock_gettime(undefined as unknown as number)).toThrow(TypeError)
  })

  test('clock_settime() sets the clock: a timer that is to be told is', () => {
    // Set to what it is, as root of this machine: a jump of microseconds.
    using timer = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK)
    const flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET
    timerfd_settime(timer, flags, { valueNs: clock_gettime(CLOCK_REALTIME) + 3_600_000_000_000n })
    expect(codeOf(() => readCounter(timer))).toBe('EAGAIN')
    clock_settime(CLOCK_REALTIME, clock_gettime(CLOCK_REALTIME))
    expect(codeOf(() => readCounter(timer))).toBe('ECANCELED')
  })

  test('clock_settime() refuses before and in the kernel', () => {
    expect(codeOf(() => clock_settime(CLOCK_MONOTONIC, 1n))).toBe('EINVAL')
    expect(() => clock_settime(CLOCK_REALTIME, -1n)).toThrow(RangeError)
    expect(() => clock_settime(CLOCK_REALTIME, 1 as unknown as bigint)).toThrow(TypeError)
    const code = `
      import { clock_settime } from '@pkg/sys/time'
      try { clock_settime(0, 1n) } catch (error) { process.stdout.write(JSON.stringify(error.code)) }`
    expect(scriptResult(code, { wrapper: ['unshare', '-r'] })).toBe('EPERM')
  })
})

describe('timerfd and eventfd', () => {
  test('timerfd_create() and timerfd_settime(): a timer counts its expiries, and is disarmed by 0', async () => {
    using timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)
    timerfd_settime(timer, 0, { valueNs: 1_000_000n, intervalNs: 500_000n })
    await reactor().readable(timer)
    expect(readCounter(timer)).toBeGreaterThanOrEqual(1n)
    timerfd_settime(timer, 0, { valueNs: 0n })
    expect(codeOf(() => readCounter(timer))).toBe('EAGAIN')
    timerfd_settime(timer, TFD_TIMER_ABSTIME, { valueNs: 1n })
    await reactor().readable(timer)
    expect(readCounter(timer)).toBe(1n)
    expect(() => timerfd_settime(timer, 0, { valueNs: -1n })).toThrow(RangeError)
    expect(codeOf(() => timerfd_create(99))).toBe('EINVAL')
  })

  test('timerfd_gettime(): long times keep every nanosecond', () => {
    using timer = timerfd_create(CLOCK_MONOTONIC)
    timerfd_settime(timer, 0, { valueNs: 4_000_000_123_456_789n, intervalNs: 2_000_000_001n })
    const left = timerfd_gettime(timer)
    expect(left.intervalNs).toBe(2_000_000_001n)
    expect(left.valueNs > 3_999_990_000_000_000n && left.valueNs <= 4_000_000_123_456_789n).toBe(true)
    const info = readFileSync(`/proc/self/fdinfo/${timer.fd}`, 'utf8')
    // The seconds that a slow machine lets pass are few.
    expect(info).toMatch(/it_value: \((?:4000000|3999999), \d{1,9}\)/)
    expect(info).toContain('it_interval: (2, 1)')
  })

  test('eventfd2(): a counter adds up, and gives one at a time as a semaphore', () => {
    using sum = eventfd2(3, EFD_NONBLOCK)
    write(sum, new Uint8Array(BigUint64Array.of(4n).buffer))
    expect(readCounter(sum)).toBe(7n)
    expect(codeOf(() => readCounter(sum))).toBe('EAGAIN')
    using semaphore = eventfd2(2, EFD_NONBLOCK | EFD_SEMAPHORE)
    expect([readCounter(semaphore), readCounter(semaphore)]).toEqual([1n, 1n])
    expect(codeOf(() => eventfd2(0, 0x1000_0000))).toBe('EINVAL')
  })
})

describe('mmap()', () => {
  test('maps fresh memory, zeroed, and gives it back once', () => {
    const memory = mmap({ lengthBytes: 10_000 })
    expect([memory.bytes.length, memory.address % 4096]).toEqual([10_000, 0])
    expect(memory.bytes.every((byte) => byte === 0)).toBe(true)
    expect(readFileSync('/proc/self/maps', 'utf8')).toContain('-')
    memory[Symbol.dispose]()
    memory[Symbol.dispose]()
  })

  test('maps files: shared writes reach them, the offset counts', () => {
    using file = memfd_create('mapped', 0)
    ftruncate(file, 8192)
    using shared = mmap({ lengthBytes: 4096, flags: MAP_SHARED, fd: file, offsetBytes: 4096 })
    shared.bytes.set([1, 2, 3], 10)
    const back = new Uint8Array(3)
    pread64(file, back, 4096 + 10)
    expect([...back]).toEqual([1, 2, 3])
    using text = openat(AT_FDCWD, '/proc/self/exe', O_RDONLY)
    using image = mmap({ lengthBytes: 4, prot: PROT_READ, flags: MAP_PRIVATE, fd: text })
    expect([...image.bytes]).toEqual([0x7f, 0x45, 0x4c, 0x46])
    expect(codeOf(() => mmap({ lengthBytes: 4096, flags: MAP_SHARED, fd: text }))).toBe('EACCES')
  })

  test('refuses fixed addresses and impossible lengths', () => {
    for (const flags of [0x10, 0x10_0000]) expect(() => mmap({ lengthBytes: 1, flags })).toThrow(RangeError)
    for (const lengthBytes of [0, -1, 1.5, Number.NaN])
      expect(() => mmap({ lengthBytes })).toThrow(RangeError)
    expect(codeOf(() => mmap({ lengthBytes: 2 ** 50 }))).toBe('ENOMEM')
  })
})

describe('the machine', () => {
  test('uname() says what uname(1) says', () => {
    const { sysname, nodename, release: version, machine, version: built } = uname()
    const said = execFileSync('uname', ['-snrvm'], { encoding: 'utf8' }).trim()
    expect(`${sysname} ${nodename} ${version} ${built} ${machine}`).toBe(said)
    expect([nodename, version]).toEqual([hostname(), release()])
  })

  test('sysinfo() says what node:os says', () => {
    const info = sysinfo()
    expect(info.totalram).toBe(totalmem())
    expect(Math.abs(info.uptime - uptime())).toBeLessThan(3)
    expect(info.procs).toBeGreaterThan(1)
    const load = Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[2])
    expect(Math.abs(info.loads[2] - load)).toBeLessThan(0.2)
  })
})
