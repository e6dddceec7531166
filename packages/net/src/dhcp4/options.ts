// What the options mean: numbers of RFC 2132 and later ones, and a lease read from an ACK.
import { formatAddress, netmaskToPrefixLength, parseAddress } from '../ip.ts'
import type { DhcpPacket } from './packet.ts'

/** Option numbers that this client reads or writes. @see https://www.iana.org/assignments/bootp-dhcp-parameters */
export const OPTION = {
  subnetMask: 1,
  router: 3,
  domainNameServer: 6,
  hostName: 12,
  domainName: 15,
  interfaceMtu: 26,
  broadcastAddress: 28,
  ntpServers: 42,
  requestedAddress: 50,
  leaseTime: 51,
  messageType: 53,
  serverIdentifier: 54,
  parameterRequestList: 55,
  message: 56,
  maximumMessageSize: 57,
  renewalTime: 58,
  rebindingTime: 59,
  clientIdentifier: 61,
  rapidCommit: 80,
  domainSearch: 119,
  classlessStaticRoute: 121,
} as const

/** Values of option 53. RFC 2132 section 9.6. */
export const MESSAGE_TYPE = {
  discover: 1,
  offer: 2,
  request: 3,
  decline: 4,
  ack: 5,
  nak: 6,
  release: 7,
  inform: 8,
} as const

/** RFC 2131 section 3.3: 0xffffffff is "infinity". */
const LEASE_INFINITE = 0xffffffff

/** One route that the server gave. */
export interface LeaseRoute {
  /** Network, `0.0.0.0` for the default route. */
  destination: string
  /** 0 for the default route. */
  prefixLength: number
  /** `0.0.0.0` means on-link (RFC 3442: "local subnet routes"). */
  gateway: string
}

/** What a server granted, read from its ACK (or offered, from its OFFER). */
export interface Lease {
  /** Our address. */
  address: string
  /** Of the subnet mask (option 1). */
  prefixLength: number
  /** Absent when the server gives none and the kernel should compute it. */
  broadcast?: string
  /** The server's identifier, where renewals are sent. */
  server: string
  /** In the order of the server; option 121 replaces option 3 when present (RFC 3442). */
  routes: LeaseRoute[]
  /** In the order of preference (option 6). */
  nameservers: string[]
  /** The domain of this network (option 15). */
  domainName?: string
  /** Domains that short names are tried in (option 119). */
  domainSearch: string[]
  /** Time servers (option 42). */
  ntpServers: string[]
  /** The name that the server gives us (option 12). */
  hostname?: string
  /** Bytes, 576 or more (option 26). */
  mtu?: number
  /** `Infinity` when the lease never ends. */
  leaseSeconds: number
  /** T1: when to renew, in seconds from the request. */
  renewSeconds: number
  /** T2: when to ask any server. */
  rebindSeconds: number
}

/** Reads option 53; undefined when absent or not one byte. */
export function messageType(packet: DhcpPacket): number | undefined {
  const value = packet.options.get(OPTION.messageType)
  return value?.length === 1 ? value[0] : undefined
}

/** Reads an option that holds one IPv4 address. */
export function addressOption(packet: DhcpPacket, code: number): string | undefined {
  const value = packet.options.get(code)
  return value?.length === 4 ? formatAddress(value) : undefined
}

/**
 * Reads a lease from an OFFER or ACK. An option that is malformed is left out, as if the server had not sent it; only
 * what a lease cannot do without makes it unusable.
 *
 * @returns the lease, or in a string the reason why a client must not use it
 * @see https://www.rfc-editor.org/rfc/rfc2131#section-4.3.1
 */
export function readLease(packet: DhcpPacket): Lease | string {
  const server = addressOption(packet, OPTION.serverIdentifier)
  if (server === undefined) return 'no server identifier (option 54)'
  const leaseSeconds = seconds(packet, OPTION.leaseTime)
  if (leaseSeconds === undefined) return 'no lease time (option 51)'
  if (leaseSeconds === 0) return 'a lease of 0 seconds'
  const reason = badHostAddress(packet.yiaddr)
  if (reason !== null) return `address ${packet.yiaddr} is ${reason}`
  const mask = packet.options.get(OPTION.subnetMask)
  const prefixLength = mask === undefined ? classfulPrefixLength(packet.yiaddr) : netmaskToPrefixLength(mask)
  if (prefixLength === null || prefixLength === 0) return 'a subnet mask that is no prefix (option 1)'
  const lease: Lease = {
    address: packet.yiaddr,
    prefixLength,
    server,
    routes: readRoutes(packet),
    nameservers: addresses(packet, OPTION.domainNameServer),
    domainSearch: readDomainSearch(packet.options.get(OPTION.domainSearch) ?? new Uint8Array()),
    ntpServers: addresses(packet, OPTION.ntpServers),
    leaseSeconds,
    ...renewalTimes(packet, leaseSeconds),
  }
  addOptional(packet, lease)
  return lease
}

function addOptional(packet: DhcpPacket, lease: Lease): void {
  const broadcast = addressOption(packet, OPTION.broadcastAddress)
  if (broadcast !== undefined) lease.broadcast = broadcast
  const domainName = nameOption(packet, OPTION.domainName)
  if (domainName !== undefined) lease.domainName = domainName
  const hostname = nameOption(packet, OPTION.hostName)
  if (hostname !== undefined) lease.hostname = hostname
  const mtu = packet.options.get(OPTION.interfaceMtu)
  if (mtu?.length === 2) {
    const value = new DataView(mtu.buffer, mtu.byteOffset, 2).getUint16(0)
    // RFC 2132 section 5.1: "The minimum legal value for the MTU is 68"; below 576 IPv4 hosts need not cope
    // (RFC 791), and routers exist that hand out nonsense here.
    if (value >= 576) lease.mtu = value
  }
}

/** RFC 2131 section 4.4.5: T1 is half and T2 is 0.875 of the lease, unless the server says otherwise, in order. */
function renewalTimes(
  packet: DhcpPacket,
  leaseSeconds: number,
): Pick<Lease, 'renewSeconds' | 'rebindSeconds'> {
  const rebindGiven = seconds(packet, OPTION.rebindingTime)
  const rebindSeconds =
    rebindGiven !== undefined && rebindGiven > 0 && rebindGiven < leaseSeconds
      ? rebindGiven
      : leaseSeconds * 0.875
  const renewGiven = seconds(packet, OPTION.renewalTime)
  const renewSeconds =
    renewGiven !== undefined && renewGiven > 0 && renewGiven < rebindSeconds
      ? renewGiven
      : Math.min(leaseSeconds * 0.5, rebindSeconds)
  return { renewSeconds, rebindSeconds }
}

function seconds(packet: DhcpPacket, code: number): number | undefined {
  const value = packet.options.get(code)
  if (value?.length !== 4) return undefined
  const number = new DataView(value.buffer, value.byteOffset, 4).getUint32(0)
  return number === LEASE_INFINITE ? Infinity : number
}

function addresses(packet: DhcpPacket, code: number): string[] {
  const value = packet.options.get(code)
  if (value === undefined || value.length % 4 !== 0) return []
  return Array.from({ length: value.length / 4 }, (_, index) =>
    formatAddress(value.subarray(index * 4, index * 4 + 4)),
  )
}

/**
 * Names go into resolv.conf and sethostname: only letters, digits, hyphen, underscore and dots pass, so that no server
 * can smuggle in a line of its own. (CVE-2011-0997 was a DHCP client that passed names on unchecked.)
 */
function nameOption(packet: DhcpPacket, code: number): string | undefined {
  const value = packet.options.get(code)
  if (value === undefined) return undefined
  // RFC 2132 section 2: trailing NULs may come and must be ignored.
  const name = new TextDecoder('latin1').decode(value).replace(/\0+$/, '')
  return isDomainName(name) ? name : undefined
}

function isDomainName(name: string): boolean {
  return name.length <= 253 && /^[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*\.?$/i.test(name)
}

function readRoutes(packet: DhcpPacket): LeaseRoute[] {
  const classless = packet.options.get(OPTION.classlessStaticRoute)
  const routes = classless === undefined ? null : readClasslessRoutes(classless)
  // RFC 3442: "If the DHCP server returns both a Classless Static Routes option and a Router option, the DHCP client
  // MUST ignore the Router option."
  if (routes !== null) return routes
  const gateway = addresses(packet, OPTION.router)[0]
  if (gateway === undefined || badHostAddress(gateway) !== null) return []
  return [{ destination: '0.0.0.0', prefixLength: 0, gateway }]
}

/** RFC 3442: width, the significant bytes of the network, router; again and again. Null when it is cut. */
export function readClasslessRoutes(value: Uint8Array): LeaseRoute[] | null {
  const routes: LeaseRoute[] = []
  let offset = 0
  while (offset < value.length) {
    const prefixLength = value[offset] ?? 0
    const significant = Math.ceil(prefixLength / 8)
    const end = offset + 1 + significant + 4
    if (prefixLength > 32 || end > value.length) return null
    const network = new Uint8Array(4)
    network.set(value.subarray(offset + 1, offset + 1 + significant))
    // RFC 3442: bits after the width are ignored by masking them.
    const mask = prefixLength === 0 ? 0 : (0xffffffff << (32 - prefixLength)) >>> 0
    const view = new DataView(network.buffer)
    view.setUint32(0, view.getUint32(0) & mask)
    routes.push({
      destination: formatAddress(network),
      prefixLength,
      gateway: formatAddress(value.subarray(end - 4, end)),
    })
    offset = end
  }
  return routes.length === 0 ? null : routes
}

/** RFC 3397: DNS names with compression pointers into the option itself. A malformed rest is dropped. */
export function readDomainSearch(value: Uint8Array): string[] {
  const names: string[] = []
  let offset = 0
  while (offset < value.length) {
    const read = readDnsName(value, offset)
    if (read === null) break
    if (isDomainName(read.name)) names.push(read.name)
    offset = read.next
  }
  return names
}

function readDnsName(value: Uint8Array, start: number): { name: string; next: number } | null {
  const labels: string[] = []
  let offset = start
  let next: number | null = null
  // A pointer must point backwards (RFC 3397 section 2), so a loop ends; the bound keeps a hostile one short.
  for (let steps = 0; steps < 128; steps++) {
    const length = value[offset]
    if (length === undefined) return null
    if (length === 0) return { name: labels.join('.'), next: next ?? offset + 1 }
    if (length >= 0xc0) {
      const target = ((length & 0x3f) << 8) | (value[offset + 1] ?? 0xff)
      if (target >= offset) return null
      next ??= offset + 2
      offset = target
      continue
    }
    if (length > 63 || offset + 1 + length > value.length) return null
    labels.push(new TextDecoder('latin1').decode(value.subarray(offset + 1, offset + 1 + length)))
    offset += 1 + length
  }
  return null
}

/** Why an address cannot be a host's, or null. */
function badHostAddress(address: string): string | null {
  const first = parseAddress(address)[0] ?? 0
  if (address === '0.0.0.0') return 'missing'
  if (address === '255.255.255.255') return 'the broadcast address'
  if (first === 0) return 'in 0.0.0.0/8, "this network" (RFC 1122)'
  if (first === 127) return 'a loopback address'
  if (first >= 224) return 'a multicast or reserved address'
  return null
}

/** Without option 1 only the address itself can tell, as before CIDR (RFC 950): better than no network at all. */
function classfulPrefixLength(address: string): number {
  const first = parseAddress(address)[0] ?? 0
  if (first < 128) return 8
  return first < 192 ? 16 : 24
}
