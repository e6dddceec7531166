// IPv4 and UDP headers by hand: before there is an address, the kernel's own UDP cannot send from 0.0.0.0.
import { formatAddress, parseAddress } from '../ip.ts'

/** An UDP datagram in IPv4. */
export interface Datagram {
  source: string
  sourcePort: number
  destination: string
  destinationPort: number
  payload: Uint8Array
}

/** DHCP's ports. RFC 2131 section 4.1. */
export const DHCP_SERVER_PORT = 67
/** The client's side of {@link DHCP_SERVER_PORT}. */
export const DHCP_CLIENT_PORT = 68

const IP_HEADER_SIZE = 20
const UDP_HEADER_SIZE = 8
const IPPROTO_UDP = 17
/** udhcpc and dhclient send 64 and 128; 64 is the default of RFC 1700. */
const TIME_TO_LIVE = 64
/** DSCP CS6, network control, is what dhclient and networkd send: switches keep it when they are full. */
const TYPE_OF_SERVICE = 0xc0
/** RFC 791 section 3.1: more fragments (bit 13) or an offset: not the whole datagram. */
const FRAGMENT_MASK = 0x3fff

/**
 * Writes the IPv4 and UDP headers, both with their checksums, and the payload.
 *
 * @throws RangeError when the datagram would exceed 65,535 bytes
 * @see https://www.rfc-editor.org/rfc/rfc791#section-3.1
 * @see https://www.rfc-editor.org/rfc/rfc768
 */
export function encodeDatagram(datagram: Datagram): Uint8Array<ArrayBuffer> {
  const udpLength = UDP_HEADER_SIZE + datagram.payload.length
  const totalLength = IP_HEADER_SIZE + udpLength
  if (totalLength > 0xffff) throw new RangeError(`an IPv4 datagram of ${totalLength} bytes: at most 65535`)
  const bytes = new Uint8Array(totalLength)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, 0x45)
  view.setUint8(1, TYPE_OF_SERVICE)
  view.setUint16(2, totalLength)
  view.setUint8(8, TIME_TO_LIVE)
  view.setUint8(9, IPPROTO_UDP)
  bytes.set(parseAddress(datagram.source), 12)
  bytes.set(parseAddress(datagram.destination), 16)
  view.setUint16(10, finish(sumWords(bytes.subarray(0, IP_HEADER_SIZE))))
  view.setUint16(20, datagram.sourcePort)
  view.setUint16(22, datagram.destinationPort)
  view.setUint16(24, udpLength)
  bytes.set(datagram.payload, IP_HEADER_SIZE + UDP_HEADER_SIZE)
  const checksum = finish(sumWords(bytes.subarray(IP_HEADER_SIZE), pseudoHeaderSum(bytes, udpLength)))
  // RFC 768: a computed checksum of zero is sent as all ones, for zero means none.
  view.setUint16(26, checksum === 0 ? 0xffff : checksum)
  return bytes
}

/**
 * Reads an IPv4 packet that holds one whole UDP datagram; null for anything else, or a wrong checksum.
 *
 * Three UDP checksums are right: the computed one; zero, for none; and the bare sum of the pseudo header. The last is
 * what a packet socket sees from a sender on the same machine (veth, bridge, container): the kernel leaves the rest to
 * hardware that never comes (`CHECKSUM_PARTIAL`). Clients that do not know it never get a lease there.
 *
 * @see net/ipv4/udp.c udp_set_csum()
 */
export function decodeDatagram(bytes: Uint8Array): Datagram | null {
  if (bytes.length < IP_HEADER_SIZE + UDP_HEADER_SIZE) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const headerSize = (view.getUint8(0) & 0x0f) * 4
  const totalLength = view.getUint16(2)
  if (view.getUint8(0) >> 4 !== 4 || headerSize < IP_HEADER_SIZE || view.getUint8(9) !== IPPROTO_UDP)
    return null
  if (totalLength > bytes.length || headerSize + UDP_HEADER_SIZE > totalLength) return null
  if ((view.getUint16(6) & FRAGMENT_MASK) !== 0) return null
  if (finish(sumWords(bytes.subarray(0, headerSize))) !== 0) return null
  const udpLength = view.getUint16(headerSize + 4)
  if (udpLength < UDP_HEADER_SIZE || headerSize + udpLength > totalLength) return null
  const udp = bytes.subarray(headerSize, headerSize + udpLength)
  const pseudo = pseudoHeaderSum(bytes, udpLength)
  const checksum = view.getUint16(headerSize + 6)
  const isRight = checksum === 0 || checksum === fold(pseudo) || finish(sumWords(udp, pseudo)) === 0
  if (!isRight) return null
  return {
    source: formatAddress(bytes.subarray(12, 16)),
    sourcePort: view.getUint16(headerSize),
    destination: formatAddress(bytes.subarray(16, 20)),
    destinationPort: view.getUint16(headerSize + 2),
    payload: udp.subarray(UDP_HEADER_SIZE),
  }
}

/** RFC 768: source, destination, protocol and length of the UDP part. */
function pseudoHeaderSum(bytes: Uint8Array, udpLength: number): number {
  return sumWords(bytes.subarray(12, 20), IPPROTO_UDP + udpLength)
}

/** RFC 1071: the sum of 16-bit words; an odd last byte is padded with zero. */
function sumWords(bytes: Uint8Array, start = 0): number {
  let sum = start
  for (let index = 0; index < bytes.length; index += 2) {
    sum += ((bytes[index] ?? 0) << 8) | (bytes[index + 1] ?? 0)
  }
  return sum
}

function fold(sum: number): number {
  let folded = sum
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000)
  return folded
}

function finish(sum: number): number {
  return ~fold(sum) & 0xffff
}
