/** A block device, or a file, opened: its size, and bytes at any place of it, read and written whole. */
import { AT_FDCWD, O_CLOEXEC, O_RDONLY, O_RDWR, SEEK_END } from '@pkg/sys/constants'
import { ioctl_blkdiscard } from '@pkg/sys/block'
import { isSysError } from '@pkg/sys/errno'
import type { OwnedFd } from '@pkg/sys/fd'
import { openat } from '@pkg/sys/fs'
import { fsync, lseek, pread64, pwrite64 } from '@pkg/sys/io'

/** An open block device or regular file. Owns its descriptor. */
export class BlockDevice implements Disposable {
  readonly path: string
  readonly sizeBytes: number
  readonly #fd: OwnedFd

  /** @throws SysError `ENOENT`, `ENXIO` it is not there; `EROFS` it cannot be written */
  constructor(path: string, access: 'read' | 'write') {
    this.path = path
    this.#fd = openat(AT_FDCWD, path, (access === 'read' ? O_RDONLY : O_RDWR) | O_CLOEXEC)
    this.sizeBytes = lseek(this.#fd, 0, SEEK_END)
  }

  /** The bytes of a part; fewer at the end of the device. */
  read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(new ArrayBuffer(length))
    let done = 0
    while (done < length) {
      const count = pread64(this.#fd, bytes.subarray(done), offset + done)
      if (count === 0) break
      done += count
    }
    return Promise.resolve(bytes.subarray(0, done))
  }

  /** Writes all of `bytes`; on the disk only after {@link flush}. */
  write(offset: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) done += pwrite64(this.#fd, bytes.subarray(done), offset + done)
  }

  /** Has the disk write what it was given, its own cache too. */
  flush(): void {
    fsync(this.#fd)
  }

  /**
   * Tells the device that a part is not needed: flash memory gives it free, and what lay there cannot be read again.
   *
   * @returns whether it can do that; many cannot, and their blocks stay as they are until they are written
   */
  discard(offset: number, length: number): boolean {
    try {
      ioctl_blkdiscard(this.#fd, offset, length)
      return true
    } catch (error) {
      // EOPNOTSUPP, or ENOTTY for a file; a device that fails at it may still take what is written.
      if (isSysError(error)) return false
      throw error
    }
  }

  [Symbol.dispose](): void {
    this.#fd.close()
  }
}
