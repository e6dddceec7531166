// What the steps of a program are made of: calls, places to go on at, and memory.
import { errnoNumber } from '../errno.ts'
import type { SyscallName } from '../generated/syscalls.ts'
import type { operations } from './interpreter.ts'

/** What a step does: a system call, or what the interpreter does itself. */
export type StepName = SyscallName | keyof typeof operations

/**
 * What a step's argument can be: an integer; null for a null pointer; a string or bytes, which become constant
 * memory whose address is passed (the string NUL-terminated); a {@link Vector}; an earlier step, whose result is
 * passed; {@link Memory} or an {@link Address} in it, which is passed; a {@link Word}, whose value at that time is.
 */
export type Operand = number | bigint | null | string | Uint8Array | Vector | Step | Memory | Address | Word

/** A null-terminated array of pointers to strings, as execve(2) takes for `argv` and `envp`. */
export interface Vector {
  /** In order; the terminating null is added. */
  readonly strings: readonly string[]
}

/** A place in a program that a step can lead to: see {@link Step.otherwise}. */
export interface Label {
  /** What listings call it. */
  readonly name?: string | undefined
  /** Index of the step that it stands before; undefined until placed. */
  index?: number
}

/** One system call of a program, or test. As an argument of another step it stands for its result. */
export class Step {
  /** Position in the program. */
  readonly index: number
  /** The system call. */
  readonly name: StepName
  /** Its arguments; those that are not given are 0. */
  readonly operands: readonly Operand[]
  /** How many of them there are without the zeros at the end. */
  readonly argumentCount: number
  /** Where its row begins, in bytes from the program's begin. */
  readonly offset: number
  /** Up to two errnos that count as success, or 0: the first in the low 16 bits. */
  tolerated = 0
  /** Where an error leads: a label, `'next'`, or nowhere, which ends the program. */
  onError: Label | 'next' | undefined

  constructor(index: number, offset: number, name: StepName, operands: readonly Operand[]) {
    this.index = index
    this.offset = offset
    this.name = name
    this.operands = operands
    let count = operands.length
    while (count > 0 && (operands[count - 1] === 0 || operands[count - 1] === null)) count--
    this.argumentCount = count
  }

  /**
   * Goes on when the call fails with `code` (`'EEXIST'`). Two codes a step; for all, {@link Step.ignoreErrors}.
   *
   * @throws TypeError for an error that the kernel does not have, and a third one
   */
  tolerate(code: string): this {
    if (this.tolerated > 0xffff) throw new TypeError(`${this.name}: only two errors can be tolerated`)
    this.tolerated = (this.tolerated << 16) | errnoNumber(code)
    return this
  }

  /** Goes on whatever the call returns. */
  ignoreErrors(): this {
    this.onError = 'next'
    return this
  }

  /** Goes on at `label` when the call fails, or what the step asks is not so. */
  otherwise(label: Label): this {
    this.onError = label
    return this
  }

  /** Whether the program goes on after this result as if it were success. `errno` is positive. */
  tolerates(errno: number): boolean {
    return errno === (this.tolerated & 0xffff) || (errno === this.tolerated >> 16 && errno !== 0)
  }
}

/** Memory of a program that its steps write and read. Made by `Program.memory()` and `Program.words()`. */
export class Memory {
  /** Position among the program's. */
  readonly index: number
  /** From the first memory of the program; a multiple of 8. */
  readonly offset: number
  /** How large it is. */
  readonly sizeBytes: number
  /** What is in it at first: bytes, 64-bit words, or zeros. */
  readonly content: Uint8Array | readonly Operand[] | undefined

  constructor(index: number, offset: number, sizeBytes: number, content?: Uint8Array | readonly Operand[]) {
    this.index = index
    this.offset = offset
    this.sizeBytes = sizeBytes
    this.content = content
  }

  /**
   * The address `offset` bytes behind the begin.
   *
   * @throws RangeError for one that is outside
   */
  at(offset: number): Address {
    if (!Number.isInteger(offset) || offset < 0 || offset >= this.sizeBytes) {
      throw new RangeError(`not within ${this.sizeBytes} bytes of memory: ${offset}`)
    }
    return new Address(this, offset)
  }

  /**
   * The 64-bit word `offset` bytes behind the begin: what it is when the step that uses it runs.
   *
   * @throws RangeError for one that is not whole within the memory
   */
  word(offset = 0): Word {
    this.at(offset + 7)
    return new Word(this, offset)
  }
}

/** A place in memory, or where a step's result lies: passed as its address. */
export class Address {
  /** What it is counted from: the begin of a memory, or the result of a step. */
  readonly base: Memory | Step
  /** In bytes. */
  readonly offset: number

  constructor(base: Memory | Step, offset: number) {
    this.base = base
    this.offset = offset
  }
}

/** A 64-bit word of memory: passed as its value. */
export class Word {
  /** Where it lies. */
  readonly memory: Memory
  /** In bytes from the begin of the memory. */
  readonly offset: number

  constructor(memory: Memory, offset: number) {
    this.memory = memory
    this.offset = offset
  }
}

/** A NUL-terminated string that a program puts together. Made by `Program.text()`. As an argument, its address. */
export interface Text {
  /** Where it begins. */
  readonly begin: Address
  /** The last byte that it may have, which stays 0: what is longer is cut. */
  readonly end: Address
  /** One word: the address of its terminating zero, where the next piece goes. */
  readonly cursor: Memory
}
