import { randomBytes } from 'node:crypto'
import { zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { unpackFrame } from '../src/release/frame.ts'

const MiB = 1024 * 1024

describe('unpackFrame', () => {
  test('gives back what was packed, of every way to tell a length', () => {
    for (const length of [0, 1, 255, 256, 300, 65_791, 65_792, 3 * MiB]) {
      const bytes = randomBytes(length)
      for (const packed of [Bun.zstdCompressSync(bytes), zstdCompressSync(bytes)])
        expect(Buffer.compare(unpackFrame(packed, length), bytes)).toBe(0)
    }
  })

  test('refuses more than it may take before it takes it', () => {
    const packed = Bun.zstdCompressSync(new Uint8Array(8 * MiB))
    expect(packed.length).toBeLessThan(1000)
    expect(() => unpackFrame(packed, 8 * MiB - 1)).toThrow(/8388608 bytes, expected 8388607 at most/)
    // A frame that says it has an exabyte: single segment, eight bytes of length.
    const boastful = Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x10, 1, 0, 0])
    expect(() => unpackFrame(boastful, 8 * MiB)).toThrow(RangeError)
  })

  test('refuses a frame with another behind it, and one that does not tell its length', () => {
    const packed = Bun.zstdCompressSync(randomBytes(100))
    expect(() => unpackFrame(Buffer.concat([packed, packed]), MiB)).toThrow(/not one frame/)
    // Before that is unpacked: some kilobytes would take more memory than a device has.
    const large = Bun.zstdCompressSync(new Uint8Array(64 * MiB))
    expect(() => unpackFrame(Buffer.concat([packed, large]), MiB)).toThrow(/not one frame/)
    // The same without a length: a window descriptor takes its place.
    const silent = Buffer.concat([packed.subarray(0, 4), Uint8Array.from([0, 0x58]), packed.subarray(6)])
    expect(() => unpackFrame(silent, MiB)).toThrow(/does not say how long/)
  })

  test('throws and nothing else for anything that is no frame', () => {
    const packed = Bun.zstdCompressSync(randomBytes(400))
    fc.assert(
      fc.property(fc.nat(packed.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = Uint8Array.from(packed)
        bytes[at] = (bytes[at] ?? 0) ^ change
        try {
          return unpackFrame(bytes, MiB).byteLength <= MiB
        } catch (error) {
          return error instanceof Error
        }
      }),
    )
    for (let length = 0; length < packed.length; length += 1)
      expect(() => unpackFrame(packed.subarray(0, length), MiB)).toThrow(Error)
  })
})
