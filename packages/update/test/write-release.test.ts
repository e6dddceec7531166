import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { examineContents } from '../src/contents.ts'
import { folderSource } from '../src/folder-source.ts'
import { blobPath, collectDocuments } from '../src/layout.ts'
import { readTrust } from '../src/trust.ts'
import { explainRelease, verifyRelease } from '../src/verify.ts'
import { publishRelease, type UnsignedRelease, writeReleaseBlobs } from '../src/write-release.ts'
import { MemorySource } from './support/memory-source.ts'
import { Signer } from './support/signer.ts'
import { efiStub, smallContent } from './support/small-release.ts'

let folder = ''
let unsigned: UnsignedRelease
let stub: Uint8Array
const signer = new Signer()
const roles = { release: { threshold: 1, keys: [signer.line] } }
const device = {
  trust: readTrust(JSON.stringify({ version: 1, appliance: 'hello', roles })),
  appliance: 'hello',
  board: 'generic',
  architecture: 'x86_64',
  running: { version: '1.0', counter: 1 },
  counterFloor: 1,
  nowSeconds: 1_800_000_000,
} as const

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'solo-release-'))
  stub = await efiStub()
  unsigned = await writeReleaseBlobs(folder, await smallContent(stub, 'one'), { level: 1 })
  const signatures = [signer.sign('solo-release', unsigned.manifest)]
  await publishRelease(folder, { manifest: unsigned.manifest, signatures, trust: [] }, ['2.0', 'stable'])
}, 240_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The blobs of the layout, whose names must be their digests. */
function blobs(of: string): Map<string, Uint8Array> {
  const map = new Map<string, Uint8Array>()
  for (const name of readdirSync(join(of, 'blobs', 'sha256'))) {
    const bytes = readFileSync(join(of, 'blobs', 'sha256', name))
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(name)
    map.set(`sha256:${name}`, new Uint8Array(bytes))
  }
  return map
}

test('a release that was written is found by its names, verified, and has what its manifest says', async () => {
  for (const name of ['2.0', 'stable', undefined]) {
    const documents = await collectDocuments(folderSource(folder), name)
    const release = verifyRelease(documents, device)
    expect(release).toEqual(unsigned.release)
  }
  const findings = await Array.fromAsync(examineContents(unsigned.release, new MemorySource(blobs(folder))))
  expect(findings.filter(({ ok }) => ok !== true)).toEqual([])
  expect(readdirSync(join(folder, 'blobs'))).toEqual(['sha256'])
})

test('zstd unpacks the compressed blobs to the raw ones', () => {
  for (const { compressed, digest } of [unsigned.release.root, unsigned.release.uki]) {
    const { stdout } = Bun.spawnSync(['zstd', '-dc', join(folder, blobPath(compressed.digest))])
    expect(`sha256:${createHash('sha256').update(stdout).digest('hex')}`).toBe(digest)
  }
})

test('explainRelease() says every check of a release, and goes on after one that fails', async () => {
  const documents = await collectDocuments(folderSource(folder), '2.0')
  const good = explainRelease(documents, device).findings
  expect(good.map(({ ok }) => ok)).toEqual(good.map(() => true))
  const { findings, release } = explainRelease(
    { ...documents, signatures: [] },
    { ...device, board: 'other' },
  )
  expect(findings.filter(({ ok }) => !ok).map(({ title }) => title)).toEqual(['signatures', 'board'])
  expect(release?.version).toBe('2.0')
  const unreadable = explainRelease({ ...documents, manifest: '{' }, device).findings
  expect(unreadable.filter(({ ok }) => ok === undefined).map(({ title }) => title)).toEqual([
    ...['appliance', 'board', 'architecture', 'counter', 'channel'],
  ])
})

test('equal content is written as equal bytes', async () => {
  const other = mkdtempSync(join(tmpdir(), 'solo-release-'))
  try {
    const again = await writeReleaseBlobs(other, await smallContent(stub, 'one'), { level: 1 })
    expect(again.manifest).toBe(unsigned.manifest)
    for (const [digest, bytes] of blobs(other))
      expect(Buffer.compare(blobs(folder).get(digest) ?? Buffer.alloc(0), bytes)).toBe(0)
  } finally {
    rmSync(other, { recursive: true, force: true })
  }
})

test('several releases share a layout; a name goes over to the newest', async () => {
  const shared = mkdtempSync(join(tmpdir(), 'solo-release-'))
  try {
    for (const counter of [2, 3]) {
      const content = await smallContent(stub, `release ${counter}`, { counter, version: `${counter}.0` })
      const { manifest } = await writeReleaseBlobs(shared, content, { level: 1 })
      const signatures = [signer.sign('solo-release', manifest)]
      await publishRelease(shared, { manifest, signatures, trust: [] }, [`${counter}.0`, 'stable'])
    }
    const counterOf = async (name: string): Promise<number> =>
      verifyRelease(await collectDocuments(folderSource(shared), name), device).counter
    expect([await counterOf('2.0'), await counterOf('3.0'), await counterOf('stable')]).toEqual([2, 3, 3])
    await expect(collectDocuments(folderSource(shared))).rejects.toThrow('say which: 2.0, 3.0, stable')
    await expect(collectDocuments(folderSource(shared), '4.0')).rejects.toThrow('no release 4.0')
  } finally {
    rmSync(shared, { recursive: true, force: true })
  }
})

test('writeReleaseBlobs() refuses a root whose tree is not its own', async () => {
  const other = mkdtempSync(join(tmpdir(), 'solo-release-'))
  try {
    const content = await smallContent(stub, 'one')
    const [root] = content.root.open() as Uint8Array[]
    const torn = new Uint8Array(root ?? [])
    torn[torn.length - 1] = 1
    const bad = { ...content, root: { ...content.root, open: () => [torn] } }
    await expect(writeReleaseBlobs(other, bad, { level: 1 })).rejects.toThrow('hash tree is not that of its')
  } finally {
    rmSync(other, { recursive: true, force: true })
  }
})
