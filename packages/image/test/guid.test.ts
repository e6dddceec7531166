import { describe, expect, test } from 'vitest'
import { formatGuid, namedGuid, parseGuid, randomGuid } from '../src/guid.ts'
import { runOk } from './run.ts'

describe('GUIDs', () => {
  test('have their first three fields little-endian on disks', () => {
    const bytes = parseGuid('00112233-4455-6677-8899-AABBCCDDEEFF')
    expect(Buffer.from(bytes).toString('hex')).toBe('33221100554477668899aabbccddeeff')
    expect(formatGuid(bytes)).toBe('00112233-4455-6677-8899-aabbccddeeff')
    expect(() => parseGuid('0011')).toThrow(TypeError)
    expect(() => formatGuid(new Uint8Array(15))).toThrow(RangeError)
  })

  test('by chance are of version 4, by name of version 8 and always the same', () => {
    const pattern = /^[\da-f]{8}-[\da-f]{4}-[48][\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/
    expect(randomGuid()).toMatch(pattern)
    expect(randomGuid()).not.toBe(randomGuid())
    // The first 16 bytes of sha256sum's answer with version and variant set.
    const digest = runOk(['sha256sum'], { input: new TextEncoder().encode('solo') })
    expect(namedGuid('solo')).toMatch(pattern)
    expect(namedGuid('solo').slice(0, 13)).toBe(`${digest.slice(0, 8)}-${digest.slice(8, 12)}`)
    expect(namedGuid('solo').slice(24)).toBe(digest.slice(20, 32))
  })
})
