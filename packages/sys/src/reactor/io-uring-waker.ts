// Two linked one-shot operations, armed again after each wake-up: IORING_OP_POLL_ADD on the epoll descriptor, and
// IORING_OP_SEND of a byte into one end of a pair of sockets. The other end belongs to the engine, whose loop reads it
// and calls back: of the descriptors that it can wait for, sockets are the cheapest.
import { EPOLLIN } from '../generated/constants/event.ts'
import { MAP_POPULATE, MAP_SHARED } from '../generated/constants/memory.ts'
import { AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM } from '../generated/constants/socket.ts'
import {
  IORING_FEAT_CQE_SKIP,
  IORING_FEAT_SINGLE_MMAP,
  IORING_OFF_SQES,
  IORING_OP_POLL_ADD,
  IORING_OP_SEND,
  IOSQE_CQE_SKIP_SUCCESS,
  IOSQE_IO_LINK,
} from '../generated/constants/uring.ts'
import { check, isError, isSysError } from '../errno.ts'
import { OwnedFd } from '../fd.ts'
import { mmap } from '../memory/map.ts'
import type { Mapping } from '../memory/mapping.ts'
import { addressOf, bind, syscall } from '../raw.ts'
import type { Waker } from './waker.ts'

const enter = bind('io_uring_enter', 'int', 'int', 'int', 'int', 'ptr', 'int')

/** The poll and the send: each arming fills the ring, so that its entries never change. */
const ringEntries = 2

// struct io_uring_params (linux/io_uring.h), as indices of a Uint32Array.
const paramWords = 30
const param = {
  sqEntries: 0,
  cqEntries: 1,
  features: 5,
  sqTail: 11,
  sqArray: 16,
  cqHead: 20,
  cqTail: 21,
  cqes: 25,
} as const

const sqeSizeBytes = 64
const cqeSizeBytes = 16

/** What the send sends: its value says nothing. Its address is stored in the ring. */
const byte = new Uint8Array(new ArrayBuffer(1))

/** What is used of the engine's socket. */
interface EngineSocket {
  ref(): void
  unref(): void
  terminate(): void
}

/** {@link Waker} by io_uring. Since: Linux 5.17 (successes that post no completion). */
export class IoUringWaker implements Waker {
  readonly kind = 'io_uring'
  readonly #epollFd: number
  readonly #onWake: () => void
  readonly #ring: OwnedFd
  /** The end that the kernel sends into. */
  readonly #sender: OwnedFd
  readonly #rings: Mapping
  readonly #sqes: Mapping
  readonly #ringWords: Int32Array
  readonly #params: Uint32Array
  #socket: EngineSocket | undefined
  #started = false
  #disposed = false
  #armed = false

  /** Opens one, or returns −errno (or 0 for a kernel that is too old) when it or what belongs to it cannot be had. */
  static open(epollFd: number, onWake: () => void): IoUringWaker | number {
    const params = new Uint32Array(new ArrayBuffer(4 * paramWords))
    const result = syscall('io_uring_setup', ringEntries, params)
    if (isError(result)) return result
    const ring = new OwnedFd(result)
    const needed = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_CQE_SKIP
    if (((params[param.features] ?? 0) & needed) !== needed) {
      ring.close()
      return 0
    }
    const parts = new DisposableStack()
    parts.use(ring)
    try {
      return new IoUringWaker(ring, params, epollFd, onWake, parts)
    } catch (error) {
      parts.dispose()
      if (!isSysError(error)) throw error
      return error.errno
    }
  }

  /** @param parts - is told what was made, so that it can be given back when something after it fails */
  private constructor(
    ring: OwnedFd,
    params: Uint32Array,
    epollFd: number,
    onWake: () => void,
    parts: DisposableStack,
  ) {
    this.#ring = ring
    this.#params = params
    this.#epollFd = epollFd
    this.#onWake = onWake
    const sqSize = this.#param('sqArray') + this.#param('sqEntries') * 4
    const cqSize = this.#param('cqes') + this.#param('cqEntries') * cqeSizeBytes
    const flags = MAP_SHARED | MAP_POPULATE
    this.#rings = parts.use(mmap({ lengthBytes: Math.max(sqSize, cqSize), flags, fd: ring }))
    const sqesSize = this.#param('sqEntries') * sqeSizeBytes
    this.#sqes = parts.use(mmap({ lengthBytes: sqesSize, flags, fd: ring, offsetBytes: IORING_OFF_SQES }))
    this.#ringWords = new Int32Array(this.#rings.bytes.buffer, 0, this.#rings.bytes.length >> 2)
    const pair = new Int32Array(new ArrayBuffer(8))
    const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC
    check(syscall('socketpair', AF_UNIX, type, 0, pair), 'socketpair')
    const [receiver, sender] = pair as unknown as [number, number]
    this.#sender = parts.use(new OwnedFd(sender))
    this.#prepare()
    // From here on `receiver` is the engine's, which closes it with the socket.
    const options: Bun.FdSocketOptions = {
      fd: receiver,
      socket: { open: (socket) => this.#opened(socket), data: () => this.#woken() },
    }
    // Bun's types describe these options and give connect no overload that takes them.
    void Bun.connect(options as unknown as Bun.UnixSocketOptions)
  }

  start(): void {
    if (this.#started) return
    this.#started = true
    this.#socket?.ref()
    this.#arm()
  }

  stop(): void {
    this.#started = false
    // The poll stays armed: what it tells meanwhile is read and forgotten, as the next start asks again.
    this.#socket?.unref()
  }

  [Symbol.dispose](): void {
    this.#started = false
    this.#disposed = true
    this.#socket?.terminate()
    this.#ring.close()
    this.#sender.close()
    this.#rings[Symbol.dispose]()
    this.#sqes[Symbol.dispose]()
  }

  #opened(socket: EngineSocket): void {
    this.#socket = socket
    if (this.#disposed) socket.terminate()
    else if (!this.#started) socket.unref()
  }

  #woken(): void {
    if (this.#disposed) return
    this.#armed = false
    // Only failures are told here, and what they mean is found again by the next poll.
    const tail = Atomics.load(this.#ringWords, this.#param('cqTail') >> 2)
    Atomics.store(this.#ringWords, this.#param('cqHead') >> 2, tail)
    if (!this.#started) return
    this.#onWake()
    // The callbacks may have stopped or disposed the waker.
    if (this.#started) this.#arm()
  }

  /** The two entries of the ring, as every arming submits them. */
  #prepare(): void {
    const entries = new DataView(this.#sqes.bytes.buffer, 0, ringEntries * sqeSizeBytes)
    // struct io_uring_sqe (linux/io_uring.h): opcode, flags, …, fd, …, addr, len, poll32_events.
    entries.setUint8(0, IORING_OP_POLL_ADD)
    entries.setUint8(1, IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS)
    entries.setInt32(4, this.#epollFd, true)
    entries.setUint32(28, EPOLLIN, true)
    entries.setUint8(sqeSizeBytes, IORING_OP_SEND)
    entries.setUint8(sqeSizeBytes + 1, IOSQE_CQE_SKIP_SUCCESS)
    entries.setInt32(sqeSizeBytes + 4, this.#sender.fd, true)
    entries.setBigUint64(sqeSizeBytes + 16, BigInt(addressOf(byte)), true)
    entries.setUint32(sqeSizeBytes + 24, byte.length, true)
    for (let index = 0; index < ringEntries; index++) {
      this.#ringWords[(this.#param('sqArray') >> 2) + index] = index
    }
  }

  #arm(): void {
    if (this.#armed) return
    const tailWord = this.#param('sqTail') >> 2
    Atomics.store(this.#ringWords, tailWord, Atomics.load(this.#ringWords, tailWord) + ringEntries)
    check(enter(this.#ring.fd, ringEntries, 0, 0, null, 0), 'io_uring_enter')
    this.#armed = true
  }

  #param(name: keyof typeof param): number {
    return this.#params[param[name]] ?? 0
  }
}
