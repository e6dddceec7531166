import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openArchiveSource } from '../src/archive-source.ts'
import { examineContents } from '../src/contents.ts'
import { collectDocuments } from '../src/layout.ts'
import { readRelease } from '../src/release.ts'
import { publishRelease, writeReleaseBlobs } from '../src/write-release.ts'
import { Signer } from './support/signer.ts'
import { efiStub, smallContent } from './support/small-release.ts'

let folder = ''
let layout = ''

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'solo-archive-'))
  layout = join(folder, 'layout')
  const { manifest } = await writeReleaseBlobs(layout, await smallContent(await efiStub(), 'one'), {
    level: 1,
  })
  const signatures = [new Signer().sign('solo-release', manifest)]
  await publishRelease(layout, { manifest, signatures, trust: [] }, ['2.0'])
}, 240_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function run(...command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(command)
  expect(stderr.toString()).toBe('')
  expect(exitCode).toBe(0)
}

test.each([
  [
    'skopeo',
    (file: string) => [
      'skopeo',
      'copy',
      '-q',
      '--insecure-policy',
      '--all',
      '--preserve-digests',
      `oci:${layout}:2.0`,
      `oci-archive:${file}:2.0`,
    ],
  ],
  ['tar --format=ustar', (file: string) => ['tar', '--format=ustar', '-C', layout, '-cf', file, '.']],
  ['tar --format=gnu', (file: string) => ['tar', '--format=gnu', '-C', layout, '-cf', file, '.']],
  ['tar --format=pax', (file: string) => ['tar', '--format=pax', '-C', layout, '-cf', file, '.']],
])('openArchiveSource() finds all of a release that %s put into a file', async (_, command) => {
  const file = join(folder, 'release.tar')
  rmSync(file, { force: true })
  run(...command(file))
  await using source = await openArchiveSource(file)
  const documents = await collectDocuments(source)
  expect(documents.signatures).toHaveLength(1)
  const findings = await Array.fromAsync(examineContents(readRelease(documents.manifest), source))
  expect(findings.map(({ ok, detail }) => (ok === true ? '' : detail))).toEqual(findings.map(() => ''))
})

test('openArchiveSource() refuses an archive that is cut off, damaged, or none', async () => {
  const file = join(folder, 'whole.tar')
  run('tar', '--format=ustar', '-C', layout, '-cf', file, '.')
  const bytes = readFileSync(file)
  const bad = join(folder, 'bad.tar')
  const reasons = async (content: Uint8Array): Promise<string> => {
    writeFileSync(bad, content)
    try {
      await using source = await openArchiveSource(bad)
      const { manifest } = await collectDocuments(source)
      const findings = await Array.fromAsync(examineContents(readRelease(manifest), source))
      return findings.find(({ ok }) => ok !== true)?.detail ?? 'all is well'
    } catch (error) {
      return String(error)
    }
  }
  expect(await reasons(bytes)).toBe('all is well')
  expect(await reasons(bytes.subarray(0, bytes.length / 2))).toContain('not all there')
  expect(await reasons(bytes.subarray(0, 700))).toContain('has no file')
  expect(await reasons(Buffer.from('no archive'.repeat(100)))).toContain('no tar archive')
  const flipped = Buffer.from(bytes)
  flipped.writeUInt8(bytes.readUInt8(3) ^ 1, 3)
  expect(await reasons(flipped)).toContain('no tar archive, or damaged')
})
