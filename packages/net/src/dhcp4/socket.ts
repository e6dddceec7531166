// The two sockets of a DHCP client: a packet socket while there is no address, UDP from the address afterwards.
import {
  AF_INET,
  AF_PACKET,
  ETH_P_IP,
  IPPROTO_UDP,
  MSG_DONTWAIT,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOL_SOCKET,
  SO_ATTACH_FILTER,
  SO_BINDTODEVICE,
  SO_BROADCAST,
  SO_REUSEADDR,
} from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { OwnedFd } from '@pkg/sys/fd'
import { mmap } from '@pkg/sys/memory'
import { bind, recvfrom, sendto, setsockopt, socket } from '@pkg/sys/socket'
import { decodeDatagram, DHCP_CLIENT_PORT, DHCP_SERVER_PORT, encodeDatagram } from './datagram.ts'
import { encodeFilter, udpPortFilter } from './filter.ts'

/** What the client sends through and hears from. Neither call waits. */
export interface DhcpSocket extends Disposable {
  /** For the reactor: readable when there may be something to {@link DhcpSocket.receive}. */
  readonly fd: OwnedFd
  /**
   * Sends a message to port 67 of `destination`; the packet socket always as a broadcast frame.
   *
   * @throws {@link SysError} `ENETDOWN`, `ENXIO` the link went down or away; `ENETUNREACH` no route
   */
  send(message: Uint8Array, destination: string): void
  /** The next message to port 68, null when there is none. Datagrams with wrong checksums are skipped. */
  receive(): Uint8Array | null
}

/** Larger than any Ethernet frame, and than what option 57 allows the server. */
const RECEIVE_SIZE = 4_096
const ETHERNET_BROADCAST = Uint8Array.of(255, 255, 255, 255, 255, 255)

/**
 * Opens a packet socket that hears UDP to port 68 on one link, whatever its address, and sends from 0.0.0.0.
 * Needs CAP_NET_RAW.
 *
 * @throws {@link SysError} `EPERM`; `ENODEV` no such link
 * @see https://man7.org/linux/man-pages/man7/packet.7.html
 */
export function openLinkSocket(linkIndex: number): DhcpSocket {
  // Protocol 0 hears nothing until bind: so no packet arrives before the filter is there.
  const fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  try {
    attachFilter(fd)
    bind(fd, { family: AF_PACKET, protocol: ETH_P_IP, ifindex: linkIndex })
  } catch (error) {
    fd.close()
    throw error
  }
  const buffer = new Uint8Array(new ArrayBuffer(RECEIVE_SIZE))
  return {
    fd,
    send(message, destination) {
      const datagram = encodeDatagram({
        source: '0.0.0.0',
        sourcePort: DHCP_CLIENT_PORT,
        destination,
        destinationPort: DHCP_SERVER_PORT,
        payload: message,
      })
      const address = {
        family: AF_PACKET,
        protocol: ETH_P_IP,
        ifindex: linkIndex,
        address: ETHERNET_BROADCAST,
      } as const
      sendto(fd, datagram, MSG_DONTWAIT, address)
    },
    receive() {
      for (;;) {
        const size = receiveSome(fd, buffer)
        if (size === null) return null
        const datagram = decodeDatagram(buffer.subarray(0, size))
        if (datagram?.destinationPort === DHCP_CLIENT_PORT) return datagram.payload.slice()
      }
    },
    [Symbol.dispose]: () => fd.close(),
  }
}

/**
 * Opens a UDP socket on port 68 of one link, for renewals from the leased address.
 *
 * @throws {@link SysError} `EPERM` without CAP_NET_RAW (SO_BINDTODEVICE) or CAP_NET_BIND_SERVICE; `EADDRINUSE`
 *   another DHCP client runs
 */
export function openAddressSocket(linkName: string): DhcpSocket {
  const fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP)
  try {
    // One such socket for each link that has a client.
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1)
    setsockopt(fd, SOL_SOCKET, SO_BROADCAST, 1)
    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(`${linkName}\0`))
    // Not bound to the leased address: answers to REBINDING may come as broadcasts.
    bind(fd, { family: AF_INET, address: '0.0.0.0', port: DHCP_CLIENT_PORT })
  } catch (error) {
    fd.close()
    throw error
  }
  const buffer = new Uint8Array(new ArrayBuffer(RECEIVE_SIZE))
  return {
    fd,
    send(message, destination) {
      sendto(fd, message, MSG_DONTWAIT, { family: AF_INET, address: destination, port: DHCP_SERVER_PORT })
    },
    receive() {
      const size = receiveSome(fd, buffer)
      return size === null ? null : buffer.slice(0, size)
    },
    [Symbol.dispose]: () => fd.close(),
  }
}

/**
 * `struct sock_fprog { unsigned short len; struct sock_filter *filter; };`: the kernel copies the program, so its
 * memory may go when the call returns.
 */
function attachFilter(fd: OwnedFd): void {
  const program = encodeFilter(udpPortFilter(DHCP_CLIENT_PORT))
  using memory = mmap({ lengthBytes: program.length })
  memory.bytes.set(program)
  const fprog = new Uint8Array(new ArrayBuffer(16))
  const view = new DataView(fprog.buffer)
  view.setUint16(0, program.length / 8, true)
  view.setBigUint64(8, BigInt(memory.address), true)
  setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, fprog)
}

function receiveSome(fd: OwnedFd, buffer: Uint8Array): number | null {
  try {
    return recvfrom(fd, buffer, MSG_DONTWAIT).size
  } catch (error) {
    // ENETDOWN is how a packet socket tells, once, that its link went down (packet(7)); ECONNREFUSED how UDP tells
    // of an ICMP answer. The link's own event and the retransmission deal with both.
    if (['EAGAIN', 'ENETDOWN', 'ECONNREFUSED', 'EHOSTUNREACH'].some((code) => isSysError(error, code)))
      return null
    throw error
  }
}
