// What is put into the queue of a ring: struct io_uring_sqe.
import {
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_BIND,
  IORING_OP_CLOSE,
  IORING_OP_CONNECT,
  IORING_OP_EPOLL_CTL,
  IORING_OP_FADVISE,
  IORING_OP_FALLOCATE,
  IORING_OP_FIXED_FD_INSTALL,
  IORING_OP_FSYNC,
  IORING_OP_FTRUNCATE,
  IORING_OP_LINK_TIMEOUT,
  IORING_OP_LISTEN,
  IORING_OP_MKDIRAT,
  IORING_OP_NOP,
  IORING_OP_OPENAT,
  IORING_OP_POLL_ADD,
  IORING_OP_READ,
  IORING_OP_RECV,
  IORING_OP_SEND,
  IORING_OP_SEND_ZC,
  IORING_OP_SHUTDOWN,
  IORING_OP_SOCKET,
  IORING_OP_SYNC_FILE_RANGE,
  IORING_OP_TIMEOUT,
  IORING_OP_UNLINKAT,
  IORING_OP_WRITE,
  IOSQE_CQE_SKIP_SUCCESS,
} from '../generated/constants/uring.ts'
import { type AsFd, fdNumber } from '../fd.ts'
import { liveMapping, type Mapping } from '../memory/mapping.ts'
import { size, u32, u64 } from '../raw/arguments.ts'

/** Bytes of `struct io_uring_sqe`. */
export const sqeSize = 64

/** A call for the kernel to make: the fields of `struct io_uring_sqe` that most operations use. */
export interface Submission {
  /**
   * IORING_OP_READ, IORING_OP_WRITE, IORING_OP_FSYNC, IORING_OP_SEND, IORING_OP_RECV, IORING_OP_POLL_ADD,
   * IORING_OP_TIMEOUT, IORING_OP_NOP … Not those that take addresses beside `memory` or in it (IORING_OP_STATX,
   * IORING_OP_READV, IORING_OP_RECVMSG …).
   */
  opcode: number
  /** IOSQE_*, but for IOSQE_CQE_SKIP_SUCCESS: the ring counts the results. */
  flags?: number
  /** A descriptor, or with IOSQE_FIXED_FILE an index. */
  fd?: AsFd
  /** Where in the file, or what the operation says. */
  off?: number | bigint
  /** Memory that the kernel reads or writes later: of a mapping, which cannot be disposed until the result was taken. */
  memory?: { mapping: Mapping; offset: number; length: number }
  /** The operation's own flags: `rw_flags`, `fsync_flags` … */
  op_flags?: number
  /** Comes back with the result. */
  user_data?: bigint
}

/**
 * Operations that use no memory but `length` bytes at `addr`, or a fixed few there that they only read. Others are given
 * a second address in `off`, or write as much as they like: they could overwrite the engine.
 */
const operations = new Set<number>([
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_BIND,
  IORING_OP_CLOSE,
  IORING_OP_CONNECT,
  IORING_OP_EPOLL_CTL,
  IORING_OP_FADVISE,
  IORING_OP_FALLOCATE,
  IORING_OP_FIXED_FD_INSTALL,
  IORING_OP_FSYNC,
  IORING_OP_FTRUNCATE,
  IORING_OP_LINK_TIMEOUT,
  IORING_OP_LISTEN,
  IORING_OP_MKDIRAT,
  IORING_OP_NOP,
  IORING_OP_OPENAT,
  IORING_OP_POLL_ADD,
  IORING_OP_READ,
  IORING_OP_RECV,
  IORING_OP_SEND,
  IORING_OP_SEND_ZC,
  IORING_OP_SHUTDOWN,
  IORING_OP_SOCKET,
  IORING_OP_SYNC_FILE_RANGE,
  IORING_OP_TIMEOUT,
  IORING_OP_UNLINKAT,
  IORING_OP_WRITE,
])

/** What a submission refers to until its result is there. */
export interface Filled {
  user_data: bigint
  mapping: Mapping | undefined
}

/**
 * Writes `struct io_uring_sqe`: opcode, flags, ioprio, fd, off, addr, len, op flags, user_data.
 *
 * @throws RangeError for an operation or flags that are not possible, and for numbers that are out of range
 */
export function fillSubmission(sqe: Uint8Array, submission: Submission): Filled {
  const { opcode, flags = 0, fd, off = 0, memory, op_flags = 0, user_data = 0n } = submission
  if (!operations.has(u32(opcode, 'opcode'))) throw new RangeError(`opcode: ${opcode} is not possible here`)
  if ((u32(flags, 'flags') & ~0xff) !== 0 || (flags & IOSQE_CQE_SKIP_SUCCESS) !== 0)
    throw new RangeError(`flags: ${flags} are not possible here`)
  const [mapping, address, length] = memory === undefined ? [undefined, 0, 0] : placeOf(memory)
  const number = fd === undefined ? -1 : fdNumber(fd)
  const id = u64(user_data, 'user_data')
  sqe.fill(0)
  const fields = new DataView(sqe.buffer, sqe.byteOffset, sqeSize)
  fields.setUint8(0, opcode)
  fields.setUint8(1, flags)
  fields.setInt32(4, number, true)
  fields.setBigUint64(8, u64(off, 'off'), true)
  fields.setBigUint64(16, BigInt(address), true)
  fields.setUint32(24, length, true)
  fields.setUint32(28, u32(op_flags, 'op_flags'), true)
  fields.setBigUint64(32, id, true)
  return { user_data: id, mapping }
}

/** The kernel's length has 32 bits. */
const lengthMax = 0xffff_ffff

function placeOf({
  mapping,
  offset,
  length,
}: NonNullable<Submission['memory']>): [mapping: Mapping, address: number, length: number] {
  const { address, bytes } = liveMapping(mapping)
  const isInside = size(offset, 'offset') + size(length, 'length') <= bytes.length
  if (!isInside || length > lengthMax)
    throw new RangeError(`memory: ${offset} and ${length} bytes are not in the mapping`)
  return [mapping, address + offset, length]
}
