/** The shapes of a guest's disks: what can be asked for, and what can be done to them. */

/** Bounds of a slow disk. */
export interface DiskThrottle {
  /** Requests a second, reads and writes together. Default: no bound. */
  readonly iops?: number
  /** Bytes a second, reads and writes together. Default: no bound. */
  readonly bytesPerSecond?: number
}

/** Which requests of a failing disk fail, and how. */
export interface DiskFault {
  /** Which kind of request. */
  readonly on: 'read' | 'write' | 'flush'
  /** What the guest is told. Default `EIO`; a write that has `ENOSPC` is a full disk. */
  readonly error?: 'EIO' | 'ENOSPC'
  /** Byte of the disk that the request must touch, a multiple of 512. Default: any. Not for `flush`. */
  readonly atByte?: number
  /** Whether one failure is all. Default: no, every such request fails. */
  readonly once?: boolean
}

/** A disk: with `sizeBytes` an empty one, else what `file` or `nbd` has. */
export interface DiskOptions {
  /** Its name and serial number: up to 20 letters, digits, `-`, `_`. Default `disk0`, `disk1`, … */
  readonly name?: string
  /** Size of an empty disk, in bytes, a multiple of 512. It takes room on the host only for what is written. */
  readonly sizeBytes?: number
  /** Path of an image. */
  readonly file?: string
  /** Format of the image. Default `raw`: looking for it would let a guest choose what the host opens next time. */
  readonly format?: 'raw' | 'qcow2'
  /**
   * Whether what the guest writes goes into `file`. Default: no; it goes into a temporary file that is gone at the
   * end, so that many guests can have the same image.
   */
  readonly writable?: boolean
  /** Address of an NBD export: `nbd://HOST:PORT/EXPORT` or `nbd+unix:///EXPORT?socket=PATH`. */
  readonly nbd?: string
  /** Whether the guest sees a disk that cannot be written. Default: no. */
  readonly readOnly?: boolean
  /** How slow it is. Default: as fast as it goes. */
  readonly throttle?: DiskThrottle
}

/** A disk of a running guest. */
export interface Disk {
  /** Its name, and its serial number as the guest sees it (VPD page 0x80, `/sys/block/sdX/device/vpd_pg80`). */
  readonly name: string
  /** Whether it is in the machine. */
  readonly plugged: boolean
  /** Its size, in bytes. */
  readonly sizeBytes: number
  /** Pulls it out at once, whatever the guest was writing: what had reached the disk stays on it. */
  unplug(): Promise<void>
  /** Puts it back in, with what it had. The guest finds it as a new disk. */
  plug(): Promise<void>
  /** Makes it slow, or with `{}` fast again, while it is in use. */
  throttle(limits: DiskThrottle): Promise<void>
  /** Makes requests fail from now on; an empty list heals the disk. The guest is told of each, and goes on. */
  fail(faults: readonly DiskFault[]): Promise<void>
}
