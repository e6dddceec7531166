// The DHCP message of RFC 2131 with the options of RFC 2132: bytes to object and back, nothing trusted.
import { formatAddress, parseAddress } from '../ip.ts'

/** A DHCP message. Addresses that are not set are `0.0.0.0`. */
export interface DhcpPacket {
  /** 1 BOOTREQUEST (from the client), 2 BOOTREPLY (from the server). */
  op: 1 | 2
  /** ARP hardware type; 1 is Ethernet. */
  htype: number
  /** Relay hops. */
  hops: number
  /** The transaction's number. */
  xid: number
  /** Seconds since the client began; relays and failover servers look at it. */
  secs: number
  /** The client asks for answers to 255.255.255.255, because it cannot take unicast before it has an address. */
  broadcast: boolean
  /** The client's address, when it has one and answers ARP. */
  ciaddr: string
  /** "Your" address: what the server gives. */
  yiaddr: string
  /** The next server for booting. */
  siaddr: string
  /** The relay's address. */
  giaddr: string
  /** The client's hardware address, up to 16 bytes. */
  chaddr: Uint8Array
  /** Server's host name; empty when the field was overloaded with options. */
  sname: string
  /** Boot file name; empty when the field was overloaded with options. */
  file: string
  /** Options by number, split ones joined (RFC 3396). Without pad (0), end (255) and overload (52). */
  options: Map<number, Uint8Array>
}

/** Bytes that are not a DHCP message: too short, wrong cookie, an option past the end. */
export class DhcpFormatError extends Error {
  override name = 'DhcpFormatError'
}

/** Offset of the options: 236 bytes of fixed fields, then the cookie. RFC 2131 figure 1. */
const OPTIONS_OFFSET = 240
/** RFC 2131 section 3: "99, 130, 83 and 99". */
const MAGIC_COOKIE = 0x63825363
/** RFC 1542 section 2.1: a BOOTP message has at least 300 bytes, and relays drop shorter ones. */
const MESSAGE_SIZE_MIN = 300
/** RFC 2131 section 2: every host takes 576-byte datagrams; less 20 for IP and 8 for UDP. */
const MESSAGE_SIZE_MAX = 548
const CHADDR_SIZE = 16
const SNAME = { offset: 44, size: 64 }
const FILE = { offset: 108, size: 128 }
const OPTION_PAD = 0
const OPTION_OVERLOAD = 52
const OPTION_END = 255

/**
 * Writes a DHCP message of at least 300 bytes. Options keep the map's order, except that 53 (message type) should be
 * put first by the caller: some servers look only there. A value over 255 bytes is split (RFC 3396).
 *
 * @throws RangeError when a field does not fit or the message would exceed 548 bytes
 * @throws TypeError when an address is not IPv4
 * @see https://www.rfc-editor.org/rfc/rfc2131#section-2
 */
export function encodeDhcp(packet: DhcpPacket): Uint8Array<ArrayBuffer> {
  if (packet.chaddr.length > CHADDR_SIZE) throw new RangeError('chaddr has at most 16 bytes')
  const bytes = new Uint8Array(MESSAGE_SIZE_MAX)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, packet.op)
  view.setUint8(1, packet.htype)
  view.setUint8(2, packet.chaddr.length)
  view.setUint8(3, packet.hops)
  view.setUint32(4, packet.xid)
  // A client that waited for longer than the field can say stays at its end, not at zero again.
  view.setUint16(8, Math.min(packet.secs, 0xffff))
  view.setUint16(10, packet.broadcast ? 0x8000 : 0)
  bytes.set(ipv4(packet.ciaddr), 12)
  bytes.set(ipv4(packet.yiaddr), 16)
  bytes.set(ipv4(packet.siaddr), 20)
  bytes.set(ipv4(packet.giaddr), 24)
  bytes.set(packet.chaddr, 28)
  bytes.set(fieldText(packet.sname, SNAME.size, 'sname'), SNAME.offset)
  bytes.set(fieldText(packet.file, FILE.size, 'file'), FILE.offset)
  view.setUint32(236, MAGIC_COOKIE)
  const end = writeOptions(bytes, packet.options)
  return bytes.slice(0, Math.max(end, MESSAGE_SIZE_MIN))
}

/**
 * Reads a DHCP message. Reads the options in `file` and `sname` too when option 52 says so (RFC 2131 section 4.1:
 * first the options field, then file, then sname), and joins an option that comes in pieces (RFC 3396 section 5).
 *
 * @throws DhcpFormatError when the bytes are not a whole DHCP message
 * @see https://www.rfc-editor.org/rfc/rfc2132
 */
export function decodeDhcp(bytes: Uint8Array): DhcpPacket {
  if (bytes.length < OPTIONS_OFFSET) {
    throw new DhcpFormatError(
      `DHCP message of ${bytes.length} bytes: the fixed part alone has ${OPTIONS_OFFSET}`,
    )
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const op = view.getUint8(0)
  const hlen = view.getUint8(2)
  if (op !== 1 && op !== 2) throw new DhcpFormatError(`DHCP op ${op} is neither request nor reply`)
  if (hlen > CHADDR_SIZE) throw new DhcpFormatError(`DHCP hardware address of ${hlen} bytes: at most 16`)
  if (view.getUint32(236) !== MAGIC_COOKIE) throw new DhcpFormatError('no DHCP magic cookie: plain BOOTP')
  const { options, overload } = readAllOptions(bytes)
  return {
    op,
    htype: view.getUint8(1),
    hops: view.getUint8(3),
    xid: view.getUint32(4),
    secs: view.getUint16(8),
    broadcast: (view.getUint16(10) & 0x8000) !== 0,
    ciaddr: formatAddress(bytes.subarray(12, 16)),
    yiaddr: formatAddress(bytes.subarray(16, 20)),
    siaddr: formatAddress(bytes.subarray(20, 24)),
    giaddr: formatAddress(bytes.subarray(24, 28)),
    chaddr: bytes.slice(28, 28 + hlen),
    sname: overload & 2 ? '' : readFieldText(field(bytes, SNAME)),
    file: overload & 1 ? '' : readFieldText(field(bytes, FILE)),
    options,
  }
}

function writeOptions(bytes: Uint8Array, options: ReadonlyMap<number, Uint8Array>): number {
  let offset = OPTIONS_OFFSET
  for (const [code, value] of options) {
    if (!Number.isInteger(code) || code <= OPTION_PAD || code >= OPTION_END || code === OPTION_OVERLOAD) {
      throw new RangeError(`DHCP option ${code} cannot be written as an option with a value`)
    }
    for (const piece of split(value)) {
      // One byte is kept for the end mark.
      if (offset + 2 + piece.length + 1 > bytes.length) {
        throw new RangeError(`DHCP option ${code} does not fit: a message has at most ${bytes.length} bytes`)
      }
      bytes[offset] = code
      bytes[offset + 1] = piece.length
      bytes.set(piece, offset + 2)
      offset += 2 + piece.length
    }
  }
  bytes[offset] = OPTION_END
  return offset + 1
}

/** RFC 3396 section 7: an option over 255 bytes is written as several with the same code, all but the last full. */
function split(value: Uint8Array): Uint8Array[] {
  if (value.length <= 255) return [value]
  return [value.subarray(0, 255), ...split(value.subarray(255))]
}

function readAllOptions(bytes: Uint8Array): { options: Map<number, Uint8Array>; overload: number } {
  const pieces = new Map<number, Uint8Array[]>()
  readOptions(bytes.subarray(OPTIONS_OFFSET), pieces)
  const overload = pieces.get(OPTION_OVERLOAD)?.[0]?.[0] ?? 0
  pieces.delete(OPTION_OVERLOAD)
  if (overload & 1) readOptions(field(bytes, FILE), pieces)
  if (overload & 2) readOptions(field(bytes, SNAME), pieces)
  // An overload option inside an overloaded field means nothing.
  pieces.delete(OPTION_OVERLOAD)
  const options = new Map<number, Uint8Array>()
  for (const [code, list] of pieces) options.set(code, join(list))
  return { options, overload }
}

function readOptions(area: Uint8Array, pieces: Map<number, Uint8Array[]>): void {
  let offset = 0
  while (offset < area.length) {
    const code = area[offset] ?? OPTION_END
    if (code === OPTION_END) return
    if (code === OPTION_PAD) {
      offset += 1
      continue
    }
    const length = area[offset + 1]
    if (length === undefined || offset + 2 + length > area.length) {
      throw new DhcpFormatError(`DHCP option ${code} at byte ${offset} runs past the end of its field`)
    }
    const list = pieces.get(code) ?? []
    list.push(area.subarray(offset + 2, offset + 2 + length))
    pieces.set(code, list)
    offset += 2 + length
  }
  // No end mark: RFC 2131 demands one, but servers exist that fill the field to its last byte. What was read is whole.
}

function join(list: Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(list.reduce((sum, piece) => sum + piece.length, 0))
  let offset = 0
  for (const piece of list) {
    joined.set(piece, offset)
    offset += piece.length
  }
  return joined
}

function field(bytes: Uint8Array, { offset, size }: { offset: number; size: number }): Uint8Array {
  return bytes.subarray(offset, offset + size)
}

function readFieldText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return new TextDecoder('latin1').decode(end === -1 ? bytes : bytes.subarray(0, end))
}

function fieldText(value: string, size: number, name: string): Uint8Array {
  const bytes = new TextEncoder().encode(value)
  // RFC 2131 figure 1: "null terminated string".
  if (bytes.length >= size) throw new RangeError(`DHCP ${name} has at most ${size - 1} bytes`)
  return bytes
}

function ipv4(address: string): Uint8Array {
  const bytes = parseAddress(address)
  if (bytes.length !== 4) throw new TypeError(`'${address}' is not an IPv4 address`)
  return bytes
}
