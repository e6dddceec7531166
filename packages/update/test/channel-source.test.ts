// What a server of a channel can do to a device by giving much or little: each thing that is read has a bound and an end.
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import { httpSource } from '../src/http-source.ts'
import { collectDocuments } from '../src/layout.ts'
import { registrySource } from '../src/registry-source.ts'

const servers: Server[] = []
afterAll(() => {
  for (const server of servers) server.close().closeAllConnections()
})

/** A server; `answer` gets the path that is asked for, and the server's own address. */
async function serve(
  answer: (response: ServerResponse, path: string, origin: string) => void,
): Promise<string> {
  const server = createServer((request, response) => answer(response, request.url ?? '', origin))
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return origin
}

/** Gives so many bytes each so many milliseconds, for ever. */
function drip(response: ServerResponse, bytes: number, everyMs: number): void {
  const timer = setInterval(() => response.write(new Uint8Array(bytes)), everyMs)
  response.on('close', () => clearInterval(timer))
}

const digest = `sha256:${'a'.repeat(64)}`

describe('a place of tokens', () => {
  async function asking(token: (response: ServerResponse) => void): Promise<string> {
    return await serve((response, path, origin) => {
      if (path.startsWith('/token')) return token(response)
      const challenge = `Bearer realm="${origin}/token",service="registry"`
      response.writeHead(401, { 'www-authenticate': challenge }).end()
    })
  }

  async function failure(registry: string): Promise<string> {
    const source = registrySource({ registry, repository: 'a/b', retries: 0 })
    return await collectDocuments(source, 'stable').then(
      () => 'it was taken',
      (error: unknown) => String(error),
    )
  }

  test('that gives more than a token is not read to its end', async () => {
    let sentBytes = 0
    let isClosed = false
    const registry = await asking((response) => {
      response.on('close', () => (isClosed = true))
      const more = (): void => {
        if (response.destroyed || sentBytes > 256 * 1024 * 1024) return
        sentBytes += 65_536
        response.write(new Uint8Array(65_536), more)
      }
      more()
    })
    expect(await failure(registry)).toMatch(/token: it gave more than the 65536 bytes that a token may have/)
    await expect.poll(() => isClosed).toBe(true)
    expect(sentBytes).toBeLessThan(64 * 1024 * 1024)
  })

  test('that gives a little which unpacks to much is not unpacked', async () => {
    const token = JSON.stringify({ token: 'a'.repeat(60_000) })
    const registry = await asking((response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(token))
    })
    expect(await failure(registry)).toMatch(/token: it gave no token/)
  })
})

describe('a server that is never silent, and never done,', () => {
  test('is given up with a document after a time', async () => {
    const url = await serve((response) => drip(response, 1, 20))
    const options = { documentTimeoutMs: 300, stallTimeoutMs: 10_000 }
    await expect(collectDocuments(httpSource(url, options), 'stable')).rejects.toThrow(
      /index.json: it did not come whole within 0.3 s/,
    )
  })

  test('is given up with a blob when it gives less than a KiB a second, by all that is under way', async () => {
    const rate = async (bytes: number): Promise<string> => {
      const url = await serve((response) => {
        response.writeHead(206, { 'content-range': 'bytes 0-999999/1000000' })
        drip(response, bytes, 20)
      })
      const source = httpSource(url, { slowTimeoutMs: 200, stallTimeoutMs: 10_000 })
      const late = AbortSignal.timeout(1500)
      const both = Array.from({ length: 2 }, async () => {
        for await (const _ of source.open(digest, 0, 1_000_000, late));
      })
      return await Promise.race(both).then(
        () => 'it came whole',
        (error: unknown) => String(error),
      )
    }
    // A hundred bytes a second, for two.
    expect(await rate(1)).toMatch(/it gave less than 1024 bytes a second for 0.2 s: given up, to go on later/)
    // Eight hundred a second each.
    expect(await rate(16)).toMatch(/TimeoutError/)
  })

  test('may take its time when it is the reader who is slow', async () => {
    const url = await serve((response) => {
      response.writeHead(206, { 'content-range': 'bytes 0-99/100' })
      response.write(new Uint8Array(50), () => setTimeout(() => response.end(new Uint8Array(50)), 20))
    })
    const source = httpSource(url, { slowTimeoutMs: 200 })
    let bytes = 0
    for await (const chunk of source.open(digest, 0, 100)) {
      bytes += chunk.length
      await Bun.sleep(300)
    }
    expect(bytes).toBe(100)
  })
})
