// The SNTP client: against chrony in a network namespace, and against servers that are wrong on purpose.
import { createSocket, type RemoteInfo } from 'node:dgram'
import { once } from 'node:events'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  measureTime,
  queryTime,
  SntpError,
  type Measurement,
  type SntpOptions,
  type TimeSample,
} from '@pkg/net/sntp'
import { openArchive, providePackage } from '@pkg/vm/archive'
import { cacheFolder } from '@pkg/vm/host'
import { describe, expect, test } from 'vitest'
import { readReply } from '../src/sntp/packet.ts'
import { createNetwork, type Program, type TestNetwork } from './namespace.ts'

/** Seconds from 1900 to 1970. */
const EPOCH = 2_208_988_800

/** A server's reply to a request, which `change` may spoil. */
function reply(request: Uint8Array, timeMs: number, change: (packet: DataView) => void = () => {}): Buffer {
  const packet = new DataView(new ArrayBuffer(48))
  packet.setUint8(0, 0x24)
  packet.setUint8(1, 2)
  new Uint8Array(packet.buffer).set(request.subarray(40, 48), 24)
  for (const offset of [32, 40]) {
    packet.setUint32(offset, Math.floor(timeMs / 1000) + EPOCH)
    packet.setUint32(offset + 4, Math.floor(((timeMs % 1000) / 1000) * 2 ** 32))
  }
  change(packet)
  return Buffer.from(packet.buffer)
}

/** A server on loopback that answers each request by `answer`. */
async function server(
  answer: (request: Uint8Array) => readonly Buffer[],
): Promise<{ port: number; requests: Uint8Array[] } & Disposable> {
  const udp = createSocket('udp4')
  const requests: Uint8Array[] = []
  udp.on('message', (request: Buffer, from: RemoteInfo) => {
    requests.push(request)
    for (const packet of answer(request)) udp.send(packet, from.port, from.address)
  })
  udp.bind(0, '127.0.0.1')
  await once(udp, 'listening')
  return { port: udp.address().port, requests, [Symbol.dispose]: () => void udp.close() }
}

/** Long enough for a machine that is busy; what is never answered says a shorter time. */
const timeoutMs = 20_000
/** Long enough for an answer, even so, that is passed over. */
const vainMs = 1500

async function ask(answer: (request: Uint8Array) => readonly Buffer[], options: SntpOptions = {}) {
  using running = await server(answer)
  return await queryTime('127.0.0.1', { port: running.port, timeoutMs, ...options })
}

/** One machine, one clock: what differs is what the way took, and what the scheduler took in the midst of it. */
function expectOffset({ offsetMs, delayMs }: TimeSample, expectedMs: number): void {
  expect(Math.abs(offsetMs - expectedMs)).toBeLessThanOrEqual(delayMs / 2 + 50)
}

describe('queryTime()', () => {
  test.each([0, 90_000, -3_600_000])('finds a clock that is %d ms ahead', async (aheadMs) => {
    const sample = await ask((request) => [reply(request, Date.now() + aheadMs)])
    expectOffset(sample, aheadMs)
    expect(sample).toMatchObject({ server: '127.0.0.1', stratum: 2 })
  })

  test('tells a server nothing but a random number, another one each time', async () => {
    using running = await server((request) => [reply(request, Date.now())])
    const { port } = running
    await queryTime('127.0.0.1', { port, timeoutMs })
    await queryTime('127.0.0.1', { port, timeoutMs })
    const [first, second] = running.requests
    expect(first?.subarray(0, 40)).toEqual(Buffer.from([0x23, ...Array.from({ length: 39 }, () => 0)]))
    expect(first?.subarray(40)).not.toEqual(second?.subarray(40))
  })

  test('passes over what is not the reply to its request, and goes on waiting', async () => {
    const forged = (request: Uint8Array): Buffer =>
      reply(request, Date.now() + 1e9, (packet) => packet.setUint8(24, packet.getUint8(24) ^ 1))
    const sample = await ask((request) => [forged(request), Buffer.from('x'), reply(request, Date.now())])
    expectOffset(sample, 0)
    await expect(ask((request) => [forged(request)], { timeoutMs: vainMs })).rejects.toThrow(
      'time server 127.0.0.1: no answer within 1500 ms, but something else: not the reply to our request',
    )
  })

  test.each([
    [
      'a clock that is not set',
      'it does not know the time itself',
      (packet: DataView) => packet.setUint8(0, 0xe4),
    ],
    ['stratum 16', 'it does not know the time itself', (packet: DataView) => packet.setUint8(1, 16)],
    ['a far root', 'it may itself be wrong by 17000 ms', (packet: DataView) => packet.setUint32(8, 17 << 16)],
    ['no time', 'it gives no time', (packet: DataView) => new Uint8Array(packet.buffer).fill(0, 40)],
    ['a time before', 'out of bounds', (packet: DataView) => packet.setUint32(40, EPOCH)],
    [
      'a reply before its request',
      'before it got',
      (packet: DataView) => packet.setUint32(32, packet.getUint32(40) + 9),
    ],
  ])('does not believe %s', async (_name, message, spoil) => {
    await expect(ask((request) => [reply(request, Date.now(), spoil)])).rejects.toThrow(message)
  })

  test('does not believe a broadcast, and goes on waiting', async () => {
    const broadcast = (request: Uint8Array): Buffer =>
      reply(request, Date.now(), (packet) => packet.setUint8(0, 0x25))
    const asking = ask((request) => [broadcast(request)], { timeoutMs: vainMs })
    await expect(asking).rejects.toThrow('no answer within 1500 ms, but something else')
  })

  test('gives the code of a server that wants to be left alone', async () => {
    const kiss = (packet: DataView): void => {
      packet.setUint8(1, 0)
      packet.setUint32(12, 0x52415445)
    }
    const error = await ask((request) => [reply(request, Date.now(), kiss)]).catch((each: unknown) => each)
    expect(error).toBeInstanceOf(SntpError)
    expect(error).toMatchObject({ kiss: 'RATE', server: '127.0.0.1' })
  })

  test('gives up a server that is silent, one that is not there, and when it is told to', async () => {
    await expect(ask(() => [], { timeoutMs: 300 })).rejects.toThrow('no answer within 300 ms')
    const { port } = await server(() => []).then((running) => {
      running[Symbol.dispose]()
      return running
    })
    await expect(queryTime('127.0.0.1', { port, timeoutMs })).rejects.toThrow('ECONNREFUSED')
    const reason = new Error('enough')
    await expect(ask(() => [], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  })
})

test('readReply() takes the era that begins in 2036 for what it is', () => {
  const nonce = new Uint8Array(8).fill(7)
  const request = new Uint8Array(48)
  request.set(nonce, 40)
  const timeMs = Date.UTC(2040, 1, 2)
  const packet = reply(request, timeMs, (view) => {
    for (const offset of [32, 40]) view.setUint32(offset, (timeMs / 1000 + EPOCH) % 2 ** 32)
  })
  const bounds = { earliestMs: Date.UTC(2026, 0), latestMs: Date.UTC(2076, 0) }
  expect(readReply(packet, nonce, bounds)).toMatchObject({ sentMs: timeMs })
})

describe('measureTime()', () => {
  test('is not misled by one of three', async () => {
    using liar = await server((request) => [reply(request, Date.now() + 1e9)])
    const others = ['127.0.0.2', '127.0.0.3'].map((address) => {
      const udp = createSocket('udp4')
      udp.on('message', (request: Buffer, from: RemoteInfo) =>
        udp.send(reply(request, Date.now()), from.port, from.address),
      )
      udp.bind(liar.port, address)
      return udp
    })
    await Promise.all(others.map((udp) => once(udp, 'listening')))
    const servers = ['127.0.0.1', '127.0.0.2', '127.0.0.3']
    const { best, samples } = await measureTime(servers, { port: liar.port, timeoutMs })
    expect(samples).toHaveLength(3)
    expectOffset(best, 0)
    for (const udp of others) udp.close()
  })

  test('says of each server why it gives no time', async () => {
    using silent = await server(() => [])
    const options = { port: silent.port, timeoutMs: vainMs }
    await expect(measureTime(['127.0.0.1', '127.0.0.9'], options)).rejects.toThrow(
      'time server 127.0.0.1: no answer within 1500 ms; time server 127.0.0.9: ECONNREFUSED',
    )
    await expect(measureTime([])).rejects.toThrow('no server to ask')
  })
})

/** chronyd out of Debian's package, which is not installed: that would take the place of the machine's own. */
async function chronyd(): Promise<string> {
  const folder = await providePackage(await openArchive(), cacheFolder(), {
    role: 'time server',
    name: 'chrony',
    layoutVersion: 1,
    place: (path) => (path.endsWith('/sbin/chronyd') ? 'chronyd' : undefined),
  })
  const file = join(folder, 'chronyd')
  chmodSync(file, 0o755)
  return file
}

async function startChrony({ server: side, folder }: TestNetwork, ...more: string[]): Promise<Program> {
  const config = join(folder, 'chrony.conf')
  const lines = ['allow', 'cmdport 0', 'bindcmdaddress /', `pidfile ${folder}/chrony.pid`, ...more]
  writeFileSync(config, `${lines.join('\n')}\n`)
  // -x: the clock is the machine's, and not to be touched.
  const program = side.start(await chronyd(), '-x', '-d', '-u', 'root', '-f', config)
  await program.line((line) => line.includes('chronyd version'), 20_000)
  return program
}

const program = fileURLToPath(new URL('programs/query-time.ts', import.meta.url))

test('measureTime() agrees with chrony about the time, and hears when chrony has none', async () => {
  await using network = await createNetwork()
  network.client.run('ip', 'addr', 'add', '10.9.0.2/24', 'dev', 'c0')
  network.client.run('ip', 'link', 'set', 'c0', 'up')
  const query = (): string => {
    for (let tries = 1; ; tries++) {
      const said = network.client.run(process.execPath, program, '10.9.0.1')
      // chronyd says its version before it listens.
      if (tries === 20 || !said.includes('ECONNREFUSED')) return said
    }
  }
  const chrony = await startChrony(network, 'local stratum 5')
  const { best, samples } = JSON.parse(query()) as Measurement
  expect(samples).toHaveLength(1)
  expect(best).toMatchObject({ server: '10.9.0.1', stratum: 5 })
  expectOffset(best, 0)
  await chrony.stop()
  await startChrony(network)
  expect(query()).toMatch(/^failed: time server 10\.9\.0\.1: it does not know the time itself/)
})
