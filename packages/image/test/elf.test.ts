import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ElfError, elfSection, parseElf, staticElfAddresses, writeStaticElf } from '../src/elf.ts'
import type { ElfMachine, StaticElfSegment } from '../src/elf.ts'
import { run, runOk, temporaryFolder } from './run.ts'

// Each test starts many other programs, on machines that may be busy.

const sampleProgram = '/bin/sh'

/** Dynamic programs and libraries of this machine. */
function someFiles(): string[] {
  const folders = [
    '/usr/bin',
    '/usr/lib/x86_64-linux-gnu',
    '/usr/lib/aarch64-linux-gnu',
    '/usr/aarch64-linux-gnu/lib',
  ]
  return folders
    .flatMap((folder) => listFolder(folder).slice(0, 60))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() && isElf(path))
}

function listFolder(folder: string): string[] {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return []
  return readdirSync(folder)
    .toSorted()
    .map((name) => join(folder, name))
}

function isElf(path: string): boolean {
  return readFileSync(path).subarray(0, 4).equals(Buffer.from('\x7fELF', 'latin1'))
}

describe('parseElf()', () => {
  test('finds what readelf finds: libraries, names, paths, interpreter', () => {
    const files = someFiles()
    expect(files.length).toBeGreaterThan(20)
    for (const path of files) {
      const elf = parseElf(readFileSync(path))
      const dynamic = runOk(['readelf', '-hdlW', path])
      const all = (pattern: RegExp): string[] => [...dynamic.matchAll(pattern)].map((match) => match[1] ?? '')
      expect([path, elf.needed]).toEqual([path, all(/\(NEEDED\).*\[(.*)\]/g)])
      expect([path, elf.soname ?? '']).toEqual([path, all(/\(SONAME\).*\[(.*)\]/g)[0] ?? ''])
      expect([path, elf.runpath.join(':')]).toEqual([path, all(/\(RUNPATH\).*\[(.*)\]/g).join(':')])
      expect([path, elf.interpreter ?? '']).toEqual([path, all(/program interpreter: (.*)\]/g)[0] ?? ''])
      expect([path, elf.segments.length]).toEqual([path, all(/^ +(LOAD) /gm).length])
      expect([path, `0x${elf.entryAddress.toString(16)}`]).toEqual([
        path,
        all(/Entry point address: +(0x[0-9a-f]+)/g)[0] ?? '',
      ])
    }
  })

  test.each([
    ['', 0, 'not an ELF file'],
    ['hello, world', 0, 'not an ELF file: it does not begin with 7f 45 4c 46'],
    ['#!/bin/sh\n', 0, 'a script (#!)'],
    ['\x7fELF\x01\x01\x01', 4, 'a 32-bit file: only 64-bit is read'],
    ['\x7fELF\x02\x02\x01', 5, 'byte order 2: only little-endian (1) is read'],
    ['\x7fELF\x02\x01\x07', 6, 'version 7'],
    [
      `\x7fELF\x02\x01\x01${'\0'.repeat(9)}\x03\0\xf3\0`,
      18,
      'for machine 243 (riscv): only x86_64 (62) and aarch64 (183)',
    ],
    ['\x7fELF\x02\x01\x01', 18, 'e_machine: 2 bytes expected, but the file ends at 7: it is cut off'],
  ])('refuses %j at byte %d: %s', (content, offset, message) => {
    const error = failure(Buffer.from(content, 'latin1'))
    expect([error.offset, error.message.includes(message) || error.message]).toEqual([offset, true])
  })

  test('never fails with anything but an ElfError, whatever is cut off or changed', () => {
    const whole = readFileSync(sampleProgram)
    const change = fc.record({ at: fc.nat(Math.min(whole.byteLength, 2000) - 1), byte: fc.nat(255) })
    const cutAt = fc.option(fc.nat(whole.byteLength))
    fc.assert(
      fc.property(fc.array(change, { maxLength: 4 }), cutAt, (changes, length) => {
        const damaged = new Uint8Array(whole.subarray(0, length ?? whole.byteLength))
        for (const { at, byte } of changes) if (at < damaged.byteLength) damaged[at] = byte
        try {
          parseElf(damaged)
          elfSection(damaged, '.interp')
        } catch (error) {
          expect(error).toBeInstanceOf(ElfError)
        }
      }),
      { numRuns: 1000 },
    )
  })
})

test('elfSection() gives the bytes that objcopy gives', () => {
  const folder = temporaryFolder()
  const program = readFileSync(sampleProgram)
  for (const name of ['.interp', '.dynamic', '.rodata']) {
    runOk(['objcopy', '-O', 'binary', '--only-section', name, sampleProgram, join(folder, 'section')])
    expect(Buffer.from(elfSection(program, name) ?? [])).toEqual(readFileSync(join(folder, 'section')))
  }
  expect(elfSection(program, '.bss')).toEqual(new Uint8Array(0))
  expect(elfSection(program, '.none')).toBeUndefined()
})

function failure(bytes: Uint8Array): ElfError {
  try {
    parseElf(bytes)
  } catch (error) {
    if (error instanceof ElfError) return error
    throw error
  }
  throw new Error('was read without an error')
}

/** 32-bit words, little-endian. */
function words(...values: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer)
}

/** Adds 1 to the 32-bit word at `address` and exits with it. */
function incrementAndExit(machine: ElfMachine, address: number): Uint8Array {
  const low = address & 0xffff
  const high = address >>> 16
  if (machine === 'aarch64') {
    // movz x1, low; movk x1, high, lsl 16; ldr w0, [x1]; add w0, w0, 1; str w0, [x1]; mov x8, 93; svc 0
    const loadAddress = [0xd2800001 + low * 32, 0xf2a00001 + high * 32]
    return words(...loadAddress, 0xb9400020, 0x11000400, 0xb9000020, 0xd2800ba8, 0xd4000001)
  }
  const bytes = [...words(address)]
  // inc dword [address]; mov edi, [address]; mov eax, 60; syscall
  return Uint8Array.of(0xff, 0x04, 0x25, ...bytes, 0x8b, 0x3c, 0x25, ...bytes, 0xb8, 60, 0, 0, 0, 0x0f, 0x05)
}

/** Jumps to `address`. */
function jumpTo(machine: ElfMachine, address: number): Uint8Array {
  // movz x1, low; movk x1, high, lsl 16; br x1
  if (machine === 'aarch64')
    return words(0xd2800001 + (address & 0xffff) * 32, 0xf2a00001 + (address >>> 16) * 32, 0xd61f0020)
  // mov eax, address; jmp rax
  return Uint8Array.of(0xb8, ...words(address), 0xff, 0xe0)
}

function runElf(machine: ElfMachine, elf: Uint8Array): number | null {
  const path = join(temporaryFolder(), 'program')
  writeFileSync(path, elf, { mode: 0o755 })
  const native = { x64: 'x86_64', arm64: 'aarch64' }[process.arch as string] === machine
  return run(native ? [path] : [`qemu-${machine}-static`, path]).status
}

describe.each(['x86_64', 'aarch64'] as const)('writeStaticElf() for %s', (machine) => {
  const code = new Uint8Array(40)
  const [codeAddress = 0, dataAddress = 0] = staticElfAddresses({ machine, sizesBytes: [code.byteLength, 8] })

  function program(
    codeBytes: Uint8Array,
    dataBytes: Uint8Array,
    change: Partial<StaticElfSegment> = {},
  ): Uint8Array {
    const data: StaticElfSegment = { address: dataAddress, bytes: dataBytes, flags: 'rw', ...change }
    const segments: StaticElfSegment[] = [data, { address: codeAddress, bytes: codeBytes, flags: 'rx' }]
    return writeStaticElf({ machine, entryAddress: codeAddress, segments })
  }

  test('makes a program that runs, reads and writes its data', () => {
    const elf = program(incrementAndExit(machine, dataAddress), words(41, 0))
    expect(runElf(machine, elf)).toBe(42)
    expect(elf.byteLength).toBeLessThan(300)
  })

  test('gives zeroed memory after the bytes, also where there are none', () => {
    const address = dataAddress + 100_000
    const elf = program(incrementAndExit(machine, address), words(41), { memorySizeBytes: 100_004 })
    expect(runElf(machine, elf)).toBe(1)
    const bytes = new Uint8Array()
    expect(
      runElf(machine, program(incrementAndExit(machine, dataAddress), bytes, { memorySizeBytes: 4 })),
    ).toBe(1)
  })

  test('makes code that cannot be written and data that cannot run', () => {
    // Killed by SIGSEGV: no exit status.
    expect(runElf(machine, program(incrementAndExit(machine, codeAddress), words(41, 0)))).toBeNull()
    const data = incrementAndExit(machine, dataAddress)
    expect(runElf(machine, program(jumpTo(machine, dataAddress), data))).toBeNull()
    expect(
      runElf(machine, program(incrementAndExit(machine, dataAddress), words(41), { flags: 'r' })),
    ).toBeNull()
  })

  test('runs from any address and offset within the page, and starts at the entry', () => {
    const address = 0x12340000 + 0xabc
    const bytes = incrementAndExit(machine, 0x20000008)
    const elf = writeStaticElf({
      machine,
      entryAddress: address + 8,
      segments: [
        { address, bytes: new Uint8Array([...new Uint8Array(8), ...bytes]), flags: 'rx' },
        { address: 0x20000008, bytes: words(6), flags: 'rw' },
      ],
    })
    expect(runElf(machine, elf)).toBe(7)
  })

  test('is read by readelf without a warning, and by parseElf()', () => {
    const elf = program(incrementAndExit(machine, dataAddress), words(41, 0))
    const path = join(temporaryFolder(), 'program')
    writeFileSync(path, elf)
    const { status, stdout, stderr } = run(['readelf', '-aW', path])
    expect([status, stderr]).toEqual([0, ''])
    expect(stdout).not.toMatch(/warning|error/i)
    expect(stdout).toContain(machine === 'x86_64' ? 'Advanced Micro Devices X86-64' : 'AArch64')
    expect(stdout).toMatch(/LOAD .* R E 0x/)
    expect(stdout).toMatch(/LOAD .* RW  0x/)
    expect(stdout).toMatch(/GNU_STACK .* RW  0x/)
    const parsed = parseElf(elf)
    expect(parsed).toMatchObject({
      machine,
      type: 'executable',
      entryAddress: BigInt(codeAddress),
      needed: [],
    })
    expect(parsed.segments.map(({ writable, executable }) => [writable, executable])).toEqual([
      [false, true],
      [true, false],
    ])
  })
})

test.each<[string, Partial<StaticElfSegment>, string]>([
  ['RangeError', { address: 0x1000 }, 'segment at 0x1000 of 4 bytes, expected within'],
  ['RangeError', { address: 2 ** 47 }, 'expected within'],
  ['RangeError', { address: 0x400ffc }, 'share a page of 4096 bytes'],
  ['RangeError', { memorySizeBytes: 3 }, 'memorySizeBytes is 3, with 4 bytes given'],
  ['RangeError', { flags: 'r', memorySizeBytes: 8 }, 'needs the flags rw'],
  ['TypeError', { flags: 'rwx' as 'rw' }, 'never w with x'],
])('writeStaticElf() refuses with a %s %j: %s', (name, change, message) => {
  const code: StaticElfSegment = { address: 0x400000, bytes: new Uint8Array(4), flags: 'rx' }
  const data: StaticElfSegment = { address: 0x500000, bytes: new Uint8Array(4), flags: 'rw', ...change }
  const write = (): unknown =>
    writeStaticElf({ machine: 'x86_64', entryAddress: 0x400000, segments: [code, data] })
  expect(write).toThrow(message)
  expect(write).toThrow(expect.objectContaining({ name }))
})

test('writeStaticElf() refuses an entry outside of code and unknown machines', () => {
  const segments: StaticElfSegment[] = [{ address: 0x500000, bytes: new Uint8Array(4), flags: 'rw' }]
  expect(() => writeStaticElf({ machine: 'x86_64', entryAddress: 0x500000, segments })).toThrow(
    'lies in no segment with the flags rx',
  )
  expect(() => writeStaticElf({ machine: 'mips' as ElfMachine, entryAddress: 0, segments })).toThrow(
    'expected x86_64 or aarch64',
  )
  expect(() => staticElfAddresses({ machine: 'x86_64', sizesBytes: [1], baseAddress: 5 })).toThrow(
    'multiple of 65536',
  )
})
