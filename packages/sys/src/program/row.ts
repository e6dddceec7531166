// Rows: what the fields of one are filled with.
import type { SyscallName } from '../generated/syscalls.ts'
import type { Architecture } from '../raw/number.ts'
import { syscallNumber } from '../raw/number.ts'
import { operations, rowSizeBytes, rowWords } from './interpreter.ts'
import type { MemoryWriter } from './memory-writer.ts'
import type { StepName } from './operand.ts'

/** The number of a system call or operation. */
export function stepNumber(name: StepName, architecture: Architecture): number {
  return name in operations
    ? operations[name as keyof typeof operations]
    : syscallNumber(name as SyscallName, architecture)
}

/** Two errnos, each negated in its 16 bits, as the interpreter compares them. */
export function packErrors(tolerated: number): number {
  return (-tolerated & 0xffff) | (-(tolerated >> 16) << 16)
}

/** See {@link rowWords}. */
export function rowShape(argumentCount: number, indirect: number): number {
  return indirect | (((1 << argumentCount) - 1) << 8) | (rowSizeBytes(argumentCount) << 16)
}

/** Bytes of a row that {@link writeExit} writes. */
export const exitRowSizeBytes: number = rowSizeBytes(1)

/** Writes a row that ends the program with `status`; `number` is that of exit_group. */
export function writeExit(writer: MemoryWriter, offset: number, number: number, status: number): void {
  const row = offset / 8
  writer.halves(row + rowWords.number, number, rowShape(1, 0))
  writer.word(row + rowWords.onError, 0)
  writer.word(row + rowWords.result, 0)
  writer.word(row + rowWords.arguments, status)
}
