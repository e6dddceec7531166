// Vectors, transfers, space and locks of open files, seen by reading them back and in /proc.
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  AT_FDCWD,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  F_GETFD,
  F_RDLCK,
  F_UNLCK,
  F_WRLCK,
  LOCK_EX,
  LOCK_NB,
  LOCK_UN,
  O_CREAT,
  O_RDWR,
  POSIX_FADV_DONTNEED,
  RWF_APPEND,
  RWF_NOWAIT,
  SPLICE_F_NONBLOCK,
  SYNC_FILE_RANGE_WAIT_AFTER,
  SYNC_FILE_RANGE_WRITE,
} from '../src/constants.ts'
import { OwnedFd } from '../src/fd.ts'
import { openat } from '../src/fs.ts'
import * as io from '../src/io.ts'
import { mmap } from '../src/memory.ts'
import { scriptResult } from './child-script.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (buffer: Uint8Array): string => new TextDecoder().decode(buffer)
function codeOf(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).name
  }
}

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'solo-io-'))
})
afterEach(() => rmSync(folder, { recursive: true }))
const open = (name: string): OwnedFd => openat(AT_FDCWD, join(folder, name), O_RDWR | O_CREAT, 0o600)

describe('vectors', () => {
  test('writev() and readv() move several buffers as one', () => {
    using pipe = io.pipe2(0)
    expect(io.writev(pipe.write, ['ab', '', 'cde'].map(bytes))).toBe(5)
    const parts = [new Uint8Array(1), new Uint8Array(0), new Uint8Array(8)]
    expect(io.readv(pipe.read, parts)).toBe(5)
    expect(parts.map((part) => text(part).replaceAll('\0', ''))).toEqual(['a', '', 'bcde'])
    expect(io.writev(pipe.write, [])).toBe(0)
    expect(() => io.writev(pipe.write, ['x'] as unknown as Uint8Array[])).toThrow(TypeError)
    expect(() =>
      io.writev(
        pipe.write,
        Array.from({ length: 1025 }, () => bytes('x')),
      ),
    ).toThrow(RangeError)
  })

  test('pwritev() and preadv(), pwritev2() and preadv2() hold what was written, wherever the cut is', () => {
    using file = io.memfd_create('vectors', 0)
    const parts = fc.array(fc.uint8Array({ maxLength: 20 }), { minLength: 1, maxLength: 8 })
    const property = fc.property(parts, parts, fc.integer({ min: 0, max: 2 ** 40 }), (out, shape, at) => {
      const written = Buffer.concat(out)
      expect(io.pwritev(file, out, at)).toBe(written.length)
      const back = shape.map(({ length }) => new Uint8Array(length))
      const size = io.preadv(file, back, BigInt(at))
      expect(Buffer.concat(back).subarray(0, Math.min(size, written.length))).toEqual(
        written.subarray(0, Math.min(size, written.length)),
      )
      expect(io.pwritev2(file, out, at, 0)).toBe(written.length)
      expect(io.preadv2(file, back, at, 0)).toBe(size)
    })
    fc.assert(property, { numRuns: 100 })
  })

  test('pwritev2() appends and preadv2() does not wait, as their flags say', () => {
    using file = open('flags')
    io.pwritev2(file, [bytes('first')], 0, 0)
    io.pwritev2(file, [bytes('+last')], 0, RWF_APPEND)
    expect(readFileSync(join(folder, 'flags'), 'utf8')).toBe('first+last')
    const buffer = new Uint8Array(3)
    expect(io.preadv2(file, [buffer], 0, RWF_NOWAIT)).toBe(3)
    expect(text(buffer)).toBe('fir')
    expect(codeOf(() => io.preadv2(file, [buffer], 0, 0x4000_0000))).toBe('EOPNOTSUPP')
  })

  test('writev() of small arrays, made and dropped at once, sends their own bytes', () => {
    using pipe = io.pipe2(0)
    for (let round = 0; round < 2000; round++) {
      io.writev(pipe.write, [new Uint8Array([round & 255, 1]), new Uint8Array([2, 3, 4])])
      if (round % 100 === 0) Bun.gc(true)
      const back = new Uint8Array(8)
      expect([...back.subarray(0, io.read(pipe.read, back))]).toEqual([round & 255, 1, 2, 3, 4])
    }
  })
})

describe('transfers', () => {
  test('copy_file_range() copies between files, at offsets or at the position', () => {
    writeFileSync(join(folder, 'from'), '0123456789')
    using from = open('from')
    using to = open('to')
    expect(io.copy_file_range({ fd: from, offset: 2 }, { fd: to, offset: 4 }, 3)).toBe(3)
    expect(io.copy_file_range({ fd: from }, { fd: to }, 2)).toBe(2)
    expect(readFileSync(join(folder, 'to'), 'latin1')).toBe('01\0\x00234')
    expect(io.copy_file_range({ fd: from, offset: 10n }, { fd: to }, 5)).toBe(0)
    expect(() => io.copy_file_range({ fd: from }, { fd: to }, -1)).toThrow(RangeError)
  })

  test('sendfile(), splice() and tee() move bytes through pipes', () => {
    writeFileSync(join(folder, 'from'), '0123456789')
    using from = open('from')
    using to = open('to')
    using first = io.pipe2(0)
    using second = io.pipe2(0)
    expect(io.sendfile(first.write, { fd: from, offset: 1 }, 3)).toBe(3)
    expect(io.splice({ fd: from, offset: 7 }, { fd: first.write }, 2)).toBe(2)
    expect(io.tee(first.read, second.write, 100)).toBe(5)
    expect(io.splice({ fd: first.read }, { fd: to, offset: 0 }, 100)).toBe(5)
    expect(readFileSync(join(folder, 'to'), 'latin1')).toBe('12378')
    const copy = new Uint8Array(8)
    expect(text(copy.subarray(0, io.read(second.read, copy)))).toBe('12378')
    expect(codeOf(() => io.tee(first.read, second.write, 1, SPLICE_F_NONBLOCK))).toBe('EAGAIN')
    expect(codeOf(() => io.splice({ fd: from }, { fd: to }, 1))).toBe('EINVAL')
  })

  test('vmsplice() puts the pages of a mapping into a pipe', () => {
    using pipe = io.pipe2(0)
    using memory = mmap({ lengthBytes: 4096 })
    memory.bytes.set(bytes('mapped'))
    expect(io.vmsplice(pipe.write, memory, 6)).toBe(6)
    memory.bytes[0] = 'M'.charCodeAt(0)
    const buffer = new Uint8Array(8)
    expect(text(buffer.subarray(0, io.read(pipe.read, buffer)))).toBe('Mapped')
    expect(() => io.vmsplice(pipe.write, memory, 5000)).toThrow(RangeError)
    expect(() => io.vmsplice(pipe.write, memory, 1, 8)).toThrow(RangeError)
  })
})

describe('space', () => {
  test('fallocate() gives blocks and takes them away', () => {
    using file = open('space')
    io.fallocate(file, 0, { offset: 0, length: 65_536 })
    const full = statSync(join(folder, 'space'))
    expect(full.size).toBe(65_536)
    expect(full.blocks).toBeGreaterThanOrEqual(128)
    io.fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, { offset: 4096, length: 32_768 })
    expect(full.blocks - statSync(join(folder, 'space')).blocks).toBe(64)
    expect(codeOf(() => io.fallocate(file, 0, { offset: -1, length: 1 }))).toBe('EINVAL')
  })

  test('fadvise64(), readahead(), sync_file_range() and cachestat(): what is written is in memory, until it is let go', () => {
    using file = open('cached')
    io.writeAll(file, new Uint8Array(10 * 4096).fill(1))
    const whole = { offset: 0, length: 0 }
    expect(io.cachestat(file, whole)).toMatchObject({ nr_cache: 10n })
    io.sync_file_range(file, whole, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER)
    io.fsync(file)
    expect(io.cachestat(file, whole)).toMatchObject({ nr_dirty: 0n, nr_writeback: 0n })
    io.fadvise64(file, whole, POSIX_FADV_DONTNEED)
    expect(io.cachestat(file, whole).nr_cache).toBe(0n)
    io.readahead(file, 0, 10 * 4096)
    io.pread64(file, new Uint8Array(4096), 9 * 4096)
    expect(io.cachestat(file, whole).nr_cache).toBe(10n)
    expect(codeOf(() => io.fadvise64(file, whole, 99))).toBe('EINVAL')
  })
})

describe('locks', () => {
  test('flock() keeps another description out', () => {
    using first = open('lock')
    using second = open('lock')
    io.flock(first, LOCK_EX | LOCK_NB)
    expect(codeOf(() => io.flock(second, LOCK_EX | LOCK_NB))).toBe('EAGAIN')
    expect(readFileSync('/proc/locks', 'utf8')).toMatch(new RegExp(`FLOCK +ADVISORY +WRITE ${process.pid} `))
    io.flock(first, LOCK_UN)
    io.flock(second, LOCK_EX | LOCK_NB)
    expect(codeOf(() => io.flock(first, 0))).toBe('EINVAL')
  })

  test('fcntl_ofd_setlk(), fcntl_ofd_setlkw() and fcntl_ofd_getlk() lock ranges', () => {
    using first = open('range')
    using second = open('range')
    expect(io.fcntl_ofd_setlk(first, { type: F_WRLCK, offset: 10, length: 5 })).toBe(true)
    expect(io.fcntl_ofd_setlk(second, { type: F_RDLCK, offset: 0, length: 11 })).toBe(false)
    expect(io.fcntl_ofd_setlk(second, { type: F_RDLCK, offset: 0, length: 10 })).toBe(true)
    expect(io.fcntl_ofd_getlk(second, { type: F_RDLCK, offset: 0, length: 0 })).toEqual({
      type: F_WRLCK,
      offset: 10n,
      length: 5n,
    })
    io.fcntl_ofd_setlkw(first, { type: F_UNLCK, offset: 0, length: 0 })
    expect(io.fcntl_ofd_getlk(second, { type: F_RDLCK, offset: 0, length: 0 })).toBeNull()
    expect(() => io.fcntl_ofd_setlk(first, { type: 7, offset: 0, length: 0 })).toThrow(RangeError)
  })
})

test('dup() and close() deal in numbers', () => {
  using file = io.memfd_create('numbered', 0)
  const second = io.dup(file)
  expect(io.fcntl(second, F_GETFD, 0)).toBe(0)
  const number = second.release()
  io.close(number)
  expect(codeOf(() => io.close(number))).toBe('EBADF')
  expect(() => io.close(-1)).toThrow(RangeError)
})

test('close_range() makes descriptors close-on-exec', () => {
  const result = scriptResult(`
    import { close_range, dup, fcntl, memfd_create } from '@pkg/sys/io'
    const first = dup(memfd_create('x', 0)), second = dup(first)
    close_range(second.fd)
    process.stdout.write(JSON.stringify([fcntl(first, 1, 0), fcntl(second, 1, 0)]))`)
  expect(result).toEqual([0, 1])
})
