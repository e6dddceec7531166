// A disk as the judge looks at it: any state of a write log, or an image. What was found out once is remembered by
// what was read for it, so that of a thousand states that differ in one sector one only is looked at again.
import { createHash } from 'node:crypto'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import type { RandomAccess } from '@pkg/image/random-access'

/** A disk at one moment. A `CrashState` of `@pkg/vm/crash-states` is one. */
export interface DiskView {
  /** Size of the disk. */
  readonly sizeBytes: number
  /** What is at `offset`. */
  read(offset: number, length: number): Uint8Array
  /** Equal only for views of one disk that hold the same there; says nothing of two different places. */
  hashOf(offset: number, length: number): string
}

/** A part of a disk, such as a partition, as a disk. */
export function partOf(view: DiskView, startBytes: number, sizeBytes: number): DiskView {
  const within = (offset: number, length: number): void => {
    if (!(offset >= 0 && length >= 0 && offset + length <= sizeBytes))
      throw new RangeError(`${length} bytes at ${offset} do not lie within the ${sizeBytes} of the part`)
  }
  return {
    sizeBytes,
    read(offset, length) {
      within(offset, length)
      return view.read(startBytes + offset, length)
    },
    hashOf(offset, length) {
      within(offset, length)
      // The place is told, too: of a write log, all that was never written to has one hash.
      return `${startBytes}:${view.hashOf(startBytes + offset, length)}`
    },
  }
}

/** A raw image as a view; it must not change meanwhile. */
export class ImageView implements DiskView, Disposable {
  readonly sizeBytes: number
  readonly #fd: number

  constructor(path: string) {
    this.#fd = openSync(path, 'r')
    this.sizeBytes = fstatSync(this.#fd).size
  }

  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    for (let done = 0; done < length;) {
      const count = readSync(this.#fd, bytes, done, length - done, offset + done)
      if (count === 0) throw new RangeError(`the image ends at ${offset + done}`)
      done += count
    }
    return bytes
  }

  hashOf(offset: number, length: number): string {
    return createHash('sha1').update(this.read(offset, length)).digest('hex')
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }
}

/** A piece of a disk. */
interface Range {
  readonly start: number
  readonly end: number
}

/** Reads for a reader of `@pkg/image`, and remembers what was read. */
class RecordingAccess implements RandomAccess {
  readonly sizeBytes: number
  readonly #view: DiskView
  readonly #ranges: Range[] = []

  constructor(view: DiskView) {
    this.#view = view
    this.sizeBytes = view.sizeBytes
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    const start = Math.min(offset, this.sizeBytes)
    const end = Math.min(offset + length, this.sizeBytes)
    this.#ranges.push({ start, end })
    return Promise.resolve(this.#view.read(start, end - start))
  }

  /** What was read, neighbours put together. */
  ranges(): Range[] {
    const merged: Range[] = []
    for (const range of this.#ranges.toSorted((one, other) => one.start - other.start)) {
      const last = merged.at(-1)
      if (last === undefined || range.start > last.end) merged.push(range)
      else merged[merged.length - 1] = { start: last.start, end: Math.max(last.end, range.end) }
    }
    return merged
  }
}

/** What was found for every content of the same ranges, in views of one size. */
interface Shape<T> {
  readonly sizeBytes: number
  readonly ranges: readonly Range[]
  readonly found: Map<string, { readonly value: T }>
}

/** More ranges than this are not compared: then it is cheaper to look again. */
const SHAPES_MAX = 64

/**
 * Remembers what a computation found by what it read: where a view has the same in those places, the computation would
 * go the same way. For views of one disk only.
 */
export class Memo<T> {
  /** The one that helped last comes first. */
  #shapes: Shape<T>[] = []

  /** The result of `compute` for `view`, made anew only when nothing equal was read before. */
  async get(view: DiskView, compute: (access: RandomAccess) => Promise<T>): Promise<T> {
    for (const [index, shape] of this.#shapes.entries()) {
      if (shape.sizeBytes !== view.sizeBytes) continue
      const known = shape.found.get(hashOfAll(view, shape.ranges))
      if (known === undefined) continue
      if (index > 0) this.#shapes = [shape, ...this.#shapes.filter((other) => other !== shape)]
      return known.value
    }
    const access = new RecordingAccess(view)
    const value = await compute(access)
    this.#remember(access.ranges(), view, value)
    return value
  }

  #remember(ranges: Range[], view: DiskView, value: T): void {
    const { sizeBytes } = view
    const key = JSON.stringify(ranges)
    const known = this.#shapes.find(
      (shape) => shape.sizeBytes === sizeBytes && JSON.stringify(shape.ranges) === key,
    )
    const shape: Shape<T> = known ?? { sizeBytes, ranges, found: new Map() }
    shape.found.set(hashOfAll(view, ranges), { value })
    if (known === undefined) this.#shapes = [shape, ...this.#shapes].slice(0, SHAPES_MAX)
  }
}

function hashOfAll(view: DiskView, ranges: readonly Range[]): string {
  return ranges.map(({ start, end }) => view.hashOf(start, end - start)).join(' ')
}
