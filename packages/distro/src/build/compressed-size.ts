// How large something would be as zstd, cut into frames as releases have them. Most of an image is the same from build
// to build, so sizes are kept by piece.
import { join } from 'node:path'
import type { FileSource } from '@pkg/image/file-source'
import { frameBytes } from '@pkg/update/release'
import { readTextIfThere, sha256, writeAtomically } from '@pkg/vm/host'

/** As the runtime's part of an initramfs; see compress.ts for what other levels cost and give. */
const level = 7

/** Pieces that are compressed at the same time, each by a thread. */
const together = 4

/** Tells what a piece holds without a look at its bytes; undefined for a piece that has to be looked at. */
export type NameOfPiece = (index: number) => string | undefined

/** The size of `source` as zstd. */
export async function compressedSizeBytes(source: FileSource, cache: string): Promise<number> {
  const meter = new CompressionMeter(cache)
  for await (const chunk of source.open()) await meter.update(chunk)
  return await meter.finish()
}

/** Measures bytes that pass by: those of pieces that are known are not even copied. */
export class CompressionMeter {
  readonly #cache: string
  readonly #nameOf: NameOfPiece
  readonly #underway: Promise<void>[] = []
  #index = 0
  /** Of the piece that is being filled; undefined once its size is known. */
  #piece: Uint8Array<ArrayBuffer> | undefined = undefined
  #filledBytes = 0
  #sumBytes = 0

  constructor(cache: string, nameOf: NameOfPiece = () => undefined) {
    this.#cache = cache
    this.#nameOf = nameOf
  }

  /** Takes the next bytes. */
  async update(chunk: Uint8Array): Promise<void> {
    for (let done = 0; done < chunk.length;) {
      if (this.#filledBytes === 0) await this.#begin()
      const part = chunk.subarray(done, done + frameBytes - this.#filledBytes)
      this.#piece?.set(part, this.#filledBytes)
      this.#filledBytes += part.length
      done += part.length
      if (this.#filledBytes === frameBytes) await this.#end()
    }
  }

  /** The size of all that was given. */
  async finish(): Promise<number> {
    if (this.#filledBytes > 0) await this.#end()
    await Promise.all(this.#underway)
    return this.#sumBytes
  }

  async #begin(): Promise<void> {
    const name = this.#nameOf(this.#index)
    const known = name === undefined ? undefined : await this.#known(name)
    this.#piece = known === undefined ? new Uint8Array(frameBytes) : undefined
    this.#sumBytes += known ?? 0
  }

  async #end(): Promise<void> {
    const piece = this.#piece?.subarray(0, this.#filledBytes)
    if (piece !== undefined) this.#underway.push(this.#measure(piece, this.#nameOf(this.#index)))
    if (this.#underway.length >= together) await Promise.all(this.#underway.splice(0))
    this.#index += 1
    this.#filledBytes = 0
  }

  async #measure(piece: Uint8Array<ArrayBuffer>, given: string | undefined): Promise<void> {
    const name = given ?? sha256(piece)
    let size = given === undefined ? await this.#known(name) : undefined
    if (size === undefined) {
      size = (await Bun.zstdCompress(piece, { level })).length
      await writeAtomically(this.#fileOf(name), String(size))
    }
    this.#sumBytes += size
  }

  async #known(name: string): Promise<number | undefined> {
    const size = Number(await readTextIfThere(this.#fileOf(name)))
    return size > 0 ? size : undefined
  }

  #fileOf(name: string): string {
    return join(this.#cache, 'zstd-sizes', `${name}-${level}`)
  }
}
