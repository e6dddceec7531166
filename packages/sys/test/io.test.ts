// Calls on open descriptors, beside /proc and node:fs.
import { execFileSync } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  AT_FDCWD,
  F_GETFD,
  F_GETFL,
  F_GETPIPE_SZ,
  O_DIRECTORY,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  SEEK_CUR,
  SEEK_DATA,
  SEEK_END,
  SEEK_SET,
} from '../src/constants.ts'
import { openat } from '../src/fs.ts'
import * as io from '../src/io.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (data: Uint8Array): string => new TextDecoder().decode(data)
const fails = (code: string): unknown => expect.objectContaining({ code })
function thrown(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return error
  }
}

describe('read() and write()', () => {
  test('return what was moved, 0 at the end, and EAGAIN when nothing is there', () => {
    using pipe = io.pipe2(O_NONBLOCK)
    const buffer = new Uint8Array(8)
    expect(thrown(() => io.read(pipe.read, buffer))).toEqual(fails('EAGAIN'))
    expect(io.write(pipe.write, bytes('hello'))).toBe(5)
    expect(io.read(pipe.read, buffer.subarray(2))).toBe(5)
    expect([...buffer]).toEqual([0, 0, ...bytes('hello'), 0])
    expect([io.write(pipe.write, new Uint8Array(0)), io.read(pipe.read, new Uint8Array(0))]).toEqual([0, 0])
    pipe.write.close()
    expect(io.read(pipe.read, buffer)).toBe(0)
    expect(() => io.write(pipe.write, buffer)).toThrow('is closed')
  })

  test('report EPIPE, EBADF and EISDIR', () => {
    using pipe = io.pipe2(0)
    expect(thrown(() => io.read(pipe.write, new Uint8Array(1)))).toEqual(fails('EBADF'))
    pipe.read.close()
    expect(thrown(() => io.write(pipe.write, new Uint8Array(1)))).toEqual(fails('EPIPE'))
    using folder = openat(AT_FDCWD, '/', O_RDONLY | O_DIRECTORY)
    expect(thrown(() => io.read(folder, new Uint8Array(1)))).toEqual(fails('EISDIR'))
  })

  test('refuse what is no byte array: the kernel would write over something else', () => {
    const wrong: unknown[] = [
      undefined,
      null,
      8,
      'x',
      new ArrayBuffer(8),
      new DataView(new ArrayBuffer(8)),
      [0],
      new Uint32Array(2),
    ]
    for (const bad of wrong) {
      expect(() => io.read(0, bad as Uint8Array)).toThrow(TypeError)
      expect(() => io.write(1, bad as Uint8Array)).toThrow(TypeError)
    }
  })

  test('work on shared, resizable and detached memory without a crash', () => {
    using file = io.memfd_create('x', 0)
    expect(io.write(file, new Uint8Array(new SharedArrayBuffer(4)).fill(7))).toBe(4)
    const resizable = new ArrayBuffer(4, { maxByteLength: 64 })
    const view = new Uint8Array(resizable)
    resizable.resize(2)
    expect(io.write(file, view)).toBe(2)
    const detached = new Uint8Array(new ArrayBuffer(8))
    structuredClone(detached.buffer, { transfer: [detached.buffer] })
    expect(io.read(file, detached)).toBe(0)
  })

  test('writeAll() writes every byte, in however many calls', () => {
    const data = new Uint8Array(300_000).map((_, index) => index)
    using file = io.memfd_create('all', 0)
    io.writeAll(file, data)
    const back = new Uint8Array(data.length)
    expect(io.pread64(file, back, 0)).toBe(data.length)
    expect(Buffer.from(back).equals(data)).toBe(true)
  })
})

describe('positions', () => {
  test('pread64() and pwrite64() move nothing, lseek() and the holes of ftruncate() do', () => {
    using file = io.memfd_create('positions', 0)
    io.write(file, bytes('0123456789'))
    expect(io.pwrite64(file, bytes('ab'), 4)).toBe(2)
    const buffer = new Uint8Array(4)
    io.pread64(file, buffer, 3n)
    expect(text(buffer)).toBe('3ab6')
    expect(io.lseek(file, 0, SEEK_CUR)).toBe(10)
    io.ftruncate(file, 2 ** 33)
    expect(io.lseek(file, 0, SEEK_END)).toBe(2 ** 33)
    expect(io.lseek(file, -(2 ** 32), SEEK_END)).toBe(2 ** 32)
    expect(thrown(() => io.lseek(file, 2 ** 32, SEEK_DATA))).toEqual(fails('ENXIO'))
    expect(io.pread64(file, buffer, 2 ** 33 - 2)).toBe(2)
    expect(thrown(() => io.pread64(file, buffer, -1))).toEqual(fails('EINVAL'))
    expect(thrown(() => io.ftruncate(file, -1))).toEqual(fails('EINVAL'))
    expect(() => io.lseek(file, 0.5, SEEK_SET)).toThrow(RangeError)
    expect(() => io.pread64(file, buffer, 2n ** 63n)).toThrow(RangeError)
  })

  test('are refused by pipes', () => {
    using pipe = io.pipe2(0)
    for (const call of [
      () => io.lseek(pipe.read, 0, SEEK_SET),
      () => io.pread64(pipe.read, new Uint8Array(1), 0),
      () => io.pwrite64(pipe.write, new Uint8Array(1), 0),
    ]) {
      expect(thrown(call)).toEqual(fails('ESPIPE'))
    }
  })

  test('hold what was written at any offset', () => {
    using file = io.memfd_create('any', 0)
    const offset = fc.integer({ min: 0, max: 2 ** 40 })
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 50 }), offset, (data, at) => {
        expect(io.pwrite64(file, data, at)).toBe(data.length)
        const back = new Uint8Array(data.length)
        expect(io.pread64(file, back, BigInt(at))).toBe(data.length)
        expect(back).toEqual(data)
      }),
      { numRuns: 50 },
    )
  })
})

describe('descriptors', () => {
  test('of pipe2(), memfd_create() and duplicate() are all close-on-exec, as fcntl() reads', () => {
    using pipe = io.pipe2(0)
    using file = io.memfd_create('x', 0)
    using second = io.duplicate(file)
    for (const fd of [pipe.read, pipe.write, file, second]) expect(io.fcntl(fd, F_GETFD, 0)).toBe(1)
    expect(second.fd).toBeGreaterThanOrEqual(3)
    expect(readlinkSync(`/proc/self/fd/${second.fd}`)).toBe('/memfd:x (deleted)')
  })

  test('dup3() replaces, and refuses equal numbers', () => {
    using first = io.memfd_create('first', 0)
    using second = io.memfd_create('second', 0)
    io.dup3(first, second.fd, 0)
    expect(readlinkSync(`/proc/self/fd/${second.fd}`)).toBe('/memfd:first (deleted)')
    expect(thrown(() => io.dup3(first, first.fd, 0))).toEqual(fails('EINVAL'))
  })

  test('setNonBlocking() changes that flag alone', () => {
    using pipe = io.pipe2(0)
    expect(io.fcntl(pipe.write, F_GETFL, 0)).toBe(O_WRONLY)
    io.setNonBlocking(pipe.write, true)
    expect(io.fcntl(pipe.write, F_GETFL, 0)).toBe(O_WRONLY | O_NONBLOCK)
    io.setNonBlocking(pipe.write, false)
    expect(io.fcntl(pipe.write, F_GETFL, 0)).toBe(O_WRONLY)
    expect(io.fcntl(pipe.read, F_GETPIPE_SZ, 0)).toBe(65_536)
  })

  test('ioctl() reads into memory and passes integers', () => {
    using pipe = io.pipe2(0)
    io.write(pipe.write, new Uint8Array(123))
    const count = new Uint8Array(new ArrayBuffer(4))
    const FIONREAD = 0x541b
    io.ioctl(pipe.read, FIONREAD, count)
    expect(new DataView(count.buffer).getInt32(0, true)).toBe(123)
    expect(thrown(() => io.ioctl(pipe.read, 0x5401, new Uint8Array(64)))).toEqual(fails('ENOTTY'))
    expect(() => io.ioctl(pipe.read, FIONREAD, 'x' as unknown as number)).toThrow(TypeError)
  })

  test('fsync(), fdatasync(), syncfs() and sync() flush, and refuse what cannot be flushed', () => {
    using file = openat(AT_FDCWD, execFileSync('mktemp', { encoding: 'utf8' }).trim(), O_WRONLY)
    io.write(file, bytes('x'))
    io.fsync(file)
    io.fdatasync(file)
    using pipe = io.pipe2(0)
    expect(thrown(() => io.fsync(pipe.read))).toEqual(fails('EINVAL'))
    expect(thrown(() => io.syncfs(1_000_000))).toEqual(fails('EBADF'))
    using shared = openat(AT_FDCWD, '/dev/shm', O_RDONLY | O_DIRECTORY)
    io.syncfs(shared)
    io.sync()
    execFileSync('rm', [readlinkSync(`/proc/self/fd/${file.fd}`)])
  })

  test('report numbers and names that are too large', () => {
    expect(thrown(() => io.dup3(0, 0x7fff_fffe, 0))).toEqual(fails('EBADF'))
    expect(thrown(() => io.memfd_create('x'.repeat(250), 0))).toEqual(fails('EINVAL'))
  })
})
