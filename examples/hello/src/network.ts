// Network interfaces and their addresses, asked of the kernel through rtnetlink.
import {
  AF_NETLINK,
  AF_UNSPEC,
  IFA_ADDRESS,
  IFA_LOCAL,
  IFF_RUNNING,
  IFF_UP,
  IFLA_ADDRESS,
  IFLA_IFNAME,
  NETLINK_ROUTE,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  RTM_GETADDR,
  RTM_GETLINK,
  SOCK_RAW,
} from '@pkg/sys/constants'
import { recvfrom, sendto, socket } from '@pkg/sys/socket'
import { alloc } from '@pkg/sys/struct'
import { ifaddrmsg, ifinfomsg, nlmsghdr } from '@pkg/sys/structs'

/** A network interface. */
export interface Interface {
  /** `eth0` */
  name: string
  /** Whether it is switched on and has a carrier. */
  isUp: boolean
  /** `52:54:00:12:34:56`; null for those that have none. */
  hardwareAddress: string | null
  /** `10.0.2.15/24` */
  addresses: string[]
}

/** The body of one netlink message. */
interface Message {
  /** The fixed struct at its beginning. */
  header: DataView
  /** The attributes after it, by number. */
  attributes: Map<number, Uint8Array>
}

/** All interfaces in the kernel's order. */
export function readInterfaces(): Interface[] {
  const byIndex = new Map<number, Interface>()
  for (const { header, attributes } of dump(RTM_GETLINK, ifinfomsg.size)) {
    const flags = header.getUint32(ifinfomsg.fields.ifi_flags[1], true)
    const hardware = attributes.get(IFLA_ADDRESS)
    byIndex.set(header.getInt32(ifinfomsg.fields.ifi_index[1], true), {
      name: new TextDecoder().decode(attributes.get(IFLA_IFNAME)).replace('\0', ''),
      isUp: (flags & IFF_UP) !== 0 && (flags & IFF_RUNNING) !== 0,
      hardwareAddress: hardware?.some((byte) => byte !== 0)
        ? Array.from(hardware, (byte) => byte.toString(16).padStart(2, '0')).join(':')
        : null,
      addresses: [],
    })
  }
  for (const { header, attributes } of dump(RTM_GETADDR, ifaddrmsg.size)) {
    const prefixLength = header.getUint8(ifaddrmsg.fields.ifa_prefixlen[1])
    // Where an address has a peer, IFA_ADDRESS is the peer's.
    const address = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS)
    const owner = byIndex.get(header.getUint32(ifaddrmsg.fields.ifa_index[1], true))
    if (address !== undefined) owner?.addresses.push(`${formatAddress(address)}/${prefixLength}`)
  }
  return [...byIndex.values()]
}

/** Four or sixteen bytes as text; IPv6 in the canonical form of RFC 5952, which URLs have too. */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  const hex = Buffer.from(bytes).toString('hex')
  return new URL(`http://[${hex.match(/.{4}/g)?.join(':')}]`).hostname.slice(1, -1)
}

/** Asks for all objects of a kind. The kernel answers at once. */
function* dump(type: number, headerSize: number): Generator<Message, void, void> {
  using netlink = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)
  const request = alloc(nlmsghdr)
  const packet = new Uint8Array(nlmsghdr.size + headerSize)
  request.set('nlmsg_len', packet.length)
  request.set('nlmsg_type', type)
  request.set('nlmsg_flags', NLM_F_REQUEST | NLM_F_DUMP)
  packet.set(request.bytes)
  packet[nlmsghdr.size] = AF_UNSPEC
  sendto(netlink, packet, 0, { family: AF_NETLINK, pid: 0, groups: 0 })
  // NLMSG_GOODSIZE of linux/netlink.h is at most 8 KiB, and a dump's packets at most 32 KiB (netlink_dump).
  const buffer = new Uint8Array(new ArrayBuffer(32_768))
  for (;;) {
    const { size } = recvfrom(netlink, buffer, 0)
    for (let at = 0; at + nlmsghdr.size <= size;) {
      const view = new DataView(buffer.buffer, at)
      const length = view.getUint32(0, true)
      const kind = view.getUint16(nlmsghdr.fields.nlmsg_type[1], true)
      if (kind === NLMSG_DONE) return
      const end = at + length
      const body = at + nlmsghdr.size
      if (kind === NLMSG_ERROR || length < nlmsghdr.size + headerSize || end > size)
        throw new Error('rtnetlink: the kernel does not answer the question')
      yield {
        header: new DataView(buffer.buffer, body, headerSize),
        attributes: attributesOf(buffer.slice(body + headerSize, end)),
      }
      at += align(length)
    }
  }
}

/** `struct rtattr`: u16 length, its own four bytes included; u16 type; the value. */
function attributesOf(bytes: Uint8Array<ArrayBuffer>): Map<number, Uint8Array> {
  const attributes = new Map<number, Uint8Array>()
  const view = new DataView(bytes.buffer)
  for (let at = 0; at + 4 <= bytes.length;) {
    const length = view.getUint16(at, true)
    if (length < 4) break
    attributes.set(view.getUint16(at + 2, true), bytes.subarray(at + 4, at + length))
    at += align(length)
  }
  return attributes
}

/** NLMSG_ALIGN and RTA_ALIGN: to four bytes. */
function align(size: number): number {
  return (size + 3) & ~3
}
