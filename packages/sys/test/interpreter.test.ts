// Machine code that is written by hand in the sources: each piece against the GNU assembler.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { interpreters, loadRowAddress, rowSizeBytes, rowWords } from '../src/program/interpreter.ts'
import { handlerCode, x64RestorerCode } from '../src/signal/handler.ts'
import { assemble, fixture } from './assemble.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const architectures = ['x64', 'arm64'] as const

describe('interpreters', () => {
  for (const architecture of architectures) {
    test(`${architecture} is what the GNU assembler makes of interpreter.${architecture}.S`, () => {
      const { code } = interpreters[architecture]
      expect(hex(code)).toBe(hex(assemble(architecture, fixture(`interpreter.${architecture}.S`))))
    })

    test(`${architecture} has its loop where the assembler puts the label`, () => {
      const source = `${fixture(`interpreter.${architecture}.S`)}\n.long loop - spawn\n`
      const bytes = assemble(architecture, source)
      const offset = new DataView(bytes.buffer, bytes.byteLength - 4).getUint32(0, true)
      expect(interpreters[architecture].loopOffset).toBe(offset)
    })
  }

  test('rows have room for every word', () => {
    expect(8 * (Math.max(...Object.values(rowWords)) + 1)).toBe(rowSizeBytes)
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
    expect(hex(x64RestorerCode)).toBe(hex(assemble('x64', 'movl $15, %eax\nsyscall\n')))
  })
})
