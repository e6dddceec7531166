// Small releases, whole and true to the format, for tests of installing: their roots are real EROFS images.
import { createHash } from 'node:crypto'
import { constants, zstdCompressSync } from 'node:zlib'
import { prepareErofs } from '@pkg/image/erofs'
import { FileTree } from '@pkg/image/tree'
import { VerityHasher } from '@pkg/image/verity'
import { releaseManifest } from '../../src/layout/compose.ts'
import { frameBytes, readRelease, type Release } from '../../src/release.ts'
import type { ReleaseContent } from '../../src/write-release.ts'

const salt = createHash('sha256').update('sample').digest()

/** What is in a root. */
export type Files = Readonly<Record<string, Uint8Array>>

/** A release with all its bytes. */
export interface SampleRelease {
  /** The text that is signed. */
  readonly manifest: string
  readonly release: Release
  /** What the root partition gets. */
  readonly root: Uint8Array
  readonly uki: Uint8Array
  /** By digest. */
  readonly blobs: ReadonlyMap<string, Uint8Array>
}

/** Bytes that look like chance, and are the same each time. */
export function noise(seed: string, sizeBytes: number): Uint8Array {
  const blocks: Uint8Array[] = []
  for (let index = 0; index * 32 < sizeBytes; index++) {
    blocks.push(createHash('sha256').update(`${seed}/${index}`).digest())
  }
  return new Uint8Array(Buffer.concat(blocks)).subarray(0, sizeBytes)
}

/** Bytes that compress to about a half. */
export function text(seed: string, sizeBytes: number): Uint8Array {
  return new TextEncoder()
    .encode(Buffer.from(noise(seed, sizeBytes / 2)).toString('hex'))
    .subarray(0, sizeBytes)
}

/** Makes a release. */
export async function sampleRelease(counter: number, files: Files, uki: Uint8Array): Promise<SampleRelease> {
  const tree = new FileTree()
  for (const [path, content] of Object.entries(files)) tree.add({ path, type: 'file', content })
  const image = await prepareErofs(tree)
  const hasher = new VerityHasher({ salt, uuid: image.uuid })
  const root = new Uint8Array(Buffer.concat(await Array.fromAsync(hasher.append(image.open()))))
  const verity = hasher.finish()
  const kernelTree = treeOver(uki)
  const blobs = new Map<string, Uint8Array>()
  const add = (bytes: Uint8Array): { digest: string; sizeBytes: number } => {
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
    blobs.set(digest, bytes)
    return { digest, sizeBytes: bytes.length }
  }
  const compressed = (bytes: Uint8Array): Release['root']['compressed'] => {
    const frames: Uint8Array[] = []
    for (let start = 0; start < bytes.length; start += frameBytes) {
      const frame = bytes.subarray(start, start + frameBytes)
      frames.push(zstdCompressSync(frame, { params: { [constants.ZSTD_c_compressionLevel]: 1 } }))
    }
    return { ...add(Buffer.concat(frames)), frames: frames.map(({ length }) => length) }
  }
  const [rootBlob, ukiBlob] = [add(root), add(uki)]
  const content: ReleaseContent = {
    appliance: 'sample',
    board: 'generic',
    architecture: 'x86_64',
    version: `${counter}.0`,
    counter,
    createdSeconds: 1_700_000_000,
    root: { open: () => [root], dataBlocks: verity.dataBlocks, imageId: image.uuid, salt },
    uki: { open: () => [uki] },
    sbom: { open: () => [] },
  }
  const manifest = releaseManifest(content, {
    root: rootBlob,
    rootZstd: compressed(root),
    uki: ukiBlob,
    ukiZstd: compressed(uki),
    ukiTree: add(kernelTree.bytes),
    sbom: add(new TextEncoder().encode('{}')),
    rootHash: verity.rootHash,
    ukiHash: kernelTree.rootHash,
  })
  return { manifest, release: readRelease(manifest), root, uki, blobs }
}

function treeOver(bytes: Uint8Array): { rootHash: string; bytes: Uint8Array } {
  const hasher = new VerityHasher({ salt, uuid: '00000000-0000-0000-0000-000000000000' })
  hasher.update(bytes)
  hasher.update(new Uint8Array((4096 - (bytes.length % 4096)) % 4096))
  const tree = hasher.finish()
  return { rootHash: tree.rootHash, bytes: Buffer.concat([...tree.bytes()].slice(1)) }
}
