/**
 * The x86-64 instructions that the interpreter of syscall programs uses, in Intel syntax, encoded as the GNU assembler
 * encodes them. Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
 */
import type { Encoder } from './assemble.ts'
import { AssemblyError, type Instruction } from './source.ts'

interface Register {
  readonly kind: 'register'
  readonly number: number
  readonly bits: 8 | 16 | 32 | 64
}
interface MemoryOperand {
  readonly kind: 'memory'
  readonly base: Register
  readonly displacement: number
}
interface Immediate {
  readonly kind: 'immediate'
  readonly value: number
}
type Operand = Register | MemoryOperand | Immediate

/** In the order of their numbers. */
const legacyNames = ['a', 'c', 'd', 'b', 'sp', 'bp', 'si', 'di']

function register(name: string): Register | undefined {
  const extended = /^r(\d+)(d?)$/.exec(name)
  if (extended) return { kind: 'register', number: Number(extended[1]), bits: extended[2] === 'd' ? 32 : 64 }
  // The second byte of rcx, by the number that only instructions on bytes have for it.
  if (name === 'ch') return { kind: 'register', number: 5, bits: 8 }
  const [, prefix = '', stem = '', suffix = ''] = /^([re]?)([abcd]|si|di)([xl]?)$/.exec(name) ?? []
  const number = legacyNames.indexOf(stem)
  // The low byte of rsi or rdi would need a REX prefix, or be dh or bh.
  if (number < 0 || (stem.length === 2) !== (suffix === '')) return undefined
  return {
    kind: 'register',
    number,
    bits: suffix === 'l' ? 8 : prefix === 'r' ? 64 : prefix === 'e' ? 32 : 16,
  }
}

function isRegister(operand: Operand | undefined, name: string): boolean {
  const expected = register(name)
  return operand?.kind === 'register' && operand.number === expected?.number && operand.bits === expected.bits
}

function parseOperand(instruction: Instruction, text: string): Operand {
  const [, baseName, displacement = '0'] = /^\[(\w+)(?:\+(\d+))?\]$/.exec(text) ?? []
  if (baseName !== undefined) {
    const base = register(baseName)
    // rsp, rbp, r12 and r13 as a base have encodings of their own, which nothing here needs.
    if (base === undefined || [4, 5].includes(base.number & 7))
      throw new AssemblyError(instruction, 'bad base')
    return { kind: 'memory', base, displacement: Number(displacement) }
  }
  const found = register(text)
  if (found) return found
  if (!/^-?\d+$/.test(text)) throw new AssemblyError(instruction, `unknown operand ${text}`)
  return { kind: 'immediate', value: Number(text) }
}

const littleEndian = (value: number, size: number): number[] =>
  Array.from({ length: size }, (_, index) => (value >> (8 * index)) & 0xff)

/** ModRM byte and displacement, after the prefixes and the opcode: `field` is a register or an opcode's extension. */
function withModRm(
  opcode: readonly number[],
  bits: number,
  field: number,
  rm: Register | MemoryOperand,
): number[] {
  const base = rm.kind === 'memory' ? rm.base : rm
  const rex = 0x40 | (bits === 64 ? 8 : 0) | (field > 7 ? 4 : 0) | (base.number > 7 ? 1 : 0)
  const prefixes = [...(bits === 16 ? [0x66] : []), ...(rex === 0x40 ? [] : [rex])]
  const modRm = ((field & 7) << 3) | (base.number & 7)
  if (rm.kind === 'register') return [...prefixes, ...opcode, 0xc0 | modRm]
  if (rm.displacement === 0) return [...prefixes, ...opcode, modRm]
  if (rm.displacement > 127) throw new RangeError(`displacement ${rm.displacement}`)
  return [...prefixes, ...opcode, 0x40 | modRm, rm.displacement]
}

/** Two-operand instructions: opcode of the form `r/m, r`, and the ModRM extension of `r/m, imm`. */
const arithmetic: Readonly<Record<string, { opcode: number; extension: number }>> = {
  add: { opcode: 0x01, extension: 0 },
  or: { opcode: 0x09, extension: 1 },
  xor: { opcode: 0x31, extension: 6 },
  cmp: { opcode: 0x39, extension: 7 },
}

const conditions: Readonly<Record<string, number>> = { jb: 0x2, je: 0x4, jne: 0x5, js: 0x8 }

const plain: Readonly<Record<string, readonly number[]>> = {
  syscall: [0x0f, 0x05],
  ret: [0xc3],
  'repe cmpsb': [0xf3, 0xa6],
}

/** See {@link Encoder}. */
export const encodeX64: Encoder = (instruction, distance, isLong) =>
  Uint8Array.from(encode(instruction, distance, isLong))

function encode(
  instruction: Instruction,
  distance: (operand: string) => number,
  isLong: boolean,
): readonly number[] {
  const { mnemonic, operands } = instruction
  const bytes = plain[mnemonic]
  if (bytes) return bytes
  const condition = conditions[mnemonic]
  if (condition !== undefined || mnemonic === 'jmp') {
    return jump(condition, distance(operands[0] ?? ''), isLong)
  }
  const [left, right] = operands.map((operand) => parseOperand(instruction, operand))
  const encoded = left && encodeOperands(mnemonic, left, right)
  if (!encoded) throw new AssemblyError(instruction, 'no such instruction here')
  return encoded
}

/** The distance counts from the jump's begin, the encoded one from its end. */
function jump(condition: number | undefined, distance: number, isLong: boolean): number[] {
  if (!isLong) return [condition === undefined ? 0xeb : 0x70 | condition, (distance - 2) & 0xff]
  if (condition === undefined) return [0xe9, ...littleEndian(distance - 5, 4)]
  return [0x0f, 0x80 | condition, ...littleEndian(distance - 6, 4)]
}

function encodeOperands(mnemonic: string, left: Operand, right: Operand | undefined): number[] | undefined {
  if (left.kind === 'immediate') return undefined
  if (left.kind === 'register') {
    if (mnemonic === 'inc') return withModRm([0xff], left.bits, 0, left)
    if (mnemonic === 'dec') return withModRm([0xff], left.bits, 1, left)
    if (mnemonic === 'shl' && isRegister(right, 'cl')) return withModRm([0xd3], left.bits, 4, left)
    if (right?.kind === 'immediate') return withImmediate(mnemonic, left, right.value)
    if (right?.kind === 'memory') return load(mnemonic, left, right)
  }
  if (right?.kind !== 'register') return undefined
  const isByte = right.bits === 8
  const opcode = mnemonic === 'mov' ? 0x89 : mnemonic === 'test' ? 0x85 : arithmetic[mnemonic]?.opcode
  // The opcode of the same instruction on bytes is one less.
  return opcode === undefined
    ? undefined
    : withModRm([isByte ? opcode - 1 : opcode], right.bits, right.number, left)
}

function load(mnemonic: string, to: Register, from: MemoryOperand): number[] | undefined {
  if (mnemonic === 'movsxd') return withModRm([0x63], 64, to.number, from)
  if (mnemonic !== 'mov') return undefined
  return withModRm([to.bits === 8 ? 0x8a : 0x8b], to.bits, to.number, from)
}

function withImmediate(mnemonic: string, left: Register, value: number): number[] | undefined {
  if (mnemonic === 'test' && left.bits === 8) return [...withModRm([0xf6], 8, 0, left), value]
  if (mnemonic === 'shr') return [...withModRm([0xc1], left.bits, 5, left), value]
  const extension = arithmetic[mnemonic]?.extension
  if (extension === undefined) return undefined
  if (value >= -128 && value <= 127) return [...withModRm([0x83], left.bits, extension, left), value & 0xff]
  // A form of its own for rax, a byte shorter than the general one.
  if (left.number !== 0 || left.bits !== 64) return undefined
  return [0x48, 0x05 | (extension << 3), ...littleEndian(value, 4)]
}
