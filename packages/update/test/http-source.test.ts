import { readFileSync, rmSync } from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { httpSource } from '../src/http-source.ts'
import { blobPath, collectDocuments } from '../src/layout.ts'
import { layoutFolder } from './support/layout-folder.ts'
import { noise, type SampleRelease, sampleRelease } from './support/sample-release.ts'
import { Signer } from './support/signer.ts'

/** What a server does otherwise than it should, for its n-th request, from 1. */
type Misdeed = (
  response: ServerResponse,
  part: { bytes: Uint8Array; start: number; end: number },
  nth: number,
) => boolean

let folder = ''
let release: SampleRelease
const servers: Server[] = []

beforeAll(async () => {
  release = await sampleRelease(3, { '/bin/bun': noise('bun', 700_000) }, noise('uki', 81_920))
  folder = await layoutFolder(release, new Signer(), ['3.0', 'stable'])
})
afterAll(() => {
  for (const server of servers) server.close()
  rmSync(folder, { recursive: true, force: true })
})

interface Web {
  readonly url: string
  readonly asked: { path: string; range: string | undefined; authorization: string | undefined }[]
}

/** A web server over the layout that knows ranges, and does something wrong now and then. */
async function web(misdeed: Misdeed = () => false): Promise<Web> {
  const asked: Web['asked'] = []
  const server = createServer((request, response) => {
    const { range, authorization } = request.headers
    asked.push({ path: request.url ?? '', range, authorization })
    let bytes: Uint8Array
    try {
      bytes = readFileSync(join(folder, request.url ?? ''))
    } catch {
      response.writeHead(404).end()
      return
    }
    const [, from = '0', to = String(bytes.length - 1)] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? []
    const [start, end] = [Number(from), Number(to)]
    if (misdeed(response, { bytes, start, end }, asked.length)) return
    const headers = range === undefined ? {} : { 'content-range': `bytes ${start}-${end}/${bytes.length}` }
    response.writeHead(range === undefined ? 200 : 206, headers).end(bytes.subarray(start, end + 1))
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
}

const quick = { retryDelayMs: 5, stallTimeoutMs: 300 }

async function read(url: string, offset: number, length: number): Promise<Uint8Array> {
  const { digest } = release.release.root
  return Buffer.concat(await Array.fromAsync(httpSource(url, quick).open(digest, offset, length)))
}

describe('httpSource()', () => {
  test('gives documents, and parts of blobs by one request each', async () => {
    const { url, asked } = await web()
    const documents = await collectDocuments(httpSource(url), 'stable')
    expect(documents.manifest).toBe(release.manifest)
    asked.length = 0
    expect(Buffer.compare(await read(url, 4096, 300_000), release.root.subarray(4096, 304_096))).toBe(0)
    const path = `/${blobPath(release.release.root.digest)}`
    expect(asked).toEqual([{ path, range: 'bytes=4096-304095', authorization: undefined }])
  })

  test('sends the name and password of its URL, and shows them to nobody', async () => {
    const { url, asked } = await web((response, _, nth) => nth > 1 && Boolean(response.writeHead(403).end()))
    const secret = url.replace('//', '//me:se%20cret@')
    await read(secret, 0, 10)
    expect(asked[0]?.authorization).toBe(`Basic ${Buffer.from('me:se cret').toString('base64')}`)
    await expect(read(secret, 0, 10)).rejects.toThrow(
      new RegExp(`^${url}/blobs/sha256/\\w+: the server answered 403$`),
    )
  })

  test('goes on where a connection died, and asks only for what is missing', async () => {
    const { url, asked } = await web((response, { bytes, start, end }, nth) => {
      if (nth > 3) return false
      response.writeHead(206, {
        'content-range': `bytes ${start}-${end}/${bytes.length}`,
        'content-length': end - start + 1,
      })
      response.write(bytes.subarray(start, start + 100_000), () => setTimeout(() => response.destroy(), 50))
      return true
    })
    expect(Buffer.compare(await read(url, 0, 600_000), release.root.subarray(0, 600_000))).toBe(0)
    const starts = asked.map(({ range }) => Number(/\d+/.exec(range ?? '')?.[0]))
    expect(starts).toHaveLength(4)
    expect(starts).toEqual(starts.toSorted((a, b) => a - b))
    expect(starts[3]).toBeGreaterThan(0)
  })

  test('gives up when it gets nothing again and again', async () => {
    const { url, asked } = await web((response) => Boolean(response.destroy()))
    await expect(read(url, 0, 10)).rejects.toMatchObject({ name: 'SourceError' })
    expect(asked).toHaveLength(4)
  })

  test('asks again after 503, and not after 403', async () => {
    const busy = await web((response, _, nth) => nth === 1 && Boolean(response.writeHead(503).end()))
    expect(await read(busy.url, 0, 10)).toHaveLength(10)
    const forbidden = await web((response) => Boolean(response.writeHead(403).end()))
    await expect(read(forbidden.url, 0, 10)).rejects.toThrow('answered 403')
    expect(forbidden.asked).toHaveLength(1)
  })

  test('says what to do about a server that does not know ranges', async () => {
    const { url } = await web((response, { bytes }) => Boolean(response.writeHead(200).end(bytes)))
    await expect(read(url, 5, 10)).rejects.toThrow(
      /does not give parts of files .* put the release on one that does/,
    )
  })

  test('refuses another range than it asked for', async () => {
    const { url } = await web((response, { bytes }) =>
      Boolean(
        response.writeHead(206, { 'content-range': `bytes 0-9/${bytes.length}` }).end(bytes.subarray(0, 10)),
      ),
    )
    await expect(read(url, 5, 10)).rejects.toThrow('asked for bytes 5-14, the server gave bytes 0-9/')
  })

  test('waits for a silent server no longer than it may', async () => {
    const { url } = await web((response, { bytes, start }) => {
      response.writeHead(206, { 'content-range': `bytes ${start}-99/${bytes.length}` })
      response.write('a')
      return true
    })
    await expect(read(url, 0, 100)).rejects.toThrow('nothing came for 0.3 s')
  })

  test('reads no more of an endless document than it may have', async () => {
    const { url } = await web((response) => {
      response.writeHead(200)
      const more = (): void => void response.write(new Uint8Array(100_000), (error) => error ?? more())
      more()
      return true
    })
    await expect(collectDocuments(httpSource(url, quick))).rejects.toMatchObject({ check: 'size' })
  })

  test('ends with the reason of its signal', async () => {
    const { url } = await web((response) =>
      Boolean(response.writeHead(206, { 'content-range': 'bytes 0-99/100' }).write('a')),
    )
    const controller = new AbortController()
    const { digest } = release.release.root
    const reading = Array.fromAsync(httpSource(url, quick).open(digest, 0, 100, controller.signal))
    setTimeout(() => controller.abort(new Error('enough')), 20)
    await expect(reading).rejects.toThrow('enough')
  })

  test('names what is not there, and takes no other URLs', async () => {
    const { url } = await web()
    await expect(collectDocuments(httpSource(`${url}/nowhere`))).rejects.toThrow(
      `${url}/nowhere/index.json is not there`,
    )
    for (const bad of ['ftp://example.org/', 'nothing', 'file:///etc'])
      expect(() => httpSource(bad)).toThrow(TypeError)
  })
})
