// A worker thread that blocks in epoll_pwait and posts a message when there are events.
import { EFD_CLOEXEC, EFD_NONBLOCK, EPOLLIN, EPOLL_CTL_ADD } from '../generated/constants/event.ts'
import { check } from '../errno.ts'
import { OwnedFd } from '../fd.ts'
import { bind, syscallNumber } from '../raw.ts'
import { workerThatCalls } from '../raw/ffi.ts'
import { thunkAddress } from '../raw/thunks.ts'
import type { Waker } from './waker.ts'

const raw = {
  eventfd2: bind('eventfd2', 'int', 'int'),
  epollCtl: bind('epoll_ctl', 'int', 'int', 'int', 'ptr'),
  write: bind('write', 'int', 'ptr', 'int'),
}

/** {@link Waker} by a worker thread. */
export class WorkerWaker implements Waker {
  readonly kind = 'worker'
  readonly #worker: Worker
  /** In the epoll set, so that disposal can get the thread out of the kernel. */
  readonly #endFd: OwnedFd
  #started = false
  #waiting = false

  constructor(epollFd: number, onWake: () => void) {
    this.#endFd = new OwnedFd(check(raw.eventfd2(0, EFD_NONBLOCK | EFD_CLOEXEC), 'eventfd2'))
    const event = new Uint8Array(new ArrayBuffer(16))
    // The data stays 0 or whatever: the reactor only looks up watched descriptors, and this is none.
    new DataView(event.buffer).setUint32(0, EPOLLIN, true)
    new DataView(event.buffer).setInt32(process.arch === 'x64' ? 4 : 8, -1, true)
    check(raw.epollCtl(epollFd, EPOLL_CTL_ADD, this.#endFd.fd, event), 'epoll_ctl')
    const address = thunkAddress(syscallNumber('epoll_pwait'))
    this.#worker = workerThatCalls(address, [epollFd, new ArrayBuffer(16), 1, -1, null, 8])
    this.#worker.unref()
    this.#worker.addEventListener('message', () => {
      this.#waiting = false
      if (!this.#started) return
      onWake()
      if (this.#started) this.#wait()
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
    raw.write(this.#endFd.fd, new Uint8Array(BigUint64Array.of(1n).buffer), 8)
    this.#worker.terminate()
    this.#endFd.close()
  }

  #wait(): void {
    this.#waiting = true
    this.#worker.postMessage(null)
  }
}
