// Message and attribute codec, judged by what ip(8) sent and the kernel answered (golden/iproute2.json, strace).
import { readFileSync } from 'node:fs'
import {
  IFLA_IFNAME,
  IFLA_LINKINFO,
  IFLA_MTU,
  NLMSG_DONE,
  NLMSG_ERROR,
  RTM_NEWLINK,
} from '@pkg/sys/constants'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeAcknowledgement } from '../src/netlink/acknowledgement.ts'
import {
  attributeMap,
  decodeAttributes,
  encodeAttributes,
  readText,
  readU32,
  text,
  u32,
  u8,
} from '../src/netlink/attribute.ts'
import { decodeMessages, encodeMessage, nlmsgAlign } from '../src/netlink/message.ts'
import { IFINFOMSG_SIZE } from '../src/netlink/route-structs.ts'

interface Exchange {
  request: string
  answers: string[]
}

const golden = JSON.parse(readFileSync(new URL('./golden/iproute2.json', import.meta.url), 'utf8')) as Record<
  string,
  Exchange
>

const allDatagrams = Object.values(golden).flatMap((exchange) => [exchange.request].concat(exchange.answers))
const bytesProperty = fc.uint8Array({ maxLength: 64 })

describe('encodeMessage() and decodeMessages()', () => {
  test('give back every datagram of ip(8) and the kernel byte for byte', () => {
    expect(allDatagrams.length).toBeGreaterThan(20)
    for (const hex of allDatagrams) {
      const messages = decodeMessages(Uint8Array.fromHex(hex))
      expect(messages.map((message) => encodeMessage(message).toHex()).join('')).toBe(hex)
    }
  })

  test('round-trip any list of messages', () => {
    const message = fc.record({
      type: fc.nat(0xffff),
      flags: fc.nat(0xffff),
      sequence: fc.nat(0xffffffff),
      portId: fc.nat(0xffffffff),
      payload: bytesProperty,
    })
    fc.assert(
      fc.property(fc.array(message, { maxLength: 5 }), (messages) => {
        const joined = Uint8Array.from(messages.flatMap((one) => [...encodeMessage(one)]))
        expect(decodeMessages(joined)).toEqual(messages)
      }),
    )
  })

  test('decodeMessages() either reads to the end or throws a RangeError, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          const size = decodeMessages(bytes).reduce(
            (sum, one) => sum + nlmsgAlign(16 + one.payload.length),
            0,
          )
          expect(size).toBeGreaterThanOrEqual(bytes.length)
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError)
        }
      }),
    )
  })

  test('decodeMessages() refuses a datagram that was cut', () => {
    const whole = encodeMessage({ type: 1, flags: 0, sequence: 1, portId: 0, payload: new Uint8Array(8) })
    for (let size = 1; size < whole.length; size++) {
      expect(() => decodeMessages(whole.subarray(0, size))).toThrow(RangeError)
    }
  })

  test('decodeMessages() refuses a length of zero instead of turning for ever', () => {
    expect(() => decodeMessages(new Uint8Array(16))).toThrow('netlink message at byte 0: length 0')
  })
})

describe('encodeAttributes() and decodeAttributes()', () => {
  test('read the link that the kernel described to ip(8)', () => {
    const answer = golden['ip link show dev eth7']?.answers.at(1)
    const [message] = decodeMessages(Uint8Array.fromHex(answer ?? ''))
    expect(message?.type).toBe(RTM_NEWLINK)
    const attributes = attributeMap(message?.payload.subarray(IFINFOMSG_SIZE) ?? new Uint8Array())
    expect(readText(attributes.get(IFLA_IFNAME))).toBe('eth7')
    expect(readU32(attributes.get(IFLA_MTU))).toBe(1400)
    const linkInfo = attributeMap(attributes.get(IFLA_LINKINFO) ?? new Uint8Array())
    expect(readText(linkInfo.get(1))).toBe('veth')
  })

  test('round-trip any attributes, nested ones too', () => {
    const attribute = fc.tuple(fc.nat(0x3fff), bytesProperty)
    fc.assert(
      fc.property(fc.array(attribute), fc.nat(0x3fff), (attributes, outer) => {
        const [nested] = decodeAttributes(encodeAttributes([[outer, attributes]]))
        expect(nested?.type).toBe(outer)
        expect(decodeAttributes(nested?.value ?? new Uint8Array())).toEqual(
          attributes.map(([type, value]) => ({ type, value })),
        )
      }),
    )
  })

  test('decodeAttributes() never reads past the end, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        try {
          for (const { value } of decodeAttributes(bytes))
            expect(value.byteOffset + value.length).toBeLessThanOrEqual(bytes.length)
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError)
        }
      }),
    )
  })

  test('encodeAttributes() refuses a value that the 16-bit length cannot say', () => {
    expect(encodeAttributes([[1, new Uint8Array(65_531)]])).toHaveLength(65_536)
    expect(() => encodeAttributes([[1, new Uint8Array(65_532)]])).toThrow('at most 65531 fit')
  })

  test.each([-1, 2 ** 32, 1.5, Number.NaN])('u32() refuses %d', (value) => {
    expect(() => u32(value)).toThrow(RangeError)
  })

  test('u8() and text() refuse what does not fit', () => {
    expect(() => u8(256)).toThrow(RangeError)
    expect(() => text('a\0b')).toThrow(TypeError)
    expect(text('lo')).toEqual(Uint8Array.of(108, 111, 0))
  })
})

describe('decodeAcknowledgement()', () => {
  const answerOf = (command: string) =>
    decodeMessages(Uint8Array.fromHex(golden[command]?.answers.at(-1) ?? ''))[0]

  test('is success for the command that succeeded', () => {
    const message = answerOf('ip link set eth7 up')
    expect(message?.type).toBe(NLMSG_ERROR)
    expect(message && decodeAcknowledgement(message)).toEqual({ errno: 0 })
  })

  test("has the kernel's own words for the one that failed", () => {
    const message = answerOf('ip route add 1.2.3.0/24 via 9.9.9.9')
    expect(message && decodeAcknowledgement(message)).toEqual({
      errno: 101,
      text: 'Nexthop has invalid gateway',
    })
  })

  test('reads the words after a capped request, as this package asks for them', () => {
    const payload = Uint8Array.from([
      0xea,
      0xff,
      0xff,
      0xff,
      ...new Uint8Array(16),
      ...encodeAttributes([[1, text('no')]]),
    ])
    expect(
      decodeAcknowledgement({ type: NLMSG_ERROR, flags: 0x300, sequence: 0, portId: 0, payload }),
    ).toEqual({
      errno: 22,
      text: 'no',
    })
  })

  test('reads the error at the end of a dump', () => {
    const done = { type: NLMSG_DONE, flags: 2, sequence: 0, portId: 0 }
    expect(decodeAcknowledgement({ ...done, payload: Uint8Array.of(0xed, 0xff, 0xff, 0xff) })).toEqual({
      errno: 19,
    })
    expect(decodeAcknowledgement({ ...done, payload: new Uint8Array() })).toEqual({ errno: 0 })
  })
})
