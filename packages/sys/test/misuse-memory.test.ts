// Memory that the kernel reads and writes later, and rings: what could write into memory of others is refused.
import { expect, test } from 'vitest'
import * as c from '../src/constants.ts'
import { IoUring, io_uring_setup, type Submission } from '../src/io-uring.ts'
import { pipe2, write } from '../src/io.ts'
import { type Mapping, mmap, mremap } from '../src/memory.ts'

const nop = (user_data: bigint): Submission => ({ opcode: c.IORING_OP_NOP, user_data })

test('IoUring refuses every call after disposal', () => {
  const ring = new IoUring(8)
  ring[Symbol.dispose]()
  ring[Symbol.dispose]()
  expect(() => ring.wait()).toThrow(TypeError)
  expect(() => ring.submit([nop(1n)])).toThrow(TypeError)
})

test('IoUring.submit() takes the whole batch where one of it is invalid', () => {
  using ring = new IoUring(8)
  const invalid: Submission = { opcode: c.IORING_OP_FSYNC, fd: 0, op_flags: 0xff, user_data: 2n }
  for (let round = 0; round < 20; round++) {
    expect(ring.submit([nop(1n), invalid, nop(3n)])).toBe(3)
    // In what order they come is the kernel's business: Linux 6.1 tells what is invalid first.
    const told = ring.wait(3).map(({ user_data, res }) => [user_data, res] as const)
    expect(told.toSorted(([a], [b]) => Number(a - b))).toEqual([
      [1n, 0],
      [2n, -22],
      [3n, 0],
    ])
  }
})

test('IoUring.submit() refuses operations that take other addresses, and loses nothing of the queue by that', () => {
  using ring = new IoUring(8)
  for (const opcode of [
    c.IORING_OP_STATX,
    c.IORING_OP_READV,
    c.IORING_OP_RECVMSG,
    c.IORING_OP_MADVISE,
    200,
    -1,
  ])
    expect(() => ring.submit([nop(1n), { opcode }]), String(opcode)).toThrow(RangeError)
  expect(() => ring.submit([{ opcode: 0, flags: c.IOSQE_CQE_SKIP_SUCCESS }])).toThrow(RangeError)
  expect(() => ring.submit([{ opcode: 256 }])).toThrow(RangeError)
  expect(ring.submit([nop(9n)])).toBe(1)
  expect(ring.wait(1).map(({ user_data }) => user_data)).toEqual([9n])
})

test('io_uring_setup() refuses flags of rings that the class does not know', () => {
  const refused = [
    c.IORING_SETUP_IOPOLL,
    c.IORING_SETUP_SQPOLL,
    c.IORING_SETUP_CQSIZE,
    c.IORING_SETUP_R_DISABLED,
    c.IORING_SETUP_SQE128,
    c.IORING_SETUP_CQE32,
    c.IORING_SETUP_NO_MMAP,
    c.IORING_SETUP_NO_SQARRAY,
    c.IORING_SETUP_CQE_MIXED,
    c.IORING_SETUP_SQE_MIXED,
    2 ** 31,
    -1,
  ]
  for (const flags of refused)
    expect(() => io_uring_setup(8, flags), String(flags)).toThrow(/not possible here/)
})

test('IoUring gives results that appear only where the kernel is entered, and lets their memory go', async () => {
  using pipe = pipe2(0)
  using mapping = mmap({ lengthBytes: 4096 })
  {
    using ring = new IoUring(8, c.IORING_SETUP_SINGLE_ISSUER | c.IORING_SETUP_DEFER_TASKRUN)
    ring.submit([reading(pipe.read.fd, mapping)])
    expect(ring.wait()).toEqual([])
    write(pipe.write, Uint8Array.of(1))
    // Before Linux 6.4 a worker of the kernel's reads pipes, and takes its time.
    await expect.poll(() => ring.wait().map(({ res }) => res)).toEqual([1])
    ring.submit([reading(pipe.read.fd, mapping)])
  }
  mapping[Symbol.dispose]()
})

const reading = (fd: number, mapping: Mapping): Submission => ({
  opcode: c.IORING_OP_READ,
  fd,
  off: -1n,
  memory: { mapping, offset: 0, length: 100 },
  user_data: 7n,
})

test('IoUring holds the memory of operations in flight until their results were taken', () => {
  using ring = new IoUring(8)
  using pipe = pipe2(0)
  const mapping = mmap({ lengthBytes: 1 << 16 })
  ring.submit([reading(pipe.read.fd, mapping), nop(8n)])
  ring.wait(1)
  expect(() => mapping[Symbol.dispose]()).toThrow(TypeError)
  expect(() => mremap(mapping, 4096)).toThrow(TypeError)
  write(pipe.write, Uint8Array.of(1, 2, 3))
  expect(ring.wait(1)[0]?.res).toBe(3)
  expect([...mapping.bytes.subarray(0, 4)]).toEqual([1, 2, 3, 0])
  mapping[Symbol.dispose]()
})

test('IoUring lets go of memory with the last result of a user_data', () => {
  using ring = new IoUring(8)
  using first = pipe2(0)
  using second = pipe2(0)
  using mapping = mmap({ lengthBytes: 4096 })
  const other = mmap({ lengthBytes: 4096 })
  ring.submit([reading(first.read.fd, mapping), reading(second.read.fd, other)])
  write(first.write, Uint8Array.of(1))
  ring.wait(1)
  expect(() => other[Symbol.dispose]()).toThrow(TypeError)
  write(second.write, Uint8Array.of(1))
  ring.wait(1)
  other[Symbol.dispose]()
})

test('disposing an IoUring cancels what is in flight, after which the memory is free', () => {
  using pipe = pipe2(0)
  const mapping = mmap({ lengthBytes: 1 << 16 })
  const { address } = mapping
  {
    using ring = new IoUring(8)
    ring.submit([reading(pipe.read.fd, mapping)])
  }
  mapping[Symbol.dispose]()
  using next = mmap({ lengthBytes: 1 << 16 })
  write(pipe.write, Uint8Array.of(1, 2, 3))
  // The kernel mostly gives the same place again: nothing of the cancelled read is there.
  expect([address > 0, next.bytes.every((byte) => byte === 0)]).toEqual([true, true])
})

test('a mapping cannot be made to stand for other memory', () => {
  using mapping = mmap({ lengthBytes: 4096 })
  expect(() => Object.assign(mapping, { address: 4096 })).toThrow(TypeError)
  expect(() => Object.assign(mapping, { bytes: new Uint8Array(1 << 20) })).toThrow(TypeError)
})

test('a mapping of huge pages whose length is none of theirs can be disposed', () => {
  // Not reserved: it is never touched, and the machine may have none.
  const MAP_NORESERVE = 0x4000
  const flags = c.MAP_PRIVATE | c.MAP_ANONYMOUS | c.MAP_HUGETLB | MAP_NORESERVE
  for (const lengthBytes of [4096, 3 << 20]) {
    const mapping = mmap({ lengthBytes, flags })
    mapping[Symbol.dispose]()
    expect(() => mremap(mapping, 4096)).toThrow(TypeError)
  }
})
