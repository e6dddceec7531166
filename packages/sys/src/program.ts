// Syscall programs: a list of system calls, written in TypeScript, that run without the engine: in the child
// between clone and exec (`spawn`), or as a whole static executable (`bootStub`).
import { errnoNumber, isError } from './errno.ts'
import { type Architecture, currentArchitecture, type SyscallName, syscallNumber } from './raw.ts'
import { interpreters, loadRowAddress, rowSizeBytes, rowWords } from './program/interpreter.ts'

/**
 * What a step's argument can be: an integer; null for a null pointer; a string or bytes, which become constant
 * memory whose address is passed (the string NUL-terminated); a {@link Vector}; or an earlier step, whose result
 * is passed.
 */
export type Operand = number | bigint | null | string | Uint8Array | Vector | Step

/** A null-terminated array of pointers to strings, as execve(2) takes for `argv` and `envp`. */
export interface Vector {
  /** In order; the terminating null is added. */
  readonly strings: readonly string[]
}

/** Makes a {@link Vector}. */
export function vector(strings: readonly string[]): Vector {
  return { strings }
}

/** A place in a program that an error can lead to: see {@link Step.otherwise}. */
export interface Label {
  /** Index of the step that it stands before; undefined until placed. */
  index?: number
}

/** One system call of a program. As an argument of a later step it stands for its result. */
export class Step {
  /** Position in the program. */
  readonly index: number
  /** The system call. */
  readonly name: SyscallName
  /** Its arguments; those that are not given are 0. */
  readonly operands: readonly Operand[]
  /** The errno that counts as success, or 0. */
  tolerated = 0
  /** Where an error leads: a label, `'next'`, or nowhere, which ends the program. */
  onError: Label | 'next' | undefined

  constructor(index: number, name: SyscallName, operands: readonly Operand[]) {
    this.index = index
    this.name = name
    this.operands = operands
  }

  /** Goes on when the call fails with `code` (`'EEXIST'`). One code a step; for all, {@link Step.ignoreErrors}. */
  tolerate(code: string): this {
    this.tolerated = errnoNumber(code)
    return this
  }

  /** Goes on whatever the call returns. */
  ignoreErrors(): this {
    this.onError = 'next'
    return this
  }

  /** Goes on at `label` when the call fails. */
  otherwise(label: Label): this {
    this.onError = label
    return this
  }
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

/** Exit status of a program that an error ended: the shell's "command not found", as of a failed exec. */
export const failureExitStatus = 127

/**
 * A list of system calls.
 *
 * The steps run in order. One that fails ends the program with exit status 127, unless it says otherwise; after
 * the last one it exits with 0. A step may not be passed to an earlier one.
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
 * console.assert(program.compile({ architecture: 'arm64', address: 0x10000 }).length > 4 * 88)
 * ```
 */
export class Program {
  /** In the order in which they run. */
  readonly steps: Step[] = []

  /**
   * Adds a system call.
   *
   * @throws TypeError for more than six arguments, a string with a NUL byte, or a step of another program;
   * RangeError for a number that is no 64-bit integer
   */
  call(name: SyscallName, ...operands: Operand[]): Step {
    if (operands.length > 6) throw new TypeError(`${name}: a system call has at most six arguments`)
    for (const operand of operands) this.#validate(name, operand)
    const step = new Step(this.steps.length, name, operands)
    this.steps.push(step)
    return step
  }

  /** A label to be placed later with {@link Program.place}. */
  label(): Label {
    return {}
  }

  /** Puts `label` before the next step. */
  place(label: Label): void {
    if (label.index !== undefined) throw new TypeError('the label is placed already')
    label.index = this.steps.length
  }

  /** An upper bound for the bytes that {@link Program.compile} makes. */
  get sizeBytesMax(): number {
    let size = (this.steps.length + 2) * rowSizeBytes
    for (const step of this.steps) for (const operand of step.operands) size += constantSizeMax(operand)
    return size
  }

  /**
   * The program as bytes for `address`: its rows first, so that it starts there, then constant memory.
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
    const rowCount = this.steps.length + 2
    const writer = new MemoryWriter(output, address, rowCount * rowSizeBytes)
    for (const step of this.steps) this.#writeStep(writer, step, architecture)
    const exit = syscallNumber('exit_group', architecture)
    writeExit(writer, this.steps.length, exit, 0)
    writeExit(writer, this.steps.length + 1, exit, failureExitStatus)
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
      code: Uint8Array.from([...entry, ...code.subarray(loopOffset)]),
      data: this.compile({ address, architecture }),
    }
  }

  /** What each step returned, read from the bytes of a program that has run. 0 for one that was not reached. */
  results(compiled: Uint8Array): number[] {
    const words = new DataView(compiled.buffer, compiled.byteOffset)
    return this.steps.map((step) =>
      Number(words.getBigInt64(step.index * rowSizeBytes + 8 * rowWords.result, true)),
    )
  }

  /** The step that ended a program which has run, if one did. */
  failure(compiled: Uint8Array): StepFailure | undefined {
    const results = this.results(compiled)
    for (const step of this.steps) {
      const result = results[step.index] ?? 0
      if (isError(result) && step.onError === undefined && -result !== step.tolerated) {
        return { step, errno: -result }
      }
    }
    return undefined
  }

  #validate(name: SyscallName, operand: Operand): void {
    if (operand === null || operand instanceof Uint8Array) return
    if (typeof operand === 'string') refuseNul(name, operand)
    else if (typeof operand === 'number' || typeof operand === 'bigint') refuseUnfit(name, operand)
    else if (operand instanceof Step && this.steps[operand.index] !== operand) {
      throw new TypeError(`${name}: the argument is a step of another program`)
    } else if (!(operand instanceof Step)) {
      // A missing argument would become 0, which is a file descriptor.
      const strings = typeof operand === 'object' ? operand.strings : undefined
      if (strings === undefined) throw new TypeError(`${name}: ${typeof operand} is no argument of a call`)
      for (const text of strings) refuseNul(name, text)
    }
  }

  #writeStep(writer: MemoryWriter, step: Step, architecture: Architecture): void {
    const row = (step.index * rowSizeBytes) / 8
    let indirect = 0
    writer.word(row + rowWords.number, syscallNumber(step.name, architecture))
    for (let index = 0; index < 6; index++) {
      const operand = step.operands[index] ?? 0
      if (operand instanceof Step) {
        indirect |= 1 << index
        const result = operand.index * rowSizeBytes + 8 * rowWords.result
        writer.word(row + rowWords.arguments + index, writer.address + result)
      } else {
        writer.word(row + rowWords.arguments + index, writer.constant(operand))
      }
    }
    writer.word(row + rowWords.indirect, indirect)
    writer.word(row + rowWords.tolerated, -step.tolerated)
    writer.word(row + rowWords.onError, writer.address + this.#onErrorIndex(step) * rowSizeBytes)
    writer.word(row + rowWords.result, 0)
  }

  #onErrorIndex(step: Step): number {
    if (step.onError === undefined) return this.steps.length + 1
    if (step.onError === 'next') return step.index + 1
    if (step.onError.index === undefined)
      throw new TypeError(`${step.name} leads to a label that was not placed`)
    return step.onError.index
  }
}

function writeExit(writer: MemoryWriter, index: number, number: number, status: number): void {
  const row = (index * rowSizeBytes) / 8
  for (let word = 0; word < rowSizeBytes / 8; word++) writer.word(row + word, 0)
  writer.word(row + rowWords.number, number)
  writer.word(row + rowWords.arguments, status)
}

function refuseNul(name: SyscallName, text: string): void {
  if (text.includes('\0')) throw new TypeError(`${name}: a NUL byte in ${JSON.stringify(text)}`)
}

/** Signed and unsigned numbers of 64 bits are as good: −1 and 2⁶⁴ − 1 are the same register. */
function refuseUnfit(name: SyscallName, value: number | bigint): void {
  const fits =
    typeof value === 'number'
      ? Number.isSafeInteger(value)
      : BigInt.asIntN(64, value) === value || BigInt.asUintN(64, value) === value
  if (!fits) throw new RangeError(`${name}: not a 64-bit integer: ${value}`)
}

function roundUp8(size: number): number {
  return Math.ceil(size / 8) * 8
}

/** UTF-8 needs at most three bytes for a UTF-16 unit. */
function stringSizeMax(text: string): number {
  return roundUp8(text.length * 3 + 1)
}

function constantSizeMax(operand: Operand): number {
  if (typeof operand === 'string') return stringSizeMax(operand)
  if (operand instanceof Uint8Array) return roundUp8(operand.length)
  if (typeof operand !== 'object' || operand === null || operand instanceof Step) return 0
  return operand.strings.reduce((sum, text) => sum + stringSizeMax(text), 8 * (operand.strings.length + 1))
}

const encoder = new TextEncoder()

/** Writes words and constants into memory that will lie at `address`. */
class MemoryWriter {
  readonly address: number
  readonly #bytes: Uint8Array
  readonly #words: Int32Array
  /** Offset of the next constant. */
  cursor: number

  constructor(bytes: Uint8Array, address: number, firstConstant: number) {
    this.address = address
    this.#bytes = bytes
    this.#words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2)
    this.cursor = firstConstant
  }

  /** Stores a 64-bit integer at word `index`. Numbers avoid bigint: this is on the path of every spawn. */
  word(index: number, value: number | bigint): void {
    const low = typeof value === 'bigint' ? Number(BigInt.asIntN(32, value)) : value | 0
    const high =
      typeof value === 'bigint' ? Number(BigInt.asIntN(32, value >> 32n)) : Math.floor(value / 0x1_0000_0000)
    this.#words[2 * index] = low
    this.#words[2 * index + 1] = high
  }

  /** The word for an operand that is no step: the integer itself, or the address of its constant. */
  constant(operand: Exclude<Operand, Step>): number | bigint {
    if (operand === null) return 0
    if (typeof operand === 'number' || typeof operand === 'bigint') return operand
    if (typeof operand === 'string') return this.#string(operand)
    if (operand instanceof Uint8Array) {
      const at = this.#reserve(operand.length)
      this.#bytes.set(operand, at)
      return this.address + at
    }
    const pointers = operand.strings.map((text) => this.#string(text))
    const at = this.#reserve(8 * (pointers.length + 1))
    for (const [index, pointer] of pointers.entries()) this.word(at / 8 + index, pointer)
    this.word(at / 8 + pointers.length, 0)
    return this.address + at
  }

  #string(text: string): number {
    const at = this.cursor
    const { read, written } = encoder.encodeInto(text, this.#bytes.subarray(at))
    if (read < text.length) throw new RangeError('the program is larger than its memory')
    this.#bytes[at + written] = 0
    this.#reserve(written + 1)
    return this.address + at
  }

  #reserve(size: number): number {
    const at = this.cursor
    this.cursor = roundUp8(at + size)
    if (this.cursor > this.#bytes.length) throw new RangeError('the program is larger than its memory')
    return at
  }
}
