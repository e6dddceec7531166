// Maps of BPF with sizes that are not theirs, and memory that is this process's after all. As root of this machine.
import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import * as bpf from '../src/bpf.ts'
import * as c from '../src/constants.ts'
import { OwnedFd } from '../src/fd.ts'
import { duplicate, pipe2 } from '../src/io.ts'
import { mmap } from '../src/memory.ts'
import { pidfd_open } from '../src/process.ts'
import { process_madvise, process_vm_writev } from '../src/process-memory.ts'

const key = new Uint8Array(4)

test('maps are taken with the sizes alone that the kernel has', () => {
  const map = bpf.bpf_map_create({
    map_type: c.BPF_MAP_TYPE_ARRAY,
    key_size: 4,
    value_size: 60_000,
    max_entries: 1,
  })
  using fd = map.fd
  bpf.bpf_map_update_elem(map, key, new Uint8Array(60_000).fill(65))
  const forged = { fd, keySize: 4, valueSize: 8 }
  expect(() => bpf.bpf_map_lookup_elem(forged, key)).toThrow(TypeError)
  expect(() => bpf.bpf_map_update_elem(forged, key, new Uint8Array(8))).toThrow(TypeError)
  expect(() => bpf.bpf_map_delete_elem(forged, key)).toThrow(TypeError)
  expect(() => bpf.bpf_map_lookup_and_delete_elem(forged, key)).toThrow(TypeError)
  expect(() => bpf.bpf_map_get_next_key(forged, null)).toThrow(TypeError)
  expect(() => Object.assign(map, { valueSize: 8 })).toThrow(TypeError)
})

test('bpfMapOf() asks the kernel for the sizes of a map, and refuses what is none', () => {
  const map = bpf.bpf_map_create({
    map_type: c.BPF_MAP_TYPE_HASH,
    key_size: 4,
    value_size: 6,
    max_entries: 2,
  })
  using fd = map.fd
  bpf.bpf_map_update_elem(map, key, new Uint8Array(6).fill(7))
  using copy = duplicate(fd)
  const same = bpf.bpfMapOf(copy)
  expect(same).toEqual({ fd: copy, keySize: 4, valueSize: 6 })
  expect(bpf.bpf_map_lookup_elem(same, key)).toEqual(new Uint8Array(6).fill(7))
  using pipe = pipe2(0)
  expect(() => bpf.bpfMapOf(pipe.read)).toThrow('EINVAL')
  const insns = Uint8Array.of(0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0) // r0 = 0; exit
  using program = bpf.bpf_prog_load({ prog_type: c.BPF_PROG_TYPE_SOCKET_FILTER, insns })
  expect(() => bpf.bpfMapOf(program)).toThrow('EINVAL')
  expect(() => bpf.bpfMapOf(fd.fd as unknown as OwnedFd)).toThrow(TypeError)
})

test('queues and stacks are maps without keys', () => {
  const none = new Uint8Array(0)
  for (const [map_type, first] of [
    [c.BPF_MAP_TYPE_QUEUE, 1],
    [c.BPF_MAP_TYPE_STACK, 2],
  ] as const) {
    const map = bpf.bpf_map_create({ map_type, key_size: 0, value_size: 8, max_entries: 4 })
    using _fd = map.fd
    expect(bpf.bpf_map_lookup_elem(map, none)).toBeNull()
    for (const byte of [1, 2]) bpf.bpf_map_update_elem(map, none, new Uint8Array(8).fill(byte))
    expect(bpf.bpf_map_lookup_elem(map, none)?.[0]).toBe(first)
  }
})

test('process_vm_writev() refuses this process by the number of any of its threads', () => {
  const threads = readdirSync('/proc/self/task').map(Number)
  expect(threads.length).toBeGreaterThan(1)
  using mapping = mmap({ lengthBytes: 4096 })
  for (const id of threads)
    expect(() => process_vm_writev(id, mapping.address, Uint8Array.of(1)), String(id)).toThrow(RangeError)
  expect(mapping.bytes[0]).toBe(0)
})

test('process_madvise() refuses advice that loses memory, which Linux 6.13 takes for this process', () => {
  using own = pidfd_open(process.pid)
  using mapping = mmap({ lengthBytes: 4096 })
  mapping.bytes[0] = 1
  for (const advice of [c.MADV_DONTNEED, c.MADV_FREE, c.MADV_REMOVE, c.MADV_HWPOISON, -1])
    expect(() => process_madvise(own, mapping.address, 4096, advice), String(advice)).toThrow(RangeError)
  expect(mapping.bytes[0]).toBe(1)
  expect(process_madvise(own, mapping.address, 4096, c.MADV_COLD)).toBe(4096)
})
