import fc from 'fast-check'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { privateNetwork, type NetworkPort, type PrivateNetwork } from '../src/network.ts'
import { encodeFrame, FrameDecoder, FRAME_BYTES_MAX, NetworkStreamError } from '../src/network/frames.ts'
import { MacTable } from '../src/network/mac-table.ts'

/** A guest that is nothing but a stream: what it sends, and what it has heard. */
class Station {
  readonly heard: string[] = []
  readonly port: NetworkPort
  readonly stream: Duplex
  readonly #decoder = new FrameDecoder()
  /** Set, the station does not read. */
  deaf = false
  #wake: (() => void) | undefined

  constructor(network: PrivateNetwork, name: string) {
    this.stream = new Duplex({
      read: () => {},
      write: (chunk: Uint8Array, _encoding, done) => {
        for (const heard of this.#decoder.push(chunk))
          this.heard.push(Buffer.from(heard).toString('latin1', 14))
        if (this.deaf) this.#wake = done
        else done()
      },
    })
    this.port = network.connect(this.stream, { name })
  }

  /** Sends `text` from the address `from` to the address `to`: numbers, or `*` for all. */
  send(from: number, to: number | '*', text: string): void {
    this.stream.push(encodeFrame(frame(from, to, text)))
  }

  wake(): void {
    this.deaf = false
    this.#wake?.()
  }
}

function frame(from: number, to: number | '*', text: string): Buffer {
  const address = (number: number): number[] => [2, 0, 0, 0, number >> 8, number & 255]
  const destination = to === '*' ? [255, 255, 255, 255, 255, 255] : address(to)
  // 0x88b5 is for local experiments (IEEE 802).
  return Buffer.from([...destination, ...address(from), 0x88, 0xb5, ...Buffer.from(text, 'latin1')])
}

/** Streams hand on in turns of the event loop. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1)
    await new Promise<void>((resolve) => {
      setImmediate(resolve)
    })
}

function threeStations(network: PrivateNetwork): [Station, Station, Station] {
  return [new Station(network, 'one'), new Station(network, 'two'), new Station(network, 'three')]
}

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'solo-network-test-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('privateNetwork()', () => {
  test('sends broadcasts and frames for unknown stations to all but their sender', async () => {
    using network = privateNetwork()
    const [one, two, three] = threeStations(network)
    one.send(1, '*', 'hello')
    one.send(1, 9, 'who?')
    await settled()
    expect([one, two, three].map(({ heard }) => heard)).toEqual([[], ['hello', 'who?'], ['hello', 'who?']])
  })

  test('learns where stations are, and then bothers nobody else', async () => {
    using network = privateNetwork()
    const [one, two, three] = threeStations(network)
    two.send(2, '*', 'here')
    await settled()
    one.send(1, 2, 'secret')
    await settled()
    expect(two.heard).toEqual(['secret'])
    expect(three.heard).toEqual(['here'])
    // The station moves: the next frame goes after it.
    three.send(2, '*', 'moved')
    await settled()
    one.send(1, 2, 'again')
    await settled()
    expect(three.heard).toEqual(['here', 'again'])
  })

  test('loses everything of an unplugged port, until it is plugged in', async () => {
    using network = privateNetwork()
    const [one, two] = threeStations(network)
    two.port.unplug()
    one.send(1, '*', 'lost')
    two.send(2, '*', 'lost too')
    await settled()
    two.port.plug()
    one.send(1, '*', 'found')
    await settled()
    expect([one.heard, two.heard]).toEqual([[], ['found']])
    expect(two.port.counters).toMatchObject({ lostFrames: 2, sentFrames: 1 })
  })

  test('partition() keeps groups apart, heal() joins them', async () => {
    using network = privateNetwork()
    const [one, two, three] = threeStations(network)
    network.partition([one.port, two.port])
    one.send(1, '*', 'a')
    three.send(3, '*', 'b')
    await settled()
    network.heal()
    three.send(3, '*', 'c')
    await settled()
    expect([one, two, three].map(({ heard }) => heard)).toEqual([['c'], ['a', 'c'], []])
    expect(() => network.partition([one.port], [one.port])).toThrow(/one is there twice/)
  })

  test('a lossy cable loses the same frames for the same seed', async () => {
    const received = async (seed: number): Promise<string[]> => {
      using network = privateNetwork({ seed })
      const [one, two] = threeStations(network)
      two.port.setFaults({ lossRatio: 0.5 })
      for (let count = 0; count < 200; count += 1) one.send(1, '*', String(count))
      await settled()
      return two.heard
    }
    const first = await received(1)
    expect(first.length).toBeGreaterThan(60)
    expect(first.length).toBeLessThan(140)
    expect(await received(1)).toEqual(first)
    expect(await received(2)).not.toEqual(first)
  })

  test('a slow cable delays frames and keeps their order', async () => {
    using network = privateNetwork()
    const [one, two] = threeStations(network)
    two.port.setFaults({ delayMs: 60 })
    const startMs = performance.now()
    one.send(1, '*', 'a')
    one.send(1, '*', 'b')
    await settled()
    two.port.setFaults({})
    one.send(1, '*', 'c')
    await expect.poll(() => two.heard, { interval: 5 }).toEqual(['a', 'b', 'c'])
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(59)
  })

  test('drops frames for a guest that does not read, beyond the bound', async () => {
    using network = privateNetwork({ queueLimitBytes: 10_000 })
    const [one, two, three] = threeStations(network)
    two.deaf = true
    for (let count = 0; count < 50; count += 1) one.send(1, '*', 'x'.repeat(1_000))
    await settled()
    expect(two.port.counters.overflowFrames).toBeGreaterThan(35)
    expect(two.stream.writableLength).toBeLessThanOrEqual(11_000)
    expect(three.heard).toHaveLength(50)
    two.wake()
    await settled()
    expect(two.heard.length + two.port.counters.overflowFrames).toBe(50)
  })

  test('closes a port whose stream ends or does not carry frames, and says why', async () => {
    using network = privateNetwork()
    const [one, two, three] = threeStations(network)
    one.stream.push(Buffer.from('GET / HTTP/1.1\r\n'))
    two.stream.push(null)
    expect(await one.port.closed).toBeInstanceOf(NetworkStreamError)
    expect(await two.port.closed).toBeUndefined()
    expect(network.ports).toEqual([three.port])
    expect(one.stream.destroyed).toBe(true)
  })

  test('writes a capture that tcpdump reads', async () => {
    const capture = join(folder, 'capture.pcap')
    using network = privateNetwork({ capture })
    const [one, two] = threeStations(network)
    one.send(1, '*', 'first')
    two.send(2, 1, 'second')
    await settled()
    const text = execFileSync('tcpdump', ['-e', '-n', '-tt', '-r', capture], {
      encoding: 'utf8',
      stdio: 'pipe',
    })
    // What tcpdump does not know it dumps, on lines of its own.
    const lines = text.split('\n').filter((line) => /^\d/.test(line))
    expect(lines[0]).toMatch(/^\d+\.\d+ 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff, .*0x88b5.* length 19/)
    expect(lines[1]).toMatch(/02:00:00:00:00:02 > 02:00:00:00:00:01, .*length 20/)
    expect(Math.abs(Number(lines[0]?.split(' ')[0]) - Date.now() / 1_000)).toBeLessThan(10)
  })

  test('goes on when its capture cannot grow any more, and tells', () => {
    const source = join(import.meta.dirname, 'network-capture-full.ts')
    // A limit of the shell's on the size of files (in 512 bytes), told as EFBIG and not by a signal.
    const limited = [
      '-c',
      'trap "" XFSZ; ulimit -f 1; exec "$@"',
      'sh',
      'bun',
      source,
      join(folder, 'full.pcap'),
    ]
    const { delivered, error } = JSON.parse(execFileSync('sh', limited, { encoding: 'utf8' })) as {
      delivered: number
      error: string
    }
    expect(delivered).toBe(20)
    expect(error).toBe('EFBIG')
  })

  test('refuses a capture that cannot be written', () => {
    expect(() => privateNetwork({ capture: join(folder, 'no', 'folder') })).toThrow(/ENOENT/)
    expect(() => privateNetwork({ capture: '/dev/full' })).toThrow(/ENOSPC/)
  })

  test('refuses what can never work', () => {
    using network = privateNetwork()
    const { port } = new Station(network, 'one')
    expect(() => port.setFaults({ lossRatio: 2 })).toThrow(RangeError)
    expect(() => port.setFaults({ delayMs: -1 })).toThrow(RangeError)
    expect(() => privateNetwork({ queueLimitBytes: 0 })).toThrow(RangeError)
    network[Symbol.dispose]()
    expect(() => new Station(network, 'late')).toThrow(/closed/)
  })
})

test('FrameDecoder gives the same frames however the bytes are cut', () => {
  const frames = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 10 })
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), (sent, sizes) => {
      const bytes = Buffer.concat(sent.map(encodeFrame))
      const decoder = new FrameDecoder()
      const got: Uint8Array[] = []
      for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
        const size = sizes[turn % sizes.length] ?? 1
        got.push(...decoder.push(bytes.subarray(at, at + size)))
        at += size
      }
      expect(got.map((one) => Buffer.from(one).toString('hex'))).toEqual(
        sent.map((one) => Buffer.from(one).toString('hex')),
      )
    }),
  )
  const tooLong = Buffer.alloc(4)
  tooLong.writeUInt32BE(FRAME_BYTES_MAX + 1)
  expect(() => new FrameDecoder().push(tooLong)).toThrow(NetworkStreamError)
})

test('MacTable forgets the station that was silent for longest when forged addresses fill it', () => {
  const table = new MacTable<string>()
  table.learn(frame(1, '*', ''), 'a')
  table.learn(frame(2, '*', ''), 'b')
  table.learn(frame(1, '*', ''), 'a')
  for (let number = 3; number < 4_098; number += 1) table.learn(frame(number, '*', ''), 'flood')
  expect(table.find(frame(9, 1, ''))).toBe('a')
  expect(table.find(frame(9, 2, ''))).toBeUndefined()
})
