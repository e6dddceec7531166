/**
 * A disk that remembers: QEMU, the kernel or any other NBD client writes to it, and its log has every change, every
 * flush and their order. It can be slow, fail, hang and lose its power whenever a test wants it to.
 */
import { BaseImage } from './nbd/base-image.ts'
import { DiskDevice, SECTOR_BYTES } from './nbd/device.ts'
import { DiskFaults } from './nbd/faults.ts'
import { RecordingLog, type DiskLog } from './nbd/log.ts'
import { NbdServer } from './nbd/server.ts'
import { socketPath } from './nbd/socket-folder.ts'
import { CowStore } from './nbd/store.ts'

export type {
  ActiveFault,
  DiskFault,
  DiskOperation,
  DropFault,
  FailFault,
  FaultMatch,
  HangFault,
  SlowFault,
  TearFault,
} from './nbd/faults.ts'
export { DiskFaults } from './nbd/faults.ts'
export { DiskLogFullError } from './nbd/log.ts'
export type { ChangeEntry, DiskLog, DiskLogEntry, FlushEntry, MarkEntry } from './nbd/log.ts'

/** Options of {@link rememberingDisk}. */
export interface RememberingDiskOptions {
  /** Size in bytes, a multiple of 512, at most 1 TiB. Default: that of `base`. Beyond the base there are zeros. */
  sizeBytes?: number
  /** Path of a raw image that the disk holds at first. It is never changed, and must not change meanwhile. */
  base?: string
  /** Clients are told that it cannot be written to, and fail if they try. Default: no. */
  readOnly?: boolean
  /**
   * How much the log may hold, in bytes; it lies in a temporary file without a name. When more is written, the disk
   * goes on, and whoever reads the log gets a {@link DiskLogFullError}. Default 1 GiB.
   */
  logLimitBytes?: number
}

/** How QEMU's `-blockdev` and `blockdev-add` are told of the disk, before a `node-name` is added. */
export interface NbdBlockdev {
  /** QEMU's block driver. */
  driver: 'nbd'
  /** Where the server is. */
  server: { type: 'unix'; path: string }
  /** Name of the export. */
  export: string
}

/** A running disk. Made by {@link rememberingDisk}. */
export interface RememberingDisk extends AsyncDisposable {
  /** `nbd+unix:///disk?socket=…`, as `qemu-img`, `-drive file=`, `nbdinfo` and others take it. */
  readonly uri: string
  /** Path of the Unix socket, in a folder that only this user may enter. */
  readonly socketPath: string
  /** The same for `-blockdev`. */
  readonly blockdev: NbdBlockdev
  /** Size in bytes. */
  readonly sizeBytes: number
  /** All that was done to it. It is gone when the disk is disposed of. */
  readonly log: DiskLog
  /** What is wrong with it. */
  readonly faults: DiskFaults
  /** How many clients are connected. */
  readonly connectionCount: number
  /** The last error of the host's or of a client's (a full disk, a broken protocol); undefined while all is well. */
  readonly lastError: Error | undefined
  /** Puts a mark into the log: `crashStates` tells for each state which marks it came after. */
  mark(label: string): void
  /** What the disk holds now. */
  read(offset: number, length: number): Uint8Array
  /**
   * Writes what the disk holds now to the file `path`, raw and sparse. Nothing may write to the disk meanwhile.
   *
   * @throws Error the file cannot be written
   */
  writeTo(path: string): Promise<void>
  /** Pulls the disk out: all connections break, and new ones too. QEMU's guest then sees I/O errors. */
  unplug(): void
  /** Puts it back in; a client must connect again. */
  plug(): void
  /** Breaks all connections and removes the socket; contents and log are gone. */
  [Symbol.asyncDispose](): Promise<void>
}

const SIZE_BYTES_MAX = 2 ** 40

/** All clients are offered this name; the empty name works as well. */
const EXPORT_NAME = 'disk'

class Disk implements RememberingDisk {
  readonly uri: string
  readonly socketPath: string
  readonly blockdev: NbdBlockdev
  readonly log: RecordingLog
  readonly faults: DiskFaults
  readonly sizeBytes: number
  lastError: Error | undefined
  readonly #base: BaseImage
  readonly #store: CowStore
  readonly #server: NbdServer

  constructor(base: BaseImage, sizeBytes: number, options: RememberingDiskOptions) {
    this.#base = base
    this.sizeBytes = sizeBytes
    this.#store = new CowStore(base, sizeBytes)
    this.log = new RecordingLog(base, sizeBytes, options.logLimitBytes ?? 1 << 30)
    this.faults = new DiskFaults(() => this.#server.disconnect(this.#server.plugged))
    const onError = (error: unknown): void => {
      this.lastError = error instanceof Error ? error : new Error(String(error))
    }
    const parts = {
      store: this.#store,
      log: this.log,
      faults: this.faults,
      readOnly: options.readOnly === true,
    }
    const device = new DiskDevice({ ...parts, onHostError: onError })
    this.socketPath = socketPath()
    this.uri = `nbd+unix:///${EXPORT_NAME}?socket=${encodeURI(this.socketPath)}`
    this.blockdev = { driver: 'nbd', server: { type: 'unix', path: this.socketPath }, export: EXPORT_NAME }
    this.#server = new NbdServer({
      device,
      exportName: EXPORT_NAME,
      path: this.socketPath,
      onConnectionError: onError,
    })
  }

  get connectionCount(): number {
    return this.#server.connectionCount
  }

  listen(): Promise<void> {
    return this.#server.listen()
  }

  mark(label: string): void {
    this.log.mark(label)
  }

  read(offset: number, length: number): Uint8Array {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.sizeBytes))
      throw new RangeError(`read: ${length} bytes at ${offset} do not lie within the disk`)
    return this.#store.read(offset, length)
  }

  async writeTo(path: string): Promise<void> {
    await this.#store.writeTo(path)
  }

  unplug(): void {
    this.#server.disconnect(false)
  }

  plug(): void {
    this.#server.plug()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.faults.clear()
    await this.#server[Symbol.asyncDispose]()
    for (const part of [this.#store, this.log, this.#base]) part[Symbol.dispose]()
  }
}

/**
 * Starts a disk. It lives in this process: its clients are answered as long as the event loop runs.
 *
 * @throws TypeError, RangeError sizes that can never work
 * @throws Error the base cannot be read, or the temporary folder not be written to
 *
 * @example
 * ```ts
 * import { rememberingDisk } from '@pkg/vm/nbd'
 *
 * await using disk = await rememberingDisk({ sizeBytes: 64 << 20 })
 * disk.mark('before anything')
 * // Give disk.uri to QEMU (`-drive file=…,format=raw`) or qemu-io, and then look at what was done:
 * for (const entry of disk.log.entries) process.stdout.write(`${entry.index}: ${entry.kind}\n`)
 * // Every write takes 20 ms more as long as this lasts:
 * using slow = disk.faults.add({ kind: 'slow', operations: ['write'], latencyMs: 20 })
 * ```
 */
export async function rememberingDisk(options: RememberingDiskOptions): Promise<RememberingDisk> {
  const { logLimitBytes = 1 << 30 } = options
  if (!(logLimitBytes > 0)) throw new RangeError(`logLimitBytes: ${String(logLimitBytes)} is not above 0`)
  if (options.base === undefined && options.sizeBytes === undefined)
    throw new TypeError('a disk needs sizeBytes or base')
  const base = new BaseImage(options.base)
  try {
    const sizeBytes = options.sizeBytes ?? base.sizeBytes
    checkSize(sizeBytes, base)
    const disk = new Disk(base, sizeBytes, options)
    await disk.listen()
    return disk
  } catch (error) {
    base[Symbol.dispose]()
    throw error
  }
}

function checkSize(sizeBytes: number, base: BaseImage): void {
  if (!Number.isInteger(sizeBytes) || sizeBytes < SECTOR_BYTES || sizeBytes > SIZE_BYTES_MAX)
    throw new RangeError(`sizeBytes: ${String(sizeBytes)} is not a whole number from 512 to 2^40`)
  if (sizeBytes % SECTOR_BYTES !== 0) throw new RangeError(`sizeBytes: ${sizeBytes} is not a multiple of 512`)
  if (sizeBytes < base.sizeBytes)
    throw new RangeError(`sizeBytes: ${sizeBytes} is less than the base's ${base.sizeBytes}`)
}
