/**
 * The arm64 instructions that the interpreter of syscall programs uses, encoded as the GNU assembler encodes them.
 * Source: Arm Architecture Reference Manual for A-profile, chapter C6.
 */
import type { Encoder } from './assemble.ts'
import { AssemblyError, type Instruction } from './source.ts'

const conditionCodes: Readonly<Record<string, number>> = { eq: 0, ne: 1, lo: 3 }

/** Unsigned loads and stores: opcode, and the bytes by which the offset is scaled. */
const transfers: Readonly<Record<string, [opcode: number, scale: number]>> = {
  'str x': [0xf9000000, 8],
  'ldr x': [0xf9400000, 8],
  'ldr w': [0xb9400000, 4],
  'ldrsw x': [0xb9800000, 4],
  'strb w': [0x39000000, 1],
  'ldrb w': [0x39400000, 1],
}

/** Arithmetic with an immediate of 12 bits. */
const immediates: Readonly<Record<string, number>> = { add: 0x91000000, sub: 0xd1000000 }

/** See {@link Encoder}. */
export const encodeArm64: Encoder = (instruction, distance) => {
  const word = encodeOrExplain(instruction, distance)
  if (word === undefined) throw new AssemblyError(instruction, 'no such instruction here')
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, word >>> 0, true)
  return bytes
}

/** Operands are looked at without their instruction; the error names it. */
function encodeOrExplain(...[instruction, distance]: Parameters<typeof encode>): number | undefined {
  try {
    return encode(instruction, distance)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new AssemblyError(instruction, error.message)
  }
}

/** `value` as a field of an instruction; negative ones in two's complement, where they fit as well. */
function field(value: number, bits: number, isSigned = false): number {
  const [min, max] = isSigned ? [-(2 ** (bits - 1)), 2 ** (bits - 1)] : [0, 2 ** bits]
  if (!Number.isInteger(value) || value < min || value >= max) {
    throw new RangeError(`${value} is not a number of ${bits} bits`)
  }
  return value & (2 ** bits - 1)
}

function registerNumber(name: string): number {
  const number = Number(/^[xw](\d+)$/.exec(name)?.[1] ?? 31)
  // 31 is the zero register or the stack, which nothing here names.
  if (number > 30) throw new RangeError(`no register ${name}`)
  return number
}

function immediate(text: string): number {
  const digits = /^#(-?\d+)$/.exec(text)?.[1]
  if (digits === undefined) throw new RangeError(`no immediate ${text}`)
  return Number(digits)
}

/** The bit that makes an instruction on 32-bit registers one on 64. */
const wide = (name: string): number => (name.startsWith('x') ? 0x8000_0000 : 0)

function encode(instruction: Instruction, distance: (operand: string) => number): number | undefined {
  const { mnemonic, operands } = instruction
  const [first = '', second = '', third = '', fourth = ''] = operands
  const words = (operand: string, bits: number): number => field(distance(operand) / 4, bits, true)
  if (mnemonic === 'ret') return 0xd65f03c0
  if (mnemonic === 'svc') return 0xd4000001 | (field(immediate(first), 16) << 5)
  if (mnemonic === 'b') return 0x14000000 | words(first, 26)
  if (mnemonic.startsWith('b.')) {
    const condition = conditionCodes[mnemonic.slice(2)]
    return condition === undefined ? undefined : 0x54000000 | (words(first, 19) << 5) | condition
  }
  if (mnemonic === 'cbz' || mnemonic === 'cbnz') {
    const opcode = mnemonic === 'cbz' ? 0x34000000 : 0x35000000
    return opcode | wide(first) | (words(second, 19) << 5) | registerNumber(first)
  }
  if (mnemonic === 'tbz' || mnemonic === 'tbnz') {
    const opcode = mnemonic === 'tbz' ? 0x36000000 : 0x37000000
    return opcode | (field(immediate(second), 5) << 19) | (words(third, 14) << 5) | registerNumber(first)
  }
  if (mnemonic === 'ldp') return loadPair(first, second, third)
  if (second.startsWith('[')) return transfer(mnemonic, first, second)
  return onRegisters(mnemonic, first, second, third, fourth)
}

/** `[x0]` or `[x0, #8]`. */
function address(text: string): [base: number, offset: number] {
  const [base = '', offset = '#0'] = text.slice(1, -1).split(/,\s*/)
  return [registerNumber(base), immediate(offset)]
}

function loadPair(first: string, second: string, memory: string): number {
  const [base, offset] = address(memory)
  return (
    0xa9400000 |
    (field(offset / 8, 7, true) << 15) |
    (registerNumber(second) << 10) |
    (base << 5) |
    registerNumber(first)
  )
}

function transfer(mnemonic: string, register: string, memory: string): number | undefined {
  const [opcode, scale] = transfers[`${mnemonic} ${register[0]}`] ?? []
  const [base, offset] = address(memory)
  if (opcode === undefined || scale === undefined) return undefined
  return opcode | (field(offset / scale, 12) << 10) | (base << 5) | registerNumber(register)
}

function onRegisters(
  mnemonic: string,
  first: string,
  second: string,
  third: string,
  fourth: string,
): number | undefined {
  const d = registerNumber(first)
  const n = second.startsWith('#') ? 0 : registerNumber(second)
  if (mnemonic === 'mov') {
    // mov from a register is orr with the zero register; of −1, the inverse of 0.
    if (!second.startsWith('#')) return 0xaa0003e0 | (n << 16) | d
    const value = immediate(second)
    return value < 0 ? 0x92800000 | (field(~value, 16) << 5) | d : 0xd2800000 | (field(value, 16) << 5) | d
  }
  if (mnemonic === 'cmn') return 0x3100001f | wide(first) | (field(immediate(second), 12) << 10) | (d << 5)
  if (mnemonic === 'cmp') {
    if (third === 'sxth') return 0x6b20a01f | wide(first) | (n << 16) | (d << 5)
    return 0x6b00001f | wide(first) | (n << 16) | (d << 5)
  }
  // lsr by a constant is a bit field move.
  if (mnemonic === 'lsr' && first.startsWith('w'))
    return 0x53007c00 | (field(immediate(third), 5) << 16) | (n << 5) | d
  if (mnemonic === 'lsl' && first.startsWith('x'))
    return 0x9ac02000 | (registerNumber(third) << 16) | (n << 5) | d
  if (fourth !== '') return undefined
  const opcode = immediates[mnemonic]
  if (third.startsWith('#') && opcode !== undefined)
    return opcode | (field(immediate(third), 12) << 10) | (n << 5) | d
  return mnemonic === 'add' ? 0x8b000000 | (registerNumber(third) << 16) | (n << 5) | d : undefined
}
