// io_uring: a queue of calls that the kernel makes, and a queue of their results, in shared memory. What may be put into
// the queue is in io-uring/submission.ts.
import { MAP_POPULATE, MAP_SHARED } from './generated/constants/memory.ts'
import {
  IORING_ASYNC_CANCEL_ALL,
  IORING_ASYNC_CANCEL_ANY,
  IORING_CQE_F_MORE,
  IORING_ENTER_GETEVENTS,
  IORING_FEAT_SINGLE_MMAP,
  IORING_OFF_SQES,
  IORING_OFF_SQ_RING,
  IORING_REGISTER_SYNC_CANCEL,
  IORING_SETUP_CLAMP,
  IORING_SETUP_COOP_TASKRUN,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_SINGLE_ISSUER,
  IORING_SETUP_SUBMIT_ALL,
  IORING_SETUP_TASKRUN_FLAG,
  IORING_SQ_CQ_OVERFLOW,
} from './generated/constants/uring.ts'
import { check, isError } from './errno.ts'
import { type AsFd, fdNumber, OwnedFd } from './fd.ts'
import { fillSubmission, type Submission, sqeSize } from './io-uring/submission.ts'
import { mmap } from './memory/map.ts'
import { holdMapping, type Mapping } from './memory/mapping.ts'
import { bind } from './raw.ts'
import { size, u32 } from './raw/arguments.ts'
import { alloc, type StructView } from './struct.ts'
import * as structs from './generated/structs/uring.ts'

const raw = {
  setup: bind('io_uring_setup', 'int', 'ptr'),
  enter: bind('io_uring_enter', 'int', 'int', 'int', 'int', 'ptr', 'int'),
  register: bind('io_uring_register', 'int', 'int', 'ptr', 'int'),
}

export { type Submission } from './io-uring/submission.ts'

const cqeSize = 16

/**
 * What the flags of a ring may be. Others change what the queues look like or who takes entries out of them (SQPOLL,
 * NO_SQARRAY, SQE128, CQE32, …_MIXED, NO_MMAP), or want fields of the parameters that are not set here.
 */
const setupFlags =
  IORING_SETUP_CLAMP |
  IORING_SETUP_SUBMIT_ALL |
  IORING_SETUP_COOP_TASKRUN |
  IORING_SETUP_TASKRUN_FLAG |
  IORING_SETUP_SINGLE_ISSUER |
  IORING_SETUP_DEFER_TASKRUN

/** A ring, and what the kernel says of it. */
export interface IoUringSetup {
  /** The ring's descriptor, which the caller owns. */
  fd: OwnedFd
  /** `sq_entries`, `features`, the offsets of both queues … */
  params: StructView<typeof structs.io_uring_params>
}

/**
 * `io_uring_setup(entries, params)` — makes a ring, close-on-exec. {@link IoUring} maps and uses it.
 *
 * @param entries - room for so many submissions: 1 to 32768
 * @param flags - IORING_SETUP_CLAMP, _SUBMIT_ALL, _COOP_TASKRUN, _TASKRUN_FLAG, _SINGLE_ISSUER, _DEFER_TASKRUN
 * @throws {@link SysError} `EPERM` forbidden (container runtimes, /proc/sys/kernel/io_uring_disabled); `ENOSYS`; `EINVAL`;
 * RangeError for other flags: the rings that they make are not what {@link IoUring} reads and writes
 * @see https://man7.org/linux/man-pages/man2/io_uring_setup.2.html
 */
export function io_uring_setup(entries: number, flags = 0): IoUringSetup {
  const other = u32(flags, 'flags') & ~setupFlags
  if (other !== 0)
    throw new RangeError(`flags: 0x${(other >>> 0).toString(16)} makes a ring that is not possible here`)
  const params = alloc(structs.io_uring_params)
  params.set('flags', flags >>> 0)
  const fd = new OwnedFd(check(raw.setup(u32(entries, 'entries'), params.bytes), 'io_uring_setup'))
  return { fd, params }
}

/**
 * `io_uring_enter(fd, to_submit, min_complete, flags, NULL, 0)` — hands submissions to the kernel, and waits for results;
 * returns how many submissions it took.
 *
 * Blocks: until `minComplete` results are there, with IORING_ENTER_GETEVENTS.
 *
 * @throws {@link SysError} `EINTR`; `EBUSY` results must be taken first; `EBADR`
 * @see https://man7.org/linux/man-pages/man2/io_uring_enter.2.html
 */
export function io_uring_enter(fd: AsFd, toSubmit: number, minComplete: number, flags: number): number {
  const [count, least] = [u32(toSubmit, 'toSubmit'), u32(minComplete, 'minComplete')]
  return check(raw.enter(fdNumber(fd), count, least, u32(flags, 'flags'), null, 0), 'io_uring_enter')
}

/**
 * `io_uring_register(fd, IORING_REGISTER_FILES, fds, nr)` — gives the ring descriptors of its own, named by their index.
 *
 * @throws {@link SysError} `EBUSY` it has some; `EBADF`
 * @see https://man7.org/linux/man-pages/man2/io_uring_register.2.html
 */
export function io_uring_register_files(fd: AsFd, fds: readonly AsFd[]): void {
  const IORING_REGISTER_FILES = 2
  const list = new Int32Array(new ArrayBuffer(4 * Math.max(fds.length, 1)))
  list.set(fds.map(fdNumber))
  check(raw.register(fdNumber(fd), IORING_REGISTER_FILES, list, fds.length), 'io_uring_register')
}

/**
 * `io_uring_register(fd, IORING_REGISTER_PROBE, probe, nr)` — the operations that this kernel knows: IORING_OP_*.
 *
 * @see https://man7.org/linux/man-pages/man2/io_uring_register.2.html
 */
export function io_uring_register_probe(fd: AsFd): number[] {
  const IORING_REGISTER_PROBE = 8
  const IO_URING_OP_SUPPORTED = 1
  // struct io_uring_probe: 16 bytes, then for each operation 8: op, a byte, flags, a word.
  const operationsMax = 256
  const probe = new DataView(new ArrayBuffer(16 + 8 * operationsMax))
  check(raw.register(fdNumber(fd), IORING_REGISTER_PROBE, probe, operationsMax), 'io_uring_register')
  const count = probe.getUint8(1)
  return Array.from({ length: count }, (_, index) => 16 + 8 * index)
    .filter((at) => (probe.getUint16(at + 2, true) & IO_URING_OP_SUPPORTED) !== 0)
    .map((at) => probe.getUint8(at))
}

/** A result: `struct io_uring_cqe`. */
export interface Completion {
  /** What the submission had. */
  user_data: bigint
  /** The call's number: a result, or −errno. */
  res: number
  /** IORING_CQE_F_* */
  flags: number
}

/** Submissions of one `user_data` whose results are to come. */
interface Flight {
  count: number
  /** Let go of the memory that they use. */
  releases: (() => void)[]
}

/** How long disposal waits for operations that the kernel cannot cancel. */
const settleMs = 1000

/**
 * A ring with its queues mapped.
 *
 * Memory that a submission names cannot be disposed until all results of its `user_data` were taken by
 * {@link IoUring.wait}, or the ring was disposed: dispose the ring first.
 *
 * @example
 * ```ts no-run
 * import { IORING_OP_READ } from '@pkg/sys/constants'
 * import { IoUring } from '@pkg/sys/io-uring'
 * import { mmap } from '@pkg/sys/memory'
 *
 * // The mapping before the ring: what is declared last is disposed first.
 * using mapping = mmap({ lengthBytes: 4096 })
 * using ring = new IoUring(8)
 * ring.submit([{ opcode: IORING_OP_READ, fd: 0, memory: { mapping, offset: 0, length: 100 }, user_data: 7n }])
 * const [result] = ring.wait(1)
 * ```
 */
export class IoUring implements Disposable {
  readonly #ring: IoUringSetup
  readonly #queues: Mapping
  readonly #sqes: Mapping
  readonly #words: Int32Array
  /** Whether results appear only when the kernel is entered. */
  readonly #enters: boolean
  readonly #flights = new Map<bigint, Flight>()
  #disposed = false

  /** See {@link io_uring_setup}. Since: Linux 5.4. */
  constructor(entries: number, flags = 0) {
    this.#ring = io_uring_setup(entries, flags)
    this.#enters = (flags & (IORING_SETUP_COOP_TASKRUN | IORING_SETUP_DEFER_TASKRUN)) !== 0
    const { fd, params } = this.#ring
    let queues: Mapping | undefined
    try {
      if ((params.get('features') & IORING_FEAT_SINGLE_MMAP) === 0)
        throw new RangeError('the kernel is older than Linux 5.4')
      const submissions = params.get('sq_off.array') + params.get('sq_entries') * 4
      const completions = params.get('cq_off.cqes') + params.get('cq_entries') * cqeSize
      const shared = MAP_SHARED | MAP_POPULATE
      const lengthBytes = Math.max(submissions, completions)
      queues = mmap({ lengthBytes, flags: shared, fd, offsetBytes: IORING_OFF_SQ_RING })
      const sqesLength = params.get('sq_entries') * sqeSize
      this.#sqes = mmap({ lengthBytes: sqesLength, flags: shared, fd, offsetBytes: IORING_OFF_SQES })
      this.#queues = queues
    } catch (error) {
      queues?.[Symbol.dispose]()
      fd.close()
      throw error
    }
    this.#words = new Int32Array(this.#queues.bytes.buffer, 0, this.#queues.bytes.length >> 2)
  }

  /** The ring's descriptor. */
  get fd(): OwnedFd {
    return this.#ring.fd
  }

  /**
   * Hands calls to the kernel; returns how many it took. Fewer than were given when it has no room for more: the others
   * are not in the queue, and can be given again. One that the kernel finds invalid is taken, and its result says so.
   *
   * @throws RangeError for more than the queue has room for, and for an operation that takes addresses beside `memory`;
   * TypeError after disposal; {@link SysError} of `io_uring_enter` when none was taken
   */
  submit(submissions: readonly Submission[]): number {
    this.#refuseDisposed()
    const list = [...submissions]
    const entries = this.#param('sq_entries')
    if (list.length > entries)
      throw new RangeError(`${list.length} submissions: there is room for ${entries}`)
    const tailAt = this.#param('sq_off.tail') >> 2
    const tail = Atomics.load(this.#words, tailAt)
    const filled = list.map((submission, index) => {
      const slot = (tail + index) & (entries - 1)
      this.#words[(this.#param('sq_off.array') >> 2) + slot] = slot
      return fillSubmission(this.#sqes.bytes.subarray(slot * sqeSize, (slot + 1) * sqeSize), submission)
    })
    for (const { user_data, mapping } of filled) this.#hold(user_data, mapping)
    Atomics.store(this.#words, tailAt, tail + list.length)
    let taken = 0
    try {
      taken = this.#enter(list.length)
    } finally {
      // The kernel looks at the queue in that call alone: what it left can be taken back.
      Atomics.store(this.#words, tailAt, tail + taken)
      for (const { user_data } of filled.slice(taken)) this.#land(user_data)
    }
    return taken
  }

  /**
   * Takes the results that are there, after waiting for at least `count`. Blocks for those.
   *
   * @throws TypeError after disposal; {@link SysError} of `io_uring_enter`
   */
  wait(count = 0): Completion[] {
    this.#refuseDisposed()
    const overflown =
      (Atomics.load(this.#words, this.#param('sq_off.flags') >> 2) & IORING_SQ_CQ_OVERFLOW) !== 0
    if (size(count, 'count') > 0 || this.#enters || overflown)
      io_uring_enter(this.fd, 0, count, IORING_ENTER_GETEVENTS)
    return this.#take()
  }

  /**
   * Has the kernel cancel what is in flight, and closes the ring. Blocks until no operation uses memory any more, at most
   * a second or two: memory of one that cannot be cancelled stays mapped for good then, and disposing it throws.
   */
  [Symbol.dispose](): void {
    if (this.#disposed) return
    if (this.#flights.size > 0 && !this.fd.closed) this.#settle()
    this.#disposed = true
    this.#queues[Symbol.dispose]()
    this.#sqes[Symbol.dispose]()
    this.fd.close()
  }

  #refuseDisposed(): void {
    if (this.#disposed) throw new TypeError('the ring is disposed')
  }

  #param(name: Parameters<IoUringSetup['params']['get']>[0]): number {
    return Number(this.#ring.params.get(name))
  }

  /** Enters the kernel until it has taken `count` submissions: it returns after each that is invalid. */
  #enter(count: number): number {
    let taken = 0
    while (taken < count) {
      try {
        const more = io_uring_enter(this.fd, count - taken, 0, 0)
        if (more === 0) break
        taken += more
      } catch (error) {
        if (taken === 0) throw error
        break
      }
    }
    return taken
  }

  #take(): Completion[] {
    const headAt = this.#param('cq_off.head') >> 2
    const tail = Atomics.load(this.#words, this.#param('cq_off.tail') >> 2)
    const fields = new DataView(this.#queues.bytes.buffer, this.#param('cq_off.cqes'))
    const mask = this.#param('cq_entries') - 1
    const completions: Completion[] = []
    let head = Atomics.load(this.#words, headAt)
    for (; head !== tail; head = (head + 1) | 0) {
      const at = (head & mask) * cqeSize
      completions.push({
        user_data: fields.getBigUint64(at, true),
        res: fields.getInt32(at + 8, true),
        flags: fields.getUint32(at + 12, true),
      })
    }
    Atomics.store(this.#words, headAt, head)
    // One with IORING_CQE_F_MORE is not the operation's last: the kernel still uses the memory.
    for (const { user_data, flags } of completions)
      if ((flags & IORING_CQE_F_MORE) === 0) this.#land(user_data)
    return completions
  }

  #hold(user_data: bigint, mapping: Mapping | undefined): void {
    const flight = this.#flights.get(user_data) ?? { count: 0, releases: [] }
    this.#flights.set(user_data, flight)
    flight.count++
    if (mapping !== undefined) flight.releases.push(holdMapping(mapping))
  }

  /** A result came. Which of several with one `user_data` it is of is not known: their memory is let go with the last. */
  #land(user_data: bigint): void {
    const flight = this.#flights.get(user_data)
    if (flight === undefined || --flight.count > 0) return
    this.#flights.delete(user_data)
    for (const release of flight.releases) release()
  }

  /** Has the kernel cancel what is in flight, and takes the results. */
  #settle(): void {
    const request = alloc(structs.io_uring_sync_cancel_reg)
    request.set('fd', -1)
    request.set('flags', IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL)
    request.set('timeout.tv_sec', BigInt(settleMs) / 1000n)
    // Fails before Linux 6.0, when nothing is left, and after the time: what matters is what comes of it.
    raw.register(this.fd.fd, IORING_REGISTER_SYNC_CANCEL, request.bytes, 1)
    const deadline = performance.now() + settleMs
    for (;;) {
      const result = raw.enter(this.fd.fd, 0, 0, IORING_ENTER_GETEVENTS, null, 0)
      this.#take()
      if (this.#flights.size === 0 || isError(result) || performance.now() > deadline) return
      Bun.sleepSync(1)
    }
  }
}
