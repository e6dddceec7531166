// The DHCP machine: each rule of RFC 2131 by itself.
import { describe, expect, test } from 'vitest'
import { nextDeadlineMs, step } from '../src/dhcp4/machine.ts'
import { MESSAGE_TYPE, messageType, OPTION } from '../src/dhcp4/options.ts'
import { decodeDhcp, encodeDhcp, type DhcpPacket } from '../src/dhcp4/packet.ts'
import { parseAddress } from '../src/ip.ts'
import { Client, identity, lease, option, SERVER, typesOf } from './dhcp4-client-model.ts'

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
