// A sample release as the OCI image layout that it would be in.
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { blobPath } from '../../src/layout.ts'
import { publishRelease } from '../../src/write-release.ts'
import type { SampleRelease } from './sample-release.ts'
import type { Signer } from './signer.ts'

/** Writes a layout into a new folder; returns its path. */
export async function layoutFolder(
  { manifest, blobs }: SampleRelease,
  signer: Signer,
  names: readonly string[],
): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'solo-layout-'))
  mkdirSync(join(folder, 'blobs', 'sha256'), { recursive: true })
  for (const [digest, bytes] of blobs) writeFileSync(join(folder, blobPath(digest)), bytes)
  const signatures = [signer.sign('solo-release', manifest)]
  const documents = { manifest, signatures, trust: [] }
  // publishRelease() expects the manifest's blob to be there, as writeReleaseBlobs() leaves it.
  const digest = new Bun.CryptoHasher('sha256').update(manifest).digest('hex')
  writeFileSync(join(folder, 'blobs', 'sha256', digest), manifest)
  await publishRelease(folder, documents, names)
  return folder
}
