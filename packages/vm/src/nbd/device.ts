/** A disk between the protocol and its contents: it carries requests out, one at a time, and remembers them. */
import type { DiskFaults, DiskOperation, TearFault } from './faults.ts'
import type { RecordingLog } from './log.ts'
import { ReplyError } from './protocol.ts'
import type { CowStore } from './store.ts'

/** The unit that a disk writes whole or not at all. */
export const SECTOR_BYTES = 512

/** A request whose range has been found to lie within the disk. */
export interface DiskRequest {
  operation: DiskOperation
  offset: number
  length: number
  fua: boolean
  /** What a `write` carries. */
  data?: Uint8Array
}

/**
 * What becomes of a request: it is answered, with an error of {@link ReplyError} or 0; all connections are broken; or
 * nothing is ever heard of it.
 */
export type DiskAnswer = { end: 'reply'; error: number; data?: Buffer } | { end: 'drop' } | { end: 'silence' }

/** What a device is made of. */
export interface DeviceParts {
  store: CowStore
  log: RecordingLog
  faults: DiskFaults
  readOnly: boolean
  /** Told of an error of the host's (its disk is full, say), which the guest sees as `EIO`. */
  onHostError: (error: unknown) => void
}

/** The disk that the server's connections share: an answered flush of one covers the answered writes of all. */
export class DiskDevice {
  readonly readOnly: boolean
  readonly #parts: DeviceParts

  constructor(parts: DeviceParts) {
    this.#parts = parts
    this.readOnly = parts.readOnly
  }

  /** Size in bytes. */
  get sizeBytes(): number {
    return this.#parts.store.sizeBytes
  }

  /** Carries a request out; without faults, before it returns. Never rejects. */
  async execute(request: DiskRequest): Promise<DiskAnswer> {
    const { faults, log } = this.#parts
    if (faults.silent) return { end: 'silence' }
    const issuedIndex = log.length
    const { wait, end } = faults.meet(request)
    if (wait !== undefined) await wait
    // The power may have failed while it waited.
    if (faults.silent) return { end: 'silence' }
    try {
      if (end?.kind === 'drop') return { end: 'drop' }
      if (end?.kind === 'fail') return { end: 'reply', error: ReplyError[end.error ?? 'EIO'] }
      if (end?.kind === 'tear') return this.#tear(request, end, issuedIndex)
      return this.#carryOut(request, issuedIndex)
    } catch (error) {
      this.#parts.onHostError(error)
      return { end: 'reply', error: ReplyError.EIO }
    }
  }

  #carryOut(request: DiskRequest, issuedIndex: number): DiskAnswer {
    const { store, log } = this.#parts
    const { operation, offset, length, fua, data } = request
    if (operation === 'read') return { end: 'reply', error: 0, data: store.read(offset, length) }
    if (operation === 'flush') log.flush(issuedIndex)
    else if (this.readOnly) return { end: 'reply', error: ReplyError.EPERM }
    else if (length > 0) {
      if (data === undefined) store.zero(offset, length)
      else store.write(offset, data)
      log.change({ kind: operation, offset, length, fua, issuedIndex }, data)
    }
    return { end: 'reply', error: 0 }
  }

  #tear(request: DiskRequest, fault: TearFault, issuedIndex: number): DiskAnswer {
    const { store, log, faults } = this.#parts
    const { offset, length, data = new Uint8Array(0) } = request
    faults.silence()
    // Sectors are the disk's, not the request's: a write may begin within one.
    const end = (Math.floor(offset / SECTOR_BYTES) + (fault.sectors ?? 1)) * SECTOR_BYTES
    const torn = data.subarray(0, Math.max(0, end - offset))
    if (torn.length === 0 || this.readOnly) return { end: 'silence' }
    store.write(offset, torn)
    const entry = { kind: 'write', offset, length: torn.length, fua: false, issuedIndex } as const
    log.change({ ...entry, tornFromBytes: length }, torn)
    return { end: 'silence' }
  }
}
