// What wakes JavaScript when an epoll instance has events. The engine's own loop cannot wait for foreign
// descriptors, so either io_uring polls the epoll descriptor and sends a byte to a socket of the engine's, or a worker
// thread blocks in epoll_pwait and posts a message. Both take about as long (`npm run bench -- --only reactor`), but the
// thread has a heap: megabytes. io_uring is refused by the default seccomp profiles of container runtimes.
import { isError } from '../errno.ts'
import { IoUringWaker } from './io-uring-waker.ts'
import { WorkerWaker } from './worker-waker.ts'

/** How JavaScript is woken. */
export type WakerKind = 'io_uring' | 'worker'

/** Calls a function whenever an epoll instance has events, while it is started. */
export interface Waker extends Disposable {
  readonly kind: WakerKind
  /** Begins to wake, and keeps the process alive. */
  start(): void
  /** Ceases to wake, and no longer keeps the process alive. */
  stop(): void
}

/** Makes a stopped waker for `epollFd`, of `kind` or the best that this kernel allows. */
export function startWaker(epollFd: number, onWake: () => void, kind?: WakerKind): Waker {
  if (kind === 'worker') return new WorkerWaker(epollFd, onWake)
  const waker = IoUringWaker.open(epollFd, onWake)
  if (typeof waker !== 'number') return waker
  if (kind === 'io_uring') {
    throw new TypeError(`io_uring is not available here${isError(waker) ? ` (errno ${-waker})` : ''}`)
  }
  return new WorkerWaker(epollFd, onWake)
}
