// A DHCP machine with a clock of its own, and the answers of a server: what the machine's tests step through.
import {
  initialState,
  nextDeadlineMs,
  step,
  type DhcpAction,
  type DhcpEvent,
  type DhcpState,
} from '../src/dhcp4/machine.ts'
import type { DhcpIdentity } from '../src/dhcp4/messages.ts'
import { MESSAGE_TYPE, OPTION } from '../src/dhcp4/options.ts'
import type { DhcpPacket } from '../src/dhcp4/packet.ts'
import { parseAddress } from '../src/ip.ts'

export const identity: DhcpIdentity = {
  htype: 1,
  hardwareAddress: Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56),
  clientId: Uint8Array.of(1, 0x52, 0x54, 0, 0x12, 0x34, 0x56),
  hostname: 'box',
}
export const SERVER = '10.0.2.2'

type Send = DhcpAction & { type: 'send' }

/** A client with a clock: each call is one step. */
export class Client {
  state: DhcpState
  nowMs = 0
  actions: DhcpAction[] = []
  readonly who: DhcpIdentity

  constructor(seed = 1, who: DhcpIdentity = identity) {
    this.state = initialState(seed)
    this.who = who
  }

  step(event: DhcpEvent): DhcpAction[] {
    const result = step(this.who, this.state, event, this.nowMs)
    this.state = result.state
    this.actions = result.actions
    return result.actions
  }

  /** Lets time pass until the machine wants something. */
  wait(): DhcpAction[] {
    this.nowMs = Math.max(this.nowMs, nextDeadlineMs(this.state))
    return this.step({ type: 'timer' })
  }

  /** Answers the last message that was sent. */
  answer(
    type: number,
    changes: Partial<DhcpPacket> = {},
    options: [number, Uint8Array | null][] = [],
  ): DhcpAction[] {
    return this.step({ type: 'packet', packet: reply(this.state.xid, type, changes, options) })
  }

  sent(): DhcpPacket {
    const send = this.actions.find((action): action is Send => action.type === 'send')
    if (send === undefined) throw new Error(`nothing was sent but ${JSON.stringify(this.actions)}`)
    return send.packet
  }

  bound(leaseSeconds = 3600): this {
    this.step({ type: 'carrier-up' })
    this.answer(MESSAGE_TYPE.offer, {}, [lease(leaseSeconds)])
    this.answer(MESSAGE_TYPE.ack, {}, [lease(leaseSeconds)])
    return this
  }
}

export function lease(leaseSeconds: number): [number, Uint8Array] {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, leaseSeconds)
  return [OPTION.leaseTime, bytes]
}

function reply(
  xid: number,
  type: number,
  changes: Partial<DhcpPacket>,
  options: [number, Uint8Array | null][],
): DhcpPacket {
  const packet: DhcpPacket = {
    op: 2,
    htype: 1,
    hops: 0,
    xid,
    secs: 0,
    broadcast: false,
    ciaddr: '0.0.0.0',
    yiaddr: '10.0.2.15',
    siaddr: '0.0.0.0',
    giaddr: '0.0.0.0',
    chaddr: identity.hardwareAddress,
    sname: '',
    file: '',
    options: new Map([
      [OPTION.messageType, Uint8Array.of(type)],
      [OPTION.serverIdentifier, parseAddress(SERVER)],
      [OPTION.subnetMask, Uint8Array.of(255, 255, 255, 0)],
      lease(3600),
    ]),
    ...changes,
  }
  for (const [code, value] of options) {
    if (value === null) packet.options.delete(code)
    else packet.options.set(code, value)
  }
  return packet
}

export const typesOf = (actions: DhcpAction[]): string[] => actions.map((action) => action.type)
export const option = (packet: DhcpPacket, code: number): string | undefined =>
  packet.options.get(code)?.join('.')
