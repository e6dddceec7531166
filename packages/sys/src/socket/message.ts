// sendmsg and recvmsg: several buffers, an address and control messages in one call, or several such at once.
import { MSG_CMSG_CLOEXEC } from '../generated/constants/socket.ts'
import { check } from '../errno.ts'
import { type AsFd, fdNumber } from '../fd.ts'
import { addressOf, bind } from '../raw.ts'
import { size, u32 } from '../raw/arguments.ts'
import { vectorsOf } from '../raw/vectors.ts'
import {
  decodeSocketAddress,
  encodeSocketAddress,
  type SocketAddress,
  socketAddressSizeMax,
} from './address.ts'
import { type ControlMessage, decodeControl, encodeControl, type ReceivedControl } from './control.ts'

const raw = {
  sendmsg: bind('sendmsg', 'int', 'ptr', 'int'),
  recvmsg: bind('recvmsg', 'int', 'ptr', 'int'),
  sendmmsg: bind('sendmmsg', 'int', 'ptr', 'int', 'int'),
  recvmmsg: bind('recvmmsg', 'int', 'ptr', 'int', 'int', 'ptr'),
}

/** What to send. */
export interface OutgoingMessage {
  /** The bytes, sent as one message. */
  buffers: readonly Uint8Array[]
  /** Where to; none for a connected socket. */
  address?: SocketAddress
  /** What travels beside the bytes. A stream needs at least one byte with it. */
  control?: readonly ControlMessage[]
}

/** Where to put what comes. */
export interface IncomingMessage {
  /** Filled one after the other. */
  buffers: readonly Uint8Array[]
  /** Room for control messages, bytes. Default: 1024, which 253 descriptors fit into. */
  controlSizeMax?: number
}

/** What came. */
export interface ReceivedMessage {
  /** Bytes. */
  size: number
  /** The sender; null on connected streams and for families without a codec here. */
  address: SocketAddress | null
  /** What travelled beside the bytes. Descriptors are the caller's to close. */
  control: ReceivedControl[]
  /** MSG_TRUNC (the buffers were too small), MSG_CTRUNC (the control room was), MSG_EOR … */
  flags: number
}

/** `struct msghdr` (bits/socket.h): name, namelen, iov, iovlen, control, controllen, flags; 56 bytes. */
const headerSize = 56
const headerOffset = {
  name: 0,
  nameLength: 8,
  iov: 16,
  iovLength: 24,
  control: 32,
  controlLength: 40,
  flags: 48,
}
/** `struct mmsghdr`: a header and the number of bytes. */
const multiSize = 64

/** The memory that a header points to: kept until the call is over. */
interface Pointed {
  vectors: BigUint64Array
  buffers: readonly Uint8Array[]
  name: Uint8Array<ArrayBuffer>
  control: Uint8Array<ArrayBuffer>
}

function fillHeader(at: DataView, { vectors, buffers, name, control }: Pointed): void {
  const pointer = (view: Uint8Array | BigUint64Array): bigint =>
    view.length === 0 ? 0n : BigInt(addressOf(view))
  at.setBigUint64(headerOffset.name, pointer(name), true)
  at.setUint32(headerOffset.nameLength, name.length, true)
  at.setBigUint64(headerOffset.iov, pointer(vectors), true)
  at.setBigUint64(headerOffset.iovLength, BigInt(buffers.length), true)
  at.setBigUint64(headerOffset.control, pointer(control), true)
  at.setBigUint64(headerOffset.controlLength, BigInt(control.length), true)
}

/** In memory of its own: a small array of the encoder's could move. */
function fixed(source: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(new ArrayBuffer(source.length))
  copy.set(source)
  return copy
}

function outgoing({ buffers, address, control = [] }: OutgoingMessage): Pointed {
  const name =
    address === undefined ? new Uint8Array(new ArrayBuffer(0)) : fixed(encodeSocketAddress(address))
  return { vectors: vectorsOf(buffers), buffers, name, control: encodeControl(control) }
}

function incoming({ buffers, controlSizeMax = 1024 }: IncomingMessage): Pointed {
  const name = new Uint8Array(new ArrayBuffer(socketAddressSizeMax))
  const control = new Uint8Array(new ArrayBuffer(size(controlSizeMax, 'controlSizeMax')))
  return { vectors: vectorsOf(buffers), buffers, name, control }
}

function received(at: DataView, pointed: Pointed, sizeBytes: number): ReceivedMessage {
  return {
    size: sizeBytes,
    address: decodeSocketAddress(pointed.name, at.getUint32(headerOffset.nameLength, true)),
    control: decodeControl(pointed.control, Number(at.getBigUint64(headerOffset.controlLength, true))),
    // The kernel leaves the flag that it was called with.
    flags: at.getUint32(headerOffset.flags, true) & ~MSG_CMSG_CLOEXEC,
  }
}

/** Messages whose memory the kernel is reading or writing now. */
const inFlight = new Set<unknown>()

function during<T>(pointed: unknown, call: () => T): T {
  inFlight.add(pointed)
  try {
    return call()
  } finally {
    inFlight.delete(pointed)
  }
}

/**
 * `sendmsg(sockfd, msg, flags)` — sends a message, with descriptors or credentials where they are asked for; returns how
 * many bytes were taken.
 *
 * Blocks: yes, unless non-blocking or MSG_DONTWAIT.
 *
 * @throws {@link SysError} `EAGAIN`; `EPIPE`; `EMSGSIZE`; `EBADF` a descriptor that is none; `ETOOMANYREFS`; `EPERM`
 * credentials that are not one's own
 * @see https://man7.org/linux/man-pages/man2/send.2.html
 *
 * @example
 * ```ts
 * import { AF_UNIX, SOCK_STREAM } from '@pkg/sys/constants'
 * import { memfd_create } from '@pkg/sys/io'
 * import { recvmsg, sendmsg, socketpair } from '@pkg/sys/socket'
 *
 * const [left, right] = socketpair(AF_UNIX, SOCK_STREAM, 0)
 * using file = memfd_create('shared', 0)
 * sendmsg(left, { buffers: [new Uint8Array(1)], control: [{ type: 'rights', fds: [file] }] })
 * const { control } = recvmsg(right, { buffers: [new Uint8Array(16)] })
 * for (const message of control) if (message.type === 'rights') for (const fd of message.fds) fd.close()
 * left.close()
 * right.close()
 * ```
 */
export function sendmsg(fd: AsFd, message: OutgoingMessage, flags = 0): number {
  const pointed = outgoing(message)
  const header = new DataView(new ArrayBuffer(headerSize))
  fillHeader(header, pointed)
  const [number, options] = [fdNumber(fd), u32(flags, 'flags')]
  return check(
    during(pointed, () => raw.sendmsg(number, header, options)),
    'sendmsg',
  )
}

/**
 * `recvmsg(sockfd, msg, flags)` — receives a message with its sender and what travelled beside it. Descriptors are made
 * close-on-exec in any case.
 *
 * Blocks: yes, unless non-blocking or MSG_DONTWAIT.
 *
 * @throws {@link SysError} `EAGAIN` nothing there; `ENOTCONN`
 * @see https://man7.org/linux/man-pages/man2/recv.2.html
 */
export function recvmsg(fd: AsFd, message: IncomingMessage, flags = 0): ReceivedMessage {
  const pointed = incoming(message)
  const header = new DataView(new ArrayBuffer(headerSize))
  fillHeader(header, pointed)
  const [number, options] = [fdNumber(fd), u32(flags, 'flags') | MSG_CMSG_CLOEXEC]
  const result = check(
    during(pointed, () => raw.recvmsg(number, header, options)),
    'recvmsg',
  )
  return received(header, pointed, result)
}

/** `UIO_MAXIOV`: the kernel takes no more messages at once. */
const messagesMax = 1024

function multiple(pointed: readonly Pointed[]): DataView[] {
  if (pointed.length > messagesMax) throw new RangeError(`${pointed.length} messages: at most ${messagesMax}`)
  const memory = new ArrayBuffer(multiSize * Math.max(pointed.length, 1))
  return pointed.map((one, index) => {
    const header = new DataView(memory, index * multiSize, multiSize)
    fillHeader(header, one)
    return header
  })
}

/**
 * `sendmmsg(sockfd, msgvec, vlen, flags)` — sends several messages by one call; returns how many bytes of each were taken,
 * for those that were sent: fewer where one failed after the first.
 *
 * @throws {@link SysError} as {@link sendmsg}, for the first
 * @see https://man7.org/linux/man-pages/man2/sendmmsg.2.html
 */
export function sendmmsg(fd: AsFd, messages: readonly OutgoingMessage[], flags = 0): number[] {
  const pointed = messages.map(outgoing)
  const headers = multiple(pointed)
  const [first] = headers
  if (first === undefined) return []
  const [number, options] = [fdNumber(fd), u32(flags, 'flags')]
  const all = new Uint8Array(first.buffer)
  const count = check(
    during(pointed, () => raw.sendmmsg(number, all, headers.length, options)),
    'sendmmsg',
  )
  return headers.slice(0, count).map((header) => header.getUint32(headerSize, true))
}

/**
 * `recvmmsg(sockfd, msgvec, vlen, flags, timeout)` — receives up to as many messages as there is room for, by one call.
 *
 * Blocks: until all have come, unless MSG_WAITFORONE (then for the first), MSG_DONTWAIT or non-blocking.
 *
 * @throws {@link SysError} as {@link recvmsg}, for the first
 * @see https://man7.org/linux/man-pages/man2/recvmmsg.2.html
 */
export function recvmmsg(fd: AsFd, messages: readonly IncomingMessage[], flags = 0): ReceivedMessage[] {
  const pointed = messages.map(incoming)
  const headers = multiple(pointed)
  const [first] = headers
  if (first === undefined) return []
  const [number, options] = [fdNumber(fd), u32(flags, 'flags') | MSG_CMSG_CLOEXEC]
  const all = new Uint8Array(first.buffer)
  const count = check(
    during(pointed, () => raw.recvmmsg(number, all, headers.length, options, null)),
    'recvmmsg',
  )
  return pointed.slice(0, count).map((one, index) => {
    const header = headers[index] as DataView
    return received(header, one, header.getUint32(headerSize, true))
  })
}
