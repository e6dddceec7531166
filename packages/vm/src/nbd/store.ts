/**
 * The contents of a disk: blocks that were written lie in a scratch file, all others in the base image. A disk of a
 * gigabyte costs nothing until it is written to, and its base is never changed.
 */
import { closeSync, openSync } from 'node:fs'
import type { BaseImage } from './base-image.ts'
import { ScratchFile, writeFully } from './scratch-file.ts'

/** What guests' file systems write at least; finer pieces are completed from what was there before. */
const BLOCK_BYTES = 4_096

/** Where a block's contents are. */
const IN_BASE = 0
const IN_SCRATCH = 1
const ZERO = 2

/** A run of neighbouring blocks that are in the same place, cut to what was asked for. */
interface Run {
  place: number
  /** In bytes, of the disk. */
  start: number
  /** In bytes, of the disk; without it. */
  end: number
}

/** A disk's contents, copied on write. */
export class CowStore implements Disposable {
  readonly sizeBytes: number
  readonly #base: BaseImage
  readonly #scratch: ScratchFile
  /** One of the places, by block. A byte a block: 256 KiB for a disk of 1 GiB. */
  readonly #places: Uint8Array

  constructor(base: BaseImage, sizeBytes: number) {
    this.#base = base
    this.sizeBytes = sizeBytes
    this.#scratch = new ScratchFile()
    this.#places = new Uint8Array(Math.ceil(sizeBytes / BLOCK_BYTES))
  }

  /**
   * What is at `offset`, in a buffer of the caller's own.
   *
   * @throws TypeError after disposal
   */
  read(offset: number, length: number): Buffer {
    this.#scratch.assertOpen()
    const bytes = Buffer.allocUnsafe(length)
    for (const { place, start, end } of this.#runs(offset, length)) {
      const target = bytes.subarray(start - offset, end - offset)
      if (place === IN_SCRATCH) this.#scratch.read(target, start)
      else if (place === ZERO) target.fill(0)
      else this.#base.read(target, start)
    }
    return bytes
  }

  /** @throws Error the host's disk is full */
  write(offset: number, bytes: Uint8Array): void {
    this.#complete(offset)
    this.#complete(offset + bytes.length)
    this.#scratch.write(bytes, offset)
    this.#places.fill(IN_SCRATCH, blockOf(offset), blockOf(offset + bytes.length - 1) + 1)
  }

  /** Makes a range zeros; whole blocks of it take no space. */
  zero(offset: number, length: number): void {
    const end = offset + length
    const firstWhole = Math.ceil(offset / BLOCK_BYTES)
    const lastWhole = end === this.sizeBytes ? this.#places.length : blockOf(end)
    if (firstWhole >= lastWhole) return this.write(offset, new Uint8Array(length))
    const head = firstWhole * BLOCK_BYTES - offset
    if (head > 0) this.write(offset, new Uint8Array(head))
    const tail = end - lastWhole * BLOCK_BYTES
    if (tail > 0) this.write(lastWhole * BLOCK_BYTES, new Uint8Array(tail))
    this.#places.fill(ZERO, firstWhole, lastWhole)
  }

  /** Writes the contents as a raw, sparse image to the new or existing file `path`. */
  async writeTo(path: string): Promise<void> {
    await this.#base.writeTo(path, this.sizeBytes)
    const fd = openSync(path, 'r+')
    try {
      for (const { place, start, end } of this.#runs(0, this.sizeBytes)) {
        // Zeros over what the base does not have are holes already.
        if (place === IN_BASE || (place === ZERO && start >= this.#base.sizeBytes)) continue
        for (let at = start; at < end; at += PIECE_BYTES)
          writeFully(fd, this.read(at, Math.min(PIECE_BYTES, end - at)), at)
      }
    } finally {
      closeSync(fd)
    }
  }

  /** The contents are gone. */
  [Symbol.dispose](): void {
    this.#scratch[Symbol.dispose]()
  }

  /** Brings the whole block that `offset` cuts in two into the scratch file. */
  #complete(offset: number): void {
    const start = offset - (offset % BLOCK_BYTES)
    if (start === offset || this.#places[blockOf(offset)] === IN_SCRATCH) return
    this.#scratch.write(this.read(start, Math.min(BLOCK_BYTES, this.sizeBytes - start)), start)
    this.#places[blockOf(offset)] = IN_SCRATCH
  }

  *#runs(offset: number, length: number): Generator<Run> {
    const end = offset + length
    for (let start = offset; start < end;) {
      let block = blockOf(start)
      const place = this.#places[block] ?? IN_BASE
      while (block * BLOCK_BYTES < end && this.#places[block] === place) block += 1
      const runEnd = Math.min(end, block * BLOCK_BYTES)
      yield { place, start, end: runEnd }
      start = runEnd
    }
  }
}

/** Pieces in which an image is written out. */
const PIECE_BYTES: number = 1 << 20

function blockOf(offset: number): number {
  return Math.floor(offset / BLOCK_BYTES)
}
