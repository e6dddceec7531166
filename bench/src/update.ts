// Update: what moves over a network's wire, and how long it takes, for a one-line change of the reference appliance and
// for a device that has nothing of it. Counted at the socket, headers and all.
import { appendFileSync, cpSync, mkdirSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { createConnection, createServer, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildAppliance } from '@pkg/distro/build'
import { createRelease } from '@pkg/distro/release'
import { openBootFolder } from '@pkg/update/boot-partition'
import { folderSource } from '@pkg/update/folder-source'
import { httpSource } from '@pkg/update/http-source'
import { installRelease } from '@pkg/update/install'
import { openDonor, openPartition } from '@pkg/update/partition'
import type { BlobReference, Release } from '@pkg/update/release'
import { type Row, rowOf } from './report.ts'

/** What a one-line change may move, in KB, and a full load, in MB: issue 5. */
const deltaLimit = 300
const fullLimit = 60

/** Room of a root partition beyond what is in it. */
const spareBytes = 32 * 1024 * 1024

/**
 * Installs a release of examples/hello over its forerunner and over nothing, in each round. The peer of bytes is the
 * release as it is, which is what is moved where nothing is compared; of time, the full load.
 *
 * @throws Error when a build or an installation fails
 */
export async function measureUpdates(rounds: number, say: (line: string) => void): Promise<Row[]> {
  const folder = fileURLToPath(new URL('../../.cache/bench/update', import.meta.url))
  rmSync(folder, { recursive: true, force: true })
  const project = copyHello(folder)
  say('bench: update: building')
  const one = await makeRelease(project, 1, join(folder, 'one'))
  appendFileSync(join(project, 'src/server.ts'), "console.log('one line more')\n")
  say('bench: update: building and compressing, which takes a minute or two')
  const two = await makeRelease(project, 2, join(folder, 'two'))
  const device = new Device(folder, one, two)
  const bytes: Record<'delta' | 'full', number[]> = { delta: [], full: [] }
  const times: Record<'delta' | 'full', number[]> = { delta: [], full: [] }
  for (let round = 0; round < rounds; round++) {
    say(`bench: update: round ${round + 1} of ${rounds}`)
    for (const kind of ['delta', 'full'] as const) {
      const taken = await device.update(kind === 'delta')
      bytes[kind].push(taken.bytes)
      times[kind].push(taken.ns)
    }
  }
  rmSync(folder, { recursive: true })
  const all = bytes.full.map(() => two.release.root.sizeBytes + two.release.uki.sizeBytes)
  const [line, full] = ['update, a line changed', 'update, nothing there']
  return [
    rowOf(line, 'root and kernel as they are', 'KB', bytes.delta, all, { limit: deltaLimit }),
    rowOf(full, 'root and kernel as they are', 'MB', bytes.full, all, { limit: fullLimit }),
    rowOf(line, 'nothing there', 's', times.delta, times.full),
  ]
}

function copyHello(folder: string): string {
  const project = join(folder, 'hello')
  mkdirSync(project, { recursive: true })
  const hello = fileURLToPath(new URL('../../examples/hello', import.meta.url))
  for (const name of ['solo.config.ts', 'package.json', 'src']) {
    cpSync(join(hello, name), join(project, name), { recursive: true })
  }
  return project
}

interface MadeRelease {
  readonly folder: string
  readonly release: Release
}

async function makeRelease(project: string, counter: number, out: string): Promise<MadeRelease> {
  const { folder } = await buildAppliance(project, {
    format: 'disk',
    release: { counter, version: String(counter) },
  })
  const { release } = await createRelease(folder, { out, keys: [], level: counter === 1 ? 1 : 19 })
  return { folder: out, release }
}

/** Files that stand for a device's partitions, and a network to it. */
class Device {
  readonly #folder: string
  readonly #one: MadeRelease
  readonly #two: MadeRelease

  constructor(folder: string, one: MadeRelease, two: MadeRelease) {
    this.#folder = folder
    this.#one = one
    this.#two = two
  }

  /** Updates to the second release. */
  async update(hasFirst: boolean): Promise<{ bytes: number; ns: number }> {
    const [running, free, entries] = ['root-a', 'root-b', 'entries'].map((name) =>
      join(this.#folder, name),
    ) as [string, string, string]
    const { release } = this.#two
    rmSync(entries, { recursive: true, force: true })
    mkdirSync(entries)
    for (const path of [running, free]) writeFileSync(path, '')
    if (hasFirst) {
      await writeBlob(this.#one, this.#one.release.root, running)
      await writeBlob(this.#one, this.#one.release.uki, join(entries, 'soloa+3-0.efi'))
    }
    for (const path of [running, free]) truncateSync(path, release.root.sizeBytes + spareBytes)
    await using network = await countingNetwork(this.#two.folder)
    using target = openPartition(free)
    using donor = openDonor(running)
    using boot = openBootFolder(entries)
    const start = performance.now()
    await installRelease({
      release,
      source: httpSource(network.url),
      slot: 'solo-b',
      target,
      donors: [donor],
      boot,
    })
    const ns = (performance.now() - start) * 1e6
    if (!readdirSync(entries).includes('solob+3-0.efi')) throw new Error('the update left no boot entry')
    return { bytes: network.bytes(), ns }
  }
}

async function writeBlob(of: MadeRelease, { digest, sizeBytes }: BlobReference, path: string): Promise<void> {
  const file = Bun.file(path).writer()
  for await (const chunk of folderSource(of.folder).open(digest, 0, sizeBytes)) {
    await file.write(chunk)
  }
  await file.end()
}

interface CountingNetwork extends AsyncDisposable {
  readonly url: string
  /** What has passed in both directions. */
  bytes(): number
}

/** A web server over a layout, behind a wire that counts. */
async function countingNetwork(folder: string): Promise<CountingNetwork> {
  const server = Bun.serve({
    ...{ port: 0, hostname: '127.0.0.1' },
    fetch(request) {
      const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get('range') ?? '') ?? []
      const file = Bun.file(join(folder, new URL(request.url).pathname))
      const headers = { 'content-range': `bytes ${start}-${end}/${file.size}` }
      return new Response(file.slice(Number(start), Number(end) + 1), { status: 206, headers })
    },
  })
  let bytes = 0
  const sockets = new Set<Socket>()
  const wire = createServer((near) => {
    const far = createConnection(Number(server.port), '127.0.0.1')
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.on('data', (chunk: Buffer) => (bytes += chunk.length))
      from.on('error', () => to.destroy())
      from.pipe(to)
    }
  })
  await new Promise<void>((resolve) => wire.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(wire.address() as AddressInfo).port}`,
    bytes: () => bytes,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      wire.close()
      await server.stop(true)
    },
  }
}
