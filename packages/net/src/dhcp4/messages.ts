// The client's own messages, field by field as RFC 2131 table 5 has them.
import { parseAddress } from '../ip.ts'
import { MESSAGE_TYPE, OPTION, type Lease } from './options.ts'
import type { DhcpPacket } from './packet.ts'

/** Who the client is: the same in every message of a link. */
export interface DhcpIdentity {
  /** ARP hardware type of the link; 1 is Ethernet. */
  htype: number
  /** The link's hardware address. */
  hardwareAddress: Uint8Array
  /** Option 61 in its wire form: by default the hardware type and address (RFC 2132 section 9.14). */
  clientId: Uint8Array
  /** Sent as option 12, so that the server can register it in DNS. */
  hostname?: string
  /** Offer to take the lease in two messages instead of four (RFC 4039). */
  rapidCommit?: boolean
}

/** What changes from message to message. */
export interface MessageContext {
  xid: number
  /** Whole seconds since the client began to ask. */
  secs: number
}

/**
 * RFC 2132 section 9.10. 1472 is an Ethernet frame without IP and UDP headers: more would be fragmented, and the
 * filter of the packet socket drops fragments.
 */
const MAXIMUM_MESSAGE_SIZE = 1472

/** RFC 3442: a client that asks for 3 and 121 MUST put 121 first. */
const PARAMETER_REQUEST_LIST = Uint8Array.of(
  OPTION.classlessStaticRoute,
  OPTION.subnetMask,
  OPTION.router,
  OPTION.domainNameServer,
  OPTION.hostName,
  OPTION.domainName,
  OPTION.domainSearch,
  OPTION.interfaceMtu,
  OPTION.broadcastAddress,
  OPTION.ntpServers,
)

/** DHCPDISCOVER: is there a server? */
export function discover(identity: DhcpIdentity, context: MessageContext): DhcpPacket {
  const packet = message(identity, context, MESSAGE_TYPE.discover)
  addWishes(packet, identity)
  if (identity.rapidCommit) packet.options.set(OPTION.rapidCommit, new Uint8Array())
  return packet
}

/** DHCPREQUEST after an offer: names the address and the server that was chosen (SELECTING). */
export function requestOffer(identity: DhcpIdentity, context: MessageContext, offer: Lease): DhcpPacket {
  const packet = message(identity, context, MESSAGE_TYPE.request)
  packet.options.set(OPTION.requestedAddress, parseAddress(offer.address))
  packet.options.set(OPTION.serverIdentifier, parseAddress(offer.server))
  addWishes(packet, identity)
  return packet
}

/** DHCPREQUEST for an address from before: does it still hold on this network (INIT-REBOOT)? Names no server. */
export function requestAgain(identity: DhcpIdentity, context: MessageContext, lease: Lease): DhcpPacket {
  const packet = message(identity, context, MESSAGE_TYPE.request)
  packet.options.set(OPTION.requestedAddress, parseAddress(lease.address))
  addWishes(packet, identity)
  return packet
}

/** DHCPREQUEST of RENEWING and REBINDING: the address is in use and stands in ciaddr, options 50 and 54 must not. */
export function requestExtension(identity: DhcpIdentity, context: MessageContext, lease: Lease): DhcpPacket {
  const packet = message(identity, context, MESSAGE_TYPE.request)
  packet.ciaddr = lease.address
  addWishes(packet, identity)
  return packet
}

/** DHCPDECLINE: the address is of no use, someone else has it. Carries no wishes (table 5: MUST NOT). */
export function decline(identity: DhcpIdentity, context: MessageContext, lease: Lease): DhcpPacket {
  const packet = message(identity, context, MESSAGE_TYPE.decline)
  packet.options.set(OPTION.requestedAddress, parseAddress(lease.address))
  packet.options.set(OPTION.serverIdentifier, parseAddress(lease.server))
  return packet
}

/** DHCPRELEASE: the address is given back. Nobody answers it. */
export function release(identity: DhcpIdentity, context: MessageContext, lease: Lease): DhcpPacket {
  const packet = message(identity, context, MESSAGE_TYPE.release)
  packet.ciaddr = lease.address
  packet.options.set(OPTION.serverIdentifier, parseAddress(lease.server))
  return packet
}

function message(identity: DhcpIdentity, context: MessageContext, type: number): DhcpPacket {
  return {
    op: 1,
    htype: identity.htype,
    hops: 0,
    xid: context.xid,
    secs: context.secs,
    // A packet socket sees unicast to an address that is not configured yet, so the flag stays off and the answer
    // wakes one machine instead of the whole network.
    broadcast: false,
    ciaddr: '0.0.0.0',
    yiaddr: '0.0.0.0',
    siaddr: '0.0.0.0',
    giaddr: '0.0.0.0',
    chaddr: identity.hardwareAddress,
    sname: '',
    file: '',
    // RFC 2132 section 9.6 does not say so, but servers exist that expect the type first.
    options: new Map([
      [OPTION.messageType, Uint8Array.of(type)],
      [OPTION.clientIdentifier, identity.clientId],
    ]),
  }
}

function addWishes(packet: DhcpPacket, identity: DhcpIdentity): void {
  const size = new Uint8Array(2)
  new DataView(size.buffer).setUint16(0, MAXIMUM_MESSAGE_SIZE)
  packet.options.set(OPTION.maximumMessageSize, size)
  packet.options.set(OPTION.parameterRequestList, PARAMETER_REQUEST_LIST)
  if (identity.hostname !== undefined) {
    packet.options.set(OPTION.hostName, new TextEncoder().encode(identity.hostname))
  }
}
