// A worker thread that blocks in epoll_pwait and posts a message when there are events.
import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EPOLLIN,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
} from '../generated/constants/event.ts'
import { check } from '../errno.ts'
import { OwnedFd } from '../fd.ts'
import { syscall, syscallNumber } from '../raw.ts'
import { workerThatCalls } from '../raw/ffi.ts'
import { thunkAddress } from '../raw/thunks.ts'
import type { Waker } from './waker.ts'

/** {@link Waker} by a worker thread. */
export class WorkerWaker implements Waker {
  readonly kind = 'worker'
  readonly #worker: Worker
  /** What the thread waits for: an epoll instance of its own, so that it takes no event that can be had only once. */
  readonly #outerFd: OwnedFd
  /** In that set, so that disposal can get the thread out of the kernel. */
  readonly #endFd: OwnedFd
  #started = false
  #waiting = false

  constructor(epollFd: number, onWake: () => void) {
    this.#outerFd = new OwnedFd(check(syscall('epoll_create1', EPOLL_CLOEXEC), 'epoll_create1'))
    let endFd: OwnedFd | undefined
    try {
      endFd = new OwnedFd(check(syscall('eventfd2', 0, EFD_NONBLOCK | EFD_CLOEXEC), 'eventfd2'))
      const event = new Uint32Array(new ArrayBuffer(16))
      event[0] = EPOLLIN
      for (const fd of [epollFd, endFd.fd]) {
        check(syscall('epoll_ctl', this.#outerFd.fd, EPOLL_CTL_ADD, fd, event), 'epoll_ctl')
      }
      const address = thunkAddress(syscallNumber('epoll_pwait'))
      this.#worker = workerThatCalls(address, [this.#outerFd.fd, new ArrayBuffer(16), 1, -1, null, 8])
      this.#endFd = endFd
    } catch (error) {
      endFd?.close()
      this.#outerFd.close()
      throw error
    }
    this.#worker.unref()
    this.#worker.addEventListener('message', () => {
      this.#waiting = false
      if (!this.#started) return
      onWake()
      // A callback that stopped and started it has begun to wait already.
      if (this.#started && !this.#waiting) this.#wait()
    })
  }

  start(): void {
    if (this.#started) return
    this.#started = true
    this.#worker.ref()
    if (!this.#waiting) this.#wait()
  }

  stop(): void {
    this.#started = false
    this.#worker.unref()
  }

  [Symbol.dispose](): void {
    this.stop()
    syscall('write', this.#endFd.fd, new Uint8Array(BigUint64Array.of(1n).buffer), 8)
    this.#worker.terminate()
    this.#endFd.close()
    this.#outerFd.close()
  }

  #wait(): void {
    this.#waiting = true
    this.#worker.postMessage(null)
  }
}
