// The digests that an SBOM has of each file, taken in one pass; those of large files once for all builds.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { type FileContent, readContent } from '@pkg/image/file-source'
import { readTextIfThere, sha256, writeAtomically } from '@pkg/vm/host'

/** Digests of a file's bytes, in hexadecimal. */
export interface Digests {
  /** SPDX 2.3 wants it of each file (8.4), and makes the code of a package of it (7.9). */
  readonly sha1: string
  /** What can be relied on. */
  readonly sha256: string
}

/** What smaller ones take is not worth a file in the cache. */
const rememberedBytesMin = 4 * 1024 * 1024

/** Reads a file once, or remembers what was read of it when it was the same by inode, size and times. */
export async function digestsOf(content: FileContent, path: string, cache: string): Promise<Digests> {
  const identity =
    content instanceof Uint8Array || content.sizeBytes < rememberedBytesMin ? undefined : content.identity
  if (identity === undefined) return await readDigests(content, path)
  const file = join(cache, 'digests', sha256(identity))
  const [sha1, digest] = ((await readTextIfThere(file)) ?? '').split(' ')
  if (sha1 !== undefined && digest !== undefined) return { sha1, sha256: digest }
  const digests = await readDigests(content, path)
  await writeAtomically(file, `${digests.sha1} ${digests.sha256}`)
  return digests
}

async function readDigests(content: FileContent, path: string): Promise<Digests> {
  const [sha1, digest] = [createHash('sha1'), createHash('sha256')]
  for await (const chunk of readContent(content, path)) {
    sha1.update(chunk)
    digest.update(chunk)
  }
  return { sha1: sha1.digest('hex'), sha256: digest.digest('hex') }
}
