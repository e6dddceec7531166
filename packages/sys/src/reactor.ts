// Waiting for any file descriptor: one epoll instance of ours, and something that wakes JavaScript up when it
// has events. The wakers are in reactor/.
import { ENOENT } from './generated/constants/errno.ts'
import {
  EPOLLERR,
  EPOLLET,
  EPOLLEXCLUSIVE,
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
import { u32 } from './raw/arguments.ts'
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
  /** Comes with its events, to know those of an earlier registration of the same number. */
  readonly generation: number
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
 *
 * One costs three descriptors and up to three mappings until it is disposed.
 */
export class Reactor implements Disposable {
  #epoll: OwnedFd
  #waker: Waker
  readonly #registrations = new Map<number, Registration>()
  readonly #event = new DataView(new ArrayBuffer(eventSizeBytes))
  #watchCount = 0
  #generation = 0
  /** How often events were taken from the kernel. */
  #batch = 0
  /**
   * Whether a file may be in the epoll set that no number of ours leads to: its descriptor was closed under a watch, and a
   * duplicate keeps it open.
   */
  #strayed = false
  /** Room for events; undefined while they are told. */
  #ready: DataView | undefined

  /**
   * @param kind - how JavaScript is woken; default: the engine's loop, else io_uring where the kernel allows it, else a worker
   * @throws TypeError for a kind that is none or that cannot be had here; {@link SysError} `EMFILE`
   */
  constructor(kind?: WakerKind) {
    ;[this.#epoll, this.#waker] = this.#makeSet(kind)
  }

  /** How JavaScript is woken. */
  get wakerKind(): WakerKind {
    return this.#waker.kind
  }

  /**
   * Calls `onEvents` whenever `fd` has one of `events` (EPOLLIN, EPOLLOUT, EPOLLPRI …; hang-up and error are
   * always told), until the returned watch is disposed.
   *
   * @throws {@link SysError} `EPERM` a regular file or directory; RangeError for EPOLLET, EPOLLONESHOT and EPOLLEXCLUSIVE,
   * which would change how the descriptor is told for others too; TypeError for what is no number or no function
   */
  watch(fd: AsFd, events: number, onEvents: OnEvents): Disposable {
    if ((u32(events, 'events') & (EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE)) !== 0)
      throw new RangeError(`events: 0x${(events >>> 0).toString(16)} says how to tell them`)
    if (typeof onEvents !== 'function') throw new TypeError('onEvents must be a function')
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
      const result = this.#control(EPOLL_CTL_MOD, fd, { ...registration, watches: all })
      if (result !== -ENOENT) {
        check(result, 'epoll_ctl')
        registration.watches = all
        registration.armed = true
        return
      }
      this.#void(fd, registration)
    }
    this.#generation = (this.#generation + 1) | 0
    const fresh = { watches: [watch], generation: this.#generation, armed: true }
    check(this.#control(EPOLL_CTL_ADD, fd, fresh), 'epoll_ctl')
    this.#registrations.set(fd, fresh)
  }

  #remove(watch: Watch): void {
    const registration = this.#end(watch)
    if (registration === undefined) return
    if (registration.watches.length > 0) this.#arm(watch.fd, registration)
    else this.#forget(watch.fd)
  }

  /** Asks for what the watches that are left want. Fails where the descriptor was closed under them: they are void. */
  #arm(fd: number, registration: Registration): void {
    registration.armed = !isError(this.#control(EPOLL_CTL_MOD, fd, registration))
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
    const result = raw.epollCtl(this.#epoll.fd, EPOLL_CTL_DEL, fd, this.#event)
    // A descriptor closed by its owner has left the epoll set already, unless a duplicate keeps its file.
    if (isError(result)) this.#strayed = true
  }

  /** The file was closed since: the number is nothing or another file's now, and the watches of the old one are void. */
  #void(fd: number, registration: Registration): void {
    this.#strayed = true
    for (const other of registration.watches) this.#end(other)
    this.#registrations.delete(fd)
  }

  /** An epoll instance, and what wakes us when it has events. */
  #makeSet(kind: WakerKind | undefined): [epoll: OwnedFd, waker: Waker] {
    const epoll = new OwnedFd(check(raw.epollCreate1(EPOLL_CLOEXEC), 'epoll_create1'))
    try {
      return [epoll, startWaker(epoll.fd, () => this.#dispatch(), kind)]
    } catch (error) {
      epoll.close()
      throw error
    }
  }

  /**
   * Makes the epoll set anew. Nothing else takes a stray file out of it, which the kernel would tell for ever.
   */
  #rebuild(): void {
    const [oldEpoll, oldWaker] = [this.#epoll, this.#waker]
    let fresh: [OwnedFd, Waker]
    try {
      fresh = this.#makeSet(oldWaker.kind)
    } catch {
      return // No descriptor is free: at the next event again.
    }
    for (const [fd, registration] of this.#registrations) {
      if (registration.watches.length === 0) this.#registrations.delete(fd)
      // What the old set does not know by this number was closed.
      else if (isError(this.#control(EPOLL_CTL_MOD, fd, registration))) this.#void(fd, registration)
    }
    ;[this.#epoll, this.#waker] = fresh
    for (const [fd, registration] of this.#registrations)
      registration.armed = !isError(this.#control(EPOLL_CTL_ADD, fd, registration))
    this.#strayed = false
    oldWaker[Symbol.dispose]()
    oldEpoll.close()
    if (this.#watchCount > 0) this.#waker.start()
  }

  #control(operation: number, fd: number, { watches, generation }: Registration): number {
    let events = EPOLLONESHOT
    for (const watch of watches)
      events = watch.once ? events | watch.events : (events | watch.events) & ~EPOLLONESHOT
    this.#event.setUint32(0, events >>> 0, true)
    this.#event.setInt32(eventDataOffset, fd, true)
    this.#event.setInt32(eventDataOffset + 4, generation, true)
    return raw.epollCtl(this.#epoll.fd, operation, fd, this.#event)
  }

  #dispatch(): void {
    if (this.#epoll.closed) return
    // A callback may turn the loop itself, by loading a module that waits, and be told of more events meanwhile.
    const ready = this.#ready ?? new DataView(new ArrayBuffer(eventsPerRead * eventSizeBytes))
    this.#ready = undefined
    const batch = ++this.#batch
    let hasUnknown = false
    const count = check(raw.epollPwait(this.#epoll.fd, ready, eventsPerRead, 0, null, 8), 'epoll_pwait')
    for (let index = 0; index < count; index++) {
      const at = index * eventSizeBytes
      const fd = ready.getInt32(at + eventDataOffset, true)
      const registration = this.#registrations.get(fd)
      if (registration?.generation === ready.getInt32(at + eventDataOffset + 4, true)) {
        this.#tell(fd, registration, ready.getUint32(at, true), batch)
      } else hasUnknown = true // Of a stray file, or its watch was ended by a callback before.
    }
    this.#ready = ready
    if (hasUnknown && this.#strayed && !this.#epoll.closed) this.#rebuild()
  }

  #tell(fd: number, registration: Registration, events: number, batch: number): void {
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

/** The reactor of everybody: who disposes it ends nothing of others. */
class SharedReactor extends Reactor {
  override [Symbol.dispose](): void {}

  end(): void {
    super[Symbol.dispose]()
  }
}

let shared: SharedReactor | undefined

/**
 * The reactor of this thread, made on first use. It is everybody's: disposing it does nothing.
 *
 * That of a Worker is given back when the Worker ends by itself; one that is terminated leaves three descriptors and as
 * many mappings behind, for the engine tells it nothing.
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
  if (shared === undefined) {
    const made = new SharedReactor()
    if (!Bun.isMainThread) process.on('exit', () => made.end())
    shared = made
  }
  return shared
}
