import { array, assert, constantFrom, integer, property, string, uint8Array } from 'fast-check'
import { expect, test } from 'vitest'
import { floodLimit } from '../src/log/flood.ts'
import { formatLine, readyText } from '../src/log/format.ts'
import { CUT_MARK, lineSplitter } from '../src/log/lines.ts'
import { outputQueue } from '../src/log/output-queue.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

test('lineSplitter() gives whole lines, however the stream is cut into chunks', () => {
  const texts = array(string({ unit: constantFrom('a', 'é', '漢', '😀', ' '), maxLength: 20 }))
  assert(
    property(texts, array(integer({ min: 1, max: 9 }), { minLength: 1 }), (lines, sizes) => {
      const all = bytes(lines.map((line) => `${line}\n`).join(''))
      const splitter = lineSplitter(200)
      const found: string[] = []
      for (let at = 0, turn = 0; at < all.length; turn++) {
        const size = sizes[turn % sizes.length] ?? 1
        found.push(...splitter.push(all.subarray(at, at + size)))
        at += size
      }
      expect(found).toEqual(lines)
      expect(splitter.flush()).toEqual([])
    }),
  )
})

test('lineSplitter() cuts a long line at a character, and marks both ends', () => {
  const splitter = lineSplitter(8)
  expect(splitter.push(bytes('漢漢漢漢漢\nshort\n'))).toEqual([
    `漢漢${CUT_MARK}`,
    `${CUT_MARK}漢漢${CUT_MARK}`,
    `${CUT_MARK}漢`,
    'short',
  ])
})

test('lineSplitter() flushes the last line when its newline is missing', () => {
  const splitter = lineSplitter(100)
  expect(splitter.push(bytes('one\npartial'))).toEqual(['one'])
  expect(splitter.flush()).toEqual(['partial'])
  expect(splitter.flush()).toEqual([])
})

test('lineSplitter() shows control characters instead of passing them on', () => {
  const splitter = lineSplitter(100)
  expect(splitter.push(bytes('a\tb\x1b[31m\r\nx\ry\x7f\u{85}\n'))).toEqual([
    'a\tb\\x1b[31m',
    'x\\x0dy\\x7f\\x85',
  ])
})

test('lineSplitter() keeps no line longer than its bound, whatever the bytes are', () => {
  assert(
    property(array(uint8Array({ maxLength: 64 })), (chunks) => {
      const splitter = lineSplitter(16)
      for (const line of [...chunks.flatMap((chunk) => splitter.push(chunk)), ...splitter.flush()]) {
        // Each byte can become `\xNN`; the marks come on top.
        expect(line.length).toBeLessThanOrEqual(16 * 4 + 2)
      }
    }),
  )
})

test('floodLimit() lets a burst through, then a steady rate, and says how many it held back', () => {
  const limit = floodLimit(3, 10)
  const admitted = Array.from({ length: 5 }, () => limit.admit(0).pass)
  expect(admitted).toEqual([true, true, true, false, false])
  expect(limit.admit(100)).toEqual({ pass: true, suppressed: 2 })
  expect(limit.admit(150).pass).toBe(false)
  expect(limit.takeSuppressed()).toBe(1)
})

test('outputQueue() drops the newest lines of a flood, counts them, and says so when there is room', () => {
  const queue = outputQueue(30, (count) => `${count} dropped`)
  for (let line = 0; line < 10; line++) queue.push(`line ${line}`)
  const written: string[] = []
  const write = (chunk: Uint8Array): number => {
    written.push(new TextDecoder().decode(chunk))
    return chunk.length
  }
  expect(queue.drain(write)).toBe(true)
  expect(written.join('')).toBe('line 0\nline 1\nline 2\nline 3\n6 dropped\n')
  queue.push('later')
  queue.drain(write)
  expect(written.at(-1)).toBe('later\n')
})

test('outputQueue() goes on in the middle of a line when the console took a part of it', () => {
  const queue = outputQueue(1000, String)
  queue.push('hello')
  queue.push('world')
  let text = ''
  const takeTwo = (chunk: Uint8Array): number => {
    text += new TextDecoder().decode(chunk.subarray(0, 2))
    return Math.min(2, chunk.length)
  }
  while (!queue.drain(takeTwo)) expect(queue.waiting).toBe(true)
  expect(text).toBe('hello\nworld\n')
})

test('formatLine() and readyText() write what `solo run --check` reads', () => {
  const text = readyText({ tookMs: 611.6, running: 2, failed: [], residentBytes: 29_464_986 })
  expect(formatLine(1234.567, 'init', text)).toBe(
    '[    1.234567] init: ready in 612 ms: 2 services running, 0 failed, resident 28.1 MiB',
  )
  expect(
    readyText({ tookMs: 9, running: 1, failed: [{ name: 'web', reason: 'ENOENT' }], residentBytes: 0 }),
  ).toBe('ready in 9 ms: 1 service running, 1 failed (web: ENOENT), resident 0.0 MiB')
})
