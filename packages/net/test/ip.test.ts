import { isIP } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatAddress, netmaskToPrefixLength, networkOf, parseAddress, parsePrefix } from '../src/ip.ts'

describe('parseAddress()', () => {
  test.each([
    ['fd00::1', 'fd00::1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['::1', '::1'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['::ffff:10.0.2.15', '::ffff:a00:20f'],
    ['FE80:0::A', 'fe80::a'],
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
  ])('reads %s and formatAddress() writes it as %s', (text, canonical) => {
    expect(formatAddress(parseAddress(text))).toBe(canonical)
  })

  test.each([
    '',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '256.1.1.1',
    '1.2.3.-4',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7::8::',
    '1:2:3:4:5:6:7:8::',
    '12345::',
    'g::',
    '::1.2.3',
    '1.2.3.4::',
    'fe80::1%eth0',
    ' ::1',
  ])('refuses %j with a TypeError that repeats it', (text) => {
    expect(() => parseAddress(text)).toThrow(TypeError)
    expect(() => parseAddress(text)).toThrow(`'${text}' is not an IP address`)
  })

  test('accepts what node:net calls an address and nothing else', () => {
    const character = fc.constantFrom(...'0123456789abcdefF:.%'.split(''))
    const anyText = fc.oneof(fc.string({ unit: character, maxLength: 40 }), fc.ipV4(), fc.ipV6())
    fc.assert(
      fc.property(anyText, (text) => {
        const valid = isIP(text) !== 0 && !text.includes('%')
        let accepted = true
        try {
          parseAddress(text)
        } catch {
          accepted = false
        }
        expect(accepted, text).toBe(valid)
      }),
      { numRuns: 2000 },
    )
  })

  test('is the inverse of formatAddress() for any bytes', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc
        .array(fc.oneof(fc.constant(0), fc.nat(255)), { minLength: 16, maxLength: 16 })
        .map((list) => Uint8Array.from(list)),
    )
    fc.assert(
      fc.property(bytes, (value) => {
        expect(parseAddress(formatAddress(value))).toEqual(value)
      }),
    )
  })
})

describe('parsePrefix()', () => {
  test('takes the whole address for its prefix when there is no slash', () => {
    expect(parsePrefix('10.0.2.15')).toEqual({ address: '10.0.2.15', prefixLength: 32 })
    expect(parsePrefix('::1')).toEqual({ address: '::1', prefixLength: 128 })
  })

  test.each([
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0.0/08',
    '10.0.0.0/-1',
    '::/129',
    '10.0.0.0/8/8',
    '10.0.0.0/1.5',
  ])('refuses %s', (text) => expect(() => parsePrefix(text)).toThrow(TypeError))
})

test('netmaskToPrefixLength() knows all 33 masks and refuses holes', () => {
  for (let length = 0; length <= 32; length++) {
    const mask = new Uint8Array(4)
    new DataView(mask.buffer).setUint32(0, length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0)
    expect(netmaskToPrefixLength(mask)).toBe(length)
  }
  expect(netmaskToPrefixLength(Uint8Array.of(255, 0, 255, 0))).toBeNull()
  expect(netmaskToPrefixLength(Uint8Array.of(0, 255, 255, 255))).toBeNull()
  expect(netmaskToPrefixLength(Uint8Array.of(255, 255, 255))).toBeNull()
})

test.each([
  ['10.0.2.15/24', '10.0.2.0'],
  ['10.0.2.15/0', '0.0.0.0'],
  ['10.0.2.15/32', '10.0.2.15'],
  ['172.31.255.1/12', '172.16.0.0'],
  ['fd00:1:2:3::9/48', 'fd00:1:2::'],
])('networkOf() zeroes the host bits of %s', (prefix, network) => {
  expect(networkOf(parsePrefix(prefix))).toBe(network)
})
