/** One state of a disk after a power cut: described at once, put together only where it is read. */
import { closeSync, openSync } from 'node:fs'
import type { ChangeEntry, DiskLog } from '../nbd/log.ts'
import { writeFully } from '../nbd/scratch-file.ts'
import { choiceName, type Choice, type Tear } from './choices.ts'
import type { Epoch } from './epochs.ts'
import { BASE, combine, digestText, type Digest, type IntervalMap } from './intervals.ts'

/** What a disk can hold after a power cut. */
export interface CrashState {
  /** Names it: `crashState(log, name)` gives it again, for the same log. */
  readonly name: string
  /** For people: `power cut in epoch 3: writes 15 to 17 of 20 arrived, without 16; 17 torn: first 2 of 8 sectors`. */
  readonly description: string
  /** Equal for states that hold the same. 32 hexadecimal digits. */
  readonly hash: string
  /** Size of the disk. */
  readonly sizeBytes: number
  /** The labels of the marks that were in the log before the power cut: what the disk had promised until then. */
  readonly marks: readonly string[]
  /** The changes that no flush had settled and that reached the disk all the same; the torn one is among them. */
  readonly arrived: readonly ChangeEntry[]
  /** The changes that were made and did not reach the disk. */
  readonly lost: readonly ChangeEntry[]
  /**
   * As {@link CrashState.hash}, of a part of the disk: what was found out about a partition or a file holds for every
   * state of the same log that has the same there. It may differ for equal contents where a change reaches beyond the
   * part.
   */
  hashOf(offset: number, length: number): string
  /** What the disk holds at `offset`. */
  read(offset: number, length: number): Uint8Array
  /** Writes the whole disk to the file `path`, raw and sparse: to be judged by a checker, or booted. */
  writeTo(path: string): Promise<void>
}

/** What a state is made of. */
export interface StateParts {
  log: DiskLog
  map: IntervalMap
  epoch: Epoch
  choice: Choice
  hash: string
  marks: readonly string[]
  /** What has settled: by interval, where its contents come from. */
  floor: Int32Array
  /** Where it differs from the floor. */
  changed: ReadonlyMap<number, number>
}

/** {@link CrashState} by intervals. */
export class IntervalState implements CrashState {
  readonly name: string
  readonly hash: string
  readonly marks: readonly string[]
  readonly arrived: readonly ChangeEntry[]
  readonly lost: readonly ChangeEntry[]
  readonly #parts: StateParts

  constructor(parts: StateParts) {
    this.#parts = parts
    const { epoch, choice, hash, marks } = parts
    this.name = `${epoch.number}-${choiceName(choice)}`
    this.hash = hash
    this.marks = marks
    this.arrived = epoch.candidates.filter((_, position) => hasBit(choice.mask, position))
    this.lost = epoch.candidates.filter((_, position) => !hasBit(choice.mask, position))
  }

  get sizeBytes(): number {
    return this.#parts.log.sizeBytes
  }

  get description(): string {
    return describe(this.#parts)
  }

  hashOf(offset: number, length: number): string {
    this.#assertWithin('hashOf', offset, length)
    const { map } = this.#parts
    let digest: Digest = [0, 0, 0, 0]
    if (length === 0) return digestText(digest)
    const end = offset + length
    for (let interval = map.at(offset); interval < map.count && map.startOf(interval) < end; interval += 1)
      digest = combine(digest, map.digest(interval, this.#sourceOf(interval)))
    return digestText(digest)
  }

  read(offset: number, length: number): Uint8Array {
    this.#assertWithin('read', offset, length)
    const { map } = this.#parts
    const bytes = new Uint8Array(length)
    let interval = map.at(offset)
    for (let at = offset; at < offset + length; interval += 1) {
      const end = Math.min(offset + length, map.startOf(interval + 1))
      map.read(this.#sourceOf(interval), bytes.subarray(at - offset, end - offset), at)
      at = end
    }
    return bytes
  }

  async writeTo(path: string): Promise<void> {
    const { log, map } = this.#parts
    await log.writeBase(path)
    const fd = openSync(path, 'r+')
    try {
      for (let interval = 0; interval < map.count; interval += 1) {
        const source = this.#sourceOf(interval)
        const same = map.digest(interval, source).every((lane) => lane === 0)
        if (source !== BASE && !same) this.#copy(fd, source, interval)
      }
    } finally {
      closeSync(fd)
    }
  }

  #assertWithin(what: string, offset: number, length: number): void {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.sizeBytes))
      throw new RangeError(`${what}: ${length} bytes at ${offset} do not lie within the disk`)
  }

  #sourceOf(interval: number): number {
    return this.#parts.changed.get(interval) ?? this.#parts.floor[interval] ?? BASE
  }

  #copy(fd: number, source: number, interval: number): void {
    const { map } = this.#parts
    const end = map.startOf(interval + 1)
    for (let at = map.startOf(interval); at < end; at += PIECE_BYTES) {
      const piece = new Uint8Array(Math.min(PIECE_BYTES, end - at))
      map.read(source, piece, at)
      writeFully(fd, piece, at)
    }
  }
}

const PIECE_BYTES: number = 1 << 20

/** Whether the candidate at `position` is in a choice. */
export function hasBit(mask: bigint, position: number): boolean {
  return ((mask >> BigInt(position)) & 1n) === 1n
}

/** Changes are called by their place in the log, as `log.entries` has them. */
function describe({ epoch, choice, marks }: StateParts): string {
  const { candidates, number, settled } = epoch
  const flags = candidates.map((_, position) => hasBit(choice.mask, position))
  const last = flags.lastIndexOf(true)
  const missing = candidates.filter((_, position) => position < last && !flags[position])
  const first = number === 1 ? 'before anything was flushed' : `${settled.length} changes just settled`
  const lastChange = candidates[last]
  const words = [`epoch ${number} (${first})`]
  if (lastChange === undefined)
    words.push(candidates.length === 0 ? 'nothing open' : 'no open change arrived')
  else words.push(`up to ${changeText(lastChange)}`)
  if (missing.length > 0) words.push(`without ${missing.map(changeText).join(', ')}`)
  if (choice.torn !== undefined) words.push(tearText(candidates, choice.torn))
  const after = marks.at(-1)
  return `${words.join('; ')}${after === undefined ? '' : ` — after mark ${JSON.stringify(after)}`}`
}

function changeText({ kind, index, offset, length }: ChangeEntry): string {
  return `${kind} #${index} (${length} bytes at ${offset})`
}

function tearText(candidates: readonly ChangeEntry[], { position, part, sectors }: Tear): string {
  const which = part === 'head' ? 'first' : 'last'
  return `#${candidates[position]?.index} torn: only its ${which} ${sectors} sector${sectors === 1 ? '' : 's'} arrived`
}
