// What wakes JavaScript when an epoll instance has events. The engine's loop waits for no foreign descriptors by itself:
//
// - `loop`: the epoll instance is put into the loop's own. In versions of the engine that are known, on the main thread.
// - `io_uring`: the kernel polls the epoll descriptor and sends a byte to a socket of the engine's. It is refused by the
//   default seccomp profiles of container runtimes.
// - `worker`: a thread blocks in epoll_pwait and posts a message. It has a heap: megabytes.
//
// What each costs: `npm run bench -- --only reactor`.
import { isError } from '../errno.ts'
import { IoUringWaker } from './io-uring-waker.ts'
import { LoopWaker } from './loop-waker.ts'
import { WorkerWaker } from './worker-waker.ts'

/** How JavaScript is woken. */
export type WakerKind = 'loop' | 'io_uring' | 'worker'

const kinds = new Set<unknown>(['loop', 'io_uring', 'worker'] satisfies WakerKind[])

/** Calls a function whenever an epoll instance has events, while it is started. */
export interface Waker extends Disposable {
  readonly kind: WakerKind
  /** Begins to wake, and keeps the process alive. */
  start(): void
  /** Ceases to wake, and no longer keeps the process alive. */
  stop(): void
}

/**
 * Makes a stopped waker for `epollFd`, of `kind` or the best that this engine and this kernel allow.
 *
 * @throws TypeError for a kind that is none or that cannot be had; {@link SysError} when descriptors or memory are short
 */
export function startWaker(epollFd: number, onWake: () => void, kind?: WakerKind): Waker {
  if (kind !== undefined && !kinds.has(kind)) throw new TypeError(`not a kind of waker: ${String(kind)}`)
  if (kind === undefined || kind === 'loop') {
    const waker = LoopWaker.open(epollFd, onWake)
    if (waker !== undefined) return waker
    if (kind === 'loop') throw new TypeError('the engine’s loop cannot be used here')
  }
  if (kind === undefined || kind === 'io_uring') {
    const waker = IoUringWaker.open(epollFd, onWake)
    if (typeof waker !== 'number') return waker
    if (kind === 'io_uring') {
      throw new TypeError(`io_uring is not available here${isError(waker) ? ` (errno ${-waker})` : ''}`)
    }
  }
  return new WorkerWaker(epollFd, onWake)
}
