/** Little-endian numbers and strings of an ELF file, every read checked against the file's end. */

/**
 * A file that is no ELF file of the kinds that are read, or a damaged one.
 *
 * @example
 * ```ts
 * import { ElfError, parseElf } from '@pkg/image/elf'
 *
 * try {
 *   parseElf(new TextEncoder().encode('#!/bin/sh'))
 * } catch (error) {
 *   if (error instanceof ElfError) console.log(error.offset, error.message) // 0 elf: at byte 0: a script …
 * }
 * ```
 */
export class ElfError extends Error {
  override readonly name = 'ElfError'
  /** Where in the file, in bytes. */
  readonly offset: number
  /** What is wrong, without the place. */
  readonly problem: string

  /**
   * @param offset - in bytes from the file's beginning
   * @param problem - what was found and what was expected
   */
  constructor(offset: number, problem: string) {
    super(`elf: at byte ${offset}: ${problem}`)
    this.offset = offset
    this.problem = problem
  }
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

/** Reads that throw {@link ElfError} past the end; `what` names the field in the message. */
export class ElfBytes {
  readonly sizeBytes: number
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #beforeRead: (offset: number, sizeBytes: number) => void

  /** @param beforeRead - called with each part of the file before it is looked at */
  constructor(bytes: Uint8Array, beforeRead: (offset: number, sizeBytes: number) => void = () => {}) {
    this.#beforeRead = beforeRead
    this.sizeBytes = bytes.byteLength
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** @throws ElfError unless `sizeBytes` bytes from `offset` are inside the file */
  check(offset: number, sizeBytes: number, what: string): void {
    if (offset + sizeBytes > this.sizeBytes) {
      throw new ElfError(
        offset,
        `${what}: ${sizeBytes} bytes expected, but the file ends at ${this.sizeBytes}: it is cut off or damaged`,
      )
    }
  }

  u8(offset: number, what: string): number {
    this.#read(offset, 1, what)
    return this.#view.getUint8(offset)
  }

  u16(offset: number, what: string): number {
    this.#read(offset, 2, what)
    return this.#view.getUint16(offset, true)
  }

  u32(offset: number, what: string): number {
    this.#read(offset, 4, what)
    return this.#view.getUint32(offset, true)
  }

  u64(offset: number, what: string): bigint {
    this.#read(offset, 8, what)
    return this.#view.getBigUint64(offset, true)
  }

  /** A 64-bit field that is an offset or size in this file. */
  offset(offset: number, what: string): number {
    const value = this.u64(offset, what)
    if (value > BigInt(this.sizeBytes)) {
      throw new ElfError(
        offset,
        `${what} is ${value}, past the file's end at ${this.sizeBytes}: it is cut off or damaged`,
      )
    }
    return Number(value)
  }

  /** The text from `start` to its NUL, which must come before `end`. */
  string(start: number, end: number, what: string): string {
    this.#read(start, end - start, what)
    const nul = this.#bytes.subarray(start, end).indexOf(0)
    if (nul === -1) throw new ElfError(start, `${what} has no NUL at its end`)
    return decoder.decode(this.#bytes.subarray(start, start + nul))
  }

  /** A view of part of the file. */
  slice(offset: number, sizeBytes: number, what: string): Uint8Array {
    this.#read(offset, sizeBytes, what)
    return this.#bytes.subarray(offset, offset + sizeBytes)
  }

  #read(offset: number, sizeBytes: number, what: string): void {
    this.check(offset, sizeBytes, what)
    this.#beforeRead(offset, sizeBytes)
  }
}
