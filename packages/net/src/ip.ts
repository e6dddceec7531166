// IP addresses between the text that people write and the bytes that netlink and DHCP carry.

/** An address and the number of its leading bits that name the network. */
export interface Prefix {
  /** IPv4 or IPv6 text, canonical (RFC 5952 for IPv6). */
  address: string
  /** 0–32 for IPv4, 0–128 for IPv6. */
  prefixLength: number
}

/**
 * Turns IPv4 or IPv6 text into its 4 or 16 bytes in network order. Returns at once.
 *
 * IPv4 takes exactly four decimal numbers without leading zeros: `010.0.0.1` means 8.0.0.1 to inet_aton and
 * 10.0.0.1 to others, so it is refused. IPv6 takes `::` and a dotted IPv4 tail, but no zone.
 *
 * @throws TypeError when the text is not an address
 * @see https://www.rfc-editor.org/rfc/rfc4291#section-2.2
 * @example
 * ```ts
 * import { parseAddress } from '@pkg/net/ip'
 *
 * console.log(parseAddress('10.0.2.15')) // Uint8Array [ 10, 0, 2, 15 ]
 * ```
 */
export function parseAddress(text: string): Uint8Array {
  const bytes = text.includes(':') ? parseIpv6(text) : parseIpv4(text)
  if (bytes === null) {
    throw new TypeError(`'${text}' is not an IP address: expected IPv4 as in 10.0.2.15 or IPv6 as in fd00::1`)
  }
  return bytes
}

/**
 * Turns 4 or 16 bytes into address text; IPv6 in the canonical form of RFC 5952.
 *
 * @throws RangeError for any other number of bytes
 * @see https://www.rfc-editor.org/rfc/rfc5952#section-4
 * @example
 * ```ts
 * import { formatAddress, parseAddress } from '@pkg/net/ip'
 *
 * console.log(formatAddress(parseAddress('FD00:0:0::01'))) // fd00::1
 * ```
 */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  if (bytes.length === 16) return formatIpv6(bytes)
  throw new RangeError(`an IP address has 4 or 16 bytes, not ${bytes.length}`)
}

/**
 * Reads `10.0.2.15/24`. Without a slash the prefix is the whole address (32 or 128 bits), as in `ip address add`.
 *
 * @throws TypeError when address or length are not valid
 * @example
 * ```ts
 * import { parsePrefix } from '@pkg/net/ip'
 *
 * console.log(parsePrefix('10.0.2.15/24')) // { address: '10.0.2.15', prefixLength: 24 }
 * ```
 */
export function parsePrefix(text: string): Prefix {
  const slash = text.indexOf('/')
  const bytes = parseAddress(slash === -1 ? text : text.slice(0, slash))
  const lengthText = slash === -1 ? String(bytes.length * 8) : text.slice(slash + 1)
  const prefixLength = Number(lengthText)
  if (!/^(0|[1-9]\d{0,2})$/.test(lengthText) || prefixLength > bytes.length * 8) {
    throw new TypeError(`'${text}': the prefix length must be a whole number from 0 to ${bytes.length * 8}`)
  }
  return { address: formatAddress(bytes), prefixLength }
}

/** Writes a prefix as `10.0.2.15/24`. */
export function formatPrefix(prefix: Prefix): string {
  return `${prefix.address}/${prefix.prefixLength}`
}

/**
 * Counts the leading ones of an IPv4 netmask: 255.255.255.0 is 24. Returns null when the ones are not contiguous,
 * for such a mask (legal before RFC 950 was tightened) names no prefix.
 */
export function netmaskToPrefixLength(mask: Uint8Array): number | null {
  if (mask.length !== 4) return null
  const value = new DataView(mask.buffer, mask.byteOffset, 4).getUint32(0)
  const length = Math.clz32(~value)
  return prefixLengthToMask(length) === value ? length : null
}

/**
 * Zeroes the host's bits of an address: the network that `10.0.2.15/24` lies in is `10.0.2.0`.
 *
 * @throws TypeError when the address is not valid
 */
export function networkOf(prefix: Prefix): string {
  const bytes = parseAddress(prefix.address)
  for (let index = 0; index < bytes.length; index++) {
    const kept = Math.min(8, Math.max(0, prefix.prefixLength - index * 8))
    bytes[index] = (bytes[index] ?? 0) & (0xff << (8 - kept))
  }
  return formatAddress(bytes)
}

function prefixLengthToMask(length: number): number {
  return length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0
}

function parseIpv4(text: string): Uint8Array | null {
  const parts = text.split('.')
  if (parts.length !== 4) return null
  const bytes = new Uint8Array(4)
  for (const [index, part] of parts.entries()) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return null
    bytes[index] = Number(part)
  }
  return bytes
}

function parseIpv6(text: string): Uint8Array | null {
  const halves = text.split('::')
  if (halves.length > 2) return null
  const head = parseGroups(halves[0] ?? '', halves.length === 1)
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? '', true) : []
  if (head === null || tail === null) return null
  const length = head.length + tail.length
  // `::` stands for at least one group (RFC 4291 section 2.2 says "one or more").
  if (halves.length === 1 ? length !== 16 : length > 14) return null
  const bytes = new Uint8Array(16)
  bytes.set(head, 0)
  bytes.set(tail, 16 - tail.length)
  return bytes
}

function parseGroups(text: string, mayEndInIpv4: boolean): number[] | null {
  if (text === '') return []
  const groups = text.split(':')
  const bytes: number[] = []
  for (const [index, group] of groups.entries()) {
    if (mayEndInIpv4 && index === groups.length - 1 && group.includes('.')) {
      const ipv4 = parseIpv4(group)
      if (ipv4 === null) return null
      bytes.push(...ipv4)
    } else if (/^[0-9a-f]{1,4}$/i.test(group)) {
      const value = Number.parseInt(group, 16)
      bytes.push(value >> 8, value & 0xff)
    } else {
      return null
    }
  }
  return bytes
}

function formatIpv6(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16)
  const groups = Array.from({ length: 8 }, (_, index) => view.getUint16(index * 2))
  const [start, length] = longestZeroRun(groups)
  const hex = groups.map((group) => group.toString(16))
  // RFC 5952 section 4.2.2: a single zero group is not shortened.
  if (length < 2) return hex.join(':')
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`
}

function longestZeroRun(groups: number[]): [start: number, length: number] {
  let best: [number, number] = [0, 0]
  let start = 0
  for (let index = 0; index <= groups.length; index++) {
    if (groups[index] === 0) continue
    if (index - start > best[1]) best = [start, index - start]
    start = index + 1
  }
  return best
}
