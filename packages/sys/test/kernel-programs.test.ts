// Programs and queues that the kernel runs: BPF, counters, io_uring. BPF and counters as root of this machine.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import * as bpf from '../src/bpf.ts'
import * as c from '../src/constants.ts'
import { AT_FDCWD } from '../src/constants.ts'
import { openat } from '../src/fs.ts'
import * as uring from '../src/io-uring.ts'
import { pipe2, write } from '../src/io.ts'
import { mmap } from '../src/memory.ts'
import * as perf from '../src/perf.ts'
import { recvfrom, sendto, setsockopt, socketpair } from '../src/socket.ts'

function codeOf(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).name
  }
}
/** `struct bpf_insn`: opcode, registers, offset, immediate. */
const insns = (...list: [code: number, registers: number, immediate: number][]): Uint8Array => {
  const memory = new DataView(new ArrayBuffer(8 * list.length))
  for (const [index, [code, registers, immediate]] of list.entries()) {
    memory.setUint8(index * 8, code)
    memory.setUint8(index * 8 + 1, registers)
    memory.setInt32(index * 8 + 4, immediate, true)
  }
  return new Uint8Array(memory.buffer)
}
const returns = (value: number): Uint8Array => insns([0xb7, 0, value], [0x95, 0, 0]) // r0 = value; exit

describe('BPF', () => {
  test('bpf_map_create(), bpf_map_update_elem(), bpf_map_lookup_elem() and their like keep what is put in', () => {
    const map = bpf.bpf_map_create({
      map_type: c.BPF_MAP_TYPE_HASH,
      key_size: 4,
      value_size: 6,
      max_entries: 2,
    })
    using fd = map.fd
    expect(readFileSync(`/proc/self/fdinfo/${fd.fd}`, 'utf8')).toMatch(
      /key_size:\t4\nvalue_size:\t6\nmax_entries:\t2/,
    )
    const key = (value: number): Uint8Array => Uint8Array.of(value, 0, 0, 0)
    bpf.bpf_map_update_elem(map, key(1), Uint8Array.of(1, 2, 3, 4, 5, 6))
    bpf.bpf_map_update_elem(map, key(2), new Uint8Array(6))
    expect(bpf.bpf_map_lookup_elem(map, key(1))).toEqual(Uint8Array.of(1, 2, 3, 4, 5, 6))
    expect(bpf.bpf_map_lookup_elem(map, key(9))).toBeNull()
    expect(codeOf(() => bpf.bpf_map_update_elem(map, key(3), new Uint8Array(6)))).toBe('E2BIG')
    expect(codeOf(() => bpf.bpf_map_update_elem(map, key(1), new Uint8Array(6), c.BPF_NOEXIST))).toMatch(
      /EEXIST|E2BIG/,
    )
    const first = bpf.bpf_map_get_next_key(map, null)
    const second = bpf.bpf_map_get_next_key(map, first)
    expect(new Set([first?.[0], second?.[0]])).toEqual(new Set([1, 2]))
    expect(bpf.bpf_map_get_next_key(map, second)).toBeNull()
    expect([bpf.bpf_map_delete_elem(map, key(1)), bpf.bpf_map_delete_elem(map, key(1))]).toEqual([
      true,
      false,
    ])
    expect(() => bpf.bpf_map_update_elem(map, new Uint8Array(3), new Uint8Array(6))).toThrow(RangeError)
    expect(() =>
      bpf.bpf_map_create({
        map_type: c.BPF_MAP_TYPE_PERCPU_HASH,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
      }),
    ).toThrow(RangeError)
  })

  test('bpf_map_lookup_and_delete_elem() takes keys out of a hash, and what comes next out of a queue', () => {
    const make = (map_type: number, key_size: number): bpf.BpfMap =>
      bpf.bpf_map_create({ map_type, key_size, value_size: 2, max_entries: 4 })
    const [hash, queue, array] = [
      make(c.BPF_MAP_TYPE_HASH, 1),
      make(c.BPF_MAP_TYPE_QUEUE, 0),
      make(c.BPF_MAP_TYPE_ARRAY, 4),
    ]
    using _hash = hash.fd
    using _queue = queue.fd
    using _array = array.fd
    bpf.bpf_map_update_elem(hash, Uint8Array.of(7), Uint8Array.of(1, 2))
    expect(bpf.bpf_map_lookup_and_delete_elem(hash, Uint8Array.of(7))).toEqual(Uint8Array.of(1, 2))
    expect(bpf.bpf_map_lookup_elem(hash, Uint8Array.of(7))).toBeNull()
    expect(bpf.bpf_map_lookup_and_delete_elem(hash, Uint8Array.of(7))).toBeNull()
    const noKey = new Uint8Array(0)
    for (const value of [3, 4]) bpf.bpf_map_update_elem(queue, noKey, Uint8Array.of(value, 0))
    expect([1, 2, 3].map(() => bpf.bpf_map_lookup_and_delete_elem(queue, noKey)?.[0])).toEqual([
      3,
      4,
      undefined,
    ])
    expect(codeOf(() => bpf.bpf_map_lookup_and_delete_elem(array, new Uint8Array(4)))).toMatch(
      /^(E524|EOPNOTSUPP)$/,
    )
    expect(() => bpf.bpf_map_lookup_and_delete_elem(hash, noKey)).toThrow(RangeError)
  })

  test('bpf_prog_load() loads a filter that cuts datagrams, and says why it refuses another', () => {
    const [first, second] = socketpair(c.AF_UNIX, c.SOCK_DGRAM, 0)
    using left = first
    using right = second
    using keepThree = bpf.bpf_prog_load({ prog_type: c.BPF_PROG_TYPE_SOCKET_FILTER, insns: returns(3) })
    setsockopt(right, c.SOL_SOCKET, c.SO_ATTACH_BPF, keepThree.fd)
    sendto(left, new Uint8Array(10), 0)
    expect(recvfrom(right, new Uint8Array(16), 0).size).toBe(3)
    const endless = insns([0x05, 0, 0]) // falls off the end
    expect(() => bpf.bpf_prog_load({ prog_type: c.BPF_PROG_TYPE_SOCKET_FILTER, insns: endless })).toThrow(
      /^bpf: BPF_PROG_LOAD: EINVAL: .*\(.+\)$/s,
    )
    expect(() => bpf.bpf_prog_load({ prog_type: 1, insns: new Uint8Array(7) })).toThrow(RangeError)
  })
})

test('perf_event_open(), perf_event_read() and their like count page faults', () => {
  using faults = perf.perf_event_open({
    type: c.PERF_TYPE_SOFTWARE,
    config: c.PERF_COUNT_SW_PAGE_FAULTS,
    disabled: true,
  })
  const touch = (): void => {
    using memory = mmap({ lengthBytes: 100 * 4096 })
    for (let page = 0; page < 100; page++) memory.bytes[page * 4096] = 1
  }
  touch()
  expect(perf.perf_event_read(faults)).toBe(0n)
  perf.perf_event_enable(faults)
  touch()
  perf.perf_event_disable(faults)
  const counted = perf.perf_event_read(faults)
  expect(counted >= 50n && counted < 10_000n).toBe(true)
  touch()
  expect(perf.perf_event_read(faults)).toBe(counted)
  perf.perf_event_reset(faults)
  expect(perf.perf_event_read(faults)).toBe(0n)
  expect(codeOf(() => perf.perf_event_open({ type: c.PERF_TYPE_SOFTWARE, config: 9999 }))).toMatch(
    /ENOENT|EINVAL/,
  )
})

describe('io_uring', () => {
  test('io_uring_setup(), io_uring_enter() and the class IoUring make calls that are asked for', () => {
    const folder = mkdtempSync(join(tmpdir(), 'solo-uring-'))
    writeFileSync(join(folder, 'file'), '0123456789')
    using file = openat(AT_FDCWD, join(folder, 'file'), c.O_RDONLY)
    using mapping = mmap({ lengthBytes: 4096 })
    using ring = new uring.IoUring(4)
    expect(uring.io_uring_enter(ring.fd, 0, 0, 0)).toBe(0)
    for (let round = 0; round < 50; round++) {
      const memory = { mapping, offset: 100, length: 4 }
      const count = ring.submit([
        { opcode: c.IORING_OP_NOP, user_data: 2n ** 64n - 1n },
        { opcode: c.IORING_OP_READ, fd: file, off: round % 7, memory, user_data: BigInt(round) },
        { opcode: c.IORING_OP_READ, fd: file, off: 100, memory, user_data: 99n },
      ])
      expect(count).toBe(3)
      const results = new Map(ring.wait(3).map(({ user_data, res }) => [user_data, res]))
      expect(results).toEqual(
        new Map([
          [2n ** 64n - 1n, 0],
          [BigInt(round), Math.min(4, 10 - (round % 7))],
          [99n, 0],
        ]),
      )
      expect(Buffer.from(mapping.bytes.subarray(100, 103)).toString()).toBe(
        '0123456789'.slice(round % 7, (round % 7) + 3),
      )
    }
    expect(ring.wait()).toEqual([])
    const out = { mapping, offset: 4000, length: 97 }
    expect(() => ring.submit([{ opcode: c.IORING_OP_READ, fd: file, memory: out }])).toThrow(RangeError)
    expect(() => ring.submit(Array.from({ length: 5 }, () => ({ opcode: 0 })))).toThrow(RangeError)
    using made = uring.io_uring_setup(3).fd
    expect(readFileSync(`/proc/self/fdinfo/${made.fd}`, 'utf8')).toContain('SqMask:')
    expect(codeOf(() => uring.io_uring_setup(0))).toBe('EINVAL')
    expect(() => uring.io_uring_setup(4, 0x400)).toThrow(RangeError)
    rmSync(folder, { recursive: true })
  })

  test('io_uring_register_files() and io_uring_register_probe(): descriptors by index, operations by number', () => {
    using ring = new uring.IoUring(2)
    using pipe = pipe2(0)
    using mapping = mmap({ lengthBytes: 4096 })
    uring.io_uring_register_files(ring.fd, [pipe.write, pipe.read])
    write(pipe.write, Uint8Array.of(7))
    const IOSQE_FIXED_FILE = 1
    ring.submit([
      { opcode: c.IORING_OP_READ, fd: 1, flags: IOSQE_FIXED_FILE, memory: { mapping, offset: 0, length: 8 } },
    ])
    expect([ring.wait(1)[0]?.res, mapping.bytes[0]]).toEqual([1, 7])
    expect(uring.io_uring_register_probe(ring.fd)).toEqual(
      expect.arrayContaining([c.IORING_OP_NOP, c.IORING_OP_READ]),
    )
    expect(uring.io_uring_register_probe(ring.fd)).not.toContain(200)
    expect(codeOf(() => uring.io_uring_register_files(ring.fd, [pipe.read]))).toBe('EBUSY')
  })
})
