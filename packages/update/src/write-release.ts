/**
 * Writing a release as an OCI image layout: first its blobs and its manifest, which is then signed, then what makes
 * it one to be found: signatures, trust documents, a channel's pointer, and a name.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { VerityHasher } from '@pkg/image/verity'
import { BlobWriter } from './layout/blob-writer.ts'
import { compressFrames } from './layout/frames.ts'
import { indexText, manifestText, releaseManifest, type Layer, withReference } from './layout/compose.ts'
import {
  type BlobReference,
  type CompressedBlob,
  readRelease,
  type Release,
  type ReleaseDocuments,
} from './release.ts'
import {
  CHANNEL_TYPE,
  POINTER_TYPE,
  SIGNATURES_TYPE,
  SSH_SIGNATURE_TYPE,
  TRUST_TYPE,
} from './release/media-types.ts'
import { UkiHasher } from './release/uki-tree.ts'

/** Bytes of a block of dm-verity. */
const blockBytes = 4096

/** What a release is made of. */
export interface ReleaseContent {
  /** The appliance's name. */
  readonly appliance: string
  /** The kind of machine, such as `pc`. */
  readonly board: string
  /** The processor's architecture. */
  readonly architecture: 'x86_64' | 'aarch64'
  /** The version that people read. */
  readonly version: string
  /** Strictly rising, from 1. */
  readonly counter: number
  /** The least counter of a running release that may be followed by this one. Default: 0, any. */
  readonly minimumCounter?: number
  /** When it was made, in seconds since 1970. */
  readonly createdSeconds: number
  /** What is new, for people. Default: nothing. */
  readonly notes?: string
  /** The root: an EROFS image, then its dm-verity superblock and tree. */
  readonly root: {
    /** Its bytes. */
    open(): Iterable<Uint8Array> | AsyncIterable<Uint8Array>
    /** How many blocks of 4 KiB the EROFS image has. */
    readonly dataBlocks: number
    /** The EROFS superblock's uuid, which is the verity superblock's too. */
    readonly imageId: string
    /** What dm-verity hashes before each block. */
    readonly salt: Uint8Array
  }
  /** The unified kernel image. */
  readonly uki: { open(): Iterable<Uint8Array> | AsyncIterable<Uint8Array> }
  /** The bill of materials, SPDX in JSON. */
  readonly sbom: { open(): Iterable<Uint8Array> | AsyncIterable<Uint8Array> }
}

/** How a release is written. */
export interface WriteReleaseOptions {
  /** Of Zstandard, 1 to 19. Default: 19. */
  readonly level?: number
  /** Ends it early; blobs that are whole stay. */
  readonly signal?: AbortSignal
  /** Hears what is written now. */
  readonly onStep?: (what: string) => void
}

/** A release that nobody has signed yet. */
export interface UnsignedRelease {
  /** The text to sign, in namespace `solo-release`. */
  readonly manifest: string
  /** What it says. */
  readonly release: Release
}

/**
 * Writes the blobs of a release. Memory in use: the hash trees, 1/128 of the root, and four frames.
 *
 * @param folder - of the layout; made when it is not there
 * @throws TypeError when the root's hash tree is not that of its data
 * @throws UpdateRefused for what no device would take
 */
export async function writeReleaseBlobs(
  folder: string,
  content: ReleaseContent,
  options: WriteReleaseOptions = {},
): Promise<UnsignedRelease> {
  const writer = await BlobWriter.open(folder)
  const { onStep = () => {} } = options
  onStep('root')
  const { blob: root, hash: rootHash } = await writeRoot(writer, content.root, options.signal)
  onStep('root, compressed')
  const rootZstd = await writeCompressed(writer, root, options)
  onStep('kernel image')
  const { blob: uki, tree: ukiTree, hash: ukiHash } = await writeUki(writer, content, options.signal)
  onStep('kernel image, compressed')
  const ukiZstd = await writeCompressed(writer, uki, options)
  onStep('bill of materials')
  const sbom = await writer.put(content.sbom.open())
  const manifest = releaseManifest(content, {
    ...{ root, rootZstd, uki, ukiZstd, ukiTree, sbom },
    ...{ rootHash, ukiHash },
  })
  const release = readRelease(manifest)
  await writer.put([new TextEncoder().encode(manifest)])
  return { manifest, release }
}

async function writeRoot(
  writer: BlobWriter,
  root: ReleaseContent['root'],
  signal: AbortSignal | undefined,
): Promise<{ blob: BlobReference; hash: string }> {
  const { dataBlocks, imageId, salt } = root
  const hasher = new VerityHasher({ salt, uuid: imageId })
  const tail: Uint8Array[] = []
  let restBytes = dataBlocks * blockBytes
  const blob = await writer.put(
    tapped(root.open(), signal, (chunk) => {
      const data = chunk.subarray(0, restBytes)
      restBytes -= data.byteLength
      hasher.update(data)
      if (data.byteLength < chunk.byteLength) tail.push(chunk.slice(data.byteLength))
    }),
  )
  const tree = hasher.finish()
  if (Buffer.compare(Buffer.concat(tail), Buffer.concat([...tree.bytes()])) !== 0) {
    throw new TypeError(`the root's hash tree is not that of its ${dataBlocks} blocks: build it anew`)
  }
  return { blob, hash: tree.rootHash }
}

async function writeUki(
  writer: BlobWriter,
  { uki, root: { salt } }: ReleaseContent,
  signal: AbortSignal | undefined,
): Promise<{ blob: BlobReference; tree: BlobReference; hash: string }> {
  const hasher = new UkiHasher(salt)
  const blob = await writer.put(tapped(uki.open(), signal, (chunk) => hasher.update(chunk)))
  const { hash, bytes } = hasher.finish()
  return { blob, tree: await writer.put([bytes]), hash }
}

async function* tapped(
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
  see: (chunk: Uint8Array) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of chunks) {
    signal?.throwIfAborted()
    see(chunk)
    yield chunk
  }
}

async function writeCompressed(
  writer: BlobWriter,
  raw: BlobReference,
  { level = 19, signal }: WriteReleaseOptions,
): Promise<CompressedBlob> {
  const frames: number[] = []
  const blob = await writer.put(compressFrames(writer.path(raw.digest), level, frames, signal))
  return { ...blob, frames }
}

/**
 * Makes a release whose blobs are written one that is found: writes its signatures and what comes with them, and names
 * it in `index.json`. Names that are there for other releases stay, the same name goes over to this one.
 *
 * @param folder - of the layout, as for {@link writeReleaseBlobs}
 * @param names - what it is found by: its version, a channel
 */
export async function publishRelease(
  folder: string,
  documents: ReleaseDocuments,
  names: readonly string[],
): Promise<void> {
  const writer = await BlobWriter.open(folder)
  const put = async (text: string): Promise<BlobReference> => writer.put([new TextEncoder().encode(text)])
  const layer = async (mediaType: string, text: string): Promise<Layer> => ({
    mediaType,
    ...(await put(text)),
  })
  await put('{}')
  const release = await put(documents.manifest)
  const layers: Layer[] = []
  for (const each of documents.signatures) layers.push(await layer(SSH_SIGNATURE_TYPE, each))
  for (const each of documents.trust) layers.push(await layer(TRUST_TYPE, each))
  const manifests = [release, await put(manifestText(SIGNATURES_TYPE, layers, { subject: release }))]
  if (documents.channel !== undefined) {
    const pointer = await layer(POINTER_TYPE, documents.channel)
    manifests.push(await put(manifestText(CHANNEL_TYPE, [pointer], { subject: release })))
  }
  const index = await put(indexText(manifests))
  let list = await readFile(join(folder, 'index.json'), 'utf8').catch(absent)
  for (const name of names) list = withReference(list, index, name)
  if (list !== undefined) await writer.replace('index.json', list)
}

function absent(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
  throw error
}
