// Waiting for any file descriptor: one epoll instance of ours, and something that wakes JavaScript up when it
// has events. The wakers are in reactor/.
import { ENOENT } from './generated/constants/errno.ts'
import {
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLONESHOT,
  EPOLLOUT,
  EPOLLRDHUP,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
} from './generated/constants/event.ts'
import { check, isError } from './errno.ts'
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
  /** Over after its first call. */
  once: boolean
  over: boolean
  /** The batch of events in which it began. */
  since: number
}

/** What the kernel was told of a descriptor. */
interface Registration {
  watches: readonly Watch[]
  /**
   * Whether the kernel will tell an event. Not after that of a registration with EPOLLONESHOT, which all have that are
   * waited for once: these are armed again by the next wait, which is one call less than a removal and an addition.
   */
  armed: boolean
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
  readonly #registrations = new Map<number, Registration>()
  readonly #event = new DataView(new ArrayBuffer(eventSizeBytes))
  #watchCount = 0
  /** How often events were taken from the kernel. */
  #batch = 0
  /** Room for events; undefined while they are told. */
  #ready: DataView | undefined

  /**
   * @param kind - how JavaScript is woken; default: the engine's loop, else io_uring where the kernel allows it, else a worker
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
    const watch = this.#add(fdNumber(fd), events, onEvents, false)
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
    for (const { watches } of this.#registrations.values()) for (const watch of watches) watch.over = true
    this.#registrations.clear()
    this.#watchCount = 0
    this.#waker[Symbol.dispose]()
    this.#epoll.close()
  }

  #once(fd: AsFd, events: number, { signal }: WaitOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      const onAbort = (): void => {
        this.#remove(watch)
        reject(signal?.reason as Error)
      }
      const onEvents = (): void => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }
      const watch = this.#add(fdNumber(fd), events, onEvents, true)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  #add(fd: number, events: number, onEvents: OnEvents, once: boolean): Watch {
    const watch: Watch = { fd, events, onEvents, once, over: false, since: this.#batch }
    this.#register(fd, watch)
    this.#watchCount++
    this.#waker.start()
    return watch
  }

  #register(fd: number, watch: Watch): void {
    const registration = this.#registrations.get(fd)
    if (registration !== undefined) {
      const all = [...registration.watches, watch]
      const result = this.#control(EPOLL_CTL_MOD, fd, all)
      if (result !== -ENOENT) {
        check(result, 'epoll_ctl')
        registration.watches = all
        registration.armed = true
        return
      }
      // Its file was closed since: the number is another file's now, and the watches of the old one are void.
      for (const other of registration.watches) this.#end(other)
      this.#registrations.delete(fd)
    }
    check(this.#control(EPOLL_CTL_ADD, fd, [watch]), 'epoll_ctl')
    this.#registrations.set(fd, { watches: [watch], armed: true })
  }

  #remove(watch: Watch): void {
    const registration = this.#end(watch)
    if (registration === undefined) return
    if (registration.watches.length > 0) this.#arm(watch.fd, registration)
    else this.#forget(watch.fd)
  }

  /** Asks for what the watches that are left want. Fails where the descriptor was closed under them: they are void. */
  #arm(fd: number, registration: Registration): void {
    registration.armed = !isError(this.#control(EPOLL_CTL_MOD, fd, registration.watches))
  }

  /** Takes a watch out of the books, not out of the kernel's. */
  #end(watch: Watch): Registration | undefined {
    if (watch.over) return undefined
    watch.over = true
    if (--this.#watchCount === 0) this.#waker.stop()
    const registration = this.#registrations.get(watch.fd)
    if (registration !== undefined) {
      registration.watches = registration.watches.filter((other) => other !== watch)
    }
    return registration
  }

  #forget(fd: number): void {
    this.#registrations.delete(fd)
    // A descriptor closed by its owner has left the epoll set already: then this fails, and nothing is lost.
    raw.epollCtl(this.#epoll.fd, EPOLL_CTL_DEL, fd, this.#event)
  }

  #control(operation: number, fd: number, watches: readonly Watch[]): number {
    let events = EPOLLONESHOT
    for (const watch of watches)
      events = watch.once ? events | watch.events : (events | watch.events) & ~EPOLLONESHOT
    this.#event.setUint32(0, events >>> 0, true)
    this.#event.setInt32(eventDataOffset, fd, true)
    return raw.epollCtl(this.#epoll.fd, operation, fd, this.#event)
  }

  #dispatch(): void {
    if (this.#epoll.closed) return
    // A callback may turn the loop itself, by loading a module that waits, and be told of more events meanwhile.
    const ready = this.#ready ?? new DataView(new ArrayBuffer(eventsPerRead * eventSizeBytes))
    this.#ready = undefined
    const batch = ++this.#batch
    const count = check(raw.epollPwait(this.#epoll.fd, ready, eventsPerRead, 0, null, 8), 'epoll_pwait')
    for (let index = 0; index < count; index++) {
      const events = ready.getUint32(index * eventSizeBytes, true)
      this.#tell(ready.getInt32(index * eventSizeBytes + eventDataOffset, true), events, batch)
    }
    this.#ready = ready
  }

  #tell(fd: number, events: number, batch: number): void {
    const registration = this.#registrations.get(fd)
    if (registration === undefined) return
    const { watches } = registration
    if (watches.every(({ once }) => once)) registration.armed = false
    for (const watch of watches) {
      // A callback may end the watches after it, and begin others: what was told before does not concern those.
      if (watch.over || watch.since >= batch) continue
      if ((events & (watch.events | EPOLLHUP | EPOLLERR)) === 0) continue
      if (watch.once) this.#end(watch)
      callSafely(watch.onEvents, events)
    }
    const left = registration.watches
    if (this.#registrations.get(fd) !== registration) return
    if (left.length > 0) {
      if (left.length < watches.length || !registration.armed) this.#arm(fd, registration)
    } else if (registration.armed) {
      this.#forget(fd)
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
