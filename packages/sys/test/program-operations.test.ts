// What the interpreter does beside system calls: memory, strings, tests, loops; on both architectures.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AT_FDCWD, O_RDONLY } from '../src/constants.ts'
import { failureExitStatus, Program, type Step } from '../src/program.ts'
import type { Architecture } from '../src/raw.ts'
import { runProgram } from './run-executable.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'solo-operations-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const run = (program: Program, architecture: Architecture): { status: number | null; stdout: string } => {
  const { status, stdout } = runProgram(folder, program, architecture)
  return { status, stdout }
}
const write = (program: Program, text: string): Step =>
  program.call('write', 1, text, new TextEncoder().encode(text).length)

/** Exits with 0 when the test is so, with 1 when not. */
function holds(architecture: Architecture, ask: (program: Program) => Step): boolean {
  const program = new Program()
  const no = program.label()
  ask(program).otherwise(no)
  program.call('exit_group', 0)
  program.place(no)
  program.call('exit_group', 1)
  const { status } = run(program, architecture)
  expect([0, 1]).toContain(status)
  return status === 0
}

describe.each(['x64', 'arm64'] as const)('a Program on %s', (architecture) => {
  test('jump() goes forward and backward', () => {
    const program = new Program()
    const [first, second, third] = [program.label(), program.label(), program.label()]
    program.jump(second)
    program.place(first)
    write(program, 'first ')
    program.jump(third)
    program.place(second)
    write(program, 'second ')
    program.jump(first)
    program.place(third)
    write(program, 'third')
    expect(run(program, architecture)).toEqual({ status: 0, stdout: 'second first third' })
  })

  test('set() stores sums, which later steps read as values', () => {
    const program = new Program()
    const memory = program.memory(24)
    program.set(memory.at(8), 40, 2)
    program.set(memory.at(16), memory.word(8), -1)
    program.set(memory.at(16), memory.word(16), memory.word(16))
    program.call('exit_group', memory.word(16))
    expect(run(program, architecture).status).toBe(82)
  })

  test('set() shifts', () => {
    const program = new Program()
    const memory = program.memory(8)
    program.set(memory, 5, 2, 4)
    program.call('exit_group', memory.word())
    expect(run(program, architecture).status).toBe(82)
  })

  test('set() carries 64 bits, negative numbers too', () => {
    const program = new Program()
    const memory = program.memory(8)
    program.set(memory, 0x7fff_ffff_0000_0001n, 0xffff)
    program.call('write', 1, memory, 8)
    program.set(memory, -5, 3)
    program.call('write', 1, memory, 8)
    const bytes = Buffer.from(new BigInt64Array([0x7fff_ffff_0001_0000n, -2n]).buffer)
    expect(runProgramBytes(program, architecture)).toEqual(bytes)
  })

  test('words() makes an iovec of constants and memory', () => {
    const program = new Program()
    const memory = program.memory(new TextEncoder().encode('world'))
    const iovec = program.words(['hello ', 6, memory, 5, memory.at(4), 1])
    program.call('writev', 1, iovec, 3)
    expect(run(program, architecture)).toEqual({ status: 0, stdout: 'hello worldd' })
  })

  test('append() puts strings together, clear() begins anew', () => {
    const program = new Program()
    const text = program.text(program.memory(64))
    const name = program.memory(new TextEncoder().encode('grün\0'))
    const pointer = program.words([name])
    program.append(text, 'one ', name, ' ', pointer.word(), '', '\n')
    program.call('write', 1, text.begin, 16)
    program.clear(text)
    program.append(text, 'two\n')
    program.append(text)
    program.call('write', 1, text.begin, 4)
    expect(run(program, architecture)).toEqual({ status: 0, stdout: 'one grün grün\ntwo\n' })
  })

  test('append() takes any number of strings', () => {
    const program = new Program()
    const text = program.text(program.memory(64))
    program.append(text, ...'abcdefghi'.split(''))
    program.append(text, 'j', 'k', 'l', 'm')
    program.call('write', 1, text.begin, 13)
    expect(run(program, architecture).stdout).toBe('abcdefghijklm')
  })

  test('append() cuts what is longer than its memory, and writes nothing behind it', () => {
    const program = new Program()
    const text = program.text(program.memory(10), 2)
    const behind = program.memory(new TextEncoder().encode('behind'))
    program.append(text, 'abcd', 'efghijklmnop', 'q')
    program.call('write', 1, text.begin, 8)
    program.call('write', 1, behind, 6)
    expect(run(program, architecture)).toEqual({ status: 0, stdout: 'abcdefg\0behind' })
  })

  test('below() compares unsigned', () => {
    const numbers = [0, 1, 2, 2 ** 32, 0x7fff_ffff_ffff_ffffn, -2n, -1n]
    const cases = numbers.flatMap((left) => numbers.map((right) => [left, right] as const))
    const sampled = cases.filter((_, index) => index % 3 === 0)
    for (const [left, right] of sampled) {
      const expected = BigInt.asUintN(64, BigInt(left)) < BigInt.asUintN(64, BigInt(right))
      expect(holds(architecture, (program) => program.below(left, right))).toBe(expected)
    }
  })

  test('equal() compares as many bytes as it is given, none too', () => {
    const bytes = fc.uint8Array({ minLength: 0, maxLength: 40 })
    fc.assert(
      fc.property(bytes, fc.nat(), fc.boolean(), (content, at, isChanged) => {
        const other = Uint8Array.from(content)
        const index = at % Math.max(1, content.length)
        if (isChanged && content.length > 0) other[index] = (other[index] ?? 0) ^ 0x80
        const expected = Buffer.from(content).equals(other)
        const ask = (program: Program): Step =>
          program.equal(program.memory(Uint8Array.from([...content, 1])), other)
        expect(holds(architecture, ask)).toBe(expected)
      }),
      { numRuns: 12 },
    )
  })

  test('failedWith() tells errors apart, and lastError() what the last one was', () => {
    const program = new Program()
    const [missing, other] = [program.label(), program.label()]
    const opened = program.call('openat', AT_FDCWD, '/none', O_RDONLY).ignoreErrors()
    program.failedWith(opened, 'EACCES').otherwise(missing)
    program.call('exit_group', 9)
    program.place(missing)
    program.failedWith(opened, 'ENOENT').otherwise(other)
    program.call('mkdirat', AT_FDCWD, '/proc', 0o755).ignoreErrors()
    const error = program.lastError()
    program.call('exit_group', error)
    program.place(other)
    expect(run(program, architecture).status).toBe(256 - 17)
  })

  test('a test that is not so, and leads nowhere, ends the program', () => {
    const program = new Program()
    program.below(2, 1)
    write(program, 'not reached')
    expect(run(program, architecture)).toEqual({ status: failureExitStatus, stdout: '' })
  })

  test('each() runs its steps for every string', () => {
    const program = new Program()
    const text = program.text(program.memory(100))
    program.each(['a', 'long one', '', 'ü'], (string) => program.append(text, '[', string, ']'))
    program.each([], () => program.append(text, 'never'))
    program.each(['last'], (string) => program.append(text, string))
    program.call('write', 1, text.begin, 23)
    expect(run(program, architecture)).toEqual({ status: 0, stdout: '[a][long one][][ü]last' })
  })

  test('each() can run again', () => {
    const program = new Program()
    const rounds = program.memory(8)
    const again = program.label()
    const text = program.text(program.memory(100))
    program.place(again)
    program.each(['a', 'b'], (string) => program.append(text, string))
    program.set(rounds, rounds.word(), 1)
    program.below(2, rounds.word()).otherwise(again)
    program.call('write', 1, text.begin, 6)
    expect(run(program, architecture)).toEqual({ status: 0, stdout: 'ababab' })
  })

  test('retry() goes on as soon as an attempt succeeds', () => {
    const program = new Program()
    const attempts = program.memory(8)
    program.retry({ withinMs: 20_000, everyMs: 1 }, (again) => {
      program.set(attempts, attempts.word(), 1)
      write(program, 'try ')
      program.below(2, attempts.word()).otherwise(again)
    })
    write(program, 'done')
    expect(run(program, architecture)).toEqual({ status: 0, stdout: 'try try try done' })
  })

  test('retry() leads elsewhere when the time is over, and not before', () => {
    const program = new Program()
    const late = program.label()
    program.retry({ withinMs: 300, everyMs: 20, otherwise: late }, (again) => {
      program.call('openat', AT_FDCWD, '/none', O_RDONLY).otherwise(again)
    })
    program.call('exit_group', 1)
    program.place(late)
    program.call('exit_group', 7)
    const begin = performance.now()
    expect(run(program, architecture).status).toBe(7)
    expect(performance.now() - begin).toBeGreaterThan(290)
  })
})

/** Output that is no text. */
function runProgramBytes(program: Program, architecture: Architecture): Buffer {
  return Buffer.from(runProgram(folder, program, architecture, 'latin1').stdout, 'latin1')
}

describe('Program.memory()', () => {
  test('refuses what is outside, and memory of another program', () => {
    const program = new Program()
    const memory = program.memory(12)
    for (const offset of [-1, 12, 1.5]) expect(() => memory.at(offset)).toThrow(RangeError)
    expect(() => memory.word(8)).toThrow(RangeError)
    expect(() => program.memory(0)).toThrow(RangeError)
    const other = new Program()
    expect(() => other.call('close', memory)).toThrow('memory of another program')
    expect(() => other.call('close', memory.at(1))).toThrow('memory of another program')
    expect(() => other.set(memory, 1)).toThrow('memory of another program')
    expect(() => program.words([program.call('getpid')])).toThrow('known only when the program runs')
  })

  test('is zero in memory that was used before, and contents() finds it', () => {
    const program = new Program()
    program.call('getpid')
    const [zeros, bytes] = [program.memory(11), program.memory(Uint8Array.of(1, 2, 3))]
    const used = new Uint8Array(new ArrayBuffer(program.sizeBytesMax)).fill(0xee)
    const compiled = program.compile({ address: 0, architecture: 'x64' }, used)
    expect(program.contents(compiled, zeros)).toEqual(new Uint8Array(11))
    expect(program.contents(compiled, bytes)).toEqual(Uint8Array.of(1, 2, 3))
    expect(() => new Program().contents(compiled, zeros)).toThrow(TypeError)
  })
})
