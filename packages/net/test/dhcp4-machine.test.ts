// The DHCP machine: each rule of RFC 2131 by itself, then thousands of random networks by seed.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  initialState,
  nextDeadlineMs,
  step,
  type DhcpAction,
  type DhcpEvent,
  type DhcpState,
} from '../src/dhcp4/machine.ts'
import type { DhcpIdentity } from '../src/dhcp4/messages.ts'
import { MESSAGE_TYPE, messageType, OPTION } from '../src/dhcp4/options.ts'
import { decodeDhcp, encodeDhcp, type DhcpPacket } from '../src/dhcp4/packet.ts'
import { parseAddress } from '../src/ip.ts'

const identity: DhcpIdentity = {
  htype: 1,
  hardwareAddress: Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56),
  clientId: Uint8Array.of(1, 0x52, 0x54, 0, 0x12, 0x34, 0x56),
  hostname: 'box',
}
const SERVER = '10.0.2.2'

type Send = DhcpAction & { type: 'send' }

/** A client with a clock: each call is one step. */
class Client {
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

function lease(leaseSeconds: number): [number, Uint8Array] {
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

const typesOf = (actions: DhcpAction[]): string[] => actions.map((action) => action.type)
const option = (packet: DhcpPacket, code: number): string | undefined => packet.options.get(code)?.join('.')

describe('step() on the way to a lease', () => {
  test('sends DISCOVER at once when there is a carrier', () => {
    const client = new Client()
    client.step({ type: 'carrier-up' })
    const packet = client.sent()
    expect(messageType(packet)).toBe(MESSAGE_TYPE.discover)
    expect(client.actions).toMatchObject([{ type: 'send', destination: '255.255.255.255', via: 'link' }])
    expect(packet).toMatchObject({
      ciaddr: '0.0.0.0',
      secs: 0,
      broadcast: false,
      chaddr: identity.hardwareAddress,
    })
    expect(option(packet, OPTION.hostName)).toBe('98.111.120')
    expect([...(packet.options.get(OPTION.parameterRequestList) ?? [])].slice(0, 1)).toEqual([121])
    expect(decodeDhcp(encodeDhcp(packet))).toEqual(packet)
  })

  test('asks the first server for what it offered, with the xid of the DISCOVER (RFC 2131 section 4.4.1)', () => {
    const client = new Client()
    client.step({ type: 'carrier-up' })
    const { xid } = client.sent()
    client.answer(MESSAGE_TYPE.offer)
    const packet = client.sent()
    expect(messageType(packet)).toBe(MESSAGE_TYPE.request)
    expect([packet.xid, packet.ciaddr]).toEqual([xid, '0.0.0.0'])
    expect(option(packet, OPTION.requestedAddress)).toBe('10.0.2.15')
    expect(option(packet, OPTION.serverIdentifier)).toBe(SERVER)
  })

  test('configures on ACK, its times counted from the REQUEST', () => {
    const client = new Client()
    client.step({ type: 'carrier-up' })
    client.nowMs = 100
    client.answer(MESSAGE_TYPE.offer)
    client.nowMs = 2_100
    const [action] = client.answer(MESSAGE_TYPE.ack)
    expect(client.state.name).toBe('bound')
    expect(action).toMatchObject({
      type: 'configure',
      previous: null,
      held: { lease: { address: '10.0.2.15' }, rebindAtMs: 100 + 3_150_000, expiresAtMs: 100 + 3_600_000 },
    })
    // T1 comes up to 5 % early.
    expect(client.state.held?.renewAtMs).toBeGreaterThan(100 + 1_800_000 * 0.95)
    expect(client.state.held?.renewAtMs).toBeLessThanOrEqual(100 + 1_800_000)
  })

  test.each([
    ['another transaction', { xid: 1 }, []],
    ['another hardware address', { chaddr: Uint8Array.of(1, 2, 3, 4, 5, 6) }, []],
    ['a request instead of a reply', { op: 1 as const }, []],
    ['no message type', {}, [[OPTION.messageType, null]]],
  ] as [string, Partial<DhcpPacket>, [number, Uint8Array | null][]][])(
    'does not hear an offer with %s',
    (_, changes, options) => {
      const client = new Client()
      client.step({ type: 'carrier-up' })
      expect(client.answer(MESSAGE_TYPE.offer, changes, options)).toEqual([])
      expect(client.state.name).toBe('selecting')
    },
  )

  test('reports an offer that cannot be used and waits for another', () => {
    const client = new Client()
    client.step({ type: 'carrier-up' })
    expect(client.answer(MESSAGE_TYPE.offer, { yiaddr: '0.0.0.0' })).toMatchObject([
      { type: 'report', what: 'ignored', detail: 'offer: address 0.0.0.0 is missing', server: SERVER },
    ])
    client.answer(MESSAGE_TYPE.offer)
    expect(client.state.name).toBe('requesting')
  })

  test('does not take the ACK of a server that it did not ask', () => {
    const client = new Client()
    client.step({ type: 'carrier-up' })
    client.answer(MESSAGE_TYPE.offer)
    client.answer(MESSAGE_TYPE.ack, {}, [[OPTION.serverIdentifier, parseAddress('10.0.2.99')]])
    expect(client.state.name).toBe('requesting')
    client.answer(MESSAGE_TYPE.ack)
    expect(client.state.name).toBe('bound')
  })

  test('takes an ACK with option 80 in SELECTING only when it asked for it (RFC 4039)', () => {
    for (const rapidCommit of [true, false]) {
      const client = new Client(1, { ...identity, rapidCommit })
      client.step({ type: 'carrier-up' })
      expect(client.sent().options.has(OPTION.rapidCommit)).toBe(rapidCommit)
      client.answer(MESSAGE_TYPE.ack)
      expect(client.state.name).toBe('selecting')
      client.answer(MESSAGE_TYPE.ack, {}, [[OPTION.rapidCommit, new Uint8Array()]])
      expect(client.state.name).toBe(rapidCommit ? 'bound' : 'selecting')
    }
  })
})

describe('step() without an answer', () => {
  test('repeats DISCOVER after 4, 8, 16, 32, 64, 64 … s, each ± 1 s, for ever', () => {
    for (let seed = 0; seed < 50; seed++) {
      const client = new Client(seed)
      client.step({ type: 'carrier-up' })
      const { xid } = client.sent()
      for (const seconds of [4, 8, 16, 32, 64, 64, 64]) {
        const before = client.nowMs
        client.wait()
        expect(Math.abs((client.nowMs - before) / 1000 - seconds)).toBeLessThanOrEqual(1)
        expect(client.sent()).toMatchObject({ xid, secs: Math.floor(client.nowMs / 1000) })
      }
    }
  })

  test('two seeds do not repeat at the same times', () => {
    const times = [1, 2, 3, 4, 5].map((seed) => {
      const client = new Client(seed)
      client.step({ type: 'carrier-up' })
      return nextDeadlineMs(client.state)
    })
    expect(new Set(times).size).toBe(5)
  })

  test('begins anew after four REQUESTs', () => {
    const client = new Client()
    client.step({ type: 'carrier-up' })
    client.answer(MESSAGE_TYPE.offer)
    for (let count = 0; count < 3; count++) {
      client.wait()
      expect(messageType(client.sent())).toBe(MESSAGE_TYPE.request)
    }
    client.wait()
    expect(messageType(client.sent())).toBe(MESSAGE_TYPE.discover)
    expect(client.state.name).toBe('selecting')
  })

  test('a timer that comes early does nothing', () => {
    const client = new Client()
    client.step({ type: 'carrier-up' })
    client.nowMs = nextDeadlineMs(client.state) - 1
    expect(client.step({ type: 'timer' })).toEqual([])
  })
})

describe('step() with a lease', () => {
  test('renews by unicast from the address, without options 50 and 54 (RFC 2131 table 5)', () => {
    const client = new Client().bound()
    client.wait()
    expect(client.state.name).toBe('renewing')
    expect(client.actions).toMatchObject([{ type: 'send', destination: SERVER, via: 'socket' }])
    const packet = client.sent()
    expect(packet).toMatchObject({ ciaddr: '10.0.2.15', secs: 0 })
    expect([
      packet.options.has(OPTION.requestedAddress),
      packet.options.has(OPTION.serverIdentifier),
    ]).toEqual([false, false])
    const previous = client.state.held?.lease
    client.answer(MESSAGE_TYPE.ack)
    expect(client.actions).toMatchObject([{ type: 'configure', previous }])
    expect(client.state.name).toBe('bound')
    expect(client.state.held?.expiresAtMs).toBe(client.nowMs + 3_600_000)
  })

  test('repeats at half of what is left, at least 60 s apart; then rebinds; then lets go', () => {
    const client = new Client().bound(3600)
    const waits: [string, number][] = []
    while (client.state.held !== null) {
      const before = client.nowMs
      client.wait()
      waits.push([client.state.name, client.nowMs - before])
    }
    expect(waits.filter(([name]) => name === 'renewing').length).toBeGreaterThan(3)
    for (const [index, [name, wait]] of waits.entries()) {
      // A repetition; the first message of a state comes when the state's time has come.
      if (name === waits[index - 1]?.[0]) expect(wait).toBeGreaterThanOrEqual(60_000)
    }
    expect(waits.map(([name]) => name)).toContain('rebinding')
    expect(client.nowMs).toBe(3_600_000)
    expect(typesOf(client.actions)).toEqual(['deconfigure', 'send'])
    expect(client.actions[0]).toMatchObject({ reason: 'expired' })
    expect(client.state.name).toBe('selecting')
  })

  test('rebinds by broadcast, and takes the answer of any server', () => {
    const client = new Client().bound()
    while (client.state.name !== 'rebinding') client.wait()
    expect(client.actions).toMatchObject([{ type: 'send', destination: '255.255.255.255', via: 'socket' }])
    client.answer(MESSAGE_TYPE.ack, {}, [[OPTION.serverIdentifier, parseAddress('10.0.2.99')]])
    expect(client.state.held?.lease.server).toBe('10.0.2.99')
  })

  test('never ends and never renews an infinite lease', () => {
    expect(nextDeadlineMs(new Client().bound(0xffffffff).state)).toBe(Infinity)
  })

  test('keeps the address while the cable is out, asks for it again, and discovers when nobody answers', () => {
    const client = new Client().bound()
    expect(client.step({ type: 'carrier-down' })).toEqual([])
    expect(nextDeadlineMs(client.state)).toBe(3_600_000)
    client.step({ type: 'carrier-up' })
    const packet = client.sent()
    expect(option(packet, OPTION.requestedAddress)).toBe('10.0.2.15')
    expect([packet.ciaddr, packet.options.has(OPTION.serverIdentifier)]).toEqual(['0.0.0.0', false])
    client.wait()
    client.wait()
    expect(messageType(client.sent())).toBe(MESSAGE_TYPE.discover)
    expect(client.state.held?.lease.address).toBe('10.0.2.15')
    client.answer(MESSAGE_TYPE.offer, { yiaddr: '10.0.2.16' })
    client.answer(MESSAGE_TYPE.ack, { yiaddr: '10.0.2.16' })
    expect(client.actions).toMatchObject([
      { type: 'configure', held: { lease: { address: '10.0.2.16' } }, previous: { address: '10.0.2.15' } },
    ])
  })

  test('lets the address go at the end of the lease while the cable is out', () => {
    const client = new Client().bound()
    client.step({ type: 'carrier-down' })
    expect(client.wait()).toMatchObject([{ type: 'deconfigure', reason: 'expired' }])
    expect(nextDeadlineMs(client.state)).toBe(Infinity)
    client.step({ type: 'carrier-up' })
    expect(client.state.name).toBe('selecting')
  })

  test('gives it back with RELEASE', () => {
    const client = new Client().bound()
    client.step({ type: 'release' })
    expect(typesOf(client.actions)).toEqual(['send', 'deconfigure'])
    expect(client.sent()).toMatchObject({ ciaddr: '10.0.2.15' })
    expect(messageType(client.sent())).toBe(MESSAGE_TYPE.release)
    expect(client.state.name).toBe('stopped')
  })
})

describe('step() when the address is refused', () => {
  test('a NAK takes the address off and starts anew at once', () => {
    const client = new Client().bound()
    client.step({ type: 'carrier-down' })
    client.step({ type: 'carrier-up' })
    client.answer(MESSAGE_TYPE.nak, {}, [[OPTION.message, new TextEncoder().encode('wrong network')]])
    expect(client.actions).toMatchObject([
      { type: 'report', what: 'nak', server: SERVER, detail: 'wrong network' },
      { type: 'deconfigure', reason: 'nak' },
      { type: 'send', via: 'link' },
    ])
  })

  test('a NAK from a server that was not asked is ignored in REQUESTING and RENEWING', () => {
    const other: [number, Uint8Array][] = [[OPTION.serverIdentifier, parseAddress('10.0.2.99')]]
    const requesting = new Client()
    requesting.step({ type: 'carrier-up' })
    requesting.answer(MESSAGE_TYPE.offer)
    requesting.answer(MESSAGE_TYPE.nak, {}, other)
    expect(requesting.state.name).toBe('requesting')
    const renewing = new Client().bound()
    renewing.wait()
    renewing.answer(MESSAGE_TYPE.nak, {}, other)
    expect(renewing.state.held).not.toBeNull()
  })

  test('servers that NAK their own offers are asked at growing intervals', () => {
    const client = new Client()
    client.step({ type: 'carrier-up' })
    const waits: number[] = []
    for (let count = 0; count < 9; count++) {
      client.answer(MESSAGE_TYPE.offer)
      client.answer(MESSAGE_TYPE.nak)
      if (client.state.name === 'init') {
        waits.push(nextDeadlineMs(client.state) - client.nowMs)
        client.wait()
      }
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 64].map((seconds) => seconds * 1000))
  })

  test('a conflict is declined to all, and the next DISCOVER waits for 10 s (RFC 2131 section 3.1.5)', () => {
    const client = new Client().bound()
    client.step({ type: 'conflict' })
    expect(typesOf(client.actions)).toEqual(['send', 'deconfigure'])
    const packet = client.sent()
    expect(messageType(packet)).toBe(MESSAGE_TYPE.decline)
    expect([
      option(packet, OPTION.requestedAddress),
      option(packet, OPTION.serverIdentifier),
      packet.ciaddr,
    ]).toEqual(['10.0.2.15', SERVER, '0.0.0.0'])
    expect(packet.options.has(OPTION.parameterRequestList)).toBe(false)
    expect(nextDeadlineMs(client.state) - client.nowMs).toBe(10_000)
    client.wait()
    expect(messageType(client.sent())).toBe(MESSAGE_TYPE.discover)
  })
})

test('step() counts a lease from the last REQUEST, and does not take one that was over before it arrived', () => {
  const client = new Client()
  client.step({ type: 'carrier-up' })
  client.answer(MESSAGE_TYPE.offer)
  client.wait()
  const askedAtMs = client.nowMs
  client.nowMs += 2_000
  client.answer(MESSAGE_TYPE.ack, {}, [lease(2)])
  expect(client.actions).toMatchObject([
    { what: 'ignored', detail: 'ack: the lease was over before it arrived' },
  ])
  client.answer(MESSAGE_TYPE.ack, {}, [lease(60)])
  expect(client.state.held?.expiresAtMs).toBe(askedAtMs + 60_000)
})

test('step() renews a lease of seconds at most once a second', () => {
  const client = new Client().bound(3)
  client.nowMs = 1_400
  client.wait()
  client.answer(MESSAGE_TYPE.ack, {}, [lease(1)])
  expect(nextDeadlineMs(client.state) - client.nowMs).toBeGreaterThanOrEqual(1_000)
})

test('step() changes nothing in the state that it is given', () => {
  const before = Object.freeze(new Client().bound().state)
  const copy = structuredClone(before)
  step(identity, before, { type: 'conflict' }, 5)
  expect(before).toEqual(copy)
})

// What must hold after every step, whatever the network does.
function checkInvariants(client: Client, configured: string | null): string | null {
  let address = configured
  for (const action of client.actions) {
    if (action.type === 'configure') {
      expect(action.previous?.address ?? null).toBe(address)
      address = action.held.lease.address
    } else if (action.type === 'deconfigure') {
      expect(action.lease.address).toBe(address)
      address = null
    } else if (action.type === 'send') {
      decodeDhcp(encodeDhcp(action.packet))
    }
  }
  const { name, held } = client.state
  expect(held?.lease.address ?? null).toBe(address)
  if (held !== null) expect(client.nowMs).toBeLessThan(held.expiresAtMs)
  if (name === 'bound' || name === 'renewing' || name === 'rebinding') expect(held).not.toBeNull()
  if (name !== 'stopped' && held?.expiresAtMs !== Infinity)
    expect(nextDeadlineMs(client.state)).toBeLessThan(Infinity)
  // Never busy: what is due is in the future, and at most two messages leave in a step.
  expect(nextDeadlineMs(client.state)).toBeGreaterThan(client.nowMs)
  expect(typesOf(client.actions).filter((type) => type === 'send').length).toBeLessThanOrEqual(2)
  return address
}

test('step() keeps its invariants on any network', () => {
  const address = fc.constantFrom('10.0.2.15', '10.0.2.16', '0.0.0.0', '127.0.0.1')
  const server = fc.constantFrom(SERVER, '10.0.2.99')
  const packet = fc.record({
    type: fc.nat(8),
    address,
    server,
    seconds: fc.constantFrom(0, 1, 30, 600, 86_400, 0xffffffff),
    rightXid: fc.boolean(),
  })
  const happening = fc.oneof(
    { weight: 4, arbitrary: fc.constant('wait' as const) },
    {
      weight: 1,
      arbitrary: fc.constantFrom<DhcpEvent>(
        { type: 'carrier-up' },
        { type: 'carrier-down' },
        { type: 'conflict' },
        { type: 'timer' },
      ),
    },
    { weight: 6, arbitrary: packet },
    { weight: 1, arbitrary: fc.nat(100_000) },
  )
  fc.assert(
    fc.property(
      fc.nat(),
      fc.boolean(),
      fc.array(happening, { maxLength: 60 }),
      (seed, rapidCommit, happenings) => {
        const client = new Client(seed, { ...identity, rapidCommit })
        let configured: string | null = null
        client.step({ type: 'carrier-up' })
        for (const one of happenings) {
          if (one === 'wait') {
            if (nextDeadlineMs(client.state) === Infinity) continue
            client.wait()
          } else if (typeof one === 'number') {
            client.nowMs += one
            client.step({ type: 'timer' })
          } else if ('seconds' in one) {
            const xid = one.rightXid ? client.state.xid : 7
            const options: [number, Uint8Array][] = [
              lease(one.seconds),
              [OPTION.serverIdentifier, parseAddress(one.server)],
              [OPTION.rapidCommit, new Uint8Array()],
            ]
            client.answer(one.type, { xid, yiaddr: one.address }, options)
          } else {
            client.step(one)
          }
          configured = checkInvariants(client, configured)
        }
      },
    ),
    { numRuns: 3_000 },
  )
})

test('step() gets a lease within the hour on a network that loses four of five packets', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const client = new Client(seed)
    let dice = seed
    const lost = (): boolean => {
      dice = (Math.imul(dice, 1_103_515_245) + 12_345) >>> 0
      return dice / 2 ** 32 < 0.55
    }
    client.step({ type: 'carrier-up' })
    while (client.state.name !== 'bound') {
      const asks = client.state.name
      // Lost on the way there or back: 1 − 0.45² = 80 %.
      if (!lost() && !lost()) client.answer(asks === 'selecting' ? MESSAGE_TYPE.offer : MESSAGE_TYPE.ack)
      else client.wait()
      expect(client.nowMs, `seed ${seed}`).toBeLessThan(3_600_000)
    }
  }
})
