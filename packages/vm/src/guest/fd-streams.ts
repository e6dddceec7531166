/** File descriptors that may block, as streams and as a wire: all by the reactor, since `node:net` takes no such fd. */
import { isSysError } from '@pkg/sys/errno'
import type { OwnedFd } from '@pkg/sys/fd'
import { read, write } from '@pkg/sys/io'
import { reactor } from '@pkg/sys/reactor'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'

const CHUNK_BYTES = 64 << 10

/** Reads once; undefined for nothing now, an empty array at the end. A terminal without a program says EIO. */
function readSome(fd: OwnedFd): Uint8Array | undefined {
  const chunk = new Uint8Array(new ArrayBuffer(CHUNK_BYTES))
  try {
    return chunk.subarray(0, read(fd, chunk))
  } catch (error) {
    if (isSysError(error, 'EAGAIN') || isSysError(error, 'EINTR')) return undefined
    if (isSysError(error)) return chunk.subarray(0, 0)
    throw error
  }
}

/** All of a descriptor into a stream, which is then ended. The fd is closed. When nobody reads, it is emptied. */
export async function pumpOut(fd: OwnedFd, target: Writable): Promise<void> {
  target.on('error', () => {})
  try {
    for (;;) {
      const chunk = readSome(fd)
      if (chunk === undefined) await reactor().readable(fd)
      else if (chunk.length === 0) break
      // The program must not be stopped by a host that went away.
      else if (!target.destroyed && !target.write(chunk)) await drained(target)
    }
  } finally {
    fd.close()
    target.end()
  }
}

async function drained(target: Writable): Promise<void> {
  if (target.destroyed || !target.writableNeedDrain) return
  const both = new AbortController()
  const quiet = { signal: both.signal }
  await Promise.race([once(target, 'drain', quiet), once(target, 'close', quiet)]).catch(() => {})
  both.abort()
}

/** All of a stream into a descriptor; then `onEnd` is called. When the descriptor's reader is gone, so is the stream. */
export async function pumpIn(source: Readable, fd: OwnedFd, onEnd: () => void): Promise<void> {
  source.on('error', () => {})
  try {
    for await (const chunk of source) await writeAllAsync(fd, chunk as Uint8Array)
  } catch {
    // EPIPE: the program does not read any more. Or the host went away.
    source.destroy()
  } finally {
    onEnd()
  }
}

async function writeAllAsync(fd: OwnedFd, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    try {
      done += write(fd, bytes.subarray(done))
    } catch (error) {
      if (!isSysError(error, 'EAGAIN')) throw error
      await reactor().writable(fd)
    }
  }
}

/** A descriptor that carries a connection. */
export class Wire {
  readonly #fd: OwnedFd
  readonly #queue: Uint8Array[] = []
  #isWriting = false
  #broken = false
  #idle: (() => void)[] = []

  /** @param fd - non-blocking, the wire's own from now on */
  constructor(fd: OwnedFd) {
    this.#fd = fd
  }

  /** Sends bytes, in order, when the line takes them. */
  send(bytes: Uint8Array): void {
    if (this.#broken) return
    this.#queue.push(bytes)
    if (!this.#isWriting) void this.#write()
  }

  /** Resolves when all has been handed to the kernel. */
  flushed(): Promise<void> {
    if (!this.#isWriting) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  /**
   * Hands on what comes. Resolves at the end of the stream; a line whose host is away (virtio, a terminal) has no
   * end, and is looked at again after a while.
   */
  async receive(onBytes: (bytes: Uint8Array) => void, hasEnd: boolean): Promise<void> {
    for (;;) {
      const chunk = readSome(this.#fd)
      if (chunk === undefined) await reactor().readable(this.#fd)
      else if (chunk.length > 0) onBytes(chunk)
      else if (hasEnd) return
      else await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  async #write(): Promise<void> {
    this.#isWriting = true
    try {
      for (let next = this.#queue.shift(); next; next = this.#queue.shift())
        await writeAllAsync(this.#fd, next)
    } catch {
      // The other side is gone for good: there is nobody to tell.
      this.#broken = true
      this.#queue.length = 0
    }
    this.#isWriting = false
    for (const resolve of this.#idle.splice(0)) resolve()
  }
}
