import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Connection } from '../../src/agent/connection.ts'
import { encodeFrame, type Frame, FrameDecoder, FrameType } from '../../src/agent/frames.ts'
import { WINDOW_BYTES } from '../../src/agent/streams.ts'
import { decode, encode } from '../../src/agent/values.ts'

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 700 }),
  fc.nat(2000).map((size) => new Uint8Array(size)),
  fc.nat(2000).map((size) => new Uint8Array(size).fill(7)),
)
const frames = fc.array(fc.record({ type: fc.nat(255), stream: fc.nat(0xffff_ffff), payload: bytes }), {
  maxLength: 5,
})

/** Without the difference of Buffer and Uint8Array. */
function plain({ type, stream, payload }: Frame): unknown {
  return { type, stream, payload: [...payload] }
}

function inPieces(whole: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [...cuts.map((cut) => cut % (whole.length + 1)), 0, whole.length].toSorted((a, b) => a - b)
  return places.slice(1).map((end, index) => whole.subarray(places[index], end))
}

test('FrameDecoder gives what encodeFrame was given, however the bytes are cut', () => {
  fc.assert(
    fc.property(frames, fc.array(fc.nat()), (sent, cuts) => {
      const decoder = new FrameDecoder()
      const whole = Buffer.concat(sent.map(encodeFrame))
      const received = inPieces(whole, cuts).flatMap((piece) => decoder.receive(piece))
      expect(received.map(plain)).toEqual(sent.map(plain))
    }),
  )
})

test('FrameDecoder finds a frame after any noise and makes none of the noise', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), bytes, (noise, payload) => {
      const decoder = new FrameDecoder()
      const frame = { type: FrameType.data, stream: 9, payload }
      const received = [...decoder.receive(noise), ...decoder.receive(encodeFrame(frame))]
      expect(received.map(plain)).toEqual([plain(frame)])
    }),
  )
})

test('FrameDecoder drops a frame of which a byte was changed', () => {
  fc.assert(
    fc.property(bytes, fc.nat(), fc.integer({ min: 1, max: 255 }), (payload, place, change) => {
      const encoded = encodeFrame({ type: 3, stream: 1, payload })
      const at = 1 + (place % (encoded.length - 2))
      encoded[at] = (encoded[at] ?? 0) ^ change
      expect(new FrameDecoder().receive(encoded)).toEqual([])
    }),
  )
})

test('decode() gives errors of the built-in classes, with causes and own fields', () => {
  const cause = Object.assign(new RangeError('low'), { code: 'ERANGE' })
  const error = decode(encode(new TypeError('high', { cause }))) as TypeError
  expect(error).toBeInstanceOf(TypeError)
  expect(error.cause).toBeInstanceOf(RangeError)
  expect(error.cause).toMatchObject({ message: 'low', code: 'ERANGE' })
})

/** Two ends joined in memory. */
function pair(onRequest: (method: string, params: unknown) => unknown): [Connection, Connection] {
  const host: Connection = new Connection({ send: (sent) => guest.receive(sent) })
  const guest: Connection = new Connection({ send: (sent) => host.receive(sent), onRequest })
  return [host, guest]
}

test('Connection stops a writer whose reader stands still, and no other', async () => {
  const [host, guest] = pair(() => null)
  const stalled = host.writer(1)
  guest.reader(1)
  for (let count = 0; count < 100; count++) stalled.write(new Uint8Array(10_000))
  const other = host.writer(2)
  const reader = guest.reader(2)
  other.end(new Uint8Array(WINDOW_BYTES * 3))
  let received = 0
  for await (const chunk of reader) received += (chunk as Uint8Array).length
  expect(received).toBe(WINDOW_BYTES * 3)
  expect(stalled.writableLength).toBeGreaterThan(1_000_000 - WINDOW_BYTES - 20_000)
})

test('Connection.reset() fails calls and streams, and answers no call of before', async () => {
  const answer = Promise.withResolvers<number>()
  const [host, guest] = pair(() => answer.promise)
  const call = host.call('slow', null)
  const reader = host.reader(7)
  const failed = expect(call).rejects.toThrow('gone')
  host.reset(new Error('gone'))
  await failed
  expect(reader.destroyed).toBe(true)
  guest.reset(new Error('gone'))
  const second = host.call('slow', null)
  answer.resolve(5)
  expect(await second).toBe(5)
})

test('Connection fails a call that cannot be sent, and does not wait for it', async () => {
  const connection = new Connection({
    send: () => {
      throw new RangeError('too long')
    },
  })
  await expect(connection.call('any', null)).rejects.toThrow('too long')
  expect(connection.isHeeded).toBe(false)
})

test.each<[string, () => unknown, RegExp]>([
  ['a result', () => 'x'.repeat(65 << 20), /a message of \d+ bytes is over the limit/],
  ['an exception', () => Promise.reject(new Error('y'.repeat(65 << 20))), /^y{100}/],
])('Connection answers %s that is too long for a message', async (_what, answer, message) => {
  const [host] = pair(answer)
  // Not by toThrow(), which would print all of it.
  const error = await host.call('any', null).catch((reason: unknown) => reason)
  expect((error as Error).message.slice(0, 200)).toMatch(message)
})

test.each<[string, unknown, object]>([
  [
    'no form as a string',
    Object.assign(Object.create(null), { f() {} }),
    { message: /without a string form/ },
  ],
  ['a symbol', Symbol('x'), { message: 'Symbol(x)' }],
  [
    'a field that is a function',
    Object.assign(new RangeError('low', { cause: new TypeError('inner') }), { code: 'ERANGE', f() {} }),
    { name: 'RangeError', message: 'low', code: 'ERANGE', cause: { name: 'TypeError', message: 'inner' } },
  ],
])('Connection passes on an exception that has %s', async (_what, thrown, expected) => {
  const [host] = pair(() => Promise.reject(thrown))
  const error = await host.call('any', null).catch((reason: unknown) => reason)
  const { message, ...rest } = expected as { message: string | RegExp }
  if (typeof message === 'string') expect(error).toHaveProperty('message', message)
  else expect((error as Error).message).toMatch(message)
  expect(error).toMatchObject(rest)
})
