// File descriptors with an owner.
import { bind } from './raw.ts'

const closeFd = bind('close', 'int')

/** What a wrapper accepts where the kernel takes a file descriptor: an owned one, or a bare number. */
export type AsFd = OwnedFd | number

/** The largest number a file descriptor can have (the kernel's `int`). */
const FD_MAX = 0x7fffffff

/** The kernel's `AT_FDCWD`: paths are relative to the working directory. */
const AT_FDCWD = -100

/**
 * A file descriptor that belongs to one owner, who closes it: with `using`, {@link OwnedFd.close}, or by giving
 * the number away with {@link OwnedFd.release}. The garbage collector closes nothing.
 *
 * @example
 * ```ts
 * import { AT_FDCWD, O_RDONLY } from '@pkg/sys/constants'
 * import { openat } from '@pkg/sys/fs'
 * import { read } from '@pkg/sys/io'
 *
 * using file = openat(AT_FDCWD, '/proc/self/comm', O_RDONLY)
 * const buffer = new Uint8Array(16)
 * console.assert(read(file, buffer) > 0)
 * ```
 */
export class OwnedFd implements Disposable {
  #fd: number

  /** Takes ownership of the open descriptor `fd`. */
  constructor(fd: number) {
    if (!Number.isInteger(fd) || fd < 0 || fd > FD_MAX) throw new RangeError(`not a file descriptor: ${fd}`)
    this.#fd = fd
    tracer?.opened(this)
  }

  /**
   * The number.
   *
   * @throws TypeError when closed or released: the number may be another file's by now
   */
  get fd(): number {
    if (this.#fd < 0) throw new TypeError('the file descriptor is closed')
    return this.#fd
  }

  /** Whether it was closed or released. */
  get closed(): boolean {
    return this.#fd < 0
  }

  /**
   * Closes the descriptor; a second call does nothing.
   *
   * An error of close(2) is not reported: on Linux the descriptor is gone in every case, and data that must be
   * on disk wants `fsync` before. May block on some file systems (NFS, FUSE).
   */
  close(): void {
    if (this.#fd < 0) return
    closeFd(this.release())
  }

  /** Gives up ownership and returns the number, which the caller closes. */
  release(): number {
    const { fd } = this
    this.#fd = -1
    tracer?.closed(this)
    return fd
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/**
 * The number of an {@link AsFd}.
 *
 * @throws TypeError for a closed descriptor or something that is none; RangeError for a negative number
 */
export function fdNumber(fd: AsFd): number {
  if (typeof fd !== 'number') {
    if (fd instanceof OwnedFd) return fd.fd
    throw new TypeError(`not a file descriptor: ${String(fd)}`)
  }
  if (!Number.isInteger(fd) || fd < 0 || fd > FD_MAX) throw new RangeError(`not a file descriptor: ${fd}`)
  return fd
}

/** {@link fdNumber} for calls that resolve a path: AT_FDCWD is accepted too. */
export function dirfdNumber(dirfd: AsFd): number {
  return dirfd === AT_FDCWD ? AT_FDCWD : fdNumber(dirfd)
}

/** Who is told of each {@link OwnedFd} made and given up. */
export interface FdTracer {
  /** One was made. */
  opened(fd: OwnedFd): void
  /** One was closed, or its number given away. */
  closed(fd: OwnedFd): void
}

let tracer: FdTracer | undefined

/**
 * Installs a tracer for leak checks in tests; undefined removes it.
 *
 * @throws TypeError for something that is none: every descriptor made later would be lost
 */
export function traceFds(newTracer: FdTracer | undefined): void {
  const isTracer = typeof newTracer?.opened === 'function' && typeof newTracer.closed === 'function'
  if (newTracer !== undefined && !isTracer) throw new TypeError('not a tracer')
  tracer = newTracer
}
