// Releases that were changed on their way, by somebody without a key: none may be taken, and nothing may crash.
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { collectDocuments, layoutDocuments } from '../src/layout.ts'
import { UpdateRefused } from '../src/refused.ts'
import { publishRelease } from '../src/write-release.ts'
import {
  deviceWith,
  judge,
  type ManifestJson,
  signed,
  signers,
  stranger,
  trustText,
} from './support/candidate.ts'
import { efiStub, smallContent } from './support/small-release.ts'
import { type WrittenRelease, writtenRelease } from './support/written-release.ts'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeEnvelope } from '../src/trust.ts'

const device = deviceWith()
let written: WrittenRelease
let refused = 0

beforeAll(async () => {
  written = await writtenRelease(await smallContent(await efiStub(), 'one'))
}, 240_000)
afterAll(() => {
  console.log(`${refused} releases that were changed without a key, all refused`)
  expect(refused).toBeGreaterThan(1000)
})

/** Counts, and says what was taken. */
async function expectRefused(
  what: string,
  verdict: Promise<string>,
  expected: readonly string[],
): Promise<void> {
  expect(expected, what).toContain(await verdict)
  refused += 1
}

test('the release that all others are made of is taken', async () => {
  expect(await judge({ documents: signed(written.manifest), blobs: written.blobs }, device)).toBe('accepted')
})

test('a manifest with any bit flipped, or cut at any byte, is not taken', async () => {
  const documents = signed(written.manifest)
  const bytes = Buffer.from(written.manifest)
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const changed = Buffer.from(bytes)
    changed.writeUInt8(bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    const verdict = judge(
      { documents: { ...documents, manifest: changed.toString('utf8') }, blobs: written.blobs },
      device,
    )
    await expectRefused(`bit ${bit}`, verdict, ['signature'])
  }
  for (let end = 0; end < bytes.length; end++) {
    const manifest = written.manifest.slice(0, end)
    await expectRefused(
      `cut at ${end}`,
      judge({ documents: { ...documents, manifest }, blobs: written.blobs }, device),
      ['signature'],
    )
  }
})

test('blobs that are cut, flipped, swapped, missing or endless are not taken', async () => {
  const documents = signed(written.manifest)
  const { root, uki, sbom } = written.release
  const digests = [root, root.compressed, uki, uki.compressed, uki.tree, sbom].map(({ digest }) => digest)
  const offer = async (
    what: string,
    changes: [string, Uint8Array | undefined][],
    endless?: string,
  ): Promise<void> => {
    const blobs = new Map(written.blobs)
    for (const [digest, bytes] of changes) {
      if (bytes === undefined) blobs.delete(digest)
      else blobs.set(digest, bytes)
    }
    const candidate = { documents, blobs, ...(endless === undefined ? {} : { endless: new Set([endless]) }) }
    await expectRefused(what, judge(candidate, device), ['digest', 'size', 'format', 'source'])
  }
  const of = (digest: string): Uint8Array => written.blobs.get(digest) ?? new Uint8Array()
  for (const digest of digests) {
    await offer('missing', [[digest, undefined]])
    await offer('endless', [], digest)
    await offer('longer by a byte', [[digest, Buffer.concat([of(digest), Buffer.alloc(1)])]])
    for (const other of digests)
      if (other !== digest)
        await offer('swapped', [
          [digest, of(other)],
          [other, of(digest)],
        ])
  }
  const place = fc.record({
    digest: fc.constantFrom(...digests),
    // Not a double from 0 to 1: nearly all of those are too small to be another place than the first byte.
    at: fc.nat(),
    bit: fc.nat(7),
    isCut: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(place, async ({ digest, at, bit, isCut }) => {
      const bytes = Buffer.from(of(digest))
      const index = at % bytes.length
      if (isCut) return await offer(`cut at ${index}`, [[digest, bytes.subarray(0, index)]])
      bytes.writeUInt8(bytes.readUInt8(index) ^ (1 << bit), index)
      return await offer(`bit ${bit} of ${index}`, [[digest, bytes]])
    }),
    { numRuns: 400 },
  )
})

test('what others signed, or the owner signed for something else, is not taken', async () => {
  const offer = async (
    what: string,
    documents: ReturnType<typeof signed>,
    expected: string[],
  ): Promise<void> => await expectRefused(what, judge({ documents, blobs: written.blobs }, device), expected)
  const { manifest } = written
  const by = (signature: string): ReturnType<typeof signed> => ({
    manifest,
    signatures: [signature],
    trust: [],
  })
  await offer('nobody', { manifest, signatures: [], trust: [] }, ['signature'])
  await offer('a stranger', by(stranger.sign('solo-release', manifest)), ['signature'])
  await offer('the channel’s key', by(signers.channel.sign('solo-release', manifest)), ['signature'])
  for (const namespace of ['solo-channel', 'solo-trust', 'solo-session', 'file', 'solo-release ', ''])
    await offer(namespace, by(signers.release.sign(namespace, manifest)), ['signature'])
  await offer('another text', by(signers.release.sign('solo-release', `${manifest} `)), ['signature'])
  await offer('no signature', by('x'.repeat(9000)), ['signature'])
  await offer('too many', { ...signed(manifest), signatures: Array.from({ length: 33 }, () => 'x') }, [
    'format',
  ])
  await offer('too much', { ...signed(manifest), trust: ['x'.repeat(300_000)] }, ['format'])
  const role = { threshold: 1, keys: [stranger.line] }
  const theirs = trustText({ version: 2, roles: { release: role, trust: role } })
  const envelope = writeEnvelope(theirs, [stranger.sign('solo-trust', theirs)])
  const mine = { ...by(stranger.sign('solo-release', manifest)), trust: [envelope] }
  await offer('a stranger’s trust document', mine, ['trust'])
})

test('manifests that were changed and have their digests put right are not taken', async () => {
  const good = JSON.parse(written.manifest) as ManifestJson
  const changes = fc.oneof(
    fc.record({
      field: fc.constantFrom(...Object.keys(good.annotations)),
      value: fc.string({ maxLength: 70 }),
    }),
    fc.record({ layer: fc.nat(good.layers.length - 1), size: fc.integer() }),
  )
  await fc.assert(
    fc.asyncProperty(changes, async (change) => {
      const json = structuredClone(good)
      if ('field' in change) json.annotations[change.field] = change.value
      else (json.layers[change.layer] ?? { size: 0 }).size = change.size
      const documents = { ...signed(written.manifest), manifest: JSON.stringify(json) }
      fc.pre(documents.manifest !== written.manifest)
      await expectRefused(JSON.stringify(change), judge({ documents, blobs: written.blobs }, device), [
        'signature',
      ])
    }),
    { numRuns: 200 },
  )
})

test('a layout with any file cut, flipped or replaced gives the same release or none', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'solo-layout-'))
  try {
    await publishRelease(folder, signed(written.manifest), ['2.0'])
    const files = new Map<string, Uint8Array>([['index.json', readFileSync(join(folder, 'index.json'))]])
    for (const name of readdirSync(join(folder, 'blobs', 'sha256')))
      files.set(`blobs/sha256/${name}`, readFileSync(join(folder, 'blobs', 'sha256', name)))
    const verdictOf = async (path: string, bytes: Uint8Array): Promise<string> => {
      const read = async (wanted: string): Promise<Uint8Array> => {
        const found = wanted === path ? bytes : files.get(wanted)
        if (found === undefined) throw new UpdateRefused('format', `no file ${wanted}`)
        return await Promise.resolve(found)
      }
      try {
        const documents = await collectDocuments(layoutDocuments(read), '2.0')
        return await judge({ documents, blobs: written.blobs }, device)
      } catch (error) {
        if (error instanceof UpdateRefused) return error.check
        throw error
      }
    }
    for (const [path, bytes] of files) {
      // The empty configuration is not read; of index.json only name, digest and size count.
      const isFree = path === 'index.json' || bytes.length === 2
      const expected = ['format', 'digest', 'size', ...(isFree ? ['accepted'] : [])]
      for (let at = 0; at < bytes.length; at += Math.ceil(bytes.length / 60)) {
        const flipped = Buffer.from(bytes)
        flipped.writeUInt8((bytes[at] ?? 0) ^ 0x10, at)
        for (const changed of [flipped, Buffer.from(bytes).subarray(0, at)]) {
          const verdict = await verdictOf(path, changed)
          expect(expected, `${path} at ${at}`).toContain(verdict)
          if (verdict !== 'accepted') refused += 1
        }
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
