/**
 * Every way in which a power cut can leave a disk, from the log of a disk that remembers: each moment, with any of
 * the writes that no flush had settled lost, and with writes torn in the middle.
 *
 * A disk keeps what it has promised: a change that was completed before a flush was issued is there once the flush is
 * completed, and a FUA change once it is completed itself. Of the others any may be missing, whatever their order.
 * What is assumed in the disk's favour: sectors are written whole, a later change is not overtaken by an earlier one
 * of the same sectors, and nothing changes that was not written to.
 */
import {
  choices,
  parseChoice,
  sectorCount,
  tearPoints,
  type Choice,
  type ChoiceLimits,
} from './crash-states/choices.ts'
import { epochsOf, isChange, type Epoch } from './crash-states/epochs.ts'
import { BASE, combine, digestText, IntervalMap, type Digest } from './crash-states/intervals.ts'
import { hasBit, IntervalState, type CrashState } from './crash-states/state.ts'
import type { ChangeEntry, DiskLog, DiskLogEntry } from './nbd/log.ts'

export type { CrashState } from './crash-states/state.ts'

/** Options of {@link crashStates}. */
export interface CrashStatesOptions {
  /** Only power cuts after this: the label of a mark (its first), or an index of the log. Default: the beginning. */
  from?: string | number
  /** Only power cuts before this. Default: the end of the log. */
  to?: string | number
  /** Fixes what is chosen where not everything is. Default 0. */
  seed?: string | number
  /** Up to how many unsettled changes every subset of them is tried. Default 6: 64 subsets. */
  exhaustiveWrites?: number
  /** How many subsets are tried where there are more. Default 64. */
  samplesPerEpoch?: number
  /** How many torn writes are tried between two flushes; 0 for none. Default 64. */
  tornPerEpoch?: number
  /** What the disk writes whole or not at all, in bytes. Default 512. */
  sectorBytes?: number
}

/**
 * Yields the states that a power cut could have left, each content once (once more after each mark: the disk then has
 * more promises to keep). What the disk really holds at the end is among them. Nothing is put together before it is
 * read; the log, and so the disk, must live as long.
 *
 * @throws TypeError, RangeError options that can never work, a mark that is not in the log
 * @throws DiskLogFullError the log is not whole
 *
 * @example
 * ```ts no-run
 * import { execFileSync } from 'node:child_process'
 * import { crashStates } from '@pkg/vm/crash-states'
 * import { rememberingDisk } from '@pkg/vm/nbd'
 *
 * await using disk = await rememberingDisk({ base: 'ext4.img' })
 * // … a guest mounts disk.uri, writes a file and calls fsync …
 * for (const state of crashStates(disk.log)) {
 *   await state.writeTo('/tmp/state.img')
 *   execFileSync('e2fsck', ['-fy', '/tmp/state.img'], { stdio: 'ignore' })
 * }
 * ```
 */
export function* crashStates(log: DiskLog, options: CrashStatesOptions = {}): Generator<CrashState> {
  const entries = [...log.entries]
  const limits = checkLimits(options)
  const from = options.from === undefined ? 0 : indexOf(entries, options.from, 'from')
  const to = options.to === undefined ? entries.length : indexOf(entries, options.to, 'to')
  const seen = new Set<string>()
  const builder = new StateBuilder(log, entries.slice(0, to), limits.sectorBytes)
  for (const epoch of builder.epochs()) {
    if (epoch.cutIndex < from) continue
    for (const choice of choices(epoch.candidates, epoch.number, limits)) {
      const state = builder.build(epoch, choice)
      const key = `${state.hash}/${state.marks.length}`
      if (seen.has(key)) continue
      seen.add(key)
      yield state
    }
  }
}

/**
 * The state that {@link crashStates} called `name`, for a log that has the same entries.
 *
 * @param sectorBytes - as it was for `crashStates`. Default 512
 * @throws RangeError the log has no such state
 */
export function crashState(log: DiskLog, name: string, sectorBytes: number = 512): CrashState {
  const [, number, rest] = /^(\d+)-(.+)$/.exec(name) ?? []
  const choice = parseChoice(rest ?? '')
  const builder = new StateBuilder(log, [...log.entries], sectorBytes, choice)
  for (const epoch of builder.epochs()) {
    if (epoch.number !== Number(number) || choice === undefined) continue
    const { mask, torn } = choice
    const tornChange = torn && epoch.candidates[torn.position]
    const fits = torn === undefined || (tornChange && torn.sectors < sectorCount(tornChange, sectorBytes))
    if (mask < 1n << BigInt(epoch.candidates.length) && fits === true) return builder.build(epoch, choice)
  }
  throw new RangeError(`the log has no state ${JSON.stringify(name)}`)
}

/** Walks through the epochs of a log, and builds states on what has settled so far. */
class StateBuilder {
  readonly #log: DiskLog
  readonly #entries: readonly DiskLogEntry[]
  readonly #map: IntervalMap
  readonly #sectorBytes: number
  #floor: Int32Array
  #floorDigest: Digest = [0, 0, 0, 0]
  #marks: readonly string[] = []

  constructor(log: DiskLog, entries: readonly DiskLogEntry[], sectorBytes: number, only?: Choice) {
    this.#log = log
    this.#entries = entries
    this.#sectorBytes = sectorBytes
    const changes = entries.filter((entry) => isChange(entry))
    const cuts = changes.flatMap((change) => {
      const named = only?.torn?.sectors
      const all = sectorCount(change, sectorBytes)
      const extra = named === undefined || named >= all ? [] : [named, all - named]
      return [...tearPoints(change, sectorBytes), ...extra].map((sectors) =>
        tearOffset(change, sectors, sectorBytes),
      )
    })
    this.#map = new IntervalMap(log, changes, cuts)
    this.#floor = new Int32Array(this.#map.count).fill(BASE)
  }

  /** The epochs; what has settled before the one that is at hand is the floor of {@link StateBuilder.build}. */
  *epochs(): Generator<Epoch> {
    for (const epoch of epochsOf(this.#entries)) {
      // A copy: states of earlier epochs keep theirs.
      if (epoch.settled.length > 0) this.#floor = this.#floor.slice()
      for (const change of epoch.settled)
        this.#apply(change, change.offset, change.offset + change.length, (interval, source) => {
          this.#floorDigest = combine(this.#floorDigest, this.#difference(interval, source))
          this.#floor[interval] = source
        })
      this.#marks = this.#entries
        .slice(0, epoch.cutIndex)
        .flatMap((entry) => (entry.kind === 'mark' ? [entry.label] : []))
      yield epoch
    }
  }

  build(epoch: Epoch, choice: Choice): IntervalState {
    const changed = new Map<number, number>()
    for (const [position, change] of epoch.candidates.entries()) {
      if (!hasBit(choice.mask, position)) continue
      const [start, end] = this.#extent(change, choice.torn?.position === position ? choice.torn : undefined)
      this.#apply(change, start, end, (interval, source) => changed.set(interval, source))
    }
    let digest = this.#floorDigest
    for (const [interval, source] of changed) digest = combine(digest, this.#difference(interval, source))
    const hash = digestText(digest)
    return new IntervalState({
      log: this.#log,
      map: this.#map,
      epoch,
      choice,
      hash,
      marks: this.#marks,
      floor: this.#floor,
      changed,
    })
  }

  /** What of a change arrived: all, or some sectors of it. */
  #extent(change: ChangeEntry, torn: Choice['torn']): [start: number, end: number] {
    const start = change.offset
    const end = change.offset + change.length
    if (torn === undefined) return [start, end]
    const all = sectorCount(change, this.#sectorBytes)
    return torn.part === 'head'
      ? [start, tearOffset(change, torn.sectors, this.#sectorBytes)]
      : [tearOffset(change, all - torn.sectors, this.#sectorBytes), end]
  }

  /** What settled later is not overwritten by what was written earlier and had not settled. */
  #apply(
    change: ChangeEntry,
    start: number,
    end: number,
    put: (interval: number, source: number) => void,
  ): void {
    const first = this.#map.at(start)
    for (let interval = first; this.#map.startOf(interval) < end; interval += 1)
      if (change.index > (this.#floor[interval] ?? BASE)) put(interval, change.index)
  }

  #difference(interval: number, source: number): Digest {
    return combine(
      this.#map.digest(interval, this.#floor[interval] ?? BASE),
      this.#map.digest(interval, source),
    )
  }
}

/** Where the first `sectors` sectors of a change end. */
function tearOffset({ offset }: ChangeEntry, sectors: number, sectorBytes: number): number {
  return (Math.floor(offset / sectorBytes) + sectors) * sectorBytes
}

function checkLimits(options: CrashStatesOptions): ChoiceLimits {
  const {
    seed = 0,
    exhaustiveWrites = 6,
    samplesPerEpoch = 64,
    tornPerEpoch = 64,
    sectorBytes = 512,
  } = options
  whole('exhaustiveWrites', exhaustiveWrites, 0, 20)
  whole('samplesPerEpoch', samplesPerEpoch, 0, 1e6)
  whole('tornPerEpoch', tornPerEpoch, 0, 1e6)
  whole('sectorBytes', sectorBytes, 1, 1 << 20)
  return { seed, exhaustiveWrites, samplesPerEpoch, tornPerEpoch, sectorBytes }
}

function whole(option: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max)
    throw new RangeError(`${option}: ${String(value)} is not a whole number from ${min} to ${max}`)
}

function indexOf(entries: readonly DiskLogEntry[], place: string | number, option: string): number {
  if (typeof place === 'number') {
    whole(option, place, 0, entries.length)
    return place
  }
  const index = entries.findIndex((entry) => entry.kind === 'mark' && entry.label === place)
  if (index < 0) throw new TypeError(`${option}: the log has no mark ${JSON.stringify(place)}`)
  // The mark itself is before the power cut, so that the states tell of it.
  return option === 'from' ? index + 1 : index
}
