// A netlink socket: requests with their answers, and events. Everything else of this package speaks through it.
import {
  AF_NETLINK,
  EAGAIN,
  EINTR,
  EMSGSIZE,
  ENOBUFS,
  MSG_DONTWAIT,
  MSG_TRUNC,
  NETLINK_ADD_MEMBERSHIP,
  NETLINK_CAP_ACK,
  NETLINK_EXT_ACK,
  NETLINK_GET_STRICT_CHK,
  NETLINK_ROUTE,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_NOOP,
  NLMSG_OVERRUN,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOL_NETLINK,
  SOL_SOCKET,
  SO_RCVBUFFORCE,
} from '@pkg/sys/constants'
import { isSysError, SysError } from '@pkg/sys/errno'
import type { OwnedFd } from '@pkg/sys/fd'
import { reactor } from '@pkg/sys/reactor'
import { bind, recvfrom, sendto, setsockopt, socket } from '@pkg/sys/socket'
import { decodeAcknowledgement } from './netlink/acknowledgement.ts'
import { decodeMessages, encodeMessage, type NetlinkMessage } from './netlink/message.ts'

export { decodeAcknowledgement, type Acknowledgement } from './netlink/acknowledgement.ts'
export {
  attributeMap,
  decodeAttributes,
  encodeAttributes,
  NLA_HDRLEN,
  nlaAlign,
  readText,
  readU32,
  readU8,
  text,
  u32,
  u8,
  type Attribute,
  type AttributeInput,
} from './netlink/attribute.ts'
export {
  decodeMessages,
  encodeMessage,
  NLMSG_HDRLEN,
  nlmsgAlign,
  type NetlinkMessage,
} from './netlink/message.ts'

/** How to open a socket. */
export interface OpenNetlinkOptions {
  /** Multicast groups to hear: `RTNLGRP_LINK`, … */
  groups?: readonly number[]
  /**
   * Size of the receive buffer, needs CAP_NET_ADMIN, ignored without; the kernel's default is 208 KiB. Events that do
   * not fit are lost, which {@link Netlink.receive} reports as ENOBUFS.
   */
  receiveBufferSizeBytes?: number
}

/** A request to the kernel. */
export interface NetlinkRequest {
  /** `RTM_NEWADDR`, … */
  type: number
  /** Besides `NLM_F_REQUEST` and `NLM_F_ACK`, which are always set: `NLM_F_DUMP`, `NLM_F_CREATE | NLM_F_EXCL`, … */
  flags?: number
  /** The family's struct and attributes. */
  payload: Uint8Array
  /** For the error's message: the request's name, `RTM_NEWADDR`. */
  name: string
  /** For the error's message: what it is about, `eth0`. */
  object?: string
  /** For the error's message: what was attempted, `10.0.2.15/24`. */
  attempt?: string
}

/** The kernel makes dump messages of at most 32 KiB (`netlink_dump()` in net/netlink/af_netlink.c); twice that is room. */
const RECEIVE_SIZE = 65_536
/** A dump that changes under the reader is asked again; routing daemons in full swing must not keep it for ever. */
const DUMP_ATTEMPTS_MAX = 10
/** A bound for the parts of one answer: 32 KiB × 4096 is far beyond any table, and ends a loop with a broken kernel. */
const RECEIVE_CALLS_MAX = 4_096

/**
 * A netlink socket, closed by `using`.
 *
 * Requests are plain functions, not promises: the kernel handles one inside sendmsg(2), and its answer lies in the
 * socket's buffer when the call returns, so nothing is ever waited for. A request may sleep for the kernel's own lock
 * (`rtnl_lock`) while another process changes the network, usually well under a millisecond.
 */
export class Netlink implements Disposable {
  readonly #fd: OwnedFd
  readonly #buffer = new Uint8Array(new ArrayBuffer(RECEIVE_SIZE))
  #sequence = 0

  /** Takes the ownership of a bound netlink socket; {@link openNetlink} makes one. */
  constructor(fd: OwnedFd) {
    this.#fd = fd
  }

  /**
   * Sends a request and returns the answer's messages; a dump's parts joined, and asked again when the kernel says
   * that the table changed in between (`NLM_F_DUMP_INTR`).
   *
   * @throws {@link SysError} what the kernel answered, with its extended acknowledgement's text in the message;
   *   `EINTR` for a dump that changed ten times in a row; `ENOBUFS` when an answer was lost (a change may have been
   *   made); `EPERM` without CAP_NET_ADMIN
   * @see https://man7.org/linux/man-pages/man7/netlink.7.html
   */
  request(request: NetlinkRequest): NetlinkMessage[] {
    const isDump = ((request.flags ?? 0) & NLM_F_DUMP) === NLM_F_DUMP
    for (let attempt = 1; ; attempt++) {
      const sequence = this.#send(request)
      const answer = this.#collect(request, sequence, isDump)
      if (answer !== 'again') return answer
      if (attempt === DUMP_ATTEMPTS_MAX) {
        throw failure(request, EINTR, `the table changed during each of ${attempt} dumps`)
      }
    }
  }

  /**
   * Takes the events that have arrived; an empty array when there are none. Never waits.
   *
   * @throws {@link SysError} `ENOBUFS` when events were lost because the reader was slow: read the whole state anew
   */
  receive(): NetlinkMessage[] {
    const messages = this.#receive()
    if (messages?.some((message) => message.type === NLMSG_OVERRUN)) {
      throw new SysError({ errno: ENOBUFS, syscall: 'recvfrom', detail: 'NLMSG_OVERRUN' })
    }
    return messages ?? []
  }

  /**
   * Throws away what has arrived. Needed before the state is read anew: the kernel reports ENOBUFS first, and older
   * events are still in the buffer behind it.
   */
  discard(): void {
    for (let calls = 0; calls < RECEIVE_CALLS_MAX; calls++) {
      try {
        if (this.#receive() === null) return
      } catch (error) {
        if (!isSysError(error, 'ENOBUFS')) throw error
      }
    }
  }

  /**
   * Waits until {@link Netlink.receive} has something (or an ENOBUFS) to tell.
   *
   * @throws the signal's reason when it is aborted
   */
  readable(signal?: AbortSignal): Promise<void> {
    return reactor().readable(this.#fd, { signal })
  }

  /** Closes the socket. */
  [Symbol.dispose](): void {
    this.#fd.close()
  }

  #send(request: NetlinkRequest): number {
    this.#sequence = (this.#sequence + 1) >>> 0 || 1
    const flags = (request.flags ?? 0) | NLM_F_REQUEST | NLM_F_ACK
    const bytes = encodeMessage({ ...request, flags, sequence: this.#sequence, portId: 0 })
    sendto(this.#fd, bytes, 0, { family: AF_NETLINK, pid: 0, groups: 0 })
    return this.#sequence
  }

  #collect(request: NetlinkRequest, sequence: number, isDump: boolean): NetlinkMessage[] | 'again' {
    const collected: NetlinkMessage[] = []
    let interrupted = false
    for (let calls = 0; calls < RECEIVE_CALLS_MAX; calls++) {
      const messages = this.#receiveAnswer(request, isDump)
      if (messages === 'again') return 'again'
      for (const message of messages) {
        // An earlier request's rest (it threw in the middle), or an event on a socket that also hears groups.
        if (message.sequence !== sequence) continue
        if (message.flags & NLM_F_DUMP_INTR) interrupted = true
        if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
          const { errno, text } = decodeAcknowledgement(message)
          if (errno !== 0) throw failure(request, errno, text)
          return interrupted ? 'again' : collected
        }
        if (message.type !== NLMSG_NOOP) collected.push(message)
      }
    }
    throw failure(request, EMSGSIZE, `no end after ${RECEIVE_CALLS_MAX} parts`)
  }

  #receiveAnswer(request: NetlinkRequest, isDump: boolean): NetlinkMessage[] | 'again' {
    try {
      const messages = this.#receive()
      if (messages !== null) return messages
    } catch (error) {
      if (!isDump || !isSysError(error, 'ENOBUFS')) throw error
      this.discard()
      return 'again'
    }
    // See the class: an answer that is not there will not come.
    throw failure(request, EAGAIN, 'the kernel gave no answer')
  }

  /** One recvfrom(2); null when nothing is there. The messages are copies. */
  #receive(): NetlinkMessage[] | null {
    try {
      // With MSG_TRUNC the kernel returns the whole length, so that a cut datagram is seen.
      const { size, address } = recvfrom(this.#fd, this.#buffer, MSG_DONTWAIT | MSG_TRUNC)
      // Only the kernel has port id 0: other processes may send to this socket, and are not listened to.
      if (address?.family !== AF_NETLINK || address.pid !== 0) return []
      if (size > RECEIVE_SIZE) {
        throw new SysError({
          errno: EMSGSIZE,
          syscall: 'recvfrom',
          detail: `netlink datagram of ${size} bytes`,
        })
      }
      return decodeMessages(this.#buffer.slice(0, size))
    } catch (error) {
      if (isSysError(error, 'EAGAIN')) return null
      throw error
    }
  }
}

/**
 * Opens a netlink socket of any protocol (`NETLINK_ROUTE`, `NETLINK_GENERIC`, …).
 *
 * Needs: nothing; changes need CAP_NET_ADMIN.
 *
 * @throws {@link SysError} `EPROTONOSUPPORT` when the kernel lacks the protocol
 * @see https://man7.org/linux/man-pages/man7/netlink.7.html
 */
export function openNetlink(protocol: number, options: OpenNetlinkOptions = {}): Netlink {
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)
  try {
    // The error's text (since Linux 4.12), and without a copy of the request (4.3).
    setOptional(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1)
    setOptional(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1)
    // Dumps that honour filters (4.20); older kernels dump everything, and the callers filter again.
    setOptional(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
    if (options.receiveBufferSizeBytes !== undefined) {
      setOptional(fd, SOL_SOCKET, SO_RCVBUFFORCE, options.receiveBufferSizeBytes)
    }
    bind(fd, { family: AF_NETLINK, pid: 0, groups: 0 })
    for (const group of options.groups ?? []) setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
    return new Netlink(fd)
  } catch (error) {
    fd.close()
    throw error
  }
}

/**
 * Opens a socket for links, addresses and routes (rtnetlink).
 *
 * @see https://man7.org/linux/man-pages/man7/rtnetlink.7.html
 * @example
 * ```ts
 * import { listLinks } from '@pkg/net/link'
 * import { openRtnetlink } from '@pkg/net/netlink'
 *
 * using rt = openRtnetlink()
 * for (const link of listLinks(rt)) console.log(link.name, link.mtu)
 * ```
 */
export function openRtnetlink(options: OpenNetlinkOptions = {}): Netlink {
  return openNetlink(NETLINK_ROUTE, options)
}

function setOptional(fd: OwnedFd, level: number, name: number, value: number): void {
  try {
    setsockopt(fd, level, name, value)
  } catch (error) {
    if (!isSysError(error, 'ENOPROTOOPT') && !isSysError(error, 'EPERM')) throw error
  }
}

function failure(request: NetlinkRequest, errno: number, detail: string | undefined): SysError {
  return new SysError({
    errno,
    syscall: request.name,
    path: request.object,
    attempt: request.attempt,
    detail,
  })
}
