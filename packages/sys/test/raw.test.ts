// The raw layer: the thunks' bytes, and what they pass and return.
import { describe, expect, test } from 'vitest'
import {
  type Architecture,
  addressOf,
  bind,
  currentArchitecture,
  syscall,
  syscallNumber,
} from '../src/raw.ts'
import { numbersOn } from '../src/raw/number.ts'
import { thunkTable } from '../src/raw/thunks.ts'
import { assemble } from './assemble.ts'
import { runScript } from './child-script.ts'

const thunkSource: Record<Architecture, (number: number) => string> = {
  x64: (number) => `movl $${number}, %eax\nmovq %rcx, %r10\nsyscall\nret\n.balign 16, 0\n`,
  arm64: (number) => `movz x8, #${number}\nsvc #0\nret\n.balign 16, 0\n`,
}

describe('thunkTable()', () => {
  for (const architecture of ['x64', 'arm64'] as const) {
    test(`is what the GNU assembler makes for every number of ${architecture}`, () => {
      const table = thunkTable(architecture)
      const count = table.length / 16
      expect(count).toBeGreaterThan(Math.max(...numbersOn(architecture).values()))
      const source = Array.from({ length: count }, (_, number) => thunkSource[architecture](number)).join('')
      expect(Buffer.from(assemble(architecture, source)).equals(table)).toBe(true)
    })
  }
})

describe('syscallNumber()', () => {
  test('knows both architectures and refuses what one of them lacks', () => {
    expect(syscallNumber('execve', 'x64')).toBe(59)
    expect(syscallNumber('execve', 'arm64')).toBe(221)
    expect(() => syscallNumber('mkdir', 'arm64')).toThrow('arm64 has no system call named mkdir')
    for (const name of ['toString', '__proto__', 'nonsense']) {
      expect(() => syscallNumber(name as 'mkdir')).toThrow(TypeError)
    }
  })
})

describe('bind()', () => {
  test('returns the result, and −errno for a failure', () => {
    expect(bind('getppid')()).toBe(process.ppid)
    expect(bind('close', 'int')(-1)).toBe(-9)
    expect(bind('getpgid', 'int')(0x7fff_ffff)).toBe(-3)
  })

  test('refuses a missing or wrong integer instead of passing 0, a file descriptor', () => {
    const close = bind('close', 'int') as (...values: unknown[]) => number
    for (const values of [[], [undefined], [null], ['3'], [{}], [true]]) {
      expect(() => close(...values), Bun.inspect(values)).toThrow(TypeError)
    }
  })

  test('passes what was checked as 32 bits, however the engine holds it', () => {
    const getpgid = bind('getpgid', 'checked_i32')
    const [half = 0, negative = 0] = new Float64Array([1.5, -1])
    for (const itself of [0, half - 1.5, 0n, 2 ** 32]) expect(getpgid(itself)).toBe(bind('getpgid', 'int')(0))
    for (const nobody of [-1, negative, 0xffff_ffff]) expect(getpgid(nobody)).toBe(-3)
  })

  test('refuses a string, an object and a boolean as memory', () => {
    const read = bind('read', 'int', 'ptr', 'int') as (...values: unknown[]) => number
    for (const value of ['text', {}, true, [1]]) {
      expect(() => read(-1, value, 1), Bun.inspect(value)).toThrow(TypeError)
    }
  })

  test('passes all six arguments', () => {
    const mmap = bind('mmap', 'ptr', 'int', 'int', 'int', 'int', 'int')
    // MAP_PRIVATE | MAP_ANONYMOUS; then a file descriptor and an offset that only matter when they arrive.
    expect(mmap(null, 4096, 3, 0x22, -1, 0)).toBeGreaterThan(0)
    expect(mmap(null, 4096, 3, 0x02, 1_000_000, 0)).toBe(-9)
    expect(mmap(null, 4096, 3, 0x22, -1, 1)).toBe(-22)
  })

  test('refuses a seventh argument', () => {
    expect(() => bind('mmap', 'int', 'int', 'int', 'int', 'int', 'int', 'int')).toThrow('at most six')
  })

  test('passes a view by its own first byte, whatever backs it', () => {
    const getrandom = bind('getrandom', 'ptr', 'int', 'int')
    const whole = new Uint8Array(64)
    expect(getrandom(whole.subarray(16, 48), 32, 0)).toBe(32)
    expect(whole.subarray(0, 16).every((byte) => byte === 0)).toBe(true)
    expect(whole.subarray(48).every((byte) => byte === 0)).toBe(true)
    expect(whole.subarray(16, 48).some((byte) => byte !== 0)).toBe(true)
    const shared = new Uint8Array(new SharedArrayBuffer(32), 8)
    expect(getrandom(shared, 24, 0)).toBe(24)
    expect(shared.some((byte) => byte !== 0)).toBe(true)
  })

  test('answers EFAULT for an address that is not mapped', () => {
    expect(bind('getrandom', 'ptr', 'int', 'int')(8, 4, 0)).toBe(-14)
  })
})

describe('syscall()', () => {
  test('calls by name with integers, bigints, memory and null', () => {
    expect(syscall('getpid')).toBe(process.pid)
    const limits = new BigUint64Array(2)
    expect(syscall('prlimit64', 0n, 7, null, limits)).toBe(0)
    expect(limits[0]).toBeGreaterThan(0n)
  })

  test('refuses what is no argument, and more than six', () => {
    const call = syscall as (...values: unknown[]) => number
    for (const value of [undefined, 'text', {}, Number.NaN, 1.5, 2 ** 60, true]) {
      expect(() => call('close', value), Bun.inspect(value)).toThrow(TypeError)
    }
    expect(() => call('mmap', 0, 0, 0, 0, 0, 0, 0)).toThrow('at most six')
    expect(() => call('nonsense')).toThrow('no system call named nonsense')
  })
})

describe('addressOf()', () => {
  test('stays the same for memory over an ArrayBuffer while the heap is collected', () => {
    const views = Array.from({ length: 1000 }, () => new Uint8Array(new ArrayBuffer(24)))
    const before = views.map((view) => addressOf(view))
    Bun.gc(true)
    expect(views.map((view) => addressOf(view))).toEqual(before)
  })
})

describe('currentArchitecture()', () => {
  test('is what Node calls this machine', () => {
    expect(currentArchitecture()).toBe(process.arch)
  })

  test('lets other systems load the module and refuses only the call', () => {
    const { stdout } = runScript(`
      Object.defineProperty(process, 'platform', { value: 'darwin' })
      const { getpid } = await import('@pkg/sys/process')
      try { getpid() } catch (error) { process.stdout.write(String(error)) }`)
    expect(stdout).toBe(
      `TypeError: @pkg/sys makes Linux system calls on x64 and arm64; this is darwin on ${process.arch}`,
    )
  })
})
