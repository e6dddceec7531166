// The three structs that rtnetlink puts before the attributes. Host-endian, as the rest of netlink.

/** `struct ifinfomsg`, what RTM_*LINK messages begin with. */
export interface InterfaceInfo {
  family: number
  /** `ARPHRD_*`. */
  type: number
  index: number
  /** `IFF_*`. */
  flags: number
  /** Which of the flags a request changes. */
  change: number
}

/** `struct ifaddrmsg`, what RTM_*ADDR messages begin with. */
export interface InterfaceAddress {
  family: number
  prefixLength: number
  /** `IFA_F_*`, the lower eight; all of them are in `IFA_FLAGS`. */
  flags: number
  scope: number
  index: number
}

/** `struct rtmsg`, what RTM_*ROUTE messages begin with. */
export interface RouteMessage {
  family: number
  destinationLength: number
  sourceLength: number
  typeOfService: number
  /** `RT_TABLE_*`, the lower eight bits; the whole number is in `RTA_TABLE`. */
  table: number
  /** `RTPROT_*`: who made the route. */
  protocol: number
  scope: number
  /** `RTN_*`. */
  type: number
  flags: number
}

/** sizeof(struct ifinfomsg) */
export const IFINFOMSG_SIZE = 16
/** sizeof(struct ifaddrmsg) */
export const IFADDRMSG_SIZE = 8
/** sizeof(struct rtmsg) */
export const RTMSG_SIZE = 12

/**
 * ```c
 * struct ifinfomsg {
 *         unsigned char ifi_family; unsigned char __ifi_pad; unsigned short ifi_type;
 *         int ifi_index; unsigned ifi_flags; unsigned ifi_change;
 * };
 * ```
 *
 * @see include/uapi/linux/rtnetlink.h
 */
export function encodeInterfaceInfo(info: InterfaceInfo): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(IFINFOMSG_SIZE)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, info.family)
  view.setUint16(2, info.type, true)
  view.setInt32(4, info.index, true)
  view.setUint32(8, info.flags, true)
  view.setUint32(12, info.change, true)
  return bytes
}

/** Reads a `struct ifinfomsg`. @throws RangeError when there are fewer than 16 bytes */
export function decodeInterfaceInfo(payload: Uint8Array): InterfaceInfo {
  const view = viewOf(payload, IFINFOMSG_SIZE, 'ifinfomsg')
  return {
    family: view.getUint8(0),
    type: view.getUint16(2, true),
    index: view.getInt32(4, true),
    flags: view.getUint32(8, true),
    change: view.getUint32(12, true),
  }
}

/**
 * ```c
 * struct ifaddrmsg {
 *         __u8 ifa_family; __u8 ifa_prefixlen; __u8 ifa_flags; __u8 ifa_scope; __u32 ifa_index;
 * };
 * ```
 *
 * @see include/uapi/linux/if_addr.h
 */
export function encodeInterfaceAddress(address: InterfaceAddress): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(IFADDRMSG_SIZE)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, address.family)
  view.setUint8(1, address.prefixLength)
  view.setUint8(2, address.flags)
  view.setUint8(3, address.scope)
  view.setUint32(4, address.index, true)
  return bytes
}

/** Reads a `struct ifaddrmsg`. @throws RangeError when there are fewer than 8 bytes */
export function decodeInterfaceAddress(payload: Uint8Array): InterfaceAddress {
  const view = viewOf(payload, IFADDRMSG_SIZE, 'ifaddrmsg')
  return {
    family: view.getUint8(0),
    prefixLength: view.getUint8(1),
    flags: view.getUint8(2),
    scope: view.getUint8(3),
    index: view.getUint32(4, true),
  }
}

/**
 * ```c
 * struct rtmsg {
 *         unsigned char rtm_family; unsigned char rtm_dst_len; unsigned char rtm_src_len; unsigned char rtm_tos;
 *         unsigned char rtm_table; unsigned char rtm_protocol; unsigned char rtm_scope; unsigned char rtm_type;
 *         unsigned rtm_flags;
 * };
 * ```
 *
 * @see include/uapi/linux/rtnetlink.h
 */
export function encodeRouteMessage(route: RouteMessage): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(RTMSG_SIZE)
  bytes.set([route.family, route.destinationLength, route.sourceLength, route.typeOfService])
  bytes.set([route.table, route.protocol, route.scope, route.type], 4)
  new DataView(bytes.buffer).setUint32(8, route.flags, true)
  return bytes
}

/** Reads a `struct rtmsg`. @throws RangeError when there are fewer than 12 bytes */
export function decodeRouteMessage(payload: Uint8Array): RouteMessage {
  const view = viewOf(payload, RTMSG_SIZE, 'rtmsg')
  return {
    family: view.getUint8(0),
    destinationLength: view.getUint8(1),
    sourceLength: view.getUint8(2),
    typeOfService: view.getUint8(3),
    table: view.getUint8(4),
    protocol: view.getUint8(5),
    scope: view.getUint8(6),
    type: view.getUint8(7),
    flags: view.getUint32(8, true),
  }
}

/** Joins a struct and its attributes into a message's payload. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let offset = 0
  for (const part of parts) {
    bytes.set(part, offset)
    offset += part.length
  }
  return bytes
}

function viewOf(payload: Uint8Array, size: number, name: string): DataView {
  if (payload.length < size) throw new RangeError(`struct ${name} has ${size} bytes, not ${payload.length}`)
  return new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
}
