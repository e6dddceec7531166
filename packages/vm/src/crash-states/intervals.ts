/**
 * The disk divided where any change begins or ends: each interval has its contents from one change, or from what was
 * there at first, and so a state of the whole disk is a short list of numbers.
 */
import { createHash } from 'node:crypto'
import type { ChangeEntry, DiskLog } from '../nbd/log.ts'

/** "What was there at first", where otherwise a change's index stands. */
export const BASE = -1

/** A 128-bit digest as four numbers, so that digests of many intervals are combined by exclusive or. */
export type Digest = readonly [number, number, number, number]

const NO_DIFFERENCE: Digest = [0, 0, 0, 0]

/** How much is read at once to be digested or copied. */
const PIECE_BYTES: number = 1 << 20

/** Intervals, their contents and the contents' digests. */
export class IntervalMap {
  readonly #log: DiskLog
  readonly #changes: ReadonlyMap<number, ChangeEntry>
  readonly #boundaries: number[]
  readonly #digests = new Map<string, Digest>()
  readonly #zerosDigests = new Map<number, string>()

  /** @param cuts - further places where an interval ends, in bytes */
  constructor(log: DiskLog, changes: readonly ChangeEntry[], cuts: Iterable<number>) {
    this.#log = log
    this.#changes = new Map(changes.map((change) => [change.index, change]))
    const places = new Set([0, log.sizeBytes, ...cuts])
    for (const { offset, length } of changes) places.add(offset).add(offset + length)
    this.#boundaries = [...places].toSorted((one, other) => one - other)
  }

  /** How many intervals there are. */
  get count(): number {
    return this.#boundaries.length - 1
  }

  /** First byte of an interval; that of `count` is the size of the disk. */
  startOf(interval: number): number {
    return this.#boundaries[interval] as number
  }

  /** The interval that has the byte `offset`. */
  at(offset: number): number {
    let low = 0
    let high = this.#boundaries.length
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      if ((this.#boundaries[middle] as number) <= offset) low = middle
      else high = middle
    }
    return low
  }

  /** Fills `target` with what `source` (a change's index or {@link BASE}) has at `offset` of the disk. */
  read(source: number, target: Uint8Array, offset: number): void {
    const change = this.#changes.get(source)
    if (change === undefined) this.#log.readBase(target, offset)
    else if (change.kind === 'write') this.#log.readData(change, target, offset - change.offset)
    else target.fill(0)
  }

  /** The digest of an interval with contents from `source`; all zeros when they are what was there at first. */
  digest(interval: number, source: number): Digest {
    if (source === BASE) return NO_DIFFERENCE
    const key = `${interval}/${source}`
    const known = this.#digests.get(key)
    if (known !== undefined) return known
    const made = this.#makeDigest(interval, source)
    this.#digests.set(key, made)
    return made
  }

  #makeDigest(interval: number, source: number): Digest {
    const unwritten = this.startOf(interval) >= this.#log.baseBytes
    // A trim of a whole empty disk is one interval of gigabytes: zeros over zeros need no reading.
    if (unwritten && this.#changes.get(source)?.kind !== 'write') return NO_DIFFERENCE
    const contents = this.#contentsDigest(interval, source)
    const before = unwritten ? this.#zerosDigest(interval) : this.#contentsDigest(interval, BASE)
    if (contents === before) return NO_DIFFERENCE
    // The place is digested too: equal contents in two places must not cancel each other out.
    const bytes = createHash('sha1')
      .update(`${this.startOf(interval)}/${contents}`)
      .digest()
    return [bytes.readInt32LE(0), bytes.readInt32LE(4), bytes.readInt32LE(8), bytes.readInt32LE(12)]
  }

  #contentsDigest(interval: number, source: number): string {
    const hash = createHash('sha1')
    const end = this.startOf(interval + 1)
    for (let at = this.startOf(interval); at < end; at += PIECE_BYTES) {
      const piece = new Uint8Array(Math.min(PIECE_BYTES, end - at))
      this.read(source, piece, at)
      hash.update(piece)
    }
    return hash.digest('hex')
  }

  #zerosDigest(interval: number): string {
    const length = this.startOf(interval + 1) - this.startOf(interval)
    const known = this.#zerosDigests.get(length)
    if (known !== undefined) return known
    const made = createHash('sha1').update(new Uint8Array(length)).digest('hex')
    this.#zerosDigests.set(length, made)
    return made
  }
}

/** Combines digests; combining the same one twice takes it out again. */
export function combine(one: Digest, other: Digest): Digest {
  return [one[0] ^ other[0], one[1] ^ other[1], one[2] ^ other[2], one[3] ^ other[3]]
}

/** A digest as 32 hexadecimal digits. */
export function digestText(digest: Digest): string {
  return digest.map((lane) => (lane >>> 0).toString(16).padStart(8, '0')).join('')
}
