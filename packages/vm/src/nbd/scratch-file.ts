/** A file without a name: it takes disk space while we live, and none afterwards, however we end. */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * A sparse temporary file that is removed from its folder as soon as it is open.
 *
 * It is read and written synchronously: the order of a disk's writes, of its log and of its contents is then one and
 * the same, and the page cache makes each a matter of microseconds.
 */
export class ScratchFile implements Disposable {
  #fd: number

  /** @throws Error the temporary folder cannot be written to */
  constructor() {
    const folder = mkdtempSync(join(tmpdir(), 'solo-disk-'))
    try {
      this.#fd = openSync(join(folder, 'scratch'), 'wx+', 0o600)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }

  /** Fills `target` from `position`; what lies beyond the end is zeros. */
  read(target: Uint8Array, position: number): void {
    this.assertOpen()
    readFully(this.#fd, target, position)
  }

  /** @throws Error `ENOSPC` and what else `pwrite(2)` gives */
  write(bytes: Uint8Array, position: number): void {
    this.assertOpen()
    writeFully(this.#fd, bytes, position)
  }

  /** @throws TypeError after disposal: zeros would be a lie */
  assertOpen(): void {
    if (this.#fd < 0) throw new TypeError('the disk is closed: its contents and its log are gone')
  }

  /** The contents are gone. */
  [Symbol.dispose](): void {
    if (this.#fd < 0) return
    closeSync(this.#fd)
    this.#fd = -1
  }
}

/** `pread(2)` until `target` is full; zeros for what lies beyond the file's end. */
export function readFully(fd: number, target: Uint8Array, position: number): void {
  let done = 0
  while (done < target.length) {
    const count = readSync(fd, target, done, target.length - done, position + done)
    if (count === 0) break
    done += count
  }
  target.fill(0, done)
}

/** `pwrite(2)` until all of `bytes` is written. */
export function writeFully(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;)
    done += writeSync(fd, bytes, done, bytes.length - done, position + done)
}
