// Sockets of every family that the kernel has, and addresses of those that matter.
import {
  AF_INET,
  AF_INET6,
  AF_PACKET,
  SO_GET_FILTER,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOL_SOCKET,
} from './generated/constants/socket.ts'
import { check } from './errno.ts'
import { checkMeaning } from './errno/check-meaning.ts'
import { type AsFd, fdNumber, OwnedFd } from './fd.ts'
import { bind as bindSyscall } from './raw.ts'
import { bytes, size, u32 } from './raw/arguments.ts'
import {
  decodeSocketAddress,
  encodeSocketAddress,
  type SocketAddress,
  socketAddressSizeMax,
} from './socket/address.ts'

export { type SocketAddress } from './socket/address.ts'
export { type ControlMessage, type ReceivedControl, type SocketCredentials } from './socket/control.ts'
export {
  type IncomingMessage,
  type OutgoingMessage,
  type ReceivedMessage,
  recvmmsg,
  recvmsg,
  sendmmsg,
  sendmsg,
} from './socket/message.ts'

const raw = {
  socket: bindSyscall('socket', 'int', 'int', 'int'),
  socketpair: bindSyscall('socketpair', 'int', 'int', 'int', 'ptr'),
  bind: bindSyscall('bind', 'int', 'ptr', 'int'),
  connect: bindSyscall('connect', 'int', 'ptr', 'int'),
  listen: bindSyscall('listen', 'int', 'int'),
  accept4: bindSyscall('accept4', 'int', 'ptr', 'ptr', 'int'),
  sendto: bindSyscall('sendto', 'int', 'ptr', 'int', 'int', 'ptr', 'int'),
  recvfrom: bindSyscall('recvfrom', 'int', 'ptr', 'int', 'int', 'ptr', 'ptr'),
  setsockopt: bindSyscall('setsockopt', 'int', 'int', 'int', 'ptr', 'int'),
  getsockopt: bindSyscall('getsockopt', 'int', 'int', 'int', 'ptr', 'ptr'),
  getsockname: bindSyscall('getsockname', 'int', 'ptr', 'ptr'),
  getpeername: bindSyscall('getpeername', 'int', 'ptr', 'ptr'),
  shutdown: bindSyscall('shutdown', 'int', 'int'),
}

/** What of `type` is the type, below the flags (include/linux/net.h). */
const SOCK_TYPE_MASK = 0xf

/**
 * `socket(domain, type, protocol)` — makes a socket, close-on-exec in any case.
 *
 * Needs: CAP_NET_RAW for AF_PACKET and SOCK_RAW.
 *
 * @param type - SOCK_STREAM, SOCK_DGRAM …, with SOCK_NONBLOCK where it is to be watched
 * @param protocol - in host order, but for AF_PACKET in network order as packet(7) has it
 * @throws {@link SysError} `EAFNOSUPPORT` no such family in this kernel; `EPERM`; `EACCES`
 * @see https://man7.org/linux/man-pages/man2/socket.2.html
 *
 * @example
 * ```ts
 * import { AF_INET, SOCK_DGRAM } from '@pkg/sys/constants'
 * import { bind, getsockname, socket } from '@pkg/sys/socket'
 *
 * using udp = socket(AF_INET, SOCK_DGRAM, 0)
 * bind(udp, { family: AF_INET, address: '127.0.0.1', port: 0 })
 * const address = getsockname(udp)
 * console.assert(address?.family === AF_INET && address.port > 0)
 * ```
 */
export function socket(domain: number, type: number, protocol: number): OwnedFd {
  const flags = u32(type, 'type') | SOCK_CLOEXEC
  const result = raw.socket(u32(domain, 'domain'), flags, u32(protocol, 'protocol'))
  const isInternet = domain === AF_INET || domain === AF_INET6
  const isRaw = domain === AF_PACKET || (isInternet && (type & SOCK_TYPE_MASK) === SOCK_RAW)
  return new OwnedFd(checkMeaning(result, 'socket', isRaw ? 'socket_raw' : 'socket'))
}

/**
 * `socketpair(domain, type, protocol, sv)` — two sockets connected to each other, close-on-exec in any case.
 *
 * @see https://man7.org/linux/man-pages/man2/socketpair.2.html
 */
export function socketpair(domain: number, type: number, protocol: number): [OwnedFd, OwnedFd] {
  const pair = new Int32Array(new ArrayBuffer(8))
  const flags = u32(type, 'type') | SOCK_CLOEXEC
  check(raw.socketpair(u32(domain, 'domain'), flags, u32(protocol, 'protocol'), pair), 'socketpair')
  const [first, second] = pair as unknown as [number, number]
  return [new OwnedFd(first), new OwnedFd(second)]
}

/**
 * `bind(sockfd, addr, addrlen)` — gives a socket its own address.
 *
 * @throws {@link SysError} `EADDRINUSE`; `EACCES` a port below 1024 without CAP_NET_BIND_SERVICE
 * @see https://man7.org/linux/man-pages/man2/bind.2.html
 */
export function bind(fd: AsFd, address: SocketAddress): void {
  const encoded = encodeSocketAddress(address)
  check(raw.bind(fdNumber(fd), encoded, encoded.length), 'bind', describe(address))
}

/**
 * `connect(sockfd, addr, addrlen)` — connects, or for datagrams sets the peer.
 *
 * Blocks: yes, unless SOCK_NONBLOCK.
 *
 * @throws {@link SysError} `EINPROGRESS` non-blocking: writable when done; `ECONNREFUSED`; `ENOENT`
 * @see https://man7.org/linux/man-pages/man2/connect.2.html
 */
export function connect(fd: AsFd, address: SocketAddress): void {
  const encoded = encodeSocketAddress(address)
  check(raw.connect(fdNumber(fd), encoded, encoded.length), 'connect', describe(address))
}

/**
 * `listen(sockfd, backlog)` — accepts connections from now on.
 *
 * @see https://man7.org/linux/man-pages/man2/listen.2.html
 */
export function listen(fd: AsFd, backlog: number): void {
  check(raw.listen(fdNumber(fd), u32(backlog, 'backlog')), 'listen')
}

/** A connection taken by {@link accept4}. */
export interface Accepted {
  /** The connection. */
  fd: OwnedFd
  /** The peer; null for a family that has no codec here. */
  address: SocketAddress | null
}

/**
 * `accept4(sockfd, addr, addrlen, flags)` — takes a connection, close-on-exec in any case.
 *
 * Blocks: yes, unless the listening socket is non-blocking.
 *
 * @param flags - SOCK_NONBLOCK for the new socket
 * @throws {@link SysError} `EAGAIN` none is waiting; `ECONNABORTED`; `EMFILE`
 * @see https://man7.org/linux/man-pages/man2/accept.2.html
 */
export function accept4(fd: AsFd, flags = 0): Accepted {
  const storage = addressStorage()
  const result = raw.accept4(fdNumber(fd), storage.bytes, storage.length, u32(flags, 'flags') | SOCK_CLOEXEC)
  const accepted = new OwnedFd(check(result, 'accept4'))
  return { fd: accepted, address: storage.decode() }
}

/**
 * `accept4(sockfd, NULL, NULL, flags)` — {@link accept4} without asking who it is: the only way for AF_ALG, whose sockets
 * have no addresses.
 *
 * @param flags - SOCK_NONBLOCK for the new socket
 * @throws {@link SysError} as {@link accept4}
 * @see https://docs.kernel.org/crypto/userspace-if.html
 *
 * @example
 * ```ts no-run
 * import { AF_ALG, SOCK_SEQPACKET } from '@pkg/sys/constants'
 * import { read, write } from '@pkg/sys/io'
 * import { accept4_unnamed, bind, socket } from '@pkg/sys/socket'
 *
 * using algorithm = socket(AF_ALG, SOCK_SEQPACKET, 0)
 * bind(algorithm, { family: AF_ALG, type: 'hash', name: 'sha256' })
 * using operation = accept4_unnamed(algorithm)
 * write(operation, new TextEncoder().encode('text'))
 * const digest = new Uint8Array(32)
 * read(operation, digest)
 * ```
 */
export function accept4_unnamed(fd: AsFd, flags = 0): OwnedFd {
  const result = raw.accept4(fdNumber(fd), null, null, u32(flags, 'flags') | SOCK_CLOEXEC)
  return new OwnedFd(check(result, 'accept4'))
}

/**
 * `sendto(sockfd, buf, len, flags, dest_addr, addrlen)` — sends `buffer`; returns how many bytes were taken.
 *
 * @param flags - MSG_DONTWAIT, MSG_NOSIGNAL …
 * @param address - where to; none for a connected socket
 * @throws {@link SysError} `EAGAIN` no room now; `ENOBUFS`; `EMSGSIZE`; `EPIPE`; `ENETUNREACH`
 * @see https://man7.org/linux/man-pages/man2/send.2.html
 */
export function sendto(fd: AsFd, buffer: Uint8Array, flags: number, address?: SocketAddress): number {
  const encoded = address === undefined ? null : encodeSocketAddress(address)
  const result = raw.sendto(
    fdNumber(fd),
    bytes(buffer),
    buffer.length,
    u32(flags, 'flags'),
    encoded,
    encoded?.length ?? 0,
  )
  return check(result, 'sendto', address && describe(address))
}

/** What {@link recvfrom} received. */
export interface Received {
  /** Bytes; with MSG_TRUNC the datagram's real size, which may exceed the buffer. */
  size: number
  /** The sender; null on connected streams and for families without a codec here. */
  address: SocketAddress | null
}

/**
 * `recvfrom(sockfd, buf, len, flags, src_addr, addrlen)` — receives into `buffer`.
 *
 * Blocks: yes, unless non-blocking or MSG_DONTWAIT.
 *
 * @param flags - MSG_DONTWAIT, MSG_TRUNC, MSG_PEEK …
 * @throws {@link SysError} `EAGAIN` nothing there; `ENOBUFS` netlink lost messages
 * @see https://man7.org/linux/man-pages/man2/recv.2.html
 */
export function recvfrom(fd: AsFd, buffer: Uint8Array, flags: number): Received {
  const storage = addressStorage()
  const { length } = bytes(buffer)
  const result = raw.recvfrom(
    fdNumber(fd),
    buffer,
    length,
    u32(flags, 'flags'),
    storage.bytes,
    storage.length,
  )
  return { size: check(result, 'recvfrom'), address: storage.decode() }
}

/**
 * `setsockopt(sockfd, level, optname, optval, optlen)` — sets an option: an `int`, or the bytes of a struct.
 *
 * @throws {@link SysError} `ENOPROTOOPT` no such option; `EPERM`
 * @see https://man7.org/linux/man-pages/man2/setsockopt.2.html
 */
export function setsockopt(fd: AsFd, level: number, name: number, value: number | Uint8Array): void {
  const option =
    typeof value === 'number'
      ? new Uint8Array(Int32Array.of(u32(value, 'value')).buffer)
      : bytes(value, 'value')
  const result = raw.setsockopt(fdNumber(fd), u32(level, 'level'), u32(name, 'name'), option, option.length)
  check(result, 'setsockopt')
}

/** An option's length is an `int` of the kernel's. */
const optionSizeMax = 0x7fff_ffff

/** `struct sock_filter` (linux/filter.h), bytes. */
const filterSize = 8

/**
 * `getsockopt(sockfd, level, optname, optval, optlen)` — the bytes of an option, at most `sizeMax` of them.
 *
 * @param sizeMax - bytes; for SO_GET_FILTER instructions of 8 bytes, in which the kernel counts that one
 * @throws {@link SysError} `ENOPROTOOPT` no such option; `EINVAL` no room for it; RangeError for a size that is none
 * @see https://man7.org/linux/man-pages/man2/getsockopt.2.html
 */
export function getsockopt(fd: AsFd, level: number, name: number, sizeMax = 4): Uint8Array {
  if (size(sizeMax, 'sizeMax') > optionSizeMax) throw new RangeError(`sizeMax: ${sizeMax}`)
  const unit = level === SOL_SOCKET && name === SO_GET_FILTER ? filterSize : 1
  const option = new Uint8Array(new ArrayBuffer(sizeMax * unit))
  const length = Int32Array.of(sizeMax)
  const result = raw.getsockopt(fdNumber(fd), u32(level, 'level'), u32(name, 'name'), option, length)
  check(result, 'getsockopt')
  return option.subarray(0, (length[0] ?? 0) * unit)
}

/** `getsockname(sockfd, addr, addrlen)` — a socket's own address; null for a family without a codec here. */
export function getsockname(fd: AsFd): SocketAddress | null {
  const storage = addressStorage()
  check(raw.getsockname(fdNumber(fd), storage.bytes, storage.length), 'getsockname')
  return storage.decode()
}

/**
 * `getpeername(sockfd, addr, addrlen)` — the address of the other end.
 *
 * @throws {@link SysError} `ENOTCONN`
 */
export function getpeername(fd: AsFd): SocketAddress | null {
  const storage = addressStorage()
  check(raw.getpeername(fdNumber(fd), storage.bytes, storage.length), 'getpeername')
  return storage.decode()
}

/**
 * `shutdown(sockfd, how)` — ends one direction or both (SHUT_RD 0, SHUT_WR 1, SHUT_RDWR 2) for every holder.
 *
 * @see https://man7.org/linux/man-pages/man2/shutdown.2.html
 */
export function shutdown(fd: AsFd, how: number): void {
  check(raw.shutdown(fdNumber(fd), u32(how, 'how')), 'shutdown')
}

interface AddressStorage {
  bytes: Uint8Array<ArrayBuffer>
  length: Int32Array
  decode(): SocketAddress | null
}

/** Memory in which the kernel leaves an address and its length. */
function addressStorage(): AddressStorage {
  const storage = new Uint8Array(new ArrayBuffer(socketAddressSizeMax))
  const length = Int32Array.of(socketAddressSizeMax)
  return { bytes: storage, length, decode: () => decodeSocketAddress(storage, length[0] ?? 0) }
}

/** An address as an error message names it. */
function describe(address: SocketAddress): string {
  if ('path' in address) return address.path.replace('\0', '@')
  if ('type' in address) return `${address.type} ${address.name}`
  if ('cid' in address) return `vsock ${address.cid}:${address.port}`
  if ('groups' in address) return `netlink ${address.pid}`
  if ('ifindex' in address) return `interface ${address.ifindex}`
  return `${address.address}:${address.port}`
}
