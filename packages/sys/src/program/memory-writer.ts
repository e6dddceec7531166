// The bytes of a program: words of rows, the memory that steps write, and constants.
import { Address, Memory, type Operand, Step, Word } from './operand.ts'
import { rowWords } from './interpreter.ts'

/** `size`, rounded up to whole words. */
export function roundUp8(size: number): number {
  return Math.ceil(size / 8) * 8
}

/** UTF-8 needs at most three bytes for a UTF-16 unit. */
function stringSizeMax(text: string): number {
  return roundUp8(text.length * 3 + 1)
}

/** An upper bound for the constant memory that an operand needs. */
export function constantSizeMax(operand: Operand): number {
  if (typeof operand === 'string') return stringSizeMax(operand)
  if (operand instanceof Uint8Array) return roundUp8(operand.length)
  if (typeof operand !== 'object' || operand === null || !('strings' in operand)) return 0
  return operand.strings.reduce((sum, text) => sum + stringSizeMax(text), 8 * (operand.strings.length + 1))
}

/** Whether an operand is passed as what lies at an address. */
export function isIndirect(operand: Operand): boolean {
  return operand instanceof Step || operand instanceof Word
}

const encoder = new TextEncoder()

/** Writes words and constants into memory that will lie at `address`. */
export class MemoryWriter {
  readonly address: number
  readonly #bytes: Uint8Array
  readonly #words: Int32Array
  /** Offset of the program's first memory. */
  readonly #memoryOffset: number
  /** Offset of the next constant. */
  cursor: number

  /**
   * @param memoryOffset - where the memories of the program begin
   * @param firstConstant - where they end
   */
  constructor(bytes: Uint8Array, address: number, memoryOffset: number, firstConstant: number) {
    this.address = address
    this.#bytes = bytes
    this.#words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2)
    this.#memoryOffset = memoryOffset
    this.cursor = firstConstant
  }

  /** Stores two 32-bit integers as word `index`. */
  halves(index: number, low: number, high: number): void {
    this.#words[2 * index] = low
    this.#words[2 * index + 1] = high
  }

  /** Stores a 64-bit integer at word `index`. Numbers avoid bigint: this is on the path of every spawn. */
  word(index: number, value: number | bigint): void {
    const low = typeof value === 'bigint' ? Number(BigInt.asIntN(32, value)) : value | 0
    const high =
      typeof value === 'bigint' ? Number(BigInt.asIntN(32, value >> 32n)) : Math.floor(value / 0x1_0000_0000)
    this.#words[2 * index] = low
    this.#words[2 * index + 1] = high
  }

  /** What is in a memory at first. */
  memory({ offset, sizeBytes, content }: Memory): void {
    const at = this.#memoryOffset + offset
    if (at + sizeBytes > this.#bytes.length) throw new RangeError('the program is larger than its memory')
    this.#bytes.fill(0, at, at + sizeBytes)
    if (content instanceof Uint8Array) this.#bytes.set(content, at)
    else
      for (const [index, operand] of (content ?? []).entries()) this.word(at / 8 + index, this.value(operand))
  }

  /** The word for an operand: the integer itself, or the address of a constant, of memory, or of a result. */
  value(operand: Operand): number | bigint {
    if (operand === null) return 0
    if (typeof operand === 'number' || typeof operand === 'bigint') return operand
    if (typeof operand === 'string') return this.#string(operand)
    if (operand instanceof Step) return this.address + operand.offset + 8 * rowWords.result
    if (operand instanceof Memory) return this.address + this.#memoryOffset + operand.offset
    if (operand instanceof Address) return Number(this.value(operand.base)) + operand.offset
    if (operand instanceof Word) return Number(this.value(operand.memory)) + operand.offset
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
