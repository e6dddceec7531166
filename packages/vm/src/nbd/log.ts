/** What a disk remembers: every change of its contents and every promise that it gave, in order, with the data. */
import type { BaseImage } from './base-image.ts'
import { ScratchFile } from './scratch-file.ts'

/** What all entries of a disk's log have. */
interface Entry {
  /** Place in the log, from 0: the order in which the requests were completed. */
  readonly index: number
  /** When it was completed, in milliseconds since the disk was made. */
  readonly timeMs: number
  /** How many entries the log had when the request arrived: those, and only those, were completed before. */
  readonly issuedIndex: number
}

/** The guest wrote data (`write`), zeros (`zero`), or gave blocks up (`trim`; they read as zeros from then on). */
export interface ChangeEntry extends Entry {
  /** What was done. */
  readonly kind: 'write' | 'zero' | 'trim'
  /** First byte. */
  readonly offset: number
  /** Bytes. */
  readonly length: number
  /** Force unit access: this entry is on stable storage when it is completed. */
  readonly fua: boolean
  /** A `tear` fault let only the first `length` bytes of this many through, and the write was never completed. */
  readonly tornFromBytes?: number
}

/** A flush succeeded: every change with an index below `issuedIndex` is on stable storage. */
export interface FlushEntry extends Entry {
  /** A promise kept. */
  readonly kind: 'flush'
}

/** Something happened outside, which {@link DiskLog.entries} shows between the disk's own doings. */
export interface MarkEntry extends Entry {
  /** A word from outside. */
  readonly kind: 'mark'
  /** What it was. */
  readonly label: string
}

/** One entry of a disk's log. */
export type DiskLogEntry = ChangeEntry | FlushEntry | MarkEntry

/** A disk's past: what it held at first, and all that was done to it. */
export interface DiskLog {
  /** Size of the disk. */
  readonly sizeBytes: number
  /**
   * All entries so far.
   *
   * @throws DiskLogFullError the log is not whole
   */
  readonly entries: readonly DiskLogEntry[]
  /** How many bytes at the beginning can be other than zero before the first entry. */
  readonly baseBytes: number
  /** Fills `target` with what the disk held at `offset` before the first entry. */
  readBase(target: Uint8Array, offset: number): void
  /** Writes what the disk held before the first entry to the file `path`. */
  writeBase(path: string): Promise<void>
  /** Fills `target` from the data of a `write`, beginning `position` bytes into it. */
  readData(entry: ChangeEntry, target: Uint8Array, position: number): void
}

/** More was written than the log may hold: it is not whole, and so it shows nothing. */
export class DiskLogFullError extends Error {
  override name = 'DiskLogFullError'
  /** The limit, in bytes. */
  readonly limitBytes: number

  constructor(limitBytes: number) {
    super(
      `the disk's log is full: its guest wrote more than ${limitBytes} bytes; ` +
        'raise logLimitBytes, or give the disk a base image that holds what need not be remembered',
    )
    this.limitBytes = limitBytes
  }
}

/** What an entry costs besides its data: objects, and the states that are made of them. */
const ENTRY_BYTES = 256

/** {@link DiskLog} as it grows. The data lies in a scratch file. */
export class RecordingLog implements DiskLog, Disposable {
  readonly sizeBytes: number
  readonly #base: BaseImage
  readonly #limitBytes: number
  readonly #data = new ScratchFile()
  readonly #entries: DiskLogEntry[] = []
  /** Where the data of each write begins in the scratch file, by index. */
  readonly #positions = new Map<number, number>()
  readonly #startMs = performance.now()
  #dataBytes = 0
  #full: DiskLogFullError | undefined

  constructor(base: BaseImage, sizeBytes: number, limitBytes: number) {
    this.#base = base
    this.sizeBytes = sizeBytes
    this.#limitBytes = limitBytes
  }

  get entries(): readonly DiskLogEntry[] {
    if (this.#full) throw this.#full
    return this.#entries
  }

  get baseBytes(): number {
    return Math.min(this.#base.sizeBytes, this.sizeBytes)
  }

  /** How many entries there are; what a request that arrives now takes as its `issuedIndex`. */
  get length(): number {
    return this.#entries.length
  }

  readBase(target: Uint8Array, offset: number): void {
    this.#base.read(target, offset)
  }

  async writeBase(path: string): Promise<void> {
    await this.#base.writeTo(path, this.sizeBytes)
  }

  readData(entry: ChangeEntry, target: Uint8Array, position: number): void {
    const start = this.#positions.get(entry.index)
    if (start === undefined) target.fill(0)
    else this.#data.read(target, start + position)
  }

  /** Remembers a change; the data of a `write` is copied. */
  change(entry: Omit<ChangeEntry, 'index' | 'timeMs'>, data?: Uint8Array): void {
    if (!this.#add(entry, data?.length ?? 0) || data === undefined) return
    this.#data.write(data, this.#dataBytes)
    this.#positions.set(this.#entries.length - 1, this.#dataBytes)
    this.#dataBytes += data.length
  }

  /** Remembers a flush that succeeded. */
  flush(issuedIndex: number): void {
    this.#add({ kind: 'flush', issuedIndex }, 0)
  }

  /** Puts a mark into the log. */
  mark(label: string): void {
    this.#add({ kind: 'mark', label, issuedIndex: this.#entries.length }, 0)
  }

  /** The log is gone. */
  [Symbol.dispose](): void {
    this.#data[Symbol.dispose]()
  }

  /** False when the log is full: the disk goes on without it, for its guest has done nothing wrong. */
  #add(entry: Fresh, dataBytes: number): boolean {
    const bytes = this.#dataBytes + dataBytes + (this.#entries.length + 1) * ENTRY_BYTES
    if (bytes > this.#limitBytes) this.#full ??= new DiskLogFullError(this.#limitBytes)
    if (this.#full) return false
    const timeMs = performance.now() - this.#startMs
    this.#entries.push({ ...entry, index: this.#entries.length, timeMs })
    return true
  }
}

type Fresh =
  | Omit<ChangeEntry, 'index' | 'timeMs'>
  | Omit<FlushEntry, 'index' | 'timeMs'>
  | Omit<MarkEntry, 'index' | 'timeMs'>
