// Syscall programs: a list of system calls, written in TypeScript, that run without the engine: in the child
// between clone and exec (`spawn`), or as a whole static executable (`bootStub`).
import { errnoNumber, isError } from './errno.ts'
import type { SyscallName } from './generated/syscalls.ts'
import { explainProgram } from './program/explain.ts'
import { interpreters, loadRowAddress, rowSizeBytes, rowWords } from './program/interpreter.ts'
import { constantSizeMax, isIndirect, MemoryWriter, roundUp8 } from './program/memory-writer.ts'
import {
  Address,
  type Label,
  Memory,
  type Operand,
  Step,
  type StepName,
  type Text,
} from './program/operand.ts'
import type { Vector, Word } from './program/operand.ts'
import { exitRowSizeBytes, packErrors, rowShape, stepNumber, writeExit } from './program/row.ts'
import { validateOperand } from './program/validate.ts'
import { type Architecture, currentArchitecture, syscallNumber } from './raw/number.ts'

export { Address, Memory, Step, Word } from './program/operand.ts'
export type { Label, Operand, StepName, Text, Vector } from './program/operand.ts'

/** Makes a {@link Vector}. */
export function vector(strings: readonly string[]): Vector {
  return { strings }
}

/** Where and for what a program is compiled. */
export interface CompileOptions {
  /** Default: this process's. */
  architecture?: Architecture
  /** The address at which the bytes will lie. A multiple of 8. */
  address: number
}

/** A program with its own interpreter: what a static executable is made of. */
export interface StandaloneProgram {
  /** Position-independent machine code that starts at its first byte; to be mapped readable and executable. */
  code: Uint8Array
  /** The rows and constants for the address that was asked for; to be mapped readable and writable. */
  data: Uint8Array
}

/** A step that failed and ended its program. */
export interface StepFailure {
  /** Which. */
  step: Step
  /** Positive. */
  errno: number
}

/** How long something is tried. */
export interface RetryOptions {
  /** From now on, in milliseconds; at least one attempt is made. Measured to a hundredth of a second. */
  readonly withinMs: number
  /** Sleep before each further attempt, in milliseconds. */
  readonly everyMs: number
  /** Where the program goes on when the time is over; without it, it ends. */
  readonly otherwise?: Label
}

/** Exit status of a program that an error ended: the shell's "command not found", as of a failed exec. */
export const failureExitStatus = 127

/**
 * A list of system calls.
 *
 * The steps run in order. One that fails ends the program with exit status 127, unless it says otherwise; after
 * the last one it exits with 0. The result of a step that was not reached is 0.
 *
 * Beside calls there are a few steps that the interpreter carries out itself: {@link Program.set},
 * {@link Program.append}, and the tests {@link Program.equal}, {@link Program.below} and {@link Program.failedWith}. A
 * test that is not so is like a call that fails: it goes on where `otherwise` says.
 *
 * @example
 * ```ts
 * import { AT_FDCWD, O_RDWR } from '@pkg/sys/constants'
 * import { Program } from '@pkg/sys/program'
 *
 * const program = new Program()
 * program.call('mkdirat', AT_FDCWD, '/run/lock', 0o755).tolerate('EEXIST')
 * const nothing = program.call('openat', AT_FDCWD, '/dev/null', O_RDWR, 0)
 * program.call('dup3', nothing, 0, 0)
 * console.assert(program.compile({ architecture: 'arm64', address: 0x10000 }).length > 4 * 24)
 * console.assert(program.explain().includes('openat(AT_FDCWD, "/dev/null", O_RDWR, 0)'))
 * ```
 */
export class Program {
  /** In the order in which they run. */
  readonly steps: Step[] = []
  /** All that {@link Program.memory} and {@link Program.words} made. */
  readonly memories: Memory[] = []
  #memorySizeBytes = 0
  /** Of all steps; two rows that exit come after them. */
  #stepsSizeBytes = 0

  /**
   * Adds a system call.
   *
   * @throws TypeError for more than six arguments, a string with a NUL byte, or a step or memory of another program;
   * RangeError for a number that is no 64-bit integer
   */
  call(name: SyscallName, ...operands: Operand[]): Step {
    return this.#add(name, operands)
  }

  /**
   * A label to be placed later with {@link Program.place}.
   *
   * @param name - what listings call it
   */
  label(name?: string): Label {
    return { name }
  }

  /** Puts `label` before the next step. */
  place(label: Label): void {
    if (label.index !== undefined) throw new TypeError('the label is placed already')
    label.index = this.steps.length
  }

  /** Goes on at `label`, always. */
  jump(label: Label): void {
    this.#add('jump', []).otherwise(label)
  }

  /** Memory for steps to write and read: so many zeros, or these bytes at first. */
  memory(content: number | Uint8Array): Memory {
    if (typeof content !== 'number') return this.#addMemory(content.length, content)
    if (!Number.isSafeInteger(content) || content < 1)
      throw new RangeError(`not a size of memory: ${content}`)
    return this.#addMemory(content)
  }

  /**
   * Memory that holds a 64-bit word for each operand: integers and addresses, as `struct iovec` has them.
   *
   * @throws TypeError for a step or word, whose value is not known before the program runs: use {@link Program.set}
   */
  words(operands: readonly Operand[]): Memory {
    for (const operand of operands) {
      validateOperand('set', operand, this)
      if (isIndirect(operand)) throw new TypeError('words: a value that is known only when the program runs')
    }
    return this.#addMemory(8 * operands.length, operands)
  }

  /**
   * A string to be put together by {@link Program.append}, empty at first.
   *
   * @param memory - what it may fill, from `offset` to the end; what does not fit is cut
   */
  text(memory: Memory, offset = 0): Text {
    const begin = memory.at(offset)
    return { begin, end: memory.at(memory.sizeBytes - 1), cursor: this.words([begin]) }
  }

  /**
   * Stores `value` + `plus`, of 64 bits, at the address `target`.
   *
   * @param shiftBits - by which `value` is shifted to the left before
   */
  set(target: Memory | Address, value: Operand, plus: Operand = 0, shiftBits = 0): Step {
    return this.#add('set', [target, value, plus, shiftBits])
  }

  /** Appends strings to `text`: constants, or what lies at an address (a word's value is one). */
  append({ cursor, end }: Text, ...pieces: (string | Memory | Address | Word)[]): void {
    // Four pieces a step: a system call has six arguments.
    for (let first = 0; first < pieces.length; first += 4) {
      this.#add('append', [cursor, end, ...pieces.slice(first, first + 4)])
    }
  }

  /** Makes `text` empty again. */
  clear({ cursor, begin }: Text): void {
    this.set(cursor, begin)
  }

  /** Asks whether `bytes` lie at `address`. */
  equal(address: Memory | Address, bytes: Uint8Array): Step {
    return this.#add('equal', [address, bytes, bytes.length])
  }

  /** Asks whether `left` is less than `right`, both as unsigned integers of 64 bits. */
  below(left: Operand, right: Operand): Step {
    return this.#add('below', [left, right])
  }

  /** Asks whether `step` failed with `code` (`'ENOENT'`). Let it ignore errors, or lead here. */
  failedWith(step: Step, code: string): Step {
    const result = new Uint8Array(BigInt64Array.of(BigInt(-errnoNumber(code))).buffer)
    return this.#add('equal', [new Address(step, 0), result, result.length])
  }

  /** −errno of the last step that failed without being tolerated, wherever that led. */
  lastError(): Step {
    return this.#add('error', []).ignoreErrors()
  }

  /** Sleeps. */
  sleep(durationMs: number): Step {
    const seconds = Math.floor(durationMs / 1000)
    const nanoseconds = Math.round((durationMs - 1000 * seconds) * 1_000_000)
    const timespec = new Uint8Array(BigInt64Array.of(BigInt(seconds), BigInt(nanoseconds)).buffer)
    return this.call('nanosleep', timespec, null).ignoreErrors()
  }

  /**
   * Makes the steps that `attempt` adds again and again, until they run to their end.
   *
   * @param attempt - adds the steps; the label that it is given is where they lead when they fail
   */
  retry({ withinMs, everyMs, otherwise }: RetryOptions, attempt: (again: Label) => void): void {
    const [begin, again, done] = [this.label('attempt'), this.label('again'), this.label('done')]
    const deadline = this.memory(8)
    // times(2) returns the clock itself, in hundredths of a second (USER_HZ), and needs no memory.
    this.set(deadline, this.call('times', null).ignoreErrors(), Math.ceil(withinMs / 10))
    this.place(begin)
    attempt(again)
    this.jump(done)
    this.place(again)
    this.sleep(everyMs)
    const inTime = this.below(this.call('times', null).ignoreErrors(), deadline.word())
    if (otherwise) inTime.otherwise(otherwise)
    this.jump(begin)
    this.place(done)
  }

  /**
   * Makes the steps that `body` adds for each of `strings`.
   *
   * @param body - adds the steps once; what it is given stands for the address of the string
   */
  each(strings: readonly string[], body: (string: Word) => void): void {
    if (strings.length === 0) return
    const encoded = strings.map((text) => new TextEncoder().encode(text))
    for (const text of strings) validateOperand('set', text, this)
    const strideBytes = Math.max(...encoded.map(({ length }) => length + 1))
    const bytes = new Uint8Array(strings.length * strideBytes)
    for (const [index, text] of encoded.entries()) bytes.set(text, index * strideBytes)
    const table = this.memory(bytes)
    const cursor = this.memory(8)
    const begin = this.label('each')
    this.set(cursor, table)
    this.place(begin)
    body(cursor.word())
    this.set(cursor, cursor.word(), strideBytes)
    this.below(table.at((strings.length - 1) * strideBytes), cursor.word()).otherwise(begin)
  }

  /** An upper bound for the bytes that {@link Program.compile} makes. */
  get sizeBytesMax(): number {
    let size = this.#rowsSizeBytes + this.#memorySizeBytes
    for (const step of this.steps) for (const operand of step.operands) size += constantSizeMax(operand)
    for (const { content } of this.memories) {
      if (content !== undefined && !(content instanceof Uint8Array)) {
        for (const operand of content) size += constantSizeMax(operand)
      }
    }
    return size
  }

  /**
   * The program as bytes for `address`: its rows first, so that it starts there, then its memory and constants.
   *
   * @param target - where to write; default: new memory of the right size
   * @throws TypeError for a label that was never placed, or a call that the architecture lacks
   */
  compile(options: CompileOptions, target?: Uint8Array): Uint8Array {
    const { address, architecture = currentArchitecture() } = options
    if (!Number.isSafeInteger(address) || address % 8 !== 0) {
      throw new RangeError(`the address of a program must be a multiple of 8: ${address}`)
    }
    const output = target ?? new Uint8Array(new ArrayBuffer(roundUp8(this.sizeBytesMax)))
    const rowsSizeBytes = this.#rowsSizeBytes
    const writer = new MemoryWriter(output, address, rowsSizeBytes, rowsSizeBytes + this.#memorySizeBytes)
    for (const step of this.steps) this.#writeStep(writer, step, architecture)
    const exit = syscallNumber('exit_group', architecture)
    writeExit(writer, this.#stepsSizeBytes, exit, 0)
    writeExit(writer, this.#stepsSizeBytes + exitRowSizeBytes, exit, failureExitStatus)
    for (const memory of this.memories) writer.memory(memory)
    return output.subarray(0, roundUp8(writer.cursor))
  }

  /**
   * The program as code and data that need nothing else: see `writeStaticElf` of `@pkg/image/elf`.
   *
   * The sizes of both depend on neither address.
   */
  standalone(options: CompileOptions): StandaloneProgram {
    const { address, architecture = currentArchitecture() } = options
    const { code, loopOffset } = interpreters[architecture]
    const entry = loadRowAddress[architecture](address)
    return {
      code: Uint8Array.from([...entry, ...code().subarray(loopOffset)]),
      data: this.compile({ address, architecture }),
    }
  }

  /** The program as lines like strace's, with the names of constants, and where errors lead. */
  explain(): string {
    return explainProgram(this)
  }

  /** What each step returned, read from the bytes of a program that has run. 0 for one that was not reached. */
  results(compiled: Uint8Array): number[] {
    const words = new DataView(compiled.buffer, compiled.byteOffset)
    return this.steps.map((step) => Number(words.getBigInt64(step.offset + 8 * rowWords.result, true)))
  }

  /** What lies in `memory`, in the bytes of a program that has run. Not a copy. */
  contents(compiled: Uint8Array, memory: Memory): Uint8Array {
    validateOperand('set', memory, this)
    const begin = this.#rowsSizeBytes + memory.offset
    return compiled.subarray(begin, begin + memory.sizeBytes)
  }

  /** The step that ended a program which has run, if one did. */
  failure(compiled: Uint8Array): StepFailure | undefined {
    const results = this.results(compiled)
    for (const step of this.steps) {
      const result = results[step.index] ?? 0
      if (isError(result) && step.onError === undefined && !step.tolerates(-result)) {
        return { step, errno: -result }
      }
    }
    return undefined
  }

  #add(name: StepName, operands: readonly Operand[]): Step {
    if (operands.length > 6) throw new TypeError(`${name}: a system call has at most six arguments`)
    for (const operand of operands) validateOperand(name, operand, this)
    const step = new Step(this.steps.length, this.#stepsSizeBytes, name, operands)
    this.steps.push(step)
    this.#stepsSizeBytes += rowSizeBytes(step.argumentCount)
    return step
  }

  #addMemory(sizeBytes: number, content?: Uint8Array | readonly Operand[]): Memory {
    const memory = new Memory(this.memories.length, this.#memorySizeBytes, sizeBytes, content)
    this.memories.push(memory)
    this.#memorySizeBytes += roundUp8(sizeBytes)
    return memory
  }

  get #rowsSizeBytes(): number {
    return this.#stepsSizeBytes + 2 * exitRowSizeBytes
  }

  #writeStep(writer: MemoryWriter, step: Step, architecture: Architecture): void {
    const row = step.offset / 8
    const { argumentCount } = step
    let indirect = 0
    for (let index = 0; index < argumentCount; index++) {
      const operand = step.operands[index] ?? 0
      if (isIndirect(operand)) indirect |= 1 << index
      writer.word(row + rowWords.arguments + index, writer.value(operand))
    }
    const shape = rowShape(argumentCount, indirect)
    writer.halves(row + rowWords.number, stepNumber(step.name, architecture), shape)
    const distance = this.#onErrorOffset(step) - step.offset
    writer.halves(row + rowWords.onError, distance, packErrors(step.tolerated))
    writer.word(row + rowWords.result, 0)
  }

  #onErrorOffset(step: Step): number {
    if (step.onError === undefined) return this.#stepsSizeBytes + exitRowSizeBytes
    if (step.onError === 'next') return this.#offsetOf(step.index + 1)
    if (step.onError.index === undefined)
      throw new TypeError(`${step.name} leads to a label that was not placed`)
    return this.#offsetOf(step.onError.index)
  }

  /** Where the row of a step begins; of the one after the last, that of the exit. */
  #offsetOf(index: number): number {
    return this.steps[index]?.offset ?? this.#stepsSizeBytes
  }
}
