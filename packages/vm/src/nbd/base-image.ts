/** What a disk holds before anything is written to it: a file that is never changed, or zeros. */
import { closeSync, constants, fstatSync, ftruncateSync, openSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import { readFully } from './scratch-file.ts'

/** A raw image, or nothing, followed by zeros without end. */
export class BaseImage implements Disposable {
  /** Bytes of the file; what follows is zeros. */
  readonly sizeBytes: number
  readonly #path: string | undefined
  #fd: number | undefined
  #closed = false

  /** @throws Error the file cannot be opened; TypeError it is not a regular file */
  constructor(path: string | undefined) {
    this.#path = path
    this.#fd = path === undefined ? undefined : openSync(path, 'r')
    const stat = this.#fd === undefined ? undefined : fstatSync(this.#fd)
    if (stat !== undefined && !stat.isFile()) {
      this[Symbol.dispose]()
      throw new TypeError(`base: ${path} is not a file`)
    }
    this.sizeBytes = stat?.size ?? 0
  }

  /**
   * Fills `target` with what is at `offset`.
   *
   * @throws TypeError after disposal: zeros would be a lie
   */
  read(target: Uint8Array, offset: number): void {
    if (this.#closed) throw new TypeError('the disk is closed: its contents and its log are gone')
    if (this.#fd === undefined || offset >= this.sizeBytes) target.fill(0)
    else readFully(this.#fd, target, offset)
  }

  /** Makes `path` an image of `sizeBytes` with these contents, sharing blocks with the base where the file system can. */
  async writeTo(path: string, sizeBytes: number): Promise<void> {
    if (this.#path !== undefined) await copyFile(this.#path, path, constants.COPYFILE_FICLONE)
    const fd = openSync(path, this.#path === undefined ? 'w' : 'r+')
    try {
      ftruncateSync(fd, sizeBytes)
    } finally {
      closeSync(fd)
    }
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#closed = true
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }
}
