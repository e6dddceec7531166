// IP addresses of links: list, add, replace, delete, flush.
import {
  AF_INET,
  AF_INET6,
  AF_UNSPEC,
  IFA_ADDRESS,
  IFA_BROADCAST,
  IFA_CACHEINFO,
  IFA_FLAGS,
  IFA_F_NOPREFIXROUTE,
  IFA_LABEL,
  IFA_LOCAL,
  IFA_RT_PRIORITY,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  RTM_DELADDR,
  RTM_GETADDR,
  RTM_NEWADDR,
} from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { formatAddress, formatPrefix, parseAddress, parsePrefix } from './ip.ts'
import { linkIndex } from './link.ts'
import {
  attributeMap,
  encodeAttributes,
  readText,
  readU32,
  u32,
  type AttributeInput,
} from './netlink/attribute.ts'
import type { NetlinkMessage } from './netlink/message.ts'
import {
  concat,
  decodeInterfaceAddress,
  encodeInterfaceAddress,
  IFADDRMSG_SIZE,
} from './netlink/route-structs.ts'
import type { Netlink } from './netlink.ts'

/** An address that a link has. */
export interface LinkAddress {
  /** The link that has it. */
  linkIndex: number
  /** IPv4 or IPv6. */
  family: 'inet' | 'inet6'
  /** As text, IPv6 in the form of RFC 5952. */
  address: string
  /** Leading bits that name the network: 24. */
  prefixLength: number
  /** The other end of a point-to-point link. */
  peer?: string
  /** IPv4 only. */
  broadcast?: string
  /** IPv4 only: the link's name, or an alias of it. */
  label?: string
  /** `RT_SCOPE_*`: 0 universe, 253 link, 254 host. */
  scope: number
  /** `IFA_F_*`: tentative, permanent, deprecated, … */
  flags: number
  /** Seconds until the kernel removes it; `Infinity` for never. */
  validSeconds: number
  /** Seconds until it is deprecated: kept, but not chosen as a source any more. */
  preferredSeconds: number
}

/** Which addresses to list or flush. */
export interface AddressFilter {
  /** Name or index. */
  link?: string | number
  /** IPv4 or IPv6; default: both. */
  family?: 'inet' | 'inet6'
}

/** Details of an address to add. */
export interface AddressOptions {
  /** IPv4: the broadcast address, `auto` (default) for all host bits one; `none` for links without. */
  broadcast?: string
  /** Until the kernel removes it; default `Infinity`. */
  validSeconds?: number
  /** Until it is deprecated; default {@link AddressOptions.validSeconds}. */
  preferredSeconds?: number
  /** Do not add the route to the address's network. */
  noPrefixRoute?: boolean
  /** Metric of the route to the address's network. */
  routeMetric?: number
}

/** `INFINITY_LIFE_TIME` of include/net/addrconf.h: 32 ones. */
const INFINITY_LIFE_TIME = 0xffffffff
/** sizeof(struct ifa_cacheinfo): preferred, valid, created, updated. */
const CACHEINFO_SIZE = 16

/**
 * Lists addresses, of all links or of one. Returns at once.
 *
 * @throws {@link SysError} `ENODEV` no such link
 */
export function listAddresses(rt: Netlink, filter: AddressFilter = {}): LinkAddress[] {
  const index = filter.link === undefined ? 0 : linkIndex(rt, filter.link)
  const family = filter.family === undefined ? AF_UNSPEC : familyNumber(filter.family)
  const payload = encodeInterfaceAddress({ family, prefixLength: 0, flags: 0, scope: 0, index })
  const messages = rt.request({ type: RTM_GETADDR, flags: NLM_F_DUMP, payload, name: 'RTM_GETADDR' })
  // Kernels before 4.20 do not filter by link.
  return messages.map(decodeAddress).filter((address) => index === 0 || address.linkIndex === index)
}

/**
 * Adds an address, as `ip address add`. Returns at once; an IPv6 address is tentative for a second or two (DAD).
 * Needs CAP_NET_ADMIN.
 *
 * @param prefix - `10.0.2.15/24`
 * @throws {@link SysError} `EEXIST` the link has it; `ENODEV` no such link
 * @throws TypeError for text that is not an address
 * @example
 * ```ts no-run
 * import { addAddress } from '@pkg/net/address'
 * import { openRtnetlink } from '@pkg/net/netlink'
 *
 * using rt = openRtnetlink()
 * addAddress(rt, 'eth0', '10.0.2.15/24')
 * ```
 */
export function addAddress(
  rt: Netlink,
  link: string | number,
  prefix: string,
  options: AddressOptions = {},
): void {
  change(rt, link, prefix, options, NLM_F_CREATE | NLM_F_EXCL)
}

/**
 * Adds an address or, when the link has it, gives it new lifetimes: what a renewed lease needs, without a gap.
 *
 * @throws {@link SysError} `ENODEV` no such link
 */
export function replaceAddress(
  rt: Netlink,
  link: string | number,
  prefix: string,
  options: AddressOptions = {},
): void {
  change(rt, link, prefix, options, NLM_F_CREATE | NLM_F_REPLACE)
}

/**
 * Removes an address. The kernel removes the routes that have it as their source, too.
 *
 * @throws {@link SysError} `EADDRNOTAVAIL` the link does not have it
 */
export function deleteAddress(rt: Netlink, link: string | number, prefix: string): void {
  rt.request({
    type: RTM_DELADDR,
    payload: encodeAddress(linkIndex(rt, link), prefix, null),
    name: 'RTM_DELADDR',
    object: String(link),
    attempt: prefix,
  })
}

/**
 * Removes all addresses that the filter names. One that goes away by itself meanwhile (with the primary of its
 * network, or at its time) is no error.
 *
 * @returns how many it removed
 */
export function flushAddresses(rt: Netlink, filter: AddressFilter & { link: string | number }): number {
  let removedCount = 0
  for (const address of listAddresses(rt, filter)) {
    try {
      deleteAddress(rt, address.linkIndex, formatPrefix(address))
      removedCount += 1
    } catch (error) {
      if (!isSysError(error, 'EADDRNOTAVAIL')) throw error
    }
  }
  return removedCount
}

/** Reads an address from an RTM_NEWADDR or RTM_DELADDR message. */
export function decodeAddress(message: NetlinkMessage): LinkAddress {
  const info = decodeInterfaceAddress(message.payload)
  const attributes = attributeMap(message.payload.subarray(IFADDRMSG_SIZE))
  const peer = attributes.get(IFA_ADDRESS)
  // rtnetlink(7): on a point-to-point link IFA_ADDRESS is the other end and IFA_LOCAL ours; IPv6 often has only the
  // first.
  const local = attributes.get(IFA_LOCAL) ?? peer ?? new Uint8Array(info.family === AF_INET ? 4 : 16)
  const broadcast = attributes.get(IFA_BROADCAST)
  const label = readText(attributes.get(IFA_LABEL))
  const lifetimes = attributes.get(IFA_CACHEINFO)
  const address: LinkAddress = {
    linkIndex: info.index,
    family: info.family === AF_INET ? 'inet' : 'inet6',
    address: formatAddress(local),
    prefixLength: info.prefixLength,
    scope: info.scope,
    flags: readU32(attributes.get(IFA_FLAGS)) ?? info.flags,
    preferredSeconds: lifetime(readU32(lifetimes)),
    validSeconds: lifetime(readU32(lifetimes?.subarray(4))),
  }
  if (peer !== undefined && formatAddress(peer) !== address.address) address.peer = formatAddress(peer)
  if (broadcast !== undefined) address.broadcast = formatAddress(broadcast)
  if (label !== undefined) address.label = label
  return address
}

/** Writes what follows the header of an RTM_NEWADDR (with options) or RTM_DELADDR (with null). */
export function encodeAddress(
  index: number,
  prefix: string,
  options: AddressOptions | null,
): Uint8Array<ArrayBuffer> {
  const { address, prefixLength } = parsePrefix(prefix)
  const bytes = parseAddress(address)
  const family = bytes.length === 4 ? AF_INET : AF_INET6
  const attributes: AttributeInput[] = [
    [IFA_LOCAL, bytes],
    [IFA_ADDRESS, bytes],
  ]
  if (options !== null) attributes.push(...optionAttributes(bytes, prefixLength, options))
  const head = encodeInterfaceAddress({ family, prefixLength, flags: 0, scope: 0, index })
  return concat(head, encodeAttributes(attributes))
}

function optionAttributes(
  bytes: Uint8Array,
  prefixLength: number,
  options: AddressOptions,
): AttributeInput[] {
  const attributes: AttributeInput[] = []
  const broadcast = broadcastBytes(bytes, prefixLength, options.broadcast ?? 'auto')
  if (broadcast !== null) attributes.push([IFA_BROADCAST, broadcast])
  if (options.noPrefixRoute) attributes.push([IFA_FLAGS, u32(IFA_F_NOPREFIXROUTE)])
  if (options.validSeconds !== undefined || options.preferredSeconds !== undefined) {
    attributes.push([IFA_CACHEINFO, encodeLifetimes(options)])
  }
  if (options.routeMetric !== undefined) attributes.push([IFA_RT_PRIORITY, u32(options.routeMetric)])
  return attributes
}

/**
 * `struct ifa_cacheinfo { __u32 ifa_prefered; __u32 ifa_valid; __u32 cstamp; __u32 tstamp; };`
 *
 * @see include/uapi/linux/if_addr.h
 */
function encodeLifetimes(options: AddressOptions): Uint8Array {
  const valid = options.validSeconds ?? Infinity
  const preferred = options.preferredSeconds ?? valid
  if (!(valid > 0 && preferred >= 0 && preferred <= valid)) {
    throw new RangeError(
      `address lifetimes: preferred ${preferred} s must not exceed valid ${valid} s, valid not be 0`,
    )
  }
  const bytes = new Uint8Array(CACHEINFO_SIZE)
  bytes.set(u32(kernelSeconds(preferred)), 0)
  bytes.set(u32(kernelSeconds(valid)), 4)
  return bytes
}

function kernelSeconds(seconds: number): number {
  // A fraction is rounded up: a valid lifetime of zero would be refused.
  return seconds === Infinity ? INFINITY_LIFE_TIME : Math.min(Math.ceil(seconds), INFINITY_LIFE_TIME - 1)
}

function lifetime(seconds: number | undefined): number {
  return seconds === undefined || seconds === INFINITY_LIFE_TIME ? Infinity : seconds
}

function broadcastBytes(bytes: Uint8Array, prefixLength: number, broadcast: string): Uint8Array | null {
  if (bytes.length !== 4 || broadcast === 'none') return null
  if (broadcast !== 'auto') return parseAddress(broadcast)
  // RFC 3021: a /31 has two hosts and no broadcast address; ip(8) leaves it out as well.
  if (prefixLength >= 31) return null
  const result = bytes.slice()
  const view = new DataView(result.buffer)
  view.setUint32(0, (view.getUint32(0) | (0xffffffff >>> prefixLength)) >>> 0)
  return result
}

function change(
  rt: Netlink,
  link: string | number,
  prefix: string,
  options: AddressOptions,
  flags: number,
): void {
  rt.request({
    type: RTM_NEWADDR,
    flags,
    payload: encodeAddress(linkIndex(rt, link), prefix, options),
    name: 'RTM_NEWADDR',
    object: String(link),
    attempt: prefix,
  })
}

function familyNumber(family: 'inet' | 'inet6'): number {
  return family === 'inet' ? AF_INET : AF_INET6
}
