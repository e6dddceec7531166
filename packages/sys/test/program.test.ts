// Syscall programs: what they refuse, how large they are, and what they do as executables of both architectures.
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bootStub } from '../src/boot-stub.ts'
import { AT_FDCWD, O_CREAT, O_RDONLY, O_WRONLY, SEEK_SET } from '../src/constants.ts'
import { failureExitStatus, Program, type Step, vector } from '../src/program.ts'
import { rowSizeBytes, rowWords } from '../src/program/interpreter.ts'
import type { Architecture } from '../src/raw.ts'
import { runProgram, writeExecutable } from './run-executable.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'solo-program-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const executable = (program: Program, architecture: Architecture): string =>
  writeExecutable(folder, program, architecture)
const run = (program: Program, architecture: Architecture): SpawnSyncReturns<string> =>
  runProgram(folder, program, architecture)

const write = (program: Program, text: string): Step =>
  program.call('write', 1, text, new TextEncoder().encode(text).length)

describe.each(['x64', 'arm64'] as const)('a standalone Program on %s', (architecture) => {
  test('writes constants, unicode too, and exits with 0 after its last step', () => {
    const program = new Program()
    write(program, 'grüße, 世界 🐧\n')
    expect(run(program, architecture)).toMatchObject({ status: 0, stdout: 'grüße, 世界 🐧\n' })
  })

  test('hands one result to several later steps, at any place of their arguments', () => {
    const path = join(folder, `flow-${architecture}`)
    const program = new Program()
    const file = program.call('openat', AT_FDCWD, path, O_WRONLY | O_CREAT, 0o600)
    const written = program.call('write', file, 'hello world', 11)
    program.call('lseek', file, 6, SEEK_SET)
    program.call('write', file, 'there', 5)
    program.call('ftruncate', file, written)
    program.call('pwrite64', file, '!', 1, written)
    program.call('close', file)
    program.call('exit_group', written)
    expect(run(program, architecture).status).toBe(11)
    expect(readFileSync(path, 'utf8')).toBe('hello there!')
  })

  test('passes 0 for arguments that are not given', () => {
    // What the registers hold from the call before would be an invalid flag and a file descriptor.
    const program = new Program()
    program.call('pread64', -1, 0x1234, 0x1234, 0x1234, 0x1234, 0x1234).ignoreErrors()
    program.call('mmap', 0, 4096, 3, 0x22, -1)
    program.call('prctl', 38, 1)
    program.call('exit_group')
    expect(run(program, architecture).status).toBe(0)
  })

  test('passes results as each of six arguments', () => {
    // mmap(NULL, 40, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -ESRCH, 0): any other order is an error.
    const program = new Program()
    const zero = program.call('write', 1, '', 0)
    const minusThree = program.call('getpgid', 0x7fff_ffff).tolerate('ESRCH')
    const [length, prot, flags] = [40, 3, 0x22].map((size) => write(program, 'x'.repeat(size))) as [
      Step,
      Step,
      Step,
    ]
    const memory = program.call('mmap', zero, length, prot, flags, minusThree, zero)
    program.call('munmap', memory, length)
    program.call('exit_group', prot)
    expect(run(program, architecture).status).toBe(3)
  })

  test('ends with 127 at the first step that fails', () => {
    const program = new Program()
    write(program, 'before')
    program.call('openat', AT_FDCWD, '/none', O_RDONLY, 0)
    write(program, 'after')
    expect(run(program, architecture)).toMatchObject({ status: failureExitStatus, stdout: 'before' })
  })

  test('tolerate() goes on for its error and for no other', () => {
    const program = new Program()
    program.call('mkdirat', AT_FDCWD, '/proc', 0o755).tolerate('EEXIST')
    write(program, 'tolerated ')
    program.call('mkdirat', AT_FDCWD, '/none/x', 0o755).tolerate('EEXIST')
    write(program, 'not reached')
    expect(run(program, architecture)).toMatchObject({ status: failureExitStatus, stdout: 'tolerated ' })
  })

  test('tolerate() takes two errors, each for itself', () => {
    for (const path of ['/proc', '/none/x', '/proc/self/cmdline/x']) {
      const program = new Program()
      program.call('mkdirat', AT_FDCWD, path, 0o755).tolerate('EEXIST').tolerate('ENOENT')
      write(program, 'tolerated')
      const status = path.includes('cmdline') ? failureExitStatus : 0
      expect(run(program, architecture)).toMatchObject({ status, stdout: status === 0 ? 'tolerated' : '' })
    }
    const step = new Program().call('close', 0).tolerate('EBADF').tolerate('EIO')
    expect(() => step.tolerate('EPERM')).toThrow('only two errors')
  })

  test('ignoreErrors() goes on for every error', () => {
    const program = new Program()
    program.call('close', -1).ignoreErrors()
    program.call('openat', AT_FDCWD, '/none', O_RDONLY, 0).ignoreErrors()
    write(program, 'end')
    expect(run(program, architecture)).toMatchObject({ status: 0, stdout: 'end' })
  })

  test('otherwise() leads forward to a label, and with tolerate() only for other errors', () => {
    const program = new Program()
    const failed = program.label()
    program.call('mkdirat', AT_FDCWD, '/proc', 0o755).tolerate('EEXIST').otherwise(failed)
    program.call('openat', AT_FDCWD, '/none', O_RDONLY, 0).tolerate('EEXIST').otherwise(failed)
    write(program, 'not reached')
    program.place(failed)
    write(program, 'failed')
    program.call('exit_group', 5)
    expect(run(program, architecture)).toMatchObject({ status: 5, stdout: 'failed' })
  })

  test('otherwise() leads backward too: a loop that ends when its call succeeds', () => {
    const path = join(folder, `loop-${architecture}`)
    const program = new Program()
    const [begin, make, end] = [program.label(), program.label(), program.label()]
    program.place(begin)
    program.call('openat', AT_FDCWD, path, O_RDONLY, 0).otherwise(make)
    program.call('close', -1).otherwise(end)
    program.place(make)
    write(program, 'making ')
    program.call('mkdirat', AT_FDCWD, path, 0o755)
    program.call('close', -1).otherwise(begin)
    program.place(end)
    write(program, 'made')
    expect(run(program, architecture)).toMatchObject({ status: 0, stdout: 'making made' })
  })

  test('a label after the last step ends the program with 0', () => {
    const program = new Program()
    const end = program.label()
    program.call('close', -1).otherwise(end)
    program.call('exit_group', 9)
    program.place(end)
    expect(run(program, architecture).status).toBe(0)
  })

  test('executes with argv and environment, empty ones and empty strings too', () => {
    const program = new Program()
    const script = `printf '%s|' "$0" "$@" "$A" "\${B-unset}"`
    program.call('execve', '/bin/sh', vector(['/bin/sh', '-c', script, '', 'ä b']), vector(['A=1=2', 'B=']))
    if (architecture === process.arch) expect(run(program, architecture).stdout).toBe('|ä b|1=2||')
    // Under an emulator the kernel executes the host's shell all the same.
    else expect(run(program, architecture)).toMatchObject({ status: 0, stdout: '|ä b|1=2||' })
  })

  test('a boot stub that cannot mount says so on standard error and exits with 1', () => {
    const stub = bootStub({ program: '/none', args: [], env: {} })
    // As a user without rights: root would mount over this machine's /proc.
    const path = executable(stub, architecture)
    chmodSync(folder, 0o755)
    const emulator = architecture === process.arch ? '' : 'qemu-aarch64-static '
    const asNobody = process.getuid?.() === 0 ? ['setpriv', '--reuid=65534', '--clear-groups'] : ['env']
    const [command, ...parameters] = [...asNobody, 'sh', '-c', `exec ${emulator}${path}`]
    const result = spawnSync(command, parameters, { encoding: 'utf8', timeout: 120_000 })
    expect(result).toMatchObject({ status: 1, stderr: 'solo stub: cannot mount /proc\n', stdout: '' })
  })
})

test('a standalone Program makes exactly the calls that it says, as strace sees them', () => {
  const program = new Program()
  const file = program.call('openat', AT_FDCWD, '/proc/self/comm', O_RDONLY, 0)
  program.call('dup3', file, 9, 0)
  program.call('mkdirat', AT_FDCWD, '/proc', 0o755).tolerate('EEXIST')
  program.call('faccessat', AT_FDCWD, '/none', 0).ignoreErrors()
  const path = executable(program, process.arch as Architecture)
  const { stderr } = spawnSync('strace', [path], { encoding: 'utf8', env: {} })
  const lines = stderr.split('\n').filter((line) => line !== '' && !line.startsWith('execve'))
  expect(lines).toEqual([
    'openat(AT_FDCWD, "/proc/self/comm", O_RDONLY) = 3',
    'dup3(3, 9, 0)                           = 9',
    'mkdirat(AT_FDCWD, "/proc", 0755)        = -1 EEXIST (File exists)',
    'faccessat(AT_FDCWD, "/none", F_OK)      = -1 ENOENT (No such file or directory)',
    'exit_group(0)                           = ?',
    '+++ exited with 0 +++',
  ])
})

describe('Program.call()', () => {
  test('refuses strings with a NUL byte, in vectors too', () => {
    const program = new Program()
    expect(() => program.call('chdir', 'a\0b')).toThrow('chdir: a NUL byte in "a\\u0000b"')
    expect(() => program.call('execve', '/x', vector(['ok', 'a\0']), vector([]))).toThrow(TypeError)
    expect(program.steps).toEqual([])
  })

  test('refuses a step of another program', () => {
    const foreign = new Program().call('getpid')
    const program = new Program()
    expect(() => program.call('close', foreign)).toThrow('step of another program')
    program.call('getpid')
    expect(() => program.call('close', foreign)).toThrow('step of another program')
  })

  test('refuses what is no argument: a missing one would become 0, a descriptor', () => {
    const call = new Program().call.bind(new Program()) as (...values: unknown[]) => void
    for (const value of [undefined, true, {}, [], () => 1, Symbol('x')]) {
      expect(() => call('close', value), String(typeof value)).toThrow(TypeError)
    }
  })

  test('refuses numbers that are no 64-bit integers, and takes signed and unsigned ones', () => {
    const program = new Program()
    for (const value of [1.5, Number.NaN, Infinity, 2 ** 60, 2n ** 64n, -(2n ** 63n) - 1n]) {
      expect(() => program.call('close', value), String(value)).toThrow(RangeError)
    }
    for (const value of [-1, 2 ** 53 - 1, -(2 ** 53) + 1, 2n ** 64n - 1n, -(2n ** 63n)])
      program.call('close', value)
    const compiled = program.compile({ address: 0 })
    const words = new BigInt64Array(compiled.buffer)
    const first = (index: number): bigint | undefined =>
      words[(program.steps[index]?.offset ?? 0) / 8 + rowWords.arguments]
    expect([0, 1, 2, 3, 4].map(first)).toEqual([-1n, 2n ** 53n - 1n, -(2n ** 53n) + 1n, -1n, -(2n ** 63n)])
  })

  test('refuses a seventh argument and an unknown error code', () => {
    const program = new Program()
    expect(() => program.call('mmap', 0, 0, 0, 0, 0, 0, 0)).toThrow('at most six')
    expect(() => program.call('close', 0).tolerate('ENONSENSE')).toThrow('no such error: ENONSENSE')
  })
})

describe('Program.compile()', () => {
  test('refuses a label that was never placed, and to place one twice', () => {
    const program = new Program()
    const label = program.label()
    program.call('close', -1).otherwise(label)
    expect(() => program.compile({ address: 0 })).toThrow('close leads to a label that was not placed')
    program.place(label)
    expect(() => program.place(label)).toThrow('placed already')
  })

  test('refuses an address that is no multiple of 8', () => {
    for (const address of [4, 1.5, Number.NaN, 2 ** 60 + 0.5]) {
      expect(() => new Program().compile({ address })).toThrow(RangeError)
    }
  })

  test('refuses a call that the other architecture lacks', () => {
    const program = new Program()
    program.call('mkdir', '/x', 0o755)
    expect(() => program.compile({ address: 0, architecture: 'arm64' })).toThrow('arm64 has no system call')
  })

  test('makes at most sizeBytesMax bytes, with every string whole at its address', () => {
    const text = fc.string({ unit: 'binary', maxLength: 60 }).map((value) => value.replaceAll('\0', ''))
    const operand = fc.oneof(
      text,
      fc.uint8Array({ maxLength: 40 }),
      fc.array(text).map(vector),
      fc.constant(null),
    )
    const calls = fc.array(fc.array(operand, { maxLength: 6 }), { maxLength: 6 })
    fc.assert(
      fc.property(calls, fc.integer({ min: 0, max: 2 ** 40 }), (rows, at) => {
        const address = at * 8
        const program = new Program()
        for (const operands of rows) program.call('getpid', ...operands)
        const { sizeBytesMax } = program
        const exact = new Uint8Array(sizeBytesMax)
        const compiled = program.compile({ address }, exact)
        expect(compiled.length).toBeLessThanOrEqual(sizeBytesMax)
        expect(program.compile({ address })).toEqual(compiled)
        const memory = Buffer.from(compiled)
        const word = (offset: number): number => Number(memory.readBigUInt64LE(offset))
        const string = (pointer: number): string => {
          const from = pointer - address
          return memory.subarray(from, memory.indexOf(0, from)).toString()
        }
        for (const [row, operands] of rows.entries()) {
          for (const [index, value] of operands.entries()) {
            const { offset = 0, argumentCount = 0 } = program.steps[row] ?? {}
            // Zeros at the end are no arguments.
            if (index >= argumentCount) {
              expect(value).toBe(null)
              continue
            }
            const pointer = word(offset + 8 * (rowWords.arguments + index))
            if (value === null) expect(pointer).toBe(0)
            else if (typeof value === 'string') expect(string(pointer)).toBe(value.toWellFormed())
            else if (value instanceof Uint8Array) {
              const from = pointer - address
              expect(memory.subarray(from, from + value.length).equals(value)).toBe(true)
            } else {
              const pointers = value.strings.map((_, item) => word(pointer - address + 8 * item))
              expect(pointers.map(string)).toEqual(value.strings.map((item) => item.toWellFormed()))
              expect(word(pointer - address + 8 * value.strings.length)).toBe(0)
            }
          }
        }
      }),
      { numRuns: 200 },
    )
  })

  test('refuses memory that is too small rather than cutting a string', () => {
    const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 })
    fc.assert(
      fc.property(text, fc.nat(), (value, cut) => {
        const program = new Program()
        program.call('chdir', value.replaceAll('\0', 'x'))
        const { length } = program.compile({ address: 0 })
        const rows = 3 * rowSizeBytes(1)
        const size = rows + 8 * (cut % ((length - rows) / 8))
        expect(() => program.compile({ address: 0 }, new Uint8Array(size))).toThrow(RangeError)
      }),
    )
  })
})

describe('Program.results() and failure()', () => {
  test('read what the interpreter left: the last failing step that ended the program', () => {
    const program = new Program()
    program.call('mkdirat', AT_FDCWD, '/x', 0).tolerate('EEXIST')
    program.call('close', 3).ignoreErrors()
    const third = program.call('chdir', '/none')
    const compiled = program.compile({ address: 0 })
    const words = new BigInt64Array(compiled.buffer)
    const result = (index: number): number => (program.steps[index]?.offset ?? 0) / 8 + rowWords.result
    expect(program.failure(compiled)).toBeUndefined()
    words[result(0)] = -17n
    words[result(1)] = -9n
    expect(program.failure(compiled)).toBeUndefined()
    words[result(2)] = -2n
    expect(program.results(compiled)).toEqual([-17, -9, -2])
    expect(program.failure(compiled)).toEqual({ step: third, errno: 2 })
  })
})
