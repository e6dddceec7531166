// Routes: list, add, replace, delete.
import {
  AF_INET,
  AF_INET6,
  AF_UNSPEC,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  RTA_DST,
  RTA_GATEWAY,
  RTA_METRICS,
  RTA_OIF,
  RTA_PREFSRC,
  RTA_PRIORITY,
  RTA_TABLE,
  RTAX_MTU,
  RTM_DELROUTE,
  RTM_F_CLONED,
  RTM_GETROUTE,
  RTM_NEWROUTE,
  RTN_UNICAST,
  RTN_UNSPEC,
  RTNH_F_ONLINK,
  RTPROT_DHCP,
  RTPROT_RA,
  RTPROT_STATIC,
  RTPROT_UNSPEC,
  RT_SCOPE_LINK,
  RT_SCOPE_NOWHERE,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
  RT_TABLE_UNSPEC,
} from '@pkg/sys/constants'
import { formatAddress, formatPrefix, networkOf, parseAddress, parsePrefix } from './ip.ts'
import { linkIndex } from './link.ts'
import { attributeMap, encodeAttributes, readU32, u32, type AttributeInput } from './netlink/attribute.ts'
import type { NetlinkMessage } from './netlink/message.ts'
import { concat, decodeRouteMessage, encodeRouteMessage, RTMSG_SIZE } from './netlink/route-structs.ts'
import type { Netlink } from './netlink.ts'

/** A route as the kernel has it. */
export interface Route {
  /** IPv4 or IPv6. */
  family: 'inet' | 'inet6'
  /** `default`, or a prefix: `10.0.2.0/24`. */
  destination: string
  /** Absent for networks on the link itself. */
  gateway?: string
  /** Absent for routes without a link (blackhole, unreachable) or with several. */
  linkIndex?: number
  /** Of several routes to one destination the smallest counts. IPv6 shows 1024 where none was given. */
  metric: number
  /** `RT_TABLE_*`; the usual ones are in 254 (main), the machine's own addresses in 255 (local). */
  table: number
  /** `RTPROT_*`: who made it: 2 kernel, 4 static, 16 DHCP. */
  protocol: number
  /** `RT_SCOPE_*`. */
  scope: number
  /** `RTN_*`: 1 unicast, 2 local, 6 blackhole, … */
  type: number
  /** The source address that the machine itself sends with. */
  source?: string
}

/** A route to add, replace or delete. */
export interface RouteInput {
  /** `default` (of the gateway's family) or a prefix: `10.0.0.0/8`. Host bits are zeroed. */
  destination: string
  /** The next hop; none for a network on the link itself. */
  gateway?: string
  /** Name or index. Without it the kernel finds the link by the gateway. */
  link?: string | number
  /** Of several routes to one destination the smallest counts. Default: 0, in IPv6 1024. */
  metric?: number
  /** Default: main (254). */
  table?: number
  /** Default: `static`. */
  protocol?: 'static' | 'dhcp' | 'ra'
  /** Source address for what the machine itself sends. */
  source?: string
  /** The gateway is on the link although no route says so: /32 addresses of clouds. */
  onLink?: boolean
  /** Largest packet in bytes on this route. */
  mtu?: number
}

/** Which routes to list. */
export interface RouteFilter {
  /** IPv4 or IPv6; default: both. */
  family?: 'inet' | 'inet6'
  /** Default: main (254). */
  table?: number
  /** Name or index. */
  link?: string | number
}

const PROTOCOLS = { static: RTPROT_STATIC, dhcp: RTPROT_DHCP, ra: RTPROT_RA }

/**
 * Lists the routes of a table, main by default. Returns at once.
 *
 * @throws {@link SysError} see {@link Netlink.request}
 */
export function listRoutes(rt: Netlink, filter: RouteFilter = {}): Route[] {
  const index = filter.link === undefined ? undefined : linkIndex(rt, filter.link)
  const table = filter.table ?? RT_TABLE_MAIN
  const family = filter.family === undefined ? AF_UNSPEC : filter.family === 'inet' ? AF_INET : AF_INET6
  const payload = encodeRouteMessage({
    family,
    destinationLength: 0,
    sourceLength: 0,
    typeOfService: 0,
    table: 0,
    protocol: 0,
    scope: 0,
    type: 0,
    flags: 0,
  })
  const messages = rt.request({ type: RTM_GETROUTE, flags: NLM_F_DUMP, payload, name: 'RTM_GETROUTE' })
  // Filtered here rather than by the kernel: an absent table would be an error there (strict checking), and a kernel
  // before 4.20 sends all of them anyway, cached clones and multicast routes (families 128 and up) included.
  return messages
    .filter((message) => message.payload[0] === AF_INET || message.payload[0] === AF_INET6)
    .filter((message) => (decodeRouteMessage(message.payload).flags & RTM_F_CLONED) === 0)
    .map(decodeRoute)
    .filter((route) => route.table === table && (index === undefined || route.linkIndex === index))
}

/**
 * Adds a route, as `ip route add`. Returns at once. Needs CAP_NET_ADMIN.
 *
 * @throws {@link SysError} `EEXIST` there is one with this destination and metric; `ENETUNREACH` the gateway is on no
 *   known network; `ENETDOWN` the link is down; `EINVAL` with the kernel's reason
 * @throws TypeError for text that is not an address, or a gateway of the other family
 * @example
 * ```ts no-run
 * import { openRtnetlink } from '@pkg/net/netlink'
 * import { addRoute } from '@pkg/net/route'
 *
 * using rt = openRtnetlink()
 * addRoute(rt, { destination: 'default', gateway: '10.0.2.2', link: 'eth0' })
 * ```
 */
export function addRoute(rt: Netlink, route: RouteInput): void {
  change(rt, route, NLM_F_CREATE | NLM_F_EXCL)
}

/**
 * Adds a route or replaces the one with the same destination and metric, without a moment in which there is none.
 *
 * @throws {@link SysError} as {@link addRoute}, without `EEXIST`
 */
export function replaceRoute(rt: Netlink, route: RouteInput): void {
  change(rt, route, NLM_F_CREATE | NLM_F_REPLACE)
}

/**
 * Deletes the first route that has everything that `route` names; any protocol, unless one is named.
 *
 * @throws {@link SysError} `ESRCH` there is none
 */
export function deleteRoute(rt: Netlink, route: RouteInput): void {
  rt.request({
    type: RTM_DELROUTE,
    payload: encodeRoute(route, route.link === undefined ? undefined : linkIndex(rt, route.link), 'delete'),
    name: 'RTM_DELROUTE',
    object: route.destination,
    attempt: describe(route),
  })
}

/** Reads a route from an RTM_NEWROUTE or RTM_DELROUTE message. */
export function decodeRoute(message: NetlinkMessage): Route {
  const info = decodeRouteMessage(message.payload)
  const attributes = attributeMap(message.payload.subarray(RTMSG_SIZE))
  const destination = attributes.get(RTA_DST)
  const gateway = attributes.get(RTA_GATEWAY)
  const source = attributes.get(RTA_PREFSRC)
  const index = readU32(attributes.get(RTA_OIF))
  return {
    family: info.family === AF_INET ? 'inet' : 'inet6',
    destination:
      destination === undefined
        ? 'default'
        : formatPrefix({ address: formatAddress(destination), prefixLength: info.destinationLength }),
    metric: readU32(attributes.get(RTA_PRIORITY)) ?? 0,
    table: readU32(attributes.get(RTA_TABLE)) ?? info.table,
    protocol: info.protocol,
    scope: info.scope,
    type: info.type,
    ...(gateway === undefined ? {} : { gateway: formatAddress(gateway) }),
    ...(index === undefined ? {} : { linkIndex: index }),
    ...(source === undefined ? {} : { source: formatAddress(source) }),
  }
}

/**
 * Writes what follows the header of an RTM_NEWROUTE or RTM_DELROUTE.
 *
 * A route without a gateway has the scope `link` in IPv4: its hosts are one hop away. ip(8) chooses the same.
 */
export function encodeRoute(
  route: RouteInput,
  index: number | undefined,
  purpose: 'add' | 'delete',
): Uint8Array<ArrayBuffer> {
  const gateway = route.gateway === undefined ? undefined : parseAddress(route.gateway)
  const target = parseDestination(route, gateway)
  const table = route.table ?? RT_TABLE_MAIN
  const onLinkScope = target.family === AF_INET && gateway === undefined
  const addScope = onLinkScope ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE
  const defaultProtocol = purpose === 'add' ? RTPROT_STATIC : RTPROT_UNSPEC
  const head = encodeRouteMessage({
    family: target.family,
    destinationLength: target.prefixLength,
    sourceLength: 0,
    typeOfService: 0,
    table: table < 256 ? table : RT_TABLE_UNSPEC,
    protocol: route.protocol === undefined ? defaultProtocol : PROTOCOLS[route.protocol],
    // "Nowhere" stands for any scope when deleting (net/ipv4/fib_semantics.c).
    scope: purpose === 'add' ? addScope : RT_SCOPE_NOWHERE,
    type: purpose === 'add' ? RTN_UNICAST : RTN_UNSPEC,
    flags: route.onLink ? RTNH_F_ONLINK : 0,
  })
  const attributes: AttributeInput[] = []
  if (target.prefixLength > 0) attributes.push([RTA_DST, target.bytes])
  if (gateway !== undefined) attributes.push([RTA_GATEWAY, gateway])
  if (route.metric !== undefined) attributes.push([RTA_PRIORITY, u32(route.metric)])
  if (index !== undefined) attributes.push([RTA_OIF, u32(index)])
  if (table >= 256) attributes.push([RTA_TABLE, u32(table)])
  if (route.source !== undefined) attributes.push([RTA_PREFSRC, parseAddress(route.source)])
  if (route.mtu !== undefined) attributes.push([RTA_METRICS, [[RTAX_MTU, u32(route.mtu)]]])
  return concat(head, encodeAttributes(attributes))
}

function parseDestination(
  route: RouteInput,
  gateway: Uint8Array | undefined,
): { family: number; bytes: Uint8Array; prefixLength: number } {
  if (route.destination === 'default') {
    return { family: gateway?.length === 16 ? AF_INET6 : AF_INET, bytes: new Uint8Array(), prefixLength: 0 }
  }
  const prefix = parsePrefix(route.destination)
  const bytes = parseAddress(networkOf(prefix))
  if (gateway !== undefined && gateway.length !== bytes.length) {
    throw new TypeError(
      `route to ${route.destination}: gateway ${route.gateway} is of the other address family`,
    )
  }
  return { family: bytes.length === 4 ? AF_INET : AF_INET6, bytes, prefixLength: prefix.prefixLength }
}

function change(rt: Netlink, route: RouteInput, flags: number): void {
  if (route.gateway === undefined && route.link === undefined) {
    throw new TypeError(`route to ${route.destination}: name a gateway, a link or both`)
  }
  rt.request({
    type: RTM_NEWROUTE,
    flags,
    payload: encodeRoute(route, route.link === undefined ? undefined : linkIndex(rt, route.link), 'add'),
    name: 'RTM_NEWROUTE',
    object: route.destination,
    attempt: describe(route),
  })
}

function describe(route: RouteInput): string {
  const words: string[] = []
  if (route.gateway !== undefined) words.push(`via ${route.gateway}`)
  if (route.link !== undefined) words.push(`on ${route.link}`)
  if (route.metric !== undefined) words.push(`metric ${route.metric}`)
  return words.join(' ')
}
