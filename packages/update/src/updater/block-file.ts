// A partition, or a file of the boot partition, that is written in blocks and read back past the kernel's memory.
import { setImmediate } from 'node:timers/promises'
import {
  AT_FDCWD,
  O_CLOEXEC,
  O_DIRECT,
  O_RDONLY,
  POSIX_FADV_DONTNEED,
  SEEK_END,
  SYNC_FILE_RANGE_WAIT_AFTER,
  SYNC_FILE_RANGE_WAIT_BEFORE,
  SYNC_FILE_RANGE_WRITE,
} from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import type { OwnedFd } from '@pkg/sys/fd'
import { openat } from '@pkg/sys/fs'
import { fadvise64, fsync, ftruncate, lseek, pread64, pwrite64, sync_file_range } from '@pkg/sys/io'
import { mmap, type Mapping } from '@pkg/sys/memory'
import { blockBytes } from '../install/sealed-image.ts'
import type { BootFile } from '../slot.ts'

/**
 * So much may wait in the kernel's memory to be written: on a small machine a hundred megabytes of it would push out
 * everything else, and make the flush at the end take as long as the writing.
 */
const dirtyBytesMax = 4 * 1024 * 1024

/** Memory for reads with O_DIRECT, which takes only whole pages. */
const directBytes = 256 * 1024

/**
 * An open file. Its calls block for as long as the medium takes, between awaits that let other things happen: the
 * program does nothing else, and reads and writes of its own thread have its idle priority.
 */
export class BlockFile implements BootFile, Disposable {
  readonly #path: string
  readonly #fd: OwnedFd
  #direct: DirectReader | undefined
  #dirtyBytes = 0

  /** Takes the descriptor over. */
  constructor(path: string, fd: OwnedFd) {
    this.#path = path
    this.#fd = fd
  }

  get name(): string {
    return this.#path
  }

  get sizeBytes(): number {
    return lseek(this.#fd, 0, SEEK_END)
  }

  async read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    // Single blocks are read by the thousand, and between them come larger ones.
    if (length > blockBytes) await setImmediate()
    const bytes = roomOf(length, into)
    return bytes.subarray(0, readInto(this.#fd, bytes, offset))
  }

  async readDirect(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    this.#direct ??= new DirectReader(this.#path)
    return await this.#direct.read(offset, roomOf(length, into))
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    await setImmediate()
    for (let done = 0; done < bytes.length;) done += pwrite64(this.#fd, bytes.subarray(done), offset + done)
    this.#dirtyBytes += bytes.length
    if (this.#dirtyBytes < dirtyBytesMax) return
    const flags = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER
    sync_file_range(this.#fd, { offset: 0, length: 0 }, flags)
    this.#dirtyBytes = 0
  }

  async flush(): Promise<void> {
    await setImmediate()
    fsync(this.#fd)
    this.#dirtyBytes = 0
  }

  resize(sizeBytes: number): Promise<void> {
    ftruncate(this.#fd, sizeBytes)
    return Promise.resolve()
  }

  [Symbol.dispose](): void {
    this.#direct?.[Symbol.dispose]()
    this.#fd.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    this[Symbol.dispose]()
    return Promise.resolve()
  }
}

/** Reads what is on the medium. */
class DirectReader implements Disposable {
  readonly #fd: OwnedFd
  readonly #memory: Mapping
  readonly #isDirect: boolean

  constructor(path: string) {
    const direct = openDirect(path)
    this.#isDirect = direct !== undefined
    this.#fd = direct ?? openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC)
    this.#memory = mmap({ lengthBytes: directBytes })
  }

  /** Fills `bytes`, or its beginning where what is read ends. */
  async read(offset: number, bytes: Uint8Array): Promise<Uint8Array> {
    let done = 0
    while (done < bytes.length) {
      await setImmediate()
      const part = this.#memory.bytes.subarray(0, Math.min(directBytes, bytes.length - done))
      if (!this.#isDirect)
        fadvise64(this.#fd, { offset: offset + done, length: part.length }, POSIX_FADV_DONTNEED)
      const count = readInto(this.#fd, part, offset + done)
      if (count === 0) break
      bytes.set(part.subarray(0, count), done)
      done += count
    }
    return bytes.subarray(0, done)
  }

  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]()
    this.#fd.close()
  }
}

/** File systems in memory have nothing to go past. */
function openDirect(path: string): OwnedFd | undefined {
  try {
    return openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_DIRECT)
  } catch (error) {
    if (isSysError(error, 'EINVAL')) return undefined
    throw error
  }
}

function roomOf(length: number, into: Uint8Array | undefined): Uint8Array {
  return into !== undefined && into.length >= length ? into.subarray(0, length) : new Uint8Array(length)
}

function readInto(fd: OwnedFd, bytes: Uint8Array, offset: number): number {
  let done = 0
  while (done < bytes.length) {
    const count = pread64(fd, bytes.subarray(done), offset + done)
    if (count === 0) break
    done += count
  }
  return done
}
