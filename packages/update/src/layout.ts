/**
 * Finding a release in an OCI image layout: on a server, in a folder, or wherever its small documents can be read.
 *
 * A release is an image index with a manifest of the release, one or more of signatures, and at most one of a channel's
 * pointer, told apart by the artifact types in the manifests: tools that copy an index know none of them in
 * its descriptors.
 *
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { type Descriptor, descriptor, readIndex, readManifest } from './layout/manifests.ts'
import { UpdateRefused } from './refused.ts'
import { documentBytesMax, manifestBytesMax, type ReleaseDocuments } from './release.ts'
import {
  annotation,
  CHANNEL_TYPE,
  POINTER_TYPE,
  RELEASE_TYPE,
  SIGNATURES_TYPE,
  SSH_SIGNATURE_TYPE,
  TRUST_TYPE,
} from './release/media-types.ts'
import { readJson } from './release/schema.ts'

/** The most bytes of the file `index.json`, which lists all releases of a layout. */
const layoutIndexBytesMax = 1024 * 1024

/** Where the small documents of releases can be read. It is not trusted: digests are checked by who asks. */
export interface DocumentSource {
  /**
   * The image index of a release.
   *
   * @param reference - its name, such as a version or a channel; may be left out where there is one release only
   */
  index(reference?: string, signal?: AbortSignal): Promise<Uint8Array>
  /**
   * A manifest, or a blob that is a document.
   *
   * @param digest - `sha256:…`
   * @param sizeBytes - how many bytes it has; no more may be read
   */
  document(digest: string, sizeBytes: number, signal?: AbortSignal): Promise<Uint8Array>
}

/**
 * Reads the documents of a release. That they belong together is checked, who signed them is not.
 *
 * @param reference - the release's name at the source
 * @throws UpdateRefused `format`, `size` or `digest`; what the source throws
 */
export async function collectDocuments(
  source: DocumentSource,
  reference?: string,
  signal?: AbortSignal,
): Promise<ReleaseDocuments> {
  const fetch = boundedFetch(source, signal)
  const index = await source.index(reference, signal)
  if (index.byteLength > manifestBytesMax) {
    throw new UpdateRefused(
      'format',
      `the index of the release has ${index.byteLength} bytes, expected ${manifestBytesMax} at most`,
    )
  }
  const parts: Part[] = []
  for (const each of readIndex(textOf(index, 'the index of the release'))) {
    const text = await fetch(each, 'a manifest')
    parts.push({ descriptor: each, text, ...readManifest(text) })
  }
  const release = only(parts, RELEASE_TYPE, 'manifests of a release')
  if (release === undefined)
    throw new UpdateRefused('format', `the index names no manifest of type ${RELEASE_TYPE}`)
  const layers = parts
    .filter(
      ({ artifactType, subject }) =>
        artifactType === SIGNATURES_TYPE && subject === release.descriptor.digest,
    )
    .flatMap((part) => part.layers)
  const textsOf = async (type: string): Promise<string[]> => {
    const texts: string[] = []
    for (const layer of layers.filter(({ mediaType }) => mediaType === type))
      texts.push(await fetch(layer, type))
    return texts
  }
  const pointer = only(parts, CHANNEL_TYPE, 'pointers of a channel')
  const [pointerLayer] = pointer?.layers.filter(({ mediaType }) => mediaType === POINTER_TYPE) ?? []
  return {
    manifest: release.text,
    signatures: await textsOf(SSH_SIGNATURE_TYPE),
    trust: await textsOf(TRUST_TYPE),
    ...(pointerLayer === undefined ? {} : { channel: await fetch(pointerLayer, POINTER_TYPE) }),
  }
}

interface Part extends ReturnType<typeof readManifest> {
  readonly descriptor: Descriptor
  readonly text: string
}

function only(parts: readonly Part[], type: string, what: string): Part | undefined {
  const found = parts.filter(({ artifactType }) => artifactType === type)
  if (found.length <= 1) return found[0]
  throw new UpdateRefused('format', `the index names ${found.length} ${what}, expected one`)
}

/** Reads documents whose digests are as they must be, and no more of them than {@link documentBytesMax} in all. */
function boundedFetch(
  source: DocumentSource,
  signal: AbortSignal | undefined,
): (wanted: Descriptor, what: string) => Promise<string> {
  let restBytes = documentBytesMax
  return async ({ digest, size }, what) => {
    restBytes -= size
    if (restBytes < 0) {
      throw new UpdateRefused('size', `the documents of the release have more than ${documentBytesMax} bytes`)
    }
    const bytes = await source.document(digest, size, signal)
    if (bytes.byteLength !== size) {
      throw new UpdateRefused('size', `${what} ${digest} has ${bytes.byteLength} bytes, expected ${size}`)
    }
    const found = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
    if (found !== digest)
      throw new UpdateRefused('digest', `${what} ${digest} has other bytes: their digest is ${found}`)
    return textOf(bytes, what)
  }
}

function textOf(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new UpdateRefused('format', `${what} is no UTF-8`, { cause })
  }
}

/**
 * The documents of a layout whose files can be read by their paths.
 *
 * @param read - reads a file of the layout, such as `index.json`, with `bytesMax` bytes at most; rejects for longer ones
 */
export function layoutDocuments(
  read: (path: string, bytesMax: number, signal?: AbortSignal) => Promise<Uint8Array>,
): DocumentSource {
  return {
    async index(reference, signal) {
      const bytes = await read('index.json', layoutIndexBytesMax, signal)
      const found = findReference(textOf(bytes, 'index.json'), reference)
      if (found.size > manifestBytesMax) {
        throw new UpdateRefused(
          'size',
          `the index ${found.digest} has ${found.size} bytes, expected ${manifestBytesMax} at most`,
        )
      }
      const index = await read(blobPath(found.digest), found.size, signal)
      const digest = `sha256:${createHash('sha256').update(index).digest('hex')}`
      if (digest !== found.digest)
        throw new UpdateRefused(
          'digest',
          `the index ${found.digest} has other bytes: their digest is ${digest}`,
        )
      return index
    },
    document: (digest, sizeBytes, signal) => read(blobPath(digest), sizeBytes, signal),
  }
}

const layoutIndex = z.object({ manifests: z.array(descriptor).max(4096) })

function findReference(text: string, reference: string | undefined): Descriptor {
  const { manifests } = readJson(text, layoutIndex, 'index.json')
  const names = manifests.map((each) => each.annotations?.[annotation.referenceName])
  if (reference === undefined) {
    const digests = new Set(manifests.map(({ digest }) => digest))
    // Several names of one release are no question.
    if (digests.size === 1 && manifests[0] !== undefined) return manifests[0]
    throw new UpdateRefused(
      'format',
      `the layout has ${digests.size} releases, say which: ${names.join(', ')}`,
    )
  }
  const found = manifests.find((_, index) => names[index] === reference)
  if (found !== undefined) return found
  throw new UpdateRefused(
    'format',
    `the layout has no release ${reference}, but ${names.join(', ') || 'nothing'}`,
  )
}

/**
 * The path of a blob inside a layout.
 *
 * @throws TypeError for what is no digest, so that no other path can come out
 */
export function blobPath(digest: string): string {
  const match = /^sha256:([0-9a-f]{64})$/.exec(digest)
  if (match?.[1] === undefined)
    throw new TypeError(`expected sha256:<64 hexadecimal digits>, got ${JSON.stringify(digest)}`)
  return `blobs/sha256/${match[1]}`
}
