// Messages and events of the kernel's that are cut, or of another kind than was asked for.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import * as c from '../src/constants.ts'
import { fanotify_init, fanotify_mark, fanotifyEvents } from '../src/fanotify.ts'
import { openat } from '../src/fs.ts'
import { pipe2, write } from '../src/io.ts'
import { addressOf } from '../src/raw.ts'
import { getsockopt, recvmsg, sendmsg, setsockopt, socketpair } from '../src/socket.ts'

const fdCount = (): number => readdirSync('/proc/self/fd').length

/** A classic filter of so many instructions, attached to `fd`; returns its bytes. */
function attachFilter(fd: Parameters<typeof setsockopt>[0], count: number): Uint8Array {
  const insns = new DataView(new ArrayBuffer(8 * count))
  for (let index = 0; index < count; index++) {
    insns.setUint16(index * 8, index === count - 1 ? 6 : 0, true) // BPF_RET, else BPF_LD
    insns.setUint32(index * 8 + 4, 0x4141_4141, true)
  }
  const program = new DataView(new ArrayBuffer(16))
  program.setUint16(0, count, true)
  program.setBigUint64(8, BigInt(addressOf(insns)), true)
  setsockopt(fd, c.SOL_SOCKET, c.SO_ATTACH_FILTER, new Uint8Array(program.buffer))
  return new Uint8Array(insns.buffer)
}

test('getsockopt() has room for the instructions of SO_GET_FILTER, and refuses sizes that are none', () => {
  const [first, second] = socketpair(c.AF_UNIX, c.SOCK_DGRAM, 0)
  using left = first
  using _right = second
  const filter = attachFilter(left, 32)
  expect(getsockopt(left, c.SOL_SOCKET, c.SO_GET_FILTER, 32)).toEqual(filter)
  expect(() => getsockopt(left, c.SOL_SOCKET, c.SO_GET_FILTER, 31)).toThrow('EINVAL')
  for (const sizeMax of [Number.NaN, -1, 1.5, 2 ** 31, 2 ** 32])
    expect(() => getsockopt(left, c.SOL_SOCKET, c.SO_TYPE, sizeMax)).toThrow(RangeError)
})

test('recvmsg() gives what is whole of control messages that were cut', () => {
  const [first, second] = socketpair(c.AF_UNIX, c.SOCK_DGRAM, 0)
  using left = first
  using right = second
  setsockopt(right, c.SOL_SOCKET, c.SO_PASSCRED, 1)
  sendmsg(left, { buffers: [new Uint8Array(3)] })
  const { size, flags, control } = recvmsg(right, { buffers: [new Uint8Array(9)], controlSizeMax: 24 })
  expect([size, flags & c.MSG_CTRUNC, control]).toEqual([3, c.MSG_CTRUNC, []])
})

test('recvmsg() owns the descriptor of the sender’s process that SO_PASSPIDFD asks for', () => {
  const [first, second] = socketpair(c.AF_UNIX, c.SOCK_DGRAM, 0)
  using left = first
  using right = second
  setsockopt(right, c.SOL_SOCKET, c.SO_PASSPIDFD, 1)
  const before = fdCount()
  sendmsg(left, { buffers: [new Uint8Array(1)] })
  const { control } = recvmsg(right, { buffers: [new Uint8Array(1)] })
  expect(control.map(({ type }) => type)).toEqual(['pidfd'])
  for (const message of control) if (message.type === 'pidfd') message.fd.close()
  expect(fdCount()).toBe(before)
})

test('fanotifyEvents() refuses a descriptor of something else, and takes no number from there for one of its own', () => {
  using zeros = openat(c.AT_FDCWD, '/dev/zero', c.O_RDONLY)
  expect(() => fanotifyEvents(zeros)).toThrow(TypeError)
  using pipe = pipe2(0)
  using innocent = pipe2(0)
  // A whole event that names a descriptor of ours, and after it one that is none.
  const event = new DataView(new ArrayBuffer(48))
  event.setUint32(0, 24, true)
  event.setUint8(4, c.FANOTIFY_METADATA_VERSION)
  event.setUint16(6, 24, true)
  event.setInt32(16, innocent.read.fd, true)
  write(pipe.write, new Uint8Array(event.buffer))
  expect(() => fanotifyEvents(pipe.read)).toThrow(TypeError)
  expect(write(innocent.write, new Uint8Array(1))).toBe(1)
})

test('fanotifyEvents() owns the descriptor of the process that FAN_REPORT_PIDFD asks for', () => {
  const folder = mkdtempSync(join(tmpdir(), 'solo-pidfd-'))
  try {
    using fd = fanotify_init(c.FAN_CLASS_NOTIF | c.FAN_NONBLOCK | c.FAN_REPORT_PIDFD, c.O_RDONLY)
    fanotify_mark(fd, c.FAN_MARK_ADD, c.FAN_CLOSE_WRITE | c.FAN_EVENT_ON_CHILD, c.AT_FDCWD, folder)
    const before = fdCount()
    writeFileSync(join(folder, 'new'), 'x')
    const events = fanotifyEvents(fd)
    expect(events.map(({ pid, fd: file, pidfd }) => [pid, file?.closed, pidfd?.closed])).toEqual([
      [process.pid, false, false],
    ])
    for (const event of events) {
      event.fd?.close()
      event.pidfd?.close()
    }
    expect(fdCount()).toBe(before)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
