// What the updater does about trust documents that come with a release, over the files of a device.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { UpdateRefused } from '../src/refused.ts'
import type { ReleaseDocuments } from '../src/release.ts'
import { parsePublicKey } from '../src/ssh-key.ts'
import { effectiveTrust, writeEnvelope } from '../src/trust.ts'
import { checkRelease, type DevicePaths } from '../src/updater/device.ts'
import { signed, signers, stranger, trustText } from './support/candidate.ts'
import { efiStub, smallContent } from './support/small-release.ts'
import type { Signer } from './support/signer.ts'
import { type WrittenRelease, writtenRelease } from './support/written-release.ts'

let release: WrittenRelease
let folder = ''
let paths: DevicePaths

beforeAll(async () => {
  release = await writtenRelease(await smallContent(await efiStub(), 'one'))
}, 240_000)

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'solo-device-'))
  const file = (name: string): string => join(folder, name)
  paths = {
    bootState: file('boot.json'),
    release: file('release.json'),
    trust: file('trust.json'),
    keptTrust: file('kept.json'),
  }
  const partitions = { esp: '/dev/vda1', 'root-a': '/dev/vda2', 'root-b': '/dev/vda3' }
  const boot = {
    slot: 'solo-a',
    entry: 'soloa+3-0.efi',
    trial: false,
    blessed: true,
    disk: '/dev/vda',
    partitions,
    counterFloor: 1,
  }
  writeFileSync(paths.bootState, JSON.stringify(boot))
  const identity = {
    appliance: 'hello',
    version: '1.0',
    counter: 1,
    board: 'generic',
    architecture: 'x86_64',
  }
  writeFileSync(paths.release, JSON.stringify({ ...identity, created: '2026-11-30T12:00:00Z' }))
  writeFileSync(paths.trust, trustText())
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

async function verdict(documents: ReleaseDocuments): Promise<string> {
  try {
    await checkRelease(documents, paths)
    return 'accepted'
  } catch (error) {
    if (error instanceof UpdateRefused) return error.check
    throw error
  }
}

/** The second document, in which the release's key has gone and another has come. */
function successor(by: readonly Signer[]): string {
  const role = (signer: Signer): object => ({ threshold: 1, keys: [signer.line] })
  const { fingerprint } = parsePublicKey(signers.release.line)
  const text = trustText({
    version: 2,
    roles: { release: role(stranger), trust: role(signers.trust) },
    revoked: [fingerprint],
  })
  return writeEnvelope(
    text,
    by.map((signer) => signer.sign('solo-trust', text)),
  )
}

test('a revocation holds from when it is seen, though the release that brought it is refused', async () => {
  expect(await verdict(signed(release.manifest))).toBe('accepted')
  expect(await verdict(signed(release.manifest, { trust: [successor([signers.trust])] }))).toBe('signature')
  expect(effectiveTrust(trustText(), readFileSync(paths.keptTrust, 'utf8')).version).toBe(2)
  // The same release without the document, as an attacker would send it.
  expect(await verdict(signed(release.manifest))).toBe('signature')
  const signatures = [stranger.sign('solo-release', release.manifest)]
  expect(await verdict({ manifest: release.manifest, signatures, trust: [] })).toBe('accepted')
})

test('a document that is not signed as it must be is not kept', async () => {
  for (const by of [[], [stranger], [signers.release]]) {
    expect(await verdict(signed(release.manifest, { trust: [successor(by)] }))).toBe('trust')
    expect(await verdict(signed(release.manifest))).toBe('accepted')
  }
})

test('what was written to the data partition without a signature changes nothing', async () => {
  for (const kept of [
    '',
    '{',
    JSON.stringify({ envelopes: [successor([stranger])] }),
    JSON.stringify({ envelopes: [1] }),
    '\0'.repeat(4096),
  ]) {
    writeFileSync(paths.keptTrust, kept)
    expect(await verdict(signed(release.manifest))).toBe('accepted')
  }
})

test('a data partition that cannot be written keeps no release out: its documents hold this once', async () => {
  paths = { ...paths, keptTrust: join(folder, 'gone', 'kept.json') }
  const trust = [successor([signers.trust])]
  const signatures = [stranger.sign('solo-release', release.manifest)]
  expect(await verdict({ manifest: release.manifest, signatures, trust })).toBe('accepted')
  expect(await verdict(signed(release.manifest, { trust }))).toBe('signature')
})
