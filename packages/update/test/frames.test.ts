import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  dataFrame,
  FrameError,
  FrameReader,
  frameBytesMax,
  jsonFrame,
  type Frame,
} from '../src/updater-protocol.ts'

function readAll(bytes: Uint8Array, cuts: readonly number[]): Frame[] {
  const reader = new FrameReader()
  const frames: Frame[] = []
  let start = 0
  for (const cut of [...cuts, bytes.length]) {
    const end = Math.min(bytes.length, Math.max(start, cut))
    frames.push(...reader.push(bytes.subarray(start, end)))
    start = end
  }
  return frames
}

describe('FrameReader', () => {
  test('gives back what was framed, however it is cut', () => {
    const message = fc.oneof(
      fc.record({ type: fc.string(), id: fc.nat() }).map((value) => ({ value, bytes: jsonFrame(value) })),
      fc.uint8Array({ maxLength: 300 }).map((value) => ({ value, bytes: dataFrame(value) })),
    )
    const cutsArbitrary = fc.array(fc.nat(900)).map((cuts) => cuts.toSorted((a, b) => a - b))
    fc.assert(
      fc.property(fc.array(message, { maxLength: 6 }), cutsArbitrary, (messages, cuts) => {
        const frames = readAll(Buffer.concat(messages.map(({ bytes }) => bytes)), cuts)
        expect(frames.map((frame) => (frame.kind === 'json' ? frame.value : frame.bytes))).toEqual(
          messages.map(({ value }) => value),
        )
      }),
    )
  })

  test('refuses a length above the limit before it makes room for it', () => {
    const head = new Uint8Array(5)
    new DataView(head.buffer).setUint32(0, 0xffff_ffff, true)
    expect(() => readAll(head, [])).toThrow(FrameError)
    expect(() => dataFrame(new Uint8Array(frameBytesMax + 1))).toThrow(FrameError)
  })

  test.each([
    ['no length', new Uint8Array(5)],
    ['an unknown kind', Uint8Array.of(1, 0, 0, 0, 7)],
    ['what is no JSON', Uint8Array.of(2, 0, 0, 0, 0, 0x7b)],
    ['what is no UTF-8', Uint8Array.of(4, 0, 0, 0, 0, 0x22, 0xff, 0x22)],
  ])('refuses %s', (_, bytes) => {
    expect(() => readAll(bytes, [])).toThrow(FrameError)
  })
})
