// Waiting for any file descriptor: one epoll instance of ours, and something that wakes JavaScript up when it
// has events. The wakers are in reactor/.
import {
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
} from './generated/constants/event.ts'
import { check, isSysError } from './errno.ts'
import { type AsFd, fdNumber, OwnedFd } from './fd.ts'
import { bind } from './raw.ts'
import { startWaker, type Waker, type WakerKind } from './reactor/waker.ts'

export type { WakerKind } from './reactor/waker.ts'

const raw = {
  epollCreate1: bind('epoll_create1', 'int'),
  epollCtl: bind('epoll_ctl', 'int', 'int', 'int', 'ptr'),
  epollPwait: bind('epoll_pwait', 'int', 'ptr', 'int', 'int', 'ptr', 'int'),
}

/** How a wait can be given up. */
export interface WaitOptions {
  /** Aborting rejects the wait with the signal's reason. */
  signal?: AbortSignal | undefined
}

/** What is told of a ready descriptor: a set of EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR …. */
export type OnEvents = (events: number) => void

// struct epoll_event (linux/eventpoll.h) is packed on x86-64 alone: 12 bytes there, 16 on arm64.
const eventSizeBytes = process.arch === 'x64' ? 12 : 16
const eventDataOffset = eventSizeBytes - 8

/** Events taken from the kernel at once; more come at the next wake-up. */
const eventsPerRead = 64

interface Watch {
  fd: number
  events: number
  onEvents: OnEvents
}

/**
 * Tells when file descriptors become ready: pipes, sockets, pidfds, timers, event and netlink descriptors.
 *
 * Level-triggered: a callback that leaves data unread is called again. The process stays alive while anything
 * is watched. Regular files are always ready and are refused by the kernel (EPERM).
 *
 * A descriptor must stay open while it is watched; dispose the watch first. Two watches of one descriptor are
 * served both.
 */
export class Reactor implements Disposable {
  readonly #epoll: OwnedFd
  readonly #waker: Waker
  readonly #watches = new Map<number, Watch[]>()
  readonly #event = new DataView(new ArrayBuffer(eventSizeBytes))
  readonly #ready = new DataView(new ArrayBuffer(eventsPerRead * eventSizeBytes))

  /**
   * @param kind - how JavaScript is woken; default: io_uring where the kernel allows it, else a worker thread
   */
  constructor(kind?: WakerKind) {
    this.#epoll = new OwnedFd(check(raw.epollCreate1(EPOLL_CLOEXEC), 'epoll_create1'))
    this.#waker = startWaker(this.#epoll.fd, () => this.#dispatch(), kind)
  }

  /** How JavaScript is woken. */
  get wakerKind(): WakerKind {
    return this.#waker.kind
  }

  /**
   * Calls `onEvents` whenever `fd` has one of `events` (EPOLLIN, EPOLLOUT, EPOLLPRI …; hang-up and error are
   * always told), until the returned watch is disposed.
   *
   * @throws {@link SysError} `EPERM` a regular file or directory
   */
  watch(fd: AsFd, events: number, onEvents: OnEvents): Disposable {
    const watch: Watch = { fd: fdNumber(fd), events, onEvents }
    const others = this.#watches.get(watch.fd) ?? []
    this.#watches.set(watch.fd, this.#add(watch, others))
    this.#waker.start()
    return { [Symbol.dispose]: () => this.#remove(watch) }
  }

  /** Resolves when `fd` can be read without blocking, which includes its end and an error. */
  readable(fd: AsFd, options: WaitOptions = {}): Promise<void> {
    return this.#once(fd, EPOLLIN | EPOLLRDHUP, options)
  }

  /** Resolves when `fd` can be written without blocking, which includes an error. */
  writable(fd: AsFd, options: WaitOptions = {}): Promise<void> {
    return this.#once(fd, EPOLLOUT, options)
  }

  /** Ends all watches without calling them again, and frees the epoll instance. */
  [Symbol.dispose](): void {
    this.#watches.clear()
    this.#waker[Symbol.dispose]()
    this.#epoll.close()
  }

  #once(fd: AsFd, events: number, { signal }: WaitOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      const onAbort = (): void => {
        watch[Symbol.dispose]()
        reject(signal?.reason as Error)
      }
      const watch = this.watch(fd, events, () => {
        watch[Symbol.dispose]()
        signal?.removeEventListener('abort', onAbort)
        resolve()
      })
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** Asks the kernel for the events of all of a descriptor's watches; returns those. */
  #add(watch: Watch, others: readonly Watch[]): Watch[] {
    const all = [...others, watch]
    if (others.length > 0) {
      try {
        this.#control(EPOLL_CTL_MOD, watch.fd, all)
        return all
      } catch (error) {
        // Its file was closed under its watches: the number is another file's now, and they are void.
        if (!isSysError(error, 'ENOENT')) throw error
      }
    }
    this.#control(EPOLL_CTL_ADD, watch.fd, [watch])
    return [watch]
  }

  #remove(watch: Watch): void {
    const watches = this.#watches.get(watch.fd)
    if (watches === undefined || !watches.includes(watch)) return
    const others = watches.filter((other) => other !== watch)
    if (others.length > 0) {
      this.#watches.set(watch.fd, others)
      this.#control(EPOLL_CTL_MOD, watch.fd, others)
      return
    }
    this.#watches.delete(watch.fd)
    // A descriptor closed by its owner has left the epoll set already: then this fails, and nothing is lost.
    raw.epollCtl(this.#epoll.fd, EPOLL_CTL_DEL, watch.fd, this.#event)
    if (this.#watches.size === 0) this.#waker.stop()
  }

  #control(operation: number, fd: number, watches: readonly Watch[]): void {
    const events = watches.reduce((all, watch) => all | watch.events, 0)
    this.#event.setUint32(0, events >>> 0, true)
    this.#event.setInt32(eventDataOffset, fd, true)
    check(raw.epollCtl(this.#epoll.fd, operation, fd, this.#event), 'epoll_ctl')
  }

  #dispatch(): void {
    if (this.#epoll.closed) return
    const count = check(raw.epollPwait(this.#epoll.fd, this.#ready, eventsPerRead, 0, null, 8), 'epoll_pwait')
    for (let index = 0; index < count; index++) {
      const events = this.#ready.getUint32(index * eventSizeBytes, true)
      const fd = this.#ready.getInt32(index * eventSizeBytes + eventDataOffset, true)
      for (const watch of this.#watches.get(fd) ?? []) {
        // A callback may dispose the watches after it.
        if (this.#watches.get(fd)?.includes(watch) !== true) continue
        if ((events & (watch.events | EPOLLHUP | EPOLLERR)) !== 0) callSafely(watch.onEvents, events)
      }
    }
  }
}

/** An exception of a callback is the program's uncaught exception, not the end of everybody's waiting. */
function callSafely(onEvents: OnEvents, events: number): void {
  try {
    onEvents(events)
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}

let shared: Reactor | undefined

/**
 * The reactor of this process, made on first use.
 *
 * @example
 * ```ts
 * import { pipe2, write } from '@pkg/sys/io'
 * import { reactor } from '@pkg/sys/reactor'
 *
 * using pipe = pipe2(0)
 * setTimeout(() => write(pipe.write, new Uint8Array(1)), 1)
 * await reactor().readable(pipe.read, { signal: AbortSignal.timeout(1000) })
 * ```
 */
export function reactor(): Reactor {
  shared ??= new Reactor()
  return shared
}
