// io_uring: a queue of calls that the kernel makes, and a queue of their results, in shared memory.
import { MAP_POPULATE, MAP_SHARED } from './generated/constants/memory.ts'
import { IORING_FEAT_SINGLE_MMAP, IORING_OFF_SQES, IORING_OFF_SQ_RING } from './generated/constants/uring.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber, OwnedFd } from './fd.ts'
import { liveMapping } from './memory/mapping.ts'
import { mmap } from './memory/map.ts'
import type { Mapping } from './memory/mapping.ts'
import { bind } from './raw.ts'
import { bytes, size, u32, u64 } from './raw/arguments.ts'
import { alloc, type StructView } from './struct.ts'
import * as structs from './generated/structs/uring.ts'

const raw = {
  setup: bind('io_uring_setup', 'int', 'ptr'),
  enter: bind('io_uring_enter', 'int', 'int', 'int', 'int', 'ptr', 'int'),
  register: bind('io_uring_register', 'int', 'int', 'ptr', 'int'),
}

const sqeSize = 64
const cqeSize = 16

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
 * @param flags - IORING_SETUP_*; those that enlarge entries or bring memory of one's own are not possible
 * @throws {@link SysError} `EPERM` forbidden (container runtimes, /proc/sys/kernel/io_uring_disabled); `ENOSYS`; `EINVAL`
 * @see https://man7.org/linux/man-pages/man2/io_uring_setup.2.html
 */
export function io_uring_setup(entries: number, flags = 0): IoUringSetup {
  const IORING_SETUP_SQE128_CQE32_NO_MMAP = 0x400 | 0x800 | 0x4000
  if ((u32(flags, 'flags') & IORING_SETUP_SQE128_CQE32_NO_MMAP) !== 0) throw new RangeError(`flags: ${flags}`)
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

/** A call for the kernel to make: the fields of `struct io_uring_sqe` that most operations use. */
export interface Submission {
  /** IORING_OP_READ, IORING_OP_FSYNC, IORING_OP_NOP … */
  opcode: number
  /** IOSQE_* */
  flags?: number
  /** A descriptor, or with IOSQE_FIXED_FILE an index. */
  fd?: AsFd
  /** Where in the file, or what the operation says. */
  off?: number | bigint
  /** Memory that the kernel reads or writes later: of a mapping, which must live until the result is there. */
  memory?: { mapping: Mapping; offset: number; length: number }
  /** The operation's own flags: `rw_flags`, `fsync_flags` … */
  op_flags?: number
  /** Comes back with the result. */
  user_data?: bigint
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

/**
 * A ring with its queues mapped.
 *
 * @example
 * ```ts no-run
 * import { IORING_OP_READ } from '@pkg/sys/constants'
 * import { IoUring } from '@pkg/sys/io-uring'
 * import { mmap } from '@pkg/sys/memory'
 *
 * using ring = new IoUring(8)
 * using mapping = mmap({ lengthBytes: 4096 })
 * ring.submit([{ opcode: IORING_OP_READ, fd: 0, memory: { mapping, offset: 0, length: 100 }, user_data: 7n }])
 * const [result] = ring.wait(1)
 * ```
 */
export class IoUring implements Disposable {
  readonly #ring: IoUringSetup
  readonly #queues: Mapping
  readonly #sqes: Mapping
  readonly #words: Int32Array

  /** See {@link io_uring_setup}. Since: Linux 5.4. */
  constructor(entries: number, flags = 0) {
    this.#ring = io_uring_setup(entries, flags)
    const { fd, params } = this.#ring
    try {
      if ((params.get('features') & IORING_FEAT_SINGLE_MMAP) === 0)
        throw new RangeError('the kernel is older than Linux 5.4')
      const submissions = params.get('sq_off.array') + params.get('sq_entries') * 4
      const completions = params.get('cq_off.cqes') + params.get('cq_entries') * cqeSize
      const shared = MAP_SHARED | MAP_POPULATE
      const lengthBytes = Math.max(submissions, completions)
      this.#queues = mmap({ lengthBytes, flags: shared, fd, offsetBytes: IORING_OFF_SQ_RING })
      const sqesLength = params.get('sq_entries') * sqeSize
      this.#sqes = mmap({ lengthBytes: sqesLength, flags: shared, fd, offsetBytes: IORING_OFF_SQES })
    } catch (error) {
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
   * Hands calls to the kernel; returns how many it took.
   *
   * @throws RangeError for more than the queue has room for; {@link SysError} of `io_uring_enter`
   */
  submit(submissions: readonly Submission[]): number {
    const { params } = this.#ring
    const [headAt, tailAt] = [params.get('sq_off.head') >> 2, params.get('sq_off.tail') >> 2]
    const tail = Atomics.load(this.#words, tailAt)
    const used = (tail - Atomics.load(this.#words, headAt)) >>> 0
    if (used + submissions.length > params.get('sq_entries'))
      throw new RangeError(`${submissions.length} submissions: there is no room`)
    const mask = params.get('sq_entries') - 1
    for (const [index, submission] of submissions.entries()) {
      const slot = (tail + index) & mask
      this.#fill(slot, submission)
      this.#words[(params.get('sq_off.array') >> 2) + slot] = slot
    }
    Atomics.store(this.#words, tailAt, tail + submissions.length)
    return io_uring_enter(this.fd, submissions.length, 0, 0)
  }

  /** Takes the results that are there, after waiting for at least `count`. Blocks for those. */
  wait(count = 0): Completion[] {
    const IORING_ENTER_GETEVENTS = 1
    if (size(count, 'count') > 0) io_uring_enter(this.fd, 0, count, IORING_ENTER_GETEVENTS)
    const { params } = this.#ring
    const headAt = params.get('cq_off.head') >> 2
    const tail = Atomics.load(this.#words, params.get('cq_off.tail') >> 2)
    const fields = new DataView(this.#queues.bytes.buffer, params.get('cq_off.cqes'))
    const completions: Completion[] = []
    let head = Atomics.load(this.#words, headAt)
    for (; head !== tail; head = (head + 1) | 0) {
      const at = (head & (params.get('cq_entries') - 1)) * cqeSize
      completions.push({
        user_data: fields.getBigUint64(at, true),
        res: fields.getInt32(at + 8, true),
        flags: fields.getUint32(at + 12, true),
      })
    }
    Atomics.store(this.#words, headAt, head)
    return completions
  }

  /** Closes the ring; calls in flight are cancelled or completed by the kernel. */
  [Symbol.dispose](): void {
    this.#queues[Symbol.dispose]()
    this.#sqes[Symbol.dispose]()
    this.fd.close()
  }

  /** `struct io_uring_sqe`: opcode, flags, ioprio, fd, off, addr, len, op flags, user_data. */
  #fill(slot: number, submission: Submission): void {
    const { opcode, flags = 0, fd, off = 0, memory, op_flags = 0, user_data = 0n } = submission
    const [address, length] = memory === undefined ? [0, 0] : placeOf(memory)
    const number = fd === undefined ? -1 : fdNumber(fd)
    const sqe = bytes(this.#sqes.bytes).subarray(slot * sqeSize, (slot + 1) * sqeSize)
    sqe.fill(0)
    const fields = new DataView(sqe.buffer, sqe.byteOffset, sqeSize)
    fields.setUint8(0, u32(opcode, 'opcode'))
    fields.setUint8(1, u32(flags, 'flags'))
    fields.setInt32(4, number, true)
    fields.setBigUint64(8, u64(off, 'off'), true)
    fields.setBigUint64(16, BigInt(address), true)
    fields.setUint32(24, length, true)
    fields.setUint32(28, u32(op_flags, 'op_flags'), true)
    fields.setBigUint64(32, u64(user_data, 'user_data'), true)
  }
}

function placeOf({
  mapping,
  offset,
  length,
}: NonNullable<Submission['memory']>): [address: number, length: number] {
  if (size(offset, 'offset') + size(length, 'length') > liveMapping(mapping).bytes.length)
    throw new RangeError(`memory: ${offset} and ${length} bytes are not in the mapping`)
  return [mapping.address + offset, length]
}
