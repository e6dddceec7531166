// The machine code of the sources: each piece against the GNU assembler and disassembler.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assembleText } from '../scripts/assembler/assemble.ts'
import {
  assembleInterpreter,
  interpretersFile,
  interpretersModule,
  interpreterSource,
} from '../scripts/interpreter.ts'
import { interpreters, loadRowAddress, rowSizeBytes, rowWords } from '../src/program/interpreter.ts'
import type { Architecture } from '../src/raw.ts'
import { handlerCode, x64RestorerCode } from '../src/signal/handler.ts'
import { assemble, fixture } from './assemble.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const architectures = ['x64', 'arm64'] as const

describe('interpreters', () => {
  for (const architecture of architectures) {
    const source = interpreterSource(architecture)

    test(`${architecture}: our assembler makes of it what the GNU assembler makes`, () => {
      expect(hex(assembleInterpreter(architecture).code)).toBe(hex(assemble(architecture, source)))
    })

    test(`${architecture}: objdump reads from the bytes what the source says`, () => {
      const { listing } = assembleInterpreter(architecture)
      const ours = listing.map(({ text }) => plain(text, architecture))
      expect(disassemble(architecture, interpreters[architecture].code())).toEqual(ours)
    })

    test(`${architecture} begins and loops where the assembler puts the labels`, () => {
      const bytes = assemble(architecture, `${source}\n.long loop - spawn, child - spawn\n`)
      const words = new DataView(bytes.buffer, bytes.byteLength - 8)
      expect(interpreters[architecture].loopOffset).toBe(words.getUint32(0, true))
      expect(interpreters[architecture].spawnOffset).toBe(0)
    })

    test(`${architecture} is a few hundred bytes`, () => {
      expect(interpreters[architecture].code().length).toBeLessThan(500)
    })
  }

  test('the committed file is what the script makes', () => {
    expect(readFileSync(interpretersFile, 'utf8')).toBe(interpretersModule())
  })

  test('a row ends with its last argument', () => {
    expect(rowSizeBytes(0)).toBe(8 * rowWords.arguments)
    expect(rowSizeBytes(6)).toBe(8 * (rowWords.arguments + 6))
  })
})

/** An instruction as both spell it: numbers decimal, no sizes, jumps without their target. */
function plain(text: string, architecture: Architecture): string {
  const jumps =
    architecture === 'x64' ? /^(j\w+) .*/ : /^(b(?:\.\w+)?|t?cbn?z|tbn?z)( .*?)?[ ,]+(?!x|w|#)\S+$/
  return text
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/, /g, ',')
    .replace(
      jumps,
      (_all, mnemonic: string, rest: string = '') => mnemonic + (architecture === 'x64' ? '' : rest),
    )
    .replaceAll(/0x[0-9a-f]+/g, (digits) => String(BigInt.asIntN(64, BigInt(digits))))
}

/** What objdump says, one instruction a line. */
function disassemble(architecture: Architecture, code: Uint8Array): string[] {
  const file = join(mkdtempSync(join(tmpdir(), 'solo-objdump-')), 'code')
  writeFileSync(file, code)
  const [program, machine] =
    architecture === 'x64'
      ? ['objdump', ['-m', 'i386:x86-64', '-M', 'intel']]
      : ['aarch64-linux-gnu-objdump', ['-m', 'aarch64']]
  const output = execFileSync(program, ['-D', '-b', 'binary', ...machine, '--no-show-raw-insn', file], {
    encoding: 'utf8',
  })
  rmSync(dirname(file), { recursive: true })
  return [...output.matchAll(/^\s*[0-9a-f]+:\t(.*)$/gm)].map(([, text = '']) => {
    const words = text
      .replace(/\s*\/\/.*$/, '')
      .replaceAll(/(QWORD|DWORD|WORD|BYTE) PTR /g, '')
      .replace('repz cmps ds:[rsi],es:[rdi]', 'repe cmpsb')
      .replace('b.cc', 'b.lo')
      .trim()
    return plain(words, architecture)
  })
}

describe('assembleText()', () => {
  test('gives a far jump its long form, as the GNU assembler does', () => {
    const far = `.intel_syntax noprefix\nbegin:\njmp end\nje end\n${'mov rax, [rdi+8]\n'.repeat(40)}end:\njb begin\nret\n`
    expect(hex(assembleText('x64', far).code)).toBe(hex(assemble('x64', far)))
  })

  test('says which line it does not understand', () => {
    expect(() => assembleText('x64', 'ret\n  bogus rax, rbx # why\n')).toThrow(
      'line 2: bogus rax, rbx: no such instruction here',
    )
    for (const [line, reason] of [
      ['ldr q0, [x0]', 'no such instruction here'],
      ['add x1, x1, sp', 'no register sp'],
      ['add x1, x1, #4096', '4096 is not a number of 12 bits'],
      ['ldr x0, [x1, #4]', '0.5 is not a number of 12 bits'],
      ['mov x0, #65536', '65536 is not a number of 16 bits'],
      ['cbz x0, nowhere', 'no label nowhere'],
    ] as const) {
      expect(() => assembleText('arm64', `ret\n${line}\n`)).toThrow(`line 2: ${line}: ${reason}`)
    }
    expect(() => assembleText('x64', 'jmp nowhere\n')).toThrow('no label nowhere')
    expect(() => assembleText('x64', 'mov rax, [rsp+8]\n')).toThrow('bad base')
    expect(() => assembleText('x64', 'mov sil, al\n')).toThrow('unknown operand sil')
    expect(() => assembleText('x64', 'mov rax, 5\n')).toThrow('no such instruction here')
  })
})

describe('loadRowAddress()', () => {
  const source = {
    x64: 'movabs $ADDRESS, %rbx\n',
    arm64: `movz x19, #(ADDRESS & 0xffff)
      movk x19, #((ADDRESS >> 16) & 0xffff), lsl #16
      movk x19, #((ADDRESS >> 32) & 0xffff), lsl #32
      movk x19, #((ADDRESS >> 48) & 0xffff), lsl #48\n`,
  }
  for (const architecture of architectures) {
    test(`${architecture} is what the GNU assembler makes, for any address of user space`, () => {
      const assertSame = (address: number): void => {
        expect(hex(loadRowAddress[architecture](address))).toBe(
          hex(assemble(architecture, source[architecture], { ADDRESS: address })),
        )
      }
      for (const address of [0, 0x1_0000, 0xffff_fff8, 0x7fff_ffff_fff8]) assertSame(address)
      fc.assert(fc.property(fc.integer({ min: 0, max: 2 ** 47 }), assertSame), { numRuns: 10 })
    })
  }
})

describe('handlerCode()', () => {
  for (const architecture of architectures) {
    const source = fixture(`signal-handler.${architecture}.S`)
    test.each([0, 3, 77, 65_535, 65_536, 0x7fff_ffff])(`${architecture} writes to descriptor %i`, (pipe) => {
      expect(hex(handlerCode(architecture, pipe))).toBe(hex(assemble(architecture, source, { PIPE: pipe })))
    })

    test.each([0x40_1000, 0x5555_5555_5000, 0x7fff_1234_abcd])(
      `${architecture} passes SI_TKILL on to the handler at %i`,
      (chained) => {
        const expected = assemble(architecture, source, { PIPE: 9, CHAINED: chained })
        expect(hex(handlerCode(architecture, 9, chained))).toBe(hex(expected))
      },
    )
  }

  test('returns on x86-64 to rt_sigreturn', () => {
    expect(hex(x64RestorerCode())).toBe(hex(assemble('x64', 'movl $15, %eax\nsyscall\n')))
  })
})
