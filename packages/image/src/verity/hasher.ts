/** Builds a hash tree while the data passes by: a level's block is hashed into the level above when it is full. */
import { parseUuid } from '../uuid/uuid.ts'
import { checkSalt, digestOf } from './digest.ts'
import { blockBytes, digestBytes, digestsPerBlock } from './geometry.ts'
import { VerityTree } from './tree.ts'

/** How a tree is made. */
export interface VerityOptions {
  /**
   * Hashed before each block; 0 to 256 bytes, `veritysetup` takes 32. Constant per appliance, so that equal blocks
   * have equal digests from release to release.
   */
  readonly salt: Uint8Array
  /** The superblock's uuid: 32 hexadecimal digits, as `01234567-89ab-cdef-0123-456789abcdef`. */
  readonly uuid: string
  /** Ends {@link VerityHasher.append}: the iteration rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** Called now and then with how many bytes of data have been hashed. */
  readonly onProgress?: (doneBytes: number) => void
}

/**
 * Makes the dm-verity hash tree of data that is given once, in chunks of any size.
 *
 * Memory in use: the tree, 32 bytes for each block of 4 KiB (65 MB for 8 GB).
 *
 * @see https://docs.kernel.org/admin-guide/device-mapper/verity.html
 *
 * @example
 * ```ts
 * import { VerityHasher, verityTable } from '@pkg/image/verity'
 *
 * const hasher = new VerityHasher({ salt: new Uint8Array(32), uuid: '01234567-89ab-cdef-0123-456789abcdef' })
 * let sizeBytes = 0
 * for await (const chunk of hasher.append([new Uint8Array(200 * 4096)])) sizeBytes += chunk.byteLength
 * const tree = hasher.finish()
 * console.log(sizeBytes / 4096, tree.hashStartBlock) // 204 201: superblock, one block above two of leaves
 * console.log(verityTable(tree, { dataDevice: '/dev/vda2', hashDevice: '/dev/vda2' }))
 * ```
 */
export class VerityHasher {
  readonly #salt: Uint8Array
  readonly #uuid: Uint8Array
  readonly #signal: AbortSignal | undefined
  readonly #onProgress: ((doneBytes: number) => void) | undefined
  readonly #levels: LevelBuilder[] = []
  /** Data that does not fill a block yet. */
  readonly #partial = new Uint8Array(blockBytes)
  #partialBytes = 0
  #dataBlocks = 0
  #lastDigest: Uint8Array | undefined
  #tree: VerityTree | undefined

  /** @throws TypeError or RangeError for a salt or uuid of the wrong form */
  constructor(options: VerityOptions) {
    this.#salt = checkSalt(options.salt)
    this.#uuid = parseUuid(options.uuid)
    this.#signal = options.signal
    this.#onProgress = options.onProgress
  }

  /**
   * Hashes the next bytes of the data.
   *
   * @throws TypeError after {@link finish}
   */
  update(chunk: Uint8Array): void {
    if (this.#tree) throw new TypeError('the hash tree is finished: make a new VerityHasher for other data')
    let rest = chunk
    if (this.#partialBytes > 0) {
      const head = rest.subarray(0, blockBytes - this.#partialBytes)
      this.#partial.set(head, this.#partialBytes)
      this.#partialBytes += head.byteLength
      rest = rest.subarray(head.byteLength)
      if (this.#partialBytes < blockBytes) return
      this.#addBlock(this.#partial)
      this.#partialBytes = 0
    }
    const wholeBytes = rest.byteLength - (rest.byteLength % blockBytes)
    for (let start = 0; start < wholeBytes; start += blockBytes) {
      this.#addBlock(rest.subarray(start, start + blockBytes))
    }
    this.#partial.set(rest.subarray(wholeBytes))
    this.#partialBytes = rest.byteLength - wholeBytes
  }

  /**
   * The tree over all bytes that were given; the same one when called again.
   *
   * @throws RangeError when they were none, or no whole number of blocks of 4 KiB
   */
  finish(): VerityTree {
    this.#tree ??= this.#finish()
    return this.#tree
  }

  /**
   * Passes `data` on, hashing it on the way, then gives superblock and tree: the bytes of a partition that has both.
   * {@link finish} gives the tree, and with it the root hash, when all is through.
   *
   * @throws as {@link finish} at the end of the data; rejects as `data` does
   */
  async *append(
    data: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of data) {
      this.#signal?.throwIfAborted()
      this.update(chunk)
      this.#onProgress?.(this.#dataBlocks * blockBytes + this.#partialBytes)
      yield chunk
    }
    for (const chunk of this.finish().bytes()) {
      this.#signal?.throwIfAborted()
      yield chunk
    }
  }

  #addBlock(block: Uint8Array): void {
    this.#dataBlocks += 1
    this.#lastDigest = digestOf(this.#salt, block)
    this.#addDigest(0, this.#lastDigest)
  }

  #addDigest(level: number, digest: Uint8Array): void {
    const builder = (this.#levels[level] ??= new LevelBuilder())
    const full = builder.add(digest)
    if (full) this.#addDigest(level + 1, digestOf(this.#salt, full))
  }

  #finish(): VerityTree {
    if (this.#dataBlocks === 0 || this.#partialBytes > 0) {
      const sizeBytes = this.#dataBlocks * blockBytes + this.#partialBytes
      throw new RangeError(`the data has ${sizeBytes} bytes, dm-verity needs a whole number of 4 KiB blocks`)
    }
    const [salt, uuid, dataBlocks] = [this.#salt, this.#uuid, this.#dataBlocks]
    if (dataBlocks === 1 && this.#lastDigest) {
      return new VerityTree({ dataBlocks, salt, uuid, root: this.#lastDigest, blocks: [] })
    }
    const blocks: Uint8Array[][] = []
    for (const [level, builder] of this.#levels.entries()) {
      blocks.push(builder.blocks)
      const [first, ...others] = builder.blocks
      // A level of one block is the top, also when that block was full and has been hashed into one more level.
      if (first && others.length === 0) {
        return new VerityTree({ dataBlocks, salt, uuid, root: digestOf(salt, first), blocks })
      }
      const partial = builder.partial()
      if (partial) this.#addDigest(level + 1, digestOf(salt, partial))
    }
    throw new Error('a hash tree without a top')
  }
}

/** The digests of one level in blocks as they are written. */
class LevelBuilder {
  readonly blocks: Uint8Array[] = []
  #digests = 0

  /** Adds a digest, and gives the block that it has filled. */
  add(digest: Uint8Array): Uint8Array | undefined {
    const index = this.#digests % digestsPerBlock
    if (index === 0) this.blocks.push(new Uint8Array(blockBytes))
    const block = this.blocks.at(-1)
    block?.set(digest, index * digestBytes)
    this.#digests += 1
    return index === digestsPerBlock - 1 ? block : undefined
  }

  /** The last block when it is not full. */
  partial(): Uint8Array | undefined {
    return this.#digests % digestsPerBlock === 0 ? undefined : this.blocks.at(-1)
  }
}
