// A small release, written once into a folder and held in memory.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ReleaseContent, type UnsignedRelease, writeReleaseBlobs } from '../../src/write-release.ts'

/** A release and its blobs. */
export interface WrittenRelease extends UnsignedRelease {
  readonly blobs: ReadonlyMap<string, Uint8Array>
}

/** Writes a release and reads it back. */
export async function writtenRelease(content: ReleaseContent): Promise<WrittenRelease> {
  const folder = mkdtempSync(join(tmpdir(), 'solo-release-'))
  try {
    const unsigned = await writeReleaseBlobs(folder, content, { level: 1 })
    const names = readdirSync(join(folder, 'blobs', 'sha256'))
    const blobs = new Map(
      names.map((name) => [
        `sha256:${name}`,
        new Uint8Array(readFileSync(join(folder, 'blobs', 'sha256', name))),
      ]),
    )
    return { ...unsigned, blobs }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
