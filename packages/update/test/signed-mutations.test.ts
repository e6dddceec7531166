// Releases that are signed as they must be and mean something wrong: by a slip, or by who holds one key and not
// another. None may be taken, and the check that fails must be the one that is about it.
import { createHash } from 'node:crypto'
import { zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readTrust } from '../src/trust.ts'
import type { Device } from '../src/verify.ts'
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

let good: WrittenRelease
/** Of the same appliance, with another root. */
let other: WrittenRelease
let refused = 0

beforeAll(async () => {
  const stub = await efiStub()
  good = await writtenRelease(await smallContent(stub, 'one'))
  other = await writtenRelease(await smallContent(stub, 'two', { version: '3.0', counter: 3 }))
}, 240_000)
afterAll(() => {
  console.log(`${refused} releases that were signed and wrong in meaning, all refused`)
  expect(refused).toBeGreaterThan(300)
})

type Blobs = Map<string, Uint8Array>

/** Signs the manifest after a change, with blobs that may be changed too, and expects that it is refused. */
async function expectRefused(
  change: (json: ManifestJson, blobs: Blobs) => void,
  expected: readonly string[],
  device: Device = deviceWith(),
): Promise<void> {
  const json = JSON.parse(good.manifest) as ManifestJson
  const blobs = new Map([...other.blobs, ...good.blobs])
  change(json, blobs)
  const verdict = await judge({ documents: signed(json), blobs }, device)
  expect(expected, JSON.stringify(json)).toContain(verdict)
  refused += 1
}

/** Puts a blob, and gives what the manifest says of it. */
function put(blobs: Blobs, bytes: Uint8Array): { digest: string; size: number } {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  blobs.set(digest, bytes)
  return { digest, size: bytes.length }
}

function layerOf(json: ManifestJson, type: string): ManifestJson['layers'][number] {
  const layer = json.layers.find(({ mediaType }) => mediaType === type)
  if (layer === undefined) throw new Error(`no layer ${type}`)
  return layer
}

const types = {
  root: 'application/vnd.solo.root.v1',
  rootZstd: 'application/vnd.solo.root.v1+zstd',
  uki: 'application/vnd.solo.uki.v1',
  ukiZstd: 'application/vnd.solo.uki.v1+zstd',
  ukiTree: 'application/vnd.solo.uki.tree.v1',
  sbom: 'application/spdx+json',
}

const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/)

test('both releases are taken as they are', async () => {
  for (const { manifest, blobs } of [good, other])
    expect(await judge({ documents: signed(manifest), blobs }, deviceWith())).toBe('accepted')
})

describe('a signed release', () => {
  test.each(['appliance', 'board', 'architecture'] as const)(
    'for another %s is refused by that check',
    async (what) => {
      const value = what === 'architecture' ? fc.constantFrom('aarch64') : word
      await fc.assert(
        fc.asyncProperty(value, async (name) => {
          fc.pre(name !== 'hello' && name !== 'generic')
          await expectRefused((json) => (json.annotations[`vnd.solo.${what}`] = name), [what])
        }),
        { numRuns: what === 'architecture' ? 1 : 25 },
      )
    },
  )

  test('with a counter below the floor, of what runs, or too far ahead is refused by that check', async () => {
    const counters = fc.integer({ min: 1, max: 1000 })
    await fc.assert(
      fc.asyncProperty(counters, counters, counters, async (counter, running, counterFloor) => {
        const device = deviceWith({ running: { version: 'r', counter: running }, counterFloor })
        const set = (json: ManifestJson): string => (json.annotations['vnd.solo.counter'] = String(counter))
        if (counter === running) await expectRefused(set, ['same-release'], device)
        else if (counter < Math.max(running, counterFloor)) await expectRefused(set, ['counter'], device)
        else if (running > 1) {
          const needs = (json: ManifestJson): void => {
            set(json)
            json.annotations['vnd.solo.minimum-counter'] = String(running + 1)
          }
          const isPossible = running + 1 < counter
          await expectRefused(needs, [isPossible ? 'minimum-counter' : 'format'], device)
        }
      }),
      { numRuns: 60 },
    )
  })

  test('that lacks an annotation or a layer, or has a layer twice, is refused as malformed', async () => {
    const { annotations, layers } = JSON.parse(good.manifest) as ManifestJson
    for (const key of Object.keys(annotations))
      await expectRefused((json) => delete json.annotations[key], ['format'])
    for (const [index] of layers.entries()) {
      await expectRefused((json) => json.layers.splice(index, 1), ['format'])
      await expectRefused((json) => json.layers.push({ ...(json.layers[index] ?? layers[0]!) }), ['format'])
    }
    for (const key of ['schemaVersion', 'mediaType', 'artifactType', 'config', 'layers', 'annotations'])
      await expectRefused((json) => delete json[key], ['format'])
    await expectRefused(
      (json) => (json['artifactType'] = 'application/vnd.solo.signatures.v1+json'),
      ['format'],
    )
    await expectRefused(
      (json) => (json.layers = Array.from({ length: 40 }, () => json.layers[0]!)),
      ['format'],
    )
    await expectRefused((json) => (json['padding'] = 'x'.repeat(70_000)), ['format'])
  })

  test('with names and numbers that try to be something else is refused as malformed', async () => {
    const hostile = [
      '',
      ' ',
      '../../etc/passwd',
      '/etc',
      'a/b',
      'a\0b',
      'a\nb',
      '-1',
      '1e9',
      '0x10',
      '01',
      ' 1',
      '1.5',
      'NaN',
      '9'.repeat(30),
      'ä',
      '\u202Egpj',
      'A'.repeat(20_000),
    ]
    const free = new Set(['org.opencontainers.image.version', 'vnd.solo.notes', 'vnd.solo.salt'])
    const { annotations } = JSON.parse(good.manifest) as ManifestJson
    for (const key of Object.keys(annotations).filter((each) => !free.has(each)))
      for (const value of hostile)
        await expectRefused((json) => (json.annotations[key] = value), ['format', 'size'])
    for (const value of ['', ' ', '..', '-x', '../../x', 'a b', 'a\0', 'a\n', 'ä', 'A'.repeat(65)])
      await expectRefused(
        (json) => (json.annotations['org.opencontainers.image.version'] = value),
        ['format'],
      )
    for (const value of ['\u001B[2J', 'a\rb', '\0', '\u009B31m', 'x'.repeat(17_000)])
      await expectRefused((json) => (json.annotations['vnd.solo.notes'] = value), ['format'])
    const digests = [
      '',
      'sha256:',
      'sha256:../../../../etc/passwd',
      `sha256:${'a'.repeat(63)}`,
      `sha256:${'A'.repeat(64)}`,
      `sha512:${'a'.repeat(128)}`,
      `sha256:${'a'.repeat(64)}/..`,
      `sha256:${'a'.repeat(64)}\n`,
      'a'.repeat(64),
    ]
    for (const type of Object.values(types))
      for (const digest of digests)
        await expectRefused((json) => (layerOf(json, type).digest = digest), ['format'])
  })

  test('with sizes that lie is refused', async () => {
    const sizes = fc.oneof(fc.integer(), fc.constantFrom(0, -1, 1, 2 ** 40, 2 ** 53, 1.5, Number.MAX_VALUE))
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...Object.values(types)),
        sizes,
        fc.boolean(),
        async (type, value, isOffset) => {
          const change = (json: ManifestJson): void => {
            const layer = layerOf(json, type)
            const size = isOffset ? layer.size + (Math.trunc(value) % 5000 || 1) : value
            fc.pre(size !== layer.size)
            layer.size = size
          }
          await expectRefused(change, ['format', 'size'])
        },
      ),
      { numRuns: 120 },
    )
    for (const blocks of [0, 1, 2, 700, 2 ** 41, 2 ** 52])
      await expectRefused(
        (json) => (json.annotations['vnd.solo.root.data-blocks'] = String(blocks)),
        ['size', 'format'],
      )
  })

  test('with frames that lie is refused', async () => {
    const frames = fc
      .array(fc.integer({ min: -1, max: 3_000_000 }), { maxLength: 5 })
      .map((list) => list.join(','))
    for (const type of [types.rootZstd, types.ukiZstd]) {
      await fc.assert(
        fc.asyncProperty(fc.oneof(frames, fc.string()), async (text) => {
          await expectRefused(
            (json) =>
              (layerOf(json, type).annotations = {
                ...layerOf(json, type).annotations,
                'vnd.solo.frames': text,
              }),
            ['format'],
          )
        }),
        { numRuns: 25 },
      )
    }
    await expectRefused(
      (json) => {
        const layer = layerOf(json, types.rootZstd)
        const [first = 0, ...rest] = (layer.annotations?.['vnd.solo.frames'] ?? '').split(',').map(Number)
        layer.annotations = {
          ...layer.annotations,
          'vnd.solo.frames': [first - 1, (rest[0] ?? 0) + 1].join(','),
        }
      },
      ['format', 'size'],
    )
  })

  test('with blobs swapped among themselves is refused', async () => {
    const all = Object.values(types)
    for (const type of all) {
      for (const from of all.filter((each) => each !== type)) {
        await expectRefused(
          (json) => (layerOf(json, type).digest = layerOf(json, from).digest),
          ['format', 'digest', 'size'],
        )
      }
    }
  })

  test('with blobs or hashes of another release of the same appliance is refused', async () => {
    const theirs = JSON.parse(other.manifest) as ManifestJson
    for (const type of Object.values(types).filter((each) => each !== types.sbom)) {
      const { digest, size, annotations } = layerOf(theirs, type)
      await expectRefused(
        (json) =>
          Object.assign(layerOf(json, type), { digest, size, ...(annotations ? { annotations } : {}) }),
        ['format', 'digest', 'size'],
      )
    }
    for (const key of ['vnd.solo.root.hash', 'vnd.solo.root.image-id', 'vnd.solo.uki.hash'])
      await expectRefused(
        (json) => (json.annotations[key] = theirs.annotations[key] ?? ''),
        ['digest', 'format'],
      )
    await expectRefused((json) => (json.annotations['vnd.solo.salt'] = ''), ['digest'])
    // The whole kernel image of another release, with its tree: every digest is right, and it boots another root.
    await expectRefused(
      (json) => {
        for (const type of [types.uki, types.ukiZstd, types.ukiTree])
          Object.assign(layerOf(json, type), layerOf(theirs, type))
        json.annotations['vnd.solo.uki.hash'] = theirs.annotations['vnd.solo.uki.hash'] ?? ''
      },
      ['format'],
    )
    // The counter by which the loader sorts is that of the kernel image.
    await expectRefused((json) => (json.annotations['vnd.solo.counter'] = '9'), ['format'])
  })

  test('with changed blobs whose digests are right is refused by hash trees and frames', async () => {
    const place = fc.record({
      type: fc.constantFrom(types.root, types.rootZstd, types.uki, types.ukiZstd, types.ukiTree),
      at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
    })
    await fc.assert(
      fc.asyncProperty(place, async ({ type, at }) => {
        await expectRefused(
          (json, blobs) => {
            const layer = layerOf(json, type)
            const bytes = Buffer.from(blobs.get(layer.digest) ?? [])
            const index = Math.floor(at * bytes.length)
            bytes.writeUInt8(bytes.readUInt8(index) ^ 1, index)
            const { digest } = put(blobs, bytes)
            const compressed =
              type === types.root ? types.rootZstd : type === types.uki ? types.ukiZstd : undefined
            layer.digest = digest
            if (compressed !== undefined)
              (layerOf(json, compressed).annotations ??= {})['vnd.solo.raw'] = digest
          },
          ['digest', 'format', 'size'],
        )
      }),
      { numRuns: 80 },
    )
  })

  test('with a compressed blob that unpacks to far more, or to something else, is refused', async () => {
    for (const raw of [
      new Uint8Array(512 * 1024 * 1024),
      new Uint8Array(2 * 1024 * 1024),
      new Uint8Array(1),
    ]) {
      await expectRefused(
        (json, blobs) => {
          const layer = layerOf(json, types.rootZstd)
          const frame = zstdCompressSync(raw)
          const second = zstdCompressSync(new Uint8Array(1_000_000))
          Object.assign(layer, put(blobs, Buffer.concat([frame, second])))
          layer.annotations = { ...layer.annotations, 'vnd.solo.frames': `${frame.length},${second.length}` }
        },
        ['format', 'size', 'digest'],
      )
    }
    for (const text of ['no JSON', '[]', '{}', '"spdxVersion"', 'null'])
      await expectRefused(
        (json, blobs) => Object.assign(layerOf(json, types.sbom), put(blobs, Buffer.from(text))),
        ['format'],
      )
  })
})

describe('a release that is signed, but not by those who must', () => {
  const roles = { release: { threshold: 2, keys: [signers.release.line, signers.trust.line] } }
  const { fingerprint } = readTrust(trustText()).roles.release.keys[0] ?? { fingerprint: '' }
  const thresholds = (changes: object = {}): Partial<Device> => ({
    trust: readTrust(trustText({ roles, ...changes })),
  })

  test.each([
    ['by one of two', [signers.release], thresholds(), 'threshold'],
    ['by one twice', [signers.release, signers.release], thresholds(), 'threshold'],
    ['by one and a stranger', [signers.release, stranger], thresholds(), 'threshold'],
    ['by two of two, as it must be', [signers.release, signers.trust], thresholds(), 'accepted'],
    [
      'under a document that ended',
      [signers.release, signers.trust],
      thresholds({ expires: '2020-01-01T00:00:00Z' }),
      'expired',
    ],
    [
      'under a document of another appliance',
      [signers.release, signers.trust],
      thresholds({ appliance: 'other' }),
      'trust',
    ],
  ])('%s: %#', async (_, by, changes, expected) => {
    const signatures = by.map((signer) => signer.sign('solo-release', good.manifest))
    const candidate = { documents: { manifest: good.manifest, signatures, trust: [] }, blobs: good.blobs }
    expect(await judge(candidate, deviceWith(changes))).toBe(expected)
    if (expected !== 'accepted') refused += 1
  })

  test('by a revoked key is refused as that', async () => {
    const role = { threshold: 1, keys: [signers.release.line, stranger.line] }
    const trust = readTrust(trustText({ roles: { release: role }, revoked: [fingerprint] }))
    const candidate = { documents: signed(good.manifest), blobs: good.blobs }
    expect(await judge(candidate, deviceWith({ trust }))).toBe('revoked')
    refused += 1
  })
})
