// Network links: list, change, and hear of every change without polling.
import {
  AF_UNSPEC,
  IFF_LOOPBACK,
  IFF_LOWER_UP,
  IFF_RUNNING,
  IFF_UP,
  IFLA_ADDRESS,
  IFLA_CARRIER_UP_COUNT,
  IFLA_IFNAME,
  IFLA_INFO_KIND,
  IFLA_LINKINFO,
  IFLA_MASTER,
  IFLA_MTU,
  NLM_F_DUMP,
  RTM_DELLINK,
  RTM_GETLINK,
  RTM_NEWLINK,
  RTNLGRP_LINK,
} from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { attributeMap, encodeAttributes, readText, readU32, text, u32 } from './netlink/attribute.ts'
import type { AttributeInput } from './netlink/attribute.ts'
import type { NetlinkMessage } from './netlink/message.ts'
import { concat, decodeInterfaceInfo, encodeInterfaceInfo, IFINFOMSG_SIZE } from './netlink/route-structs.ts'
import { openRtnetlink, type Netlink } from './netlink.ts'

/** A network link as the kernel describes it. */
export interface Link {
  /** The number that all other calls use; never reused while the link exists. */
  index: number
  /** At most 15 bytes; it can change while the link exists. */
  name: string
  /** `ARPHRD_*`: `ARPHRD_ETHER` (1), `ARPHRD_LOOPBACK` (772), … */
  type: number
  /** For virtual links: `veth`, `bridge`, `vlan`, …; absent for hardware. */
  kind?: string
  /** `IFF_*` flags, all of them. */
  flags: number
  /** Switched on by the administrator (`IFF_UP`). */
  up: boolean
  /** The cable is in, or what stands for it (`IFF_LOWER_UP`); false while the link is not `up`. */
  carrier: boolean
  /**
   * How often the carrier came up (Linux 4.16). The kernel joins quick changes into one event, where only this number
   * tells that the cable was out for a moment.
   */
  carrierUpCount: number
  /** Operational as of RFC 2863 (`IFF_RUNNING`): also not waiting for 802.1X and the like. */
  running: boolean
  /** `lo` (`IFF_LOOPBACK`). */
  loopback: boolean
  /** The largest packet in bytes, without the header of the link. */
  mtu: number
  /** Hardware address; empty where there is none. */
  address: Uint8Array
  /** Index of the bridge or bond that it belongs to. */
  master?: number
}

/** What {@link setLink} changes; what is left out stays. */
export interface LinkChange {
  /** Switch on or off. */
  up?: boolean
  /** Largest packet in bytes, without the link's own header. */
  mtu?: number
  /** A new name, 1–15 bytes; most links must be down for it. */
  name?: string
  /** A new hardware address. */
  address?: Uint8Array
}

/** Something happened to a link. */
export type LinkEvent =
  /** It exists already, appeared or changed; `link` is how it is now. */
  | { type: 'changed'; link: Link }
  /** It is gone. */
  | { type: 'removed'; link: Link }

/** How to watch. */
export interface WatchLinksOptions {
  /** Ends the iteration, without an error. */
  signal?: AbortSignal
}

/** `#define IFNAMSIZ 16`, with the NUL. @see include/uapi/linux/if.h */
const IFNAMSIZ = 16

/**
 * Lists all links of the network namespace. Returns at once.
 *
 * @throws {@link SysError} see {@link Netlink.request}
 */
export function listLinks(rt: Netlink): Link[] {
  const payload = encodeInterfaceInfo({ family: AF_UNSPEC, type: 0, index: 0, flags: 0, change: 0 })
  return rt.request({ type: RTM_GETLINK, flags: NLM_F_DUMP, payload, name: 'RTM_GETLINK' }).map(decodeLink)
}

/**
 * Gets one link by name or index.
 *
 * @throws {@link SysError} `ENODEV` when there is none
 */
export function getLink(rt: Netlink, link: string | number): Link {
  const [message] = rt.request({
    type: RTM_GETLINK,
    payload: selectLink(link),
    name: 'RTM_GETLINK',
    object: String(link),
  })
  if (message === undefined) throw new RangeError(`RTM_GETLINK ${link}: an answer without a link`)
  return decodeLink(message)
}

/** Gets one link by name or index; undefined when there is none. */
export function findLink(rt: Netlink, link: string | number): Link | undefined {
  try {
    return getLink(rt, link)
  } catch (error) {
    if (isSysError(error, 'ENODEV')) return undefined
    throw error
  }
}

/**
 * Changes a link: on, off, MTU, name, hardware address. Needs CAP_NET_ADMIN.
 *
 * @throws {@link SysError} `ENODEV` no such link; `EBUSY` it must be down for this; `EINVAL` with the kernel's reason
 * @throws TypeError for a name that the kernel cannot hold
 * @example
 * ```ts no-run
 * import { setLink } from '@pkg/net/link'
 * import { openRtnetlink } from '@pkg/net/netlink'
 *
 * using rt = openRtnetlink()
 * setLink(rt, 'eth0', { up: true, mtu: 1400 })
 * ```
 */
export function setLink(rt: Netlink, link: string | number, change: LinkChange): void {
  const attributes: AttributeInput[] = []
  if (change.mtu !== undefined) attributes.push([IFLA_MTU, u32(change.mtu)])
  if (change.address !== undefined) attributes.push([IFLA_ADDRESS, change.address])
  // With an index the name is the new one; with a name the kernel looks the link up by it, so resolve it first.
  const target = change.name === undefined ? link : getLink(rt, link).index
  if (change.name !== undefined) attributes.push([IFLA_IFNAME, interfaceName(change.name)])
  rt.request({
    type: RTM_NEWLINK,
    payload: concat(selectLink(target, change.up), encodeAttributes(attributes)),
    name: 'RTM_NEWLINK',
    object: String(link),
    attempt: describeChange(change),
  })
}

/**
 * Hears of links: first one `changed` for each that exists, then every change as it happens, carrier included.
 * It waits for the kernel's own events (`RTNLGRP_LINK`) and never polls. When the kernel had to drop events because
 * the reader was slow (ENOBUFS) the whole state is read again, so that the last event of a link is always true.
 *
 * @throws {@link SysError} when the socket cannot be opened or read
 * @example
 * ```ts
 * import { watchLinks } from '@pkg/net/link'
 *
 * for await (const event of watchLinks()) {
 *   console.log(event.type, event.link.name, event.link.carrier)
 *   if (event.link.loopback) break
 * }
 * ```
 */
export async function* watchLinks(
  options: WatchLinksOptions = {},
): AsyncGenerator<LinkEvent, void, undefined> {
  const { signal } = options
  const isOver = (): boolean => signal?.aborted === true
  // Subscribed before the list is read: what changes in between comes as an event.
  using events = openRtnetlink({ groups: [RTNLGRP_LINK], receiveBufferSizeBytes: 1 << 20 })
  let known = new Map<number, Link>()
  let pending = resynchronise(known)
  while (!isOver()) {
    for (const event of pending) {
      known = remember(known, event)
      yield event
      if (isOver()) return
    }
    try {
      await events.readable(signal)
    } catch (error) {
      if (isOver()) return
      throw error
    }
    pending = receiveEvents(events, known)
  }
}

/** Reads a link from an RTM_NEWLINK or RTM_DELLINK message. */
export function decodeLink(message: NetlinkMessage): Link {
  const info = decodeInterfaceInfo(message.payload)
  const attributes = attributeMap(message.payload.subarray(IFINFOMSG_SIZE))
  const linkInfo = attributes.get(IFLA_LINKINFO)
  const kind = linkInfo === undefined ? undefined : readText(attributeMap(linkInfo).get(IFLA_INFO_KIND))
  const master = readU32(attributes.get(IFLA_MASTER))
  return {
    index: info.index,
    name: readText(attributes.get(IFLA_IFNAME)) ?? '',
    type: info.type,
    flags: info.flags,
    up: (info.flags & IFF_UP) !== 0,
    carrier: (info.flags & IFF_LOWER_UP) !== 0,
    carrierUpCount: readU32(attributes.get(IFLA_CARRIER_UP_COUNT)) ?? 0,
    running: (info.flags & IFF_RUNNING) !== 0,
    loopback: (info.flags & IFF_LOOPBACK) !== 0,
    mtu: readU32(attributes.get(IFLA_MTU)) ?? 0,
    address: attributes.get(IFLA_ADDRESS) ?? new Uint8Array(),
    ...(kind === undefined ? {} : { kind }),
    ...(master === undefined ? {} : { master }),
  }
}

/** The index of a link that is given by name or index: what addresses and routes are attached to. */
export function linkIndex(rt: Netlink, link: string | number): number {
  return typeof link === 'number' ? link : getLink(rt, link).index
}

function receiveEvents(events: Netlink, known: ReadonlyMap<number, Link>): LinkEvent[] {
  try {
    return events.receive().flatMap(decodeEvent)
  } catch (error) {
    if (!isSysError(error, 'ENOBUFS')) throw error
    events.discard()
    return resynchronise(known)
  }
}

function decodeEvent(message: NetlinkMessage): LinkEvent[] {
  // Bridges tell of their ports as AF_BRIDGE messages, RTM_DELLINK among them, while the link itself stays.
  if (message.payload[0] !== AF_UNSPEC) return []
  if (message.type === RTM_NEWLINK) return [{ type: 'changed', link: decodeLink(message) }]
  if (message.type === RTM_DELLINK) return [{ type: 'removed', link: decodeLink(message) }]
  return []
}

function resynchronise(known: ReadonlyMap<number, Link>): LinkEvent[] {
  using rt = openRtnetlink()
  const links = listLinks(rt)
  const present = new Set(links.map((link) => link.index))
  const removed = [...known.values()].filter((link) => !present.has(link.index))
  return [
    ...removed.map((link): LinkEvent => ({ type: 'removed', link })),
    ...links.map((link): LinkEvent => ({ type: 'changed', link })),
  ]
}

function remember(known: ReadonlyMap<number, Link>, event: LinkEvent): Map<number, Link> {
  const next = new Map(known)
  if (event.type === 'removed') next.delete(event.link.index)
  else next.set(event.link.index, event.link)
  return next
}

function selectLink(link: string | number, up?: boolean): Uint8Array {
  const info = encodeInterfaceInfo({
    family: AF_UNSPEC,
    type: 0,
    index: typeof link === 'number' ? link : 0,
    flags: up === true ? IFF_UP : 0,
    change: up === undefined ? 0 : IFF_UP,
  })
  return typeof link === 'number'
    ? info
    : concat(info, encodeAttributes([[IFLA_IFNAME, interfaceName(link)]]))
}

function interfaceName(name: string): Uint8Array {
  const bytes = text(name)
  if (bytes.length < 2 || bytes.length > IFNAMSIZ || /[\s/:]/.test(name) || name === '.' || name === '..') {
    throw new TypeError(`'${name}' is not a link's name: 1 to 15 bytes without blanks, slashes and colons`)
  }
  return bytes
}

function describeChange(change: LinkChange): string {
  const words: string[] = []
  if (change.up !== undefined) words.push(change.up ? 'up' : 'down')
  if (change.mtu !== undefined) words.push(`mtu ${change.mtu}`)
  if (change.name !== undefined) words.push(`name ${change.name}`)
  if (change.address !== undefined) words.push(`address ${change.address.toHex()}`)
  return words.join(' ')
}
