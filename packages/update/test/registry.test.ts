// Against the registry that Debian has, and one of our own that asks who is there.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { folderSource } from '../src/folder-source.ts'
import { blobPath, collectDocuments } from '../src/layout.ts'
import { pushRelease } from '../src/registry-push.ts'
import { registrySource } from '../src/registry-source.ts'
import type { ReleaseDocuments } from '../src/release.ts'
import { installByUpdater } from '../src/updater-client.ts'
import { layoutFolder } from './support/layout-folder.ts'
import { type Registry, startRegistry } from './support/registry.ts'
import { noise, type SampleRelease, sampleRelease } from './support/sample-release.ts'
import { Signer } from './support/signer.ts'
import { UpdaterMachine } from './support/updater-process.ts'

let place = ''
let folder = ''
let release: SampleRelease
let daemon: Registry
let registry = ''

beforeAll(async () => {
  place = mkdtempSync(join(tmpdir(), 'solo-registry-'))
  // More than a registry takes at once.
  release = await sampleRelease(3, { '/bin/bun': noise('bun', 9_000_000) }, noise('uki', 81_920))
  folder = await layoutFolder(release, new Signer(), ['3.0'])
  daemon = await startRegistry(place)
  registry = `http://127.0.0.1:${daemon.port}`
})

afterAll(() => {
  daemon[Symbol.dispose]()
  rmSync(place, { recursive: true, force: true })
  rmSync(folder, { recursive: true, force: true })
})

describe("Debian's docker-registry", () => {
  const repository = 'kiosks/hello'

  test('takes a release that is pushed, and gives it back; a second push sends nothing', async () => {
    const sent: number[] = []
    const push = (): Promise<string> =>
      pushRelease({
        ...{ registry, repository, from: folderSource(folder), tags: ['3.0', 'stable'] },
        onBlob: (_, sentBytes) => sent.push(sentBytes),
      })
    const digest = await push()
    expect(sent.reduce((sum, bytes) => sum + bytes, 0)).toBeGreaterThan(release.root.length)
    sent.length = 0
    expect(await push()).toBe(digest)
    expect(sent.every((bytes) => bytes === 0)).toBe(true)
    const source = registrySource({ registry, repository })
    for (const tag of ['3.0', 'stable']) {
      expect(await collectDocuments(source, tag)).toEqual(await collectDocuments(folderSource(folder)))
    }
    for (const [offset, length] of [
      [0, 10],
      [4096, 5_000_000],
      [release.root.length - 7, 7],
    ] as const) {
      const bytes = Buffer.concat(
        await Array.fromAsync(source.open(release.release.root.digest, offset, length)),
      )
      expect(Buffer.compare(bytes, release.root.subarray(offset, offset + length))).toBe(0)
    }
  })

  test('holds what skopeo can copy, and what skopeo has copied is found', async () => {
    await pushRelease({ registry, repository, from: folderSource(folder), tags: ['3.0'] })
    const host = registry.replace('http://', 'docker://')
    const copy = join(place, 'copy')
    skopeo('--src-tls-verify=false', `${host}/${repository}:3.0`, `oci:${copy}:3.0`)
    const blob = blobPath(release.release.root.digest)
    expect(readFileSync(join(copy, blob)).equals(release.root)).toBe(true)
    skopeo('--dest-tls-verify=false', `oci:${copy}:3.0`, `${host}/mirrors/hello:3.0`)
    const documents = await collectDocuments(registrySource({ registry, repository: 'mirrors/hello' }), '3.0')
    expect(documents).toEqual(await collectDocuments(folderSource(folder)))
  })

  test('serves an updater: what the slots do not have moves, and the release is in its slot', async () => {
    const { documents, device } = await readyDevice()
    await using machine = device
    await pushRelease({ registry, repository, from: folderSource(folder), tags: ['3.0'] })
    const source = registrySource({ registry, repository })
    expect((await collectDocuments(source, '3.0')).manifest).toBe(documents.manifest)
    const { socket } = machine
    const { slot, fetchedBytes } = await installByUpdater({ documents, source, socket })
    expect(slot).toBe('solo-b')
    expect(fetchedBytes).toBeLessThan(200_000)
    expect(Buffer.compare(readFileSync(machine.rootB).subarray(0, release.root.length), release.root)).toBe(0)
  })

  test('does not have what was never pushed: the error says what', async () => {
    const source = registrySource({ registry, repository, retries: 0 })
    await expect(collectDocuments(source, 'nightly')).rejects.toThrow(
      /manifests\/nightly: the registry has no such tag/,
    )
    const none = `sha256:${'0'.repeat(64)}`
    await expect(Array.fromAsync(source.open(none, 0, 10))).rejects.toThrow('the server answered 404')
    expect(() => source.open('sha256:../../etc/passwd', 0, 1)).toThrow(TypeError)
    await expect(source.index('../x')).rejects.toThrow(TypeError)
    expect(() => registrySource({ registry, repository: '../admin' })).toThrow(TypeError)
  })
})

/** A machine that runs the release before. */
async function readyDevice(): Promise<{ device: UpdaterMachine; documents: ReleaseDocuments }> {
  const files = { '/bin/bun': noise('bun', 9_000_000), '/page.js': noise('before', 5000) }
  const device = new UpdaterMachine(await sampleRelease(2, files, noise('uki', 81_920)), 16 * 1024 * 1024)
  await device.start()
  return { device, documents: device.documents(release) }
}

function skopeo(flag: string, from: string, to: string): void {
  execFileSync('skopeo', ['copy', '--all', '--preserve-digests', flag, from, to], { stdio: 'pipe' })
}

describe('a registry that asks who is there', () => {
  /** Gives a blob to who has a token, and a token to who has the password. */
  function guarded(realmOf: (origin: string) => string): { server: Bun.Server<undefined>; heard: string[] } {
    const heard: string[] = []
    const server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch(request) {
        const url = new URL(request.url)
        const authorization = request.headers.get('authorization')
        heard.push(`${url.pathname}${url.search} ${authorization ?? 'nobody'}`)
        if (url.pathname === '/token') return Response.json({ token: 'ticket' })
        if (authorization === 'Bearer ticket') {
          return new Response('a', { status: 206, headers: { 'content-range': 'bytes 0-0/9' } })
        }
        const challenge = `Bearer realm="${realmOf(url.origin)}",service="registry",scope="whatever"`
        return new Response('', { status: 401, headers: { 'www-authenticate': challenge } })
      },
    })
    return { server, heard }
  }

  const credentials = { username: 'kiosk', password: 'secret' }
  const digest = `sha256:${'a'.repeat(64)}`
  const basic = `Basic ${Buffer.from('kiosk:secret').toString('base64')}`

  test('gets a token of its own realm, for no more than pulling, and is asked once', async () => {
    const { server, heard } = guarded((origin) => `${origin}/token`)
    const source = registrySource({ registry: server.url.origin, repository: 'a/b', credentials })
    await Array.fromAsync(source.open(digest, 0, 1))
    await Array.fromAsync(source.open(digest, 0, 1))
    await server.stop(true)
    expect(heard).toEqual([
      `/v2/a/b/blobs/${digest} nobody`,
      `/token?service=registry&scope=repository%3Aa%2Fb%3Apull ${basic}`,
      `/v2/a/b/blobs/${digest} Bearer ticket`,
      `/v2/a/b/blobs/${digest} Bearer ticket`,
    ])
  })

  test('gets no password when its realm is no place for one', async () => {
    const { server, heard } = guarded(() => 'ftp://thief.example/token')
    const source = registrySource({ registry: server.url.origin, repository: 'a/b', credentials, retries: 0 })
    await expect(Array.fromAsync(source.open(digest, 0, 1))).rejects.toThrow('no safe place')
    await server.stop(true)
    expect(heard).toHaveLength(1)
  })

  test('does not tell its token to where it sends us on to', async () => {
    const heard: (string | null)[] = []
    const storage = Bun.serve({
      ...{ port: 0, hostname: '127.0.0.1' },
      fetch(request) {
        heard.push(request.headers.get('authorization'))
        return new Response('a', { status: 206, headers: { 'content-range': 'bytes 0-0/9' } })
      },
    })
    const front = Bun.serve({
      ...{ port: 0, hostname: '127.0.0.1' },
      fetch(request) {
        if (request.headers.get('authorization') !== null)
          return Response.redirect(`${storage.url.origin}/blob`, 307)
        return new Response('', { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } })
      },
    })
    const source = registrySource({ registry: front.url.origin, repository: 'a/b', credentials })
    const bytes = await Array.fromAsync(source.open(digest, 0, 1))
    await Promise.all([storage.stop(true), front.stop(true)])
    expect(Buffer.concat(bytes).toString()).toBe('a')
    expect(heard).toEqual([null])
  })
})
