// Addresses as text, judged by node:net, the URL parser and the C library.
import { execFileSync } from 'node:child_process'
import { isIPv4, isIPv6 } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatIpv6, parseIpv4, parseIpv6 } from '../src/socket/ip-text.ts'

describe('parseIpv4()', () => {
  test('reads back every address', () => {
    fc.assert(fc.property(fc.ipV4(), (text) => parseIpv4(text).join('.') === text))
  })

  test('refuses all that node:net refuses', () => {
    const nearly = fc.array(fc.constantFrom('0', '1', '25', '255', '256', '01', '-1', '', ' 1', '0x1'), {
      minLength: 3,
      maxLength: 5,
    })
    fc.assert(
      fc.property(nearly, (parts) => {
        const text = parts.join('.')
        if (isIPv4(text)) expect([...parseIpv4(text)].join('.')).toBe(text)
        else expect(() => parseIpv4(text), text).toThrow(TypeError)
      }),
    )
  })
})

const groups = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), {
  minLength: 8,
  maxLength: 8,
})
const toBytes = (words: readonly number[]): Uint8Array =>
  Uint8Array.from(words.flatMap((word) => [word >> 8, word & 0xff]))

describe('formatIpv6() and parseIpv6()', () => {
  test('are each other’s inverse', () => {
    fc.assert(
      fc.property(groups, (words) => {
        expect(parseIpv6(formatIpv6(toBytes(words)))).toEqual(toBytes(words))
      }),
    )
  })

  test('shorten as the URL parser does', () => {
    // It writes an IPv4-mapped address without decimals; the C library, below, writes it as we do.
    const isMapped = (words: readonly number[]): boolean => words.slice(0, 6).join() === '0,0,0,0,0,65535'
    fc.assert(
      fc.property(groups, (words) => {
        fc.pre(!isMapped(words))
        const full = words.map((word) => word.toString(16)).join(':')
        expect(`[${formatIpv6(toBytes(words))}]`).toBe(new URL(`http://[${full}]`).hostname)
      }),
    )
  })

  test('read every way of writing one and write it as the C library does', () => {
    const mapped = ['::ffff:10.0.2.15', '::ffff:a00:20f', '0:0:0:0:0:FFFF:1.2.3.4']
    const texts = [...fc.sample(fc.ipV6(), 200), ...mapped]
    // Perl's Socket is inet_pton(3) and inet_ntop(3) of the C library; getent would look at the network.
    const script = 'print inet_ntop(AF_INET6, inet_pton(AF_INET6, $_)), "\\n" for @ARGV'
    const imports = '-MSocket=inet_pton,inet_ntop,AF_INET6'
    const output = execFileSync('perl', [imports, '-e', script, ...texts], { encoding: 'utf8' })
    const canonical = output.trim().split('\n')
    expect(canonical).toHaveLength(texts.length)
    for (const [index, text] of texts.entries()) {
      expect(isIPv6(text)).toBe(true)
      // inet_ntop(3) also writes the deprecated IPv4-compatible form (RFC 4291 §2.5.5.1); RFC 5952 does not.
      if (/^::\d+\.\d+\.\d+\.\d+$/.test(canonical[index] ?? '')) continue
      expect(formatIpv6(parseIpv6(text)), text).toBe(canonical[index])
    }
  })

  test.each(['', ':', '::1::', '1:2:3', 'fe80::1%eth0', '::ffff:1.2.3', '12345::', '1.2.3.4', ':::', '::g'])(
    'refuse %j',
    (text) => expect(() => parseIpv6(text)).toThrow(TypeError),
  )
})
