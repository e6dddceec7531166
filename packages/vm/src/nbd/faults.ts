/** What can be wrong with a disk while it runs, and for which requests. */
import { PAYLOAD_BYTES_MAX, ReplyError, type ReplyErrorName } from './protocol.ts'

/** What a client can ask of a disk. */
export type DiskOperation = 'read' | 'write' | 'zero' | 'trim' | 'flush'

const OPERATIONS: ReadonlySet<DiskOperation> = new Set(['read', 'write', 'zero', 'trim', 'flush'])

/** Which requests a fault meets: all conditions that are given must hold. Without any, it meets every request. */
export interface FaultMatch {
  /** Kinds of requests. Default: all. */
  operations?: readonly DiskOperation[]
  /**
   * Requests that touch these bytes: from `offset`, `length` of them. A flush touches none, and is never met by a
   * fault with a range.
   */
  range?: { offset: number; length: number }
  /** How many requests that match are let through before the first is met. Default 0: the first is met. */
  after?: number
  /** How many requests are met before the fault is over. Default `Infinity`. */
  times?: number
}

/** Every matching request takes longer. */
export interface SlowFault extends FaultMatch {
  /** Which fault it is. */
  kind: 'slow'
  /** Added to each request, in milliseconds. Default 0. */
  latencyMs?: number
  /** What all matching requests together may carry, in bytes a second. Default `Infinity`. */
  bytesPerSecond?: number
}

/** Every matching request fails, and changes nothing. */
export interface FailFault extends FaultMatch {
  /** Which fault it is. */
  kind: 'fail'
  /**
   * What the guest is told. Default `EIO`. `ENOSPC` is a host that has run out of space: QEMU pauses the guest on it,
   * unless the drive says `werror=report`.
   */
  error?: ReplyErrorName
}

/** Every matching request waits until the fault is removed, and is then carried out. Others go on. */
export interface HangFault extends FaultMatch {
  /** Which fault it is. */
  kind: 'hang'
}

/** A matching request breaks all connections, unanswered and not carried out. New connections are taken. */
export interface DropFault extends FaultMatch {
  /** Which fault it is. */
  kind: 'drop'
}

/**
 * The power fails within a matching write: its first sectors reach the disk, and from then on nothing is done and
 * nothing is answered, until {@link DiskFaults.clear}. Requests of other kinds are not met.
 */
export interface TearFault extends FaultMatch {
  /** Which fault it is. */
  kind: 'tear'
  /** How many sectors of 512 bytes reach the disk, if the write has more. Default 1. */
  sectors?: number
}

/** Something wrong with a disk. */
export type DiskFault = SlowFault | FailFault | HangFault | DropFault | TearFault

/** A fault in force. Dispose of it (`using`), or call `remove`, and the disk is well again. */
export interface ActiveFault extends Disposable {
  /** What it is. */
  readonly fault: DiskFault
  /** How many requests it has met. */
  readonly met: number
  /** Resolves when it meets its first request. */
  readonly struck: Promise<void>
  /** Ends it, and lets go what it holds. */
  remove(): void
}

/** A request as faults see it. */
export interface FaultTarget {
  operation: DiskOperation
  offset: number
  length: number
}

class Installed implements ActiveFault {
  readonly fault: DiskFault
  readonly struck: Promise<void>
  readonly removed: Promise<void>
  met = 0
  /** Until when earlier requests occupy the line of a `bytesPerSecond`. */
  busyUntilMs = 0
  #passed = 0
  readonly #onRemove: (fault: Installed) => void
  #strike: () => void = () => {}
  #release: () => void = () => {}

  constructor(fault: DiskFault, onRemove: (fault: Installed) => void) {
    this.fault = fault
    this.#onRemove = onRemove
    this.struck = new Promise((resolve) => {
      this.#strike = resolve
    })
    this.removed = new Promise((resolve) => {
      this.#release = resolve
    })
  }

  /** Whether it meets this request; it counts. */
  meets({ operation, offset, length }: FaultTarget): boolean {
    const { kind, operations, range, after = 0, times = Number.POSITIVE_INFINITY } = this.fault
    if (operations !== undefined && !operations.includes(operation)) return false
    if (kind === 'tear' && operation !== 'write') return false
    if (range !== undefined) {
      const apart = offset + length <= range.offset || range.offset + range.length <= offset
      if (operation === 'flush' || apart) return false
    }
    this.#passed += 1
    if (this.#passed <= after || this.met >= times) return false
    this.met += 1
    this.#strike()
    return true
  }

  remove(): void {
    this.#onRemove(this)
    this.#release()
  }

  [Symbol.dispose](): void {
    this.remove()
  }
}

/** What is to become of a request: told before it is carried out. */
export interface Verdict {
  /** Resolves when it may go on; undefined when at once. */
  wait: Promise<unknown> | undefined
  /** What becomes of it then. */
  end: FailFault | DropFault | TearFault | undefined
}

/** The faults of one disk. Several may be in force: a request waits for all that meet it, and ends by the first. */
export class DiskFaults {
  readonly #active = new Set<Installed>()
  #silent = false
  readonly #onClear: () => void

  /** @param onClear - called when a torn disk comes back to life */
  constructor(onClear: () => void) {
    this.#onClear = onClear
  }

  /** Whether a {@link TearFault} has struck: the disk is dead. */
  get silent(): boolean {
    return this.#silent
  }

  /**
   * Puts a fault in force, for requests that arrive from now on.
   *
   * @throws TypeError, RangeError a field that can never work
   */
  add(fault: DiskFault): ActiveFault {
    check(fault)
    const installed = new Installed(fault, (gone) => this.#active.delete(gone))
    this.#active.add(installed)
    return installed
  }

  /** Every write, zero and trim fails with `EPERM` from now on, as on a disk that has run out of spare blocks. */
  readOnly(): ActiveFault {
    return this.add({ kind: 'fail', error: 'EPERM', operations: ['write', 'zero', 'trim'] })
  }

  /** Ends all faults, lets go what they hold, and powers a torn disk on again (its connections are closed). */
  clear(): void {
    for (const installed of this.#active) installed.remove()
    if (!this.#silent) return
    this.#silent = false
    this.#onClear()
  }

  /** The disk is dead from now on. */
  silence(): void {
    this.#silent = true
  }

  /** What the faults make of a request that has arrived. */
  meet(target: FaultTarget): Verdict {
    const waits: Promise<void>[] = []
    let end: Verdict['end']
    for (const installed of this.#active) {
      const { fault } = installed
      if (!installed.meets(target)) continue
      if (fault.kind === 'slow') waits.push(delay(slowMs(installed, fault, target.length)))
      else if (fault.kind === 'hang') waits.push(installed.removed)
      else end ??= fault
    }
    return { wait: waits.length === 0 ? undefined : Promise.all(waits), end }
  }
}

/** One request after the other goes through a line of `bytesPerSecond`; latencies run side by side. */
function slowMs(installed: Installed, fault: SlowFault, length: number): number {
  const nowMs = performance.now()
  const { latencyMs = 0, bytesPerSecond = Number.POSITIVE_INFINITY } = fault
  installed.busyUntilMs = Math.max(nowMs, installed.busyUntilMs) + (length / bytesPerSecond) * 1_000
  return installed.busyUntilMs - nowMs + latencyMs
}

function delay(timeMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, timeMs)
  })
}

function check(fault: DiskFault): void {
  const { kind, operations, range, after = 0, times = Number.POSITIVE_INFINITY } = fault
  if (!['slow', 'fail', 'hang', 'drop', 'tear'].includes(kind))
    throw new TypeError(`kind: ${String(kind)} is no fault of a disk`)
  for (const operation of operations ?? [])
    if (!OPERATIONS.has(operation)) throw new TypeError(`operations: ${String(operation)} is not known`)
  if (range !== undefined) {
    atLeast('range.offset', range.offset, 0)
    atLeast('range.length', range.length, 1)
  }
  atLeast('after', after, 0)
  atLeast('times', times, 1)
  if (fault.kind === 'slow') {
    atLeast('latencyMs', fault.latencyMs ?? 0, 0)
    atLeast('bytesPerSecond', fault.bytesPerSecond ?? 1, 1)
  }
  if (fault.kind === 'fail' && fault.error !== undefined && !(fault.error in ReplyError))
    throw new TypeError(`error: a disk cannot fail with ${String(fault.error)}`)
  if (fault.kind === 'tear') {
    const sectors = fault.sectors ?? 1
    if (!Number.isInteger(sectors) || sectors < 0 || sectors > PAYLOAD_BYTES_MAX / 512)
      throw new RangeError(`sectors: ${String(sectors)} is not a number of sectors that a write can have`)
  }
}

function atLeast(name: string, value: number, min: number): void {
  if (!(value >= min)) throw new RangeError(`${name}: ${String(value)} is not a number from ${min} on`)
}
