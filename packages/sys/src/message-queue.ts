// POSIX message queues: named, ordered by priority, with descriptors that can be watched.
import { O_CLOEXEC } from './generated/constants/open.ts'
import { SIGEV_SIGNAL } from './generated/constants/signal.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber, OwnedFd } from './fd.ts'
import { bind } from './raw.ts'
import { bytes, cString, size, timespec, u32 } from './raw/arguments.ts'

const raw = {
  open: bind('mq_open', 'ptr', 'int', 'int', 'ptr'),
  unlink: bind('mq_unlink', 'ptr'),
  timedsend: bind('mq_timedsend', 'int', 'ptr', 'int', 'int', 'ptr'),
  timedreceive: bind('mq_timedreceive', 'int', 'ptr', 'int', 'ptr', 'ptr'),
  notify: bind('mq_notify', 'int', 'ptr'),
  getsetattr: bind('mq_getsetattr', 'int', 'ptr', 'ptr'),
}

/** A queue's size: `struct mq_attr`. */
export interface MessageQueueAttr {
  /** O_NONBLOCK or 0. */
  mq_flags: number
  /** Messages that it has room for. */
  mq_maxmsg: number
  /** Bytes that a message may have. */
  mq_msgsize: number
  /** Messages in it now. */
  mq_curmsgs: number
}

/** The kernel's names have no slash; the C library's begin with one. */
function nameOf(name: string): Uint8Array {
  if (typeof name !== 'string') throw new TypeError('name must be a string')
  if (!/^\/[^/]+$/.test(name)) throw new TypeError(`name must be a slash and a name: ${JSON.stringify(name)}`)
  return cString(name.slice(1), 'name')
}

/**
 * `mq_open(name, oflag, mode, attr)` — opens a message queue of this IPC namespace, close-on-exec in any case. Its
 * descriptor can be watched by `reactor`.
 *
 * @param name - `/name`
 * @param flags - O_RDONLY, O_WRONLY or O_RDWR; O_CREAT, O_EXCL, O_NONBLOCK
 * @param size - for O_CREAT; default: the kernel's (10 messages of 8192 bytes)
 * @throws {@link SysError} `ENOENT`; `EEXIST`; `EINVAL` larger than /proc/sys/fs/mqueue allows; `EMFILE`
 * @see https://man7.org/linux/man-pages/man3/mq_open.3.html
 */
export function mq_open(
  name: string,
  flags: number,
  mode = 0,
  queueSize?: { mq_maxmsg: number; mq_msgsize: number },
): OwnedFd {
  const attr = queueSize === undefined ? null : new BigInt64Array(new ArrayBuffer(64))
  if (queueSize !== undefined) {
    const { mq_maxmsg, mq_msgsize } = queueSize
    attr?.set([0n, BigInt(size(mq_maxmsg, 'mq_maxmsg')), BigInt(size(mq_msgsize, 'mq_msgsize'))])
  }
  const result = raw.open(nameOf(name), u32(flags, 'flags') | O_CLOEXEC, u32(mode, 'mode'), attr)
  return new OwnedFd(check(result, 'mq_open', name))
}

/**
 * `mq_unlink(name)` — removes a queue's name; the queue ends with its last descriptor.
 *
 * @throws {@link SysError} `ENOENT`; `EACCES`
 * @see https://man7.org/linux/man-pages/man3/mq_unlink.3.html
 */
export function mq_unlink(name: string): void {
  check(raw.unlink(nameOf(name)), 'mq_unlink', name)
}

function deadline(timeNs: number | bigint | undefined): BigInt64Array | null {
  return timeNs === undefined ? null : timespec(timeNs, 'deadlineNs')
}

/**
 * `mq_timedsend(mqdes, msg_ptr, msg_len, msg_prio, abs_timeout)` — puts a message into a queue.
 *
 * Blocks: while it is full, unless O_NONBLOCK.
 *
 * @param priority - 0 … 32767: higher ones come first
 * @param deadlineNs - a time of CLOCK_REALTIME; undefined: for ever
 * @throws {@link SysError} `EAGAIN` full; `ETIMEDOUT`; `EMSGSIZE`
 * @see https://man7.org/linux/man-pages/man3/mq_send.3.html
 */
export function mq_timedsend(
  fd: AsFd,
  message: Uint8Array,
  priority = 0,
  deadlineNs?: number | bigint,
): void {
  const { length } = bytes(message, 'message')
  const [number, order] = [fdNumber(fd), u32(priority, 'priority')]
  check(raw.timedsend(number, message, length, order, deadline(deadlineNs)), 'mq_timedsend')
}

/**
 * `mq_timedreceive(mqdes, msg_ptr, msg_len, msg_prio, abs_timeout)` — takes the oldest message of the highest priority.
 *
 * Blocks: while there is none, unless O_NONBLOCK.
 *
 * @param deadlineNs - a time of CLOCK_REALTIME; undefined: for ever
 * @throws {@link SysError} `EAGAIN` empty; `ETIMEDOUT`
 * @see https://man7.org/linux/man-pages/man3/mq_receive.3.html
 */
export function mq_timedreceive(
  fd: AsFd,
  deadlineNs?: number | bigint,
): { message: Uint8Array; priority: number } {
  // The kernel wants room for the largest message that the queue may have.
  const buffer = new Uint8Array(new ArrayBuffer(mq_getattr(fd).mq_msgsize))
  const priority = new Uint32Array(new ArrayBuffer(4))
  const result = raw.timedreceive(fdNumber(fd), buffer, buffer.length, priority, deadline(deadlineNs))
  return { message: buffer.slice(0, check(result, 'mq_timedreceive')), priority: priority[0] ?? 0 }
}

/**
 * `mq_notify(mqdes, sevp)` — has a signal with `value` sent (SI_MESGQ, see `watchSignals`) when a message comes into the
 * empty queue: once. Null gives that up.
 *
 * @throws {@link SysError} `EBUSY` another process has asked; `EINVAL` no such signal
 * @see https://man7.org/linux/man-pages/man3/mq_notify.3.html
 */
export function mq_notify(fd: AsFd, signal: number | null, value = 0): void {
  // struct sigevent (asm-generic/siginfo.h): value, signo, notify; 64 bytes.
  const event = new DataView(new ArrayBuffer(64))
  event.setInt32(0, u32(value, 'value'), true)
  event.setInt32(8, u32(signal ?? 0, 'signal'), true)
  event.setInt32(12, SIGEV_SIGNAL, true)
  check(raw.notify(fdNumber(fd), signal === null ? null : event), 'mq_notify')
}

/** `mq_getsetattr(mqdes, NULL, oldattr)` — a queue's size and how many messages are in it. */
export function mq_getattr(fd: AsFd): MessageQueueAttr {
  const attr = new BigInt64Array(new ArrayBuffer(64))
  check(raw.getsetattr(fdNumber(fd), null, attr), 'mq_getsetattr')
  const [flags, maxmsg, msgsize, curmsgs] = attr
  return {
    mq_flags: Number(flags),
    mq_maxmsg: Number(maxmsg),
    mq_msgsize: Number(msgsize),
    mq_curmsgs: Number(curmsgs),
  }
}

/** `mq_getsetattr(mqdes, newattr, NULL)` — sets O_NONBLOCK, or clears it. */
export function mq_setattr(fd: AsFd, flags: number): void {
  const attr = new BigInt64Array(new ArrayBuffer(64))
  attr[0] = BigInt(u32(flags, 'flags'))
  check(raw.getsetattr(fdNumber(fd), attr, null), 'mq_getsetattr')
}
