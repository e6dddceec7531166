// The DHCP codec, judged by what dhclient, udhcpc and dnsmasq sent each other (golden/dhcp.json, tcpdump).
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeDatagram, encodeDatagram } from '../src/dhcp4/datagram.ts'
import { encodeFilter, udpPortFilter } from '../src/dhcp4/filter.ts'
import { messageType, readClasslessRoutes, readDomainSearch, readLease } from '../src/dhcp4/options.ts'
import { decodeDhcp, DhcpFormatError, encodeDhcp, type DhcpPacket } from '../src/dhcp4/packet.ts'

const golden = JSON.parse(readFileSync(new URL('./golden/dhcp.json', import.meta.url), 'utf8')) as Record<
  string,
  string
>

function goldenPacket(name: string): DhcpPacket {
  const datagram = decodeDatagram(Uint8Array.fromHex(golden[name] ?? ''))
  if (datagram === null) throw new Error(`${name} is not a datagram`)
  return decodeDhcp(datagram.payload)
}

const anyPacket = fc.record({
  op: fc.constantFrom<1 | 2>(1, 2),
  htype: fc.nat(255),
  hops: fc.nat(255),
  xid: fc.nat(0xffffffff),
  secs: fc.nat(0xffff),
  broadcast: fc.boolean(),
  ciaddr: fc.ipV4(),
  yiaddr: fc.ipV4(),
  siaddr: fc.ipV4(),
  giaddr: fc.ipV4(),
  chaddr: fc.uint8Array({ maxLength: 16 }),
  sname: fc.stringMatching(/^[!-~]{0,63}$/),
  file: fc.stringMatching(/^[!-~]{0,127}$/),
  options: fc
    .array(fc.tuple(fc.integer({ min: 1, max: 254 }), fc.uint8Array({ maxLength: 30 })), { maxLength: 8 })
    .map((list) => new Map(list.filter(([code]) => code !== 52))),
})

describe('encodeDhcp() and decodeDhcp()', () => {
  test('round-trip any message', () => {
    fc.assert(
      fc.property(anyPacket, (packet) => {
        expect(decodeDhcp(encodeDhcp(packet))).toEqual(packet)
      }),
    )
  })

  test("write udhcpc's DISCOVER byte for byte", () => {
    const datagram = decodeDatagram(Uint8Array.fromHex(golden['udhcpc-discover'] ?? ''))
    const bytes = datagram?.payload ?? new Uint8Array()
    expect(encodeDhcp(decodeDhcp(bytes)).toHex()).toBe(bytes.toHex())
  })

  test('split a long option over 255 bytes and join it again (RFC 3396)', () => {
    const value = Uint8Array.from({ length: 280 }, (_, index) => index & 0xff)
    const packet = { ...goldenPacket('udhcpc-discover'), options: new Map([[119, value]]) }
    const bytes = encodeDhcp(packet)
    expect([...bytes.subarray(240, 242)]).toEqual([119, 255])
    expect([...bytes.subarray(497, 499)]).toEqual([119, 25])
    expect(decodeDhcp(bytes).options.get(119)).toEqual(value)
  })

  test('read options from file, then sname, when option 52 says so (RFC 2131 section 4.1)', () => {
    const bytes = encodeDhcp({
      ...goldenPacket('udhcpc-discover'),
      options: new Map([[12, Uint8Array.of(1)]]),
    })
    bytes.set([12, 1, 1, 52, 1, 3, 255], 240)
    bytes.set([12, 1, 2, 6, 4, 9, 9, 9, 9, 255], 108)
    bytes.set([12, 1, 3, 255], 44)
    const packet = decodeDhcp(bytes)
    expect(packet.options.get(12)).toEqual(Uint8Array.of(1, 2, 3))
    expect(packet.options.get(6)).toEqual(Uint8Array.of(9, 9, 9, 9))
    expect(packet.options.has(52)).toBe(false)
    expect([packet.file, packet.sname]).toEqual(['', ''])
  })

  test('decodeDhcp() throws nothing but DhcpFormatError, whatever the bytes after the cookie', () => {
    const head = encodeDhcp({ ...goldenPacket('udhcpc-discover'), op: 2 }).subarray(0, 240)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (tail) => {
        try {
          readLease(decodeDhcp(Uint8Array.of(...head, ...tail)))
        } catch (error) {
          expect(error).toBeInstanceOf(DhcpFormatError)
        }
      }),
    )
  })

  test('decodeDhcp() refuses every truncation of the fixed part and of an option', () => {
    const bytes = encodeDhcp(goldenPacket('udhcpc-discover'))
    for (let size = 0; size < 240; size++)
      expect(() => decodeDhcp(bytes.subarray(0, size))).toThrow(DhcpFormatError)
    expect(() => decodeDhcp(Uint8Array.of(...bytes.subarray(0, 240), 53))).toThrow('runs past the end')
    expect(() => decodeDhcp(Uint8Array.of(...bytes.subarray(0, 240), 53, 2, 1))).toThrow('runs past the end')
  })

  test.each([
    ['op', 0, 'neither request nor reply'],
    ['hlen', 2, 'at most 16'],
    ['cookie', 236, 'magic cookie'],
  ])('decodeDhcp() refuses a wrong %s', (_, offset, message) => {
    const bytes = encodeDhcp(goldenPacket('udhcpc-discover'))
    bytes[offset] = 77
    expect(() => decodeDhcp(bytes)).toThrow(message)
  })

  test('encodeDhcp() refuses what does not fit', () => {
    const packet = goldenPacket('udhcpc-discover')
    expect(() => encodeDhcp({ ...packet, options: new Map([[1, new Uint8Array(400)]]) })).toThrow(
      'does not fit',
    )
    expect(() => encodeDhcp({ ...packet, chaddr: new Uint8Array(17) })).toThrow('at most 16')
    expect(() => encodeDhcp({ ...packet, sname: 'x'.repeat(64) })).toThrow('at most 63')
    expect(() => encodeDhcp({ ...packet, ciaddr: '::1' })).toThrow(TypeError)
    expect(() => encodeDhcp({ ...packet, options: new Map([[255, new Uint8Array()]]) })).toThrow(RangeError)
  })
})

describe('readLease()', () => {
  test('reads all that dnsmasq granted to dhclient', () => {
    const packet = goldenPacket('dhclient-ack')
    expect(messageType(packet)).toBe(5)
    expect(readLease(packet)).toEqual({
      address: '10.9.0.58',
      prefixLength: 24,
      broadcast: '10.9.0.255',
      server: '10.9.0.1',
      routes: [
        { destination: '10.0.0.0', prefixLength: 8, gateway: '10.9.0.1' },
        { destination: '0.0.0.0', prefixLength: 0, gateway: '10.9.0.1' },
      ],
      nameservers: ['10.9.0.1', '10.9.0.2'],
      domainName: 'example.org',
      domainSearch: ['example.org', 'lab.example.org'],
      ntpServers: [],
      hostname: 'vm',
      mtu: 1400,
      leaseSeconds: 120,
      renewSeconds: 60,
      rebindSeconds: 105,
    })
  })

  test('takes the router option where there are no classless routes', () => {
    expect(readLease(goldenPacket('udhcpc-ack'))).toMatchObject({
      routes: [{ destination: '0.0.0.0', prefixLength: 0, gateway: '10.9.0.1' }],
    })
  })

  const altered = (changes: [number, number[] | null][], fields: Partial<DhcpPacket> = {}) => {
    const packet = { ...goldenPacket('dhclient-ack'), ...fields }
    for (const [code, value] of changes) {
      if (value === null) packet.options.delete(code)
      else packet.options.set(code, Uint8Array.from(value))
    }
    return readLease(packet)
  }

  test.each([
    ['no server identifier', [[54, null]], {}, 'option 54'],
    ['no lease time', [[51, null]], {}, 'option 51'],
    ['a lease of 0 seconds', [[51, [0, 0, 0, 0]]], {}, '0 seconds'],
    ['a mask with a hole', [[1, [255, 0, 255, 0]]], {}, 'option 1'],
    ['no address', [], { yiaddr: '0.0.0.0' }, 'missing'],
    ['a loopback address', [], { yiaddr: '127.0.0.1' }, 'loopback'],
    ['a multicast address', [], { yiaddr: '224.0.0.1' }, 'multicast'],
    ['the broadcast address', [], { yiaddr: '255.255.255.255' }, 'broadcast'],
  ] as [string, [number, number[] | null][], Partial<DhcpPacket>, string][])(
    'refuses %s with the reason',
    (_, changes, fields, reason) => {
      expect(altered(changes, fields)).toContain(reason)
    },
  )

  test('never ends a lease of 0xffffffff', () => {
    expect(
      altered([
        [51, [255, 255, 255, 255]],
        [58, null],
        [59, null],
      ]),
    ).toMatchObject({
      leaseSeconds: Infinity,
      renewSeconds: Infinity,
      rebindSeconds: Infinity,
    })
  })

  test('puts T1 and T2 at half and 0.875 when the server names none or out of order', () => {
    const usual = { renewSeconds: 60, rebindSeconds: 105 }
    expect(
      altered([
        [58, null],
        [59, null],
      ]),
    ).toMatchObject(usual)
    expect(
      altered([
        [58, [0, 0, 0, 200]],
        [59, [0, 0, 1, 0]],
      ]),
    ).toMatchObject(usual)
    expect(
      altered([
        [58, [0, 0, 0, 0]],
        [59, [0, 0, 0, 0]],
      ]),
    ).toMatchObject(usual)
  })

  test('lets no name through that could smuggle a line into resolv.conf', () => {
    const evil = [...new TextEncoder().encode('a\nnameserver 6.6.6.6')]
    const lease = altered([
      [15, evil],
      [12, evil],
      [119, [evil.length, ...evil, 0]],
    ])
    expect(lease).not.toHaveProperty('domainName')
    expect(lease).not.toHaveProperty('hostname')
    expect(lease).toMatchObject({ domainSearch: [] })
  })
})

test('readClasslessRoutes() reads the examples of RFC 3442', () => {
  // "Subnet number 10.27.129.0, mask 255.255.255.0 → 24.10.27.129", "10.198.122.47/32 → 32.10.198.122.47"
  const value = Uint8Array.from([
    24, 10, 27, 129, 1, 1, 1, 1, 32, 10, 198, 122, 47, 2, 2, 2, 2, 17, 10, 229, 255, 3, 3, 3, 3,
  ])
  expect(readClasslessRoutes(value)).toEqual([
    { destination: '10.27.129.0', prefixLength: 24, gateway: '1.1.1.1' },
    { destination: '10.198.122.47', prefixLength: 32, gateway: '2.2.2.2' },
    { destination: '10.229.128.0', prefixLength: 17, gateway: '3.3.3.3' },
  ])
  for (let size = 1; size < value.length; size++) {
    if (![0, 8, 17].includes(size)) expect(readClasslessRoutes(value.subarray(0, size))).toBeNull()
  }
})

test('readDomainSearch() ends for any bytes, pointers that turn in circles too', () => {
  expect(readDomainSearch(Uint8Array.of(0xc0, 0x00))).toEqual([])
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      expect(readDomainSearch(bytes)).toBeInstanceOf(Array)
    }),
  )
})

/** What a sender writes that leaves the checksum to its hardware: the sum of addresses, protocol and length. */
function pseudoHeaderSum(bytes: Uint8Array<ArrayBuffer>): number {
  const view = new DataView(bytes.buffer)
  const words = [12, 14, 16, 18, 24].map((offset) => view.getUint16(offset))
  const sum = words.reduce((total, word) => total + word, 17)
  return sum % 0xffff || 0xffff
}

describe('encodeDatagram() and decodeDatagram()', () => {
  test('read every packet that tcpdump caught, partial checksums included', () => {
    for (const [name, hex] of Object.entries(golden)) {
      expect(decodeDatagram(Uint8Array.fromHex(hex)), name).not.toBeNull()
    }
  })

  test("compute dhclient's checksums", () => {
    const bytes = Uint8Array.fromHex(golden['dhclient-request'] ?? '')
    const datagram = decodeDatagram(bytes)
    if (datagram === null) throw new Error('not a datagram')
    const ours = encodeDatagram(datagram)
    expect(ours.subarray(20).toHex()).toBe(bytes.subarray(20).toHex())
  })

  test('round-trip any payload, and a flipped bit is found', () => {
    const flip = fc.nat(1e6)
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 40 }),
        fc.ipV4(),
        fc.ipV4(),
        flip,
        (payload, source, destination, at) => {
          const datagram = { source, sourcePort: 68, destination, destinationPort: 67, payload }
          const bytes = encodeDatagram(datagram)
          expect(decodeDatagram(bytes)).toEqual(datagram)
          const index = 28 + (at % payload.length)
          bytes[index] = (bytes[index] ?? 0) ^ (1 << (at % 8))
          // One checksum in 65,535 is also the bare sum of the pseudo header, which says nothing of the payload.
          fc.pre(new DataView(bytes.buffer).getUint16(26) !== pseudoHeaderSum(bytes))
          expect(decodeDatagram(bytes)).toBeNull()
        },
      ),
    )
  })

  test('decodeDatagram() refuses fragments, other protocols and lengths that lie', () => {
    const good = encodeDatagram({
      source: '1.1.1.1',
      sourcePort: 1,
      destination: '2.2.2.2',
      destinationPort: 2,
      payload: new Uint8Array(4),
    })
    const broken = (offset: number, value: number) => {
      const bytes = good.slice()
      bytes[offset] = value
      return decodeDatagram(bytes)
    }
    expect(broken(0, 0x65)).toBeNull()
    expect(broken(0, 0x41)).toBeNull()
    expect(broken(3, 255)).toBeNull()
    expect(broken(7, 1)).toBeNull()
    expect(broken(9, 6)).toBeNull()
    expect(broken(25, 200)).toBeNull()
    expect(decodeDatagram(good.subarray(0, 27))).toBeNull()
  })
})

test('udpPortFilter() is what tcpdump compiles, and keeps only UDP to the port', () => {
  const run = (packet: Uint8Array) => runFilter(udpPortFilter(68), packet)
  const datagram = (destinationPort: number) =>
    encodeDatagram({
      source: '1.1.1.1',
      sourcePort: 67,
      destination: '2.2.2.2',
      destinationPort,
      payload: new Uint8Array(1),
    })
  expect(run(datagram(68))).toBeGreaterThan(0xffff)
  expect(run(datagram(67))).toBe(0)
  expect(run(datagram(68).with(9, 6))).toBe(0)
  expect(run(datagram(68).with(7, 1))).toBe(0)
  expect(encodeFilter(udpPortFilter(68)).subarray(0, 16).toHex()).toBe('30000000090000001500000611000000')
})

/** The kernel's interpreter for the six instructions that the filter uses (net/core/filter.c). */
function runFilter(program: ReturnType<typeof udpPortFilter>, packet: Uint8Array): number {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength)
  let [accumulator, index] = [0, 0]
  for (let counter = 0; ; counter++) {
    const { code, jumpTrue, jumpFalse, k } = program[counter] ?? { code: 6, jumpTrue: 0, jumpFalse: 0, k: -1 }
    if (code === 0x06) return k
    else if (code === 0x30) accumulator = view.getUint8(k)
    else if (code === 0x28) accumulator = view.getUint16(k)
    else if (code === 0x48) accumulator = view.getUint16(index + k)
    else if (code === 0xb1) index = (view.getUint8(k) & 15) * 4
    else if (code === 0x15) counter += accumulator === k ? jumpTrue : jumpFalse
    else if (code === 0x45) counter += (accumulator & k) === 0 ? jumpFalse : jumpTrue
    else throw new Error(`instruction ${code}`)
  }
}
