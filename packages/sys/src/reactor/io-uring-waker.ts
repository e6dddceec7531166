// A one-shot IORING_OP_POLL_ADD on the epoll descriptor, armed again after each wake-up.
import { EFD_CLOEXEC, EFD_NONBLOCK, EPOLLIN } from '../generated/constants/event.ts'
import { MAP_POPULATE, MAP_SHARED } from '../generated/constants/memory.ts'
import { check, isError } from '../errno.ts'
import { OwnedFd } from '../fd.ts'
import { type Mapping, mmap } from '../memory.ts'
import { bind } from '../raw.ts'
import type { Waker } from './waker.ts'

const raw = {
  setup: bind('io_uring_setup', 'int', 'ptr'),
  enter: bind('io_uring_enter', 'int', 'int', 'int', 'int', 'ptr', 'int'),
  register: bind('io_uring_register', 'int', 'int', 'ptr', 'int'),
  eventfd2: bind('eventfd2', 'int', 'int'),
}

/** One poll is in flight at a time; the kernel's smallest useful ring. */
const ringEntries = 2

// struct io_uring_params (linux/io_uring.h), as indices of a Uint32Array.
const paramWords = 30
const param = {
  sqEntries: 0,
  cqEntries: 1,
  features: 5,
  sqTail: 11,
  sqMask: 12,
  sqArray: 16,
  cqHead: 20,
  cqTail: 21,
  cqes: 25,
} as const

const IORING_OP_POLL_ADD = 6
const IORING_REGISTER_EVENTFD = 4
const IORING_FEAT_SINGLE_MMAP = 1
const IORING_OFF_SQES = 0x1000_0000
const sqeSizeBytes = 64
const cqeSizeBytes = 16

/** What is used of the eventfd's stream reader. */
interface EventReader {
  read(): Promise<{ done: boolean }>
  cancel(): Promise<void>
}

/** {@link Waker} by io_uring. Since: Linux 5.4 (one mapping for both rings). */
export class IoUringWaker implements Waker {
  readonly kind = 'io_uring'
  readonly #epollFd: number
  readonly #onWake: () => void
  readonly #ring: OwnedFd
  readonly #eventFd: OwnedFd
  readonly #rings: Mapping
  readonly #sqes: Mapping
  readonly #ringWords: Int32Array
  readonly #params: Uint32Array
  #reader: EventReader | undefined
  #armed = false

  /** Opens one, or returns −errno (or 0 for a kernel that is too old) when it cannot be had. */
  static open(epollFd: number, onWake: () => void): IoUringWaker | number {
    const params = new Uint32Array(new ArrayBuffer(4 * paramWords))
    const result = raw.setup(ringEntries, params)
    if (isError(result)) return result
    const ring = new OwnedFd(result)
    if (((params[param.features] ?? 0) & IORING_FEAT_SINGLE_MMAP) === 0) {
      ring.close()
      return 0
    }
    return new IoUringWaker(ring, params, epollFd, onWake)
  }

  private constructor(ring: OwnedFd, params: Uint32Array, epollFd: number, onWake: () => void) {
    this.#ring = ring
    this.#params = params
    this.#epollFd = epollFd
    this.#onWake = onWake
    const sqSize = this.#param('sqArray') + this.#param('sqEntries') * 4
    const cqSize = this.#param('cqes') + this.#param('cqEntries') * cqeSizeBytes
    const flags = MAP_SHARED | MAP_POPULATE
    this.#rings = mmap({ lengthBytes: Math.max(sqSize, cqSize), flags, fd: ring })
    const sqesSize = this.#param('sqEntries') * sqeSizeBytes
    this.#sqes = mmap({ lengthBytes: sqesSize, flags, fd: ring, offsetBytes: IORING_OFF_SQES })
    this.#ringWords = new Int32Array(this.#rings.bytes.buffer, 0, this.#rings.bytes.length >> 2)
    this.#eventFd = new OwnedFd(check(raw.eventfd2(0, EFD_NONBLOCK | EFD_CLOEXEC), 'eventfd2'))
    const eventFd = Int32Array.of(this.#eventFd.fd)
    check(raw.register(ring.fd, IORING_REGISTER_EVENTFD, eventFd, 1), 'io_uring_register')
  }

  start(): void {
    if (this.#reader !== undefined) return
    const reader = Bun.file(this.#eventFd.fd).stream().getReader()
    this.#reader = reader
    this.#arm()
    void this.#pump(reader)
  }

  stop(): void {
    const reader = this.#reader
    this.#reader = undefined
    // The poll stays armed: what it reports meanwhile is read from the eventfd after the next start.
    void reader?.cancel()
  }

  [Symbol.dispose](): void {
    this.stop()
    this.#ring.close()
    this.#eventFd.close()
    this.#rings[Symbol.dispose]()
    this.#sqes[Symbol.dispose]()
  }

  async #pump(reader: EventReader): Promise<void> {
    for (;;) {
      const { done } = await reader.read()
      if (done || this.#reader !== reader) return
      this.#consumeCompletions()
      this.#onWake()
      // The callbacks may have stopped or restarted the waker.
      if (this.#reader === reader) this.#arm()
    }
  }

  #consumeCompletions(): void {
    const tail = Atomics.load(this.#ringWords, this.#param('cqTail') >> 2)
    if (tail !== Atomics.load(this.#ringWords, this.#param('cqHead') >> 2)) this.#armed = false
    Atomics.store(this.#ringWords, this.#param('cqHead') >> 2, tail)
  }

  #arm(): void {
    if (this.#armed) return
    const tailWord = this.#param('sqTail') >> 2
    const tail = Atomics.load(this.#ringWords, tailWord)
    const index = tail & (this.#ringWords[this.#param('sqMask') >> 2] ?? 0)
    const sqe = new DataView(this.#sqes.bytes.buffer, index * sqeSizeBytes, sqeSizeBytes)
    for (let word = 0; word < sqeSizeBytes; word += 8) sqe.setBigUint64(word, 0n, true)
    sqe.setUint8(0, IORING_OP_POLL_ADD)
    sqe.setInt32(4, this.#epollFd, true)
    sqe.setUint32(28, EPOLLIN, true) // poll32_events
    this.#ringWords[(this.#param('sqArray') >> 2) + index] = index
    Atomics.store(this.#ringWords, tailWord, tail + 1)
    check(raw.enter(this.#ring.fd, 1, 0, 0, null, 0), 'io_uring_enter')
    this.#armed = true
  }

  #param(name: keyof typeof param): number {
    return this.#params[param[name]] ?? 0
  }
}
