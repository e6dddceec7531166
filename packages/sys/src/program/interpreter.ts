// The interpreter of syscall programs: a loop of machine code that makes one system call a row. It touches no
// stack and no memory but the rows', so it may run in a child that shares its parent's stack, or as a whole static
// executable. Its source is scripts/interpreter/*.S; `bun packages/sys/scripts/interpreter.ts` prints the listing.
import * as generated from '../generated/interpreters.ts'
import type { Architecture } from '../raw/number.ts'

/** A row is three 64-bit words and one for each argument; this is the index of each, or of the one it is half of. */
export const rowWords = {
  /** Low half: the number of a system call, or of one of {@link operations}. */
  number: 0,
  /**
   * High half. Bit k: argument k is the address of the value, not the value; that is how results travel. Bit 8 + k:
   * there is an argument k; those after the last one are 0. Bits 16 to 31: bytes of the row.
   */
  shape: 0,
  /** Low half: bytes from this row to the one to go on with after an error. */
  onError: 1,
  /** High half: two times 16 bits of −errno that are as good as success; 0 for none. */
  tolerated: 1,
  /** What the call returned. */
  result: 2,
  /** The first of up to six arguments. */
  arguments: 3,
} as const

/** Bytes of a row with so many arguments. */
export function rowSizeBytes(argumentCount: number): number {
  return 8 * (rowWords.arguments + argumentCount)
}

/**
 * What a row can do that is no system call. Each returns 0; the last two return −1 when what they ask is not so, which
 * like any error leads elsewhere.
 */
export const operations = {
  /** `set(address, a, b, bits)`: the 64-bit word at `address` becomes (a << bits) + b. */
  set: -1,
  /**
   * `append(cursor, end, strings…)`: copies up to four strings to where the word at `cursor` points, no further than
   * `end`, and leaves it at the terminating zero.
   */
  append: -2,
  /** `below(a, b)`: whether a < b, as unsigned integers of 64 bits. */
  below: -3,
  /** `equal(a, b, size)`: whether the bytes at two addresses are the same. */
  equal: -4,
  /** `error()`: returns what the last step returned that failed. */
  error: -5,
  /** Below with no arguments: 0 < 0, which is never so. */
  jump: -3,
} as const

/** The interpreter for one architecture. */
export interface Interpreter {
  /** Position-independent machine code: made when a program is run, not when its area is imported. */
  readonly code: () => Uint8Array
  /**
   * Offset of `spawn(cloneRow, childRow)` in the C calling convention: makes the call of `cloneRow`, returns its
   * result in the parent and runs the rows from `childRow` in the child.
   */
  readonly spawnOffset: number
  /** Offset of the loop. The address of the first row is in rbx, or x19. */
  readonly loopOffset: number
}

/** The interpreter by architecture. */
export const interpreters: Readonly<Record<Architecture, Interpreter>> = {
  x64: generated.x64,
  arm64: generated.arm64,
}

/** Machine code that loads `address` into the interpreter's row register, for the entry of an executable. */
export const loadRowAddress: Readonly<Record<Architecture, (address: number) => Uint8Array>> = {
  x64(address) {
    const code = Uint8Array.of(0x48, 0xbb, 0, 0, 0, 0, 0, 0, 0, 0) // mov rbx, imm64
    new DataView(code.buffer).setBigUint64(2, BigInt(address), true)
    return code
  },
  arm64(address) {
    const code = new Uint8Array(16)
    const words = new DataView(code.buffer)
    for (let part = 0; part < 4; part++) {
      const immediate = Number((BigInt(address) >> BigInt(16 * part)) & 0xffffn)
      // movz x19, #imm for the first 16 bits, movk x19, #imm, lsl #(16 · part) for the others.
      const opcode = part === 0 ? 0xd2800013 : 0xf2800013
      words.setUint32(4 * part, (opcode | (part << 21) | (immediate << 5)) >>> 0, true)
    }
    return code
  },
}
