// Which blocks are there already, by their digests: a hash table in a typed array, as a Map of a hundred thousand
// strings would take tens of megabytes.

const digestBytes = 32

/** The first four bytes decide where an entry lies, the next four are kept in it. */
const checkOffset = 4

/** Finds blocks by digest. What it finds may be another: it keeps four bytes of each digest, so check the block. */
export class BlockIndex {
  readonly #capacity: number
  /** For each slot of the table four bytes of the digest, and the place plus one, which is 0 for none. */
  readonly #entries: Uint32Array

  /** @param blocks - how many are added at most */
  constructor(blocks: number) {
    // Half full at most: then a search ends after a step or two.
    this.#capacity = 2 * blocks + 1
    this.#entries = new Uint32Array(2 * this.#capacity)
  }

  /**
   * Notes where blocks lie, unless others with the same digests are known.
   *
   * @param digests - one after the other
   * @param place - of the first; the others follow
   */
  add(digests: Uint8Array, place: number): void {
    for (let index = 0; (index + 1) * digestBytes <= digests.length; index++) {
      const at = this.#search(digests, index * digestBytes)
      if (this.#entries[2 * at + 1] !== 0) continue
      this.#entries[2 * at] = word(digests, index * digestBytes + checkOffset)
      this.#entries[2 * at + 1] = place + index + 1
    }
  }

  /** The place of a block with this digest; undefined when none is known. */
  find(digest: Uint8Array): number | undefined {
    const place = this.#entries[2 * this.#search(digest, 0) + 1] ?? 0
    return place === 0 ? undefined : place - 1
  }

  /** The slot of the table that has this digest, or the free one where it belongs. */
  #search(digests: Uint8Array, offset: number): number {
    const check = word(digests, offset + checkOffset)
    let at = word(digests, offset) % this.#capacity
    while (this.#entries[2 * at + 1] !== 0 && this.#entries[2 * at] !== check) at = (at + 1) % this.#capacity
    return at
  }
}

/** Four bytes as a number. Without a DataView: one for each of a hundred thousand digests would be megabytes. */
function word(bytes: Uint8Array, offset: number): number {
  const low = (bytes[offset] ?? 0) | ((bytes[offset + 1] ?? 0) << 8)
  const high = (bytes[offset + 2] ?? 0) | ((bytes[offset + 3] ?? 0) << 8)
  return (low | (high << 16)) >>> 0
}
