// The JSON of a release's manifests and indexes, as they are written.
//
// The order of the fields, and that there are no others, is that of the structs of Go's image-spec: tools built on them
// refuse to copy an index that they would write otherwise (skopeo 1.9 with --preserve-digests).
import { z } from 'zod'
import { UpdateRefused } from '../refused.ts'
import { type BlobReference, type CompressedBlob, layerTypes, RELEASE_TYPE } from '../release.ts'
import { annotation, emptyConfig, oci } from '../release/media-types.ts'
import { readJson } from '../release/schema.ts'
import type { ReleaseContent } from '../write-release.ts'
import { descriptor } from './manifests.ts'

/** A blob and what it is. */
export interface Layer extends BlobReference {
  readonly mediaType: string
  readonly annotations?: Readonly<Record<string, string>>
}

/** The blobs of a release, once they are written. */
export interface WrittenBlobs {
  readonly root: BlobReference
  readonly rootZstd: CompressedBlob
  readonly uki: BlobReference
  readonly ukiZstd: CompressedBlob
  readonly ukiTree: BlobReference
  readonly sbom: BlobReference
  readonly rootHash: string
  readonly ukiHash: string
}

/** The manifest of a release: the text that is signed. */
export function releaseManifest(content: ReleaseContent, blobs: WrittenBlobs): string {
  const { appliance, board, architecture, version, counter, minimumCounter = 0, notes = '', root } = content
  const compressed = (mediaType: string, blob: CompressedBlob, raw: BlobReference): Layer => {
    const annotations = { [annotation.raw]: raw.digest, [annotation.frames]: blob.frames.join(',') }
    return { mediaType, ...blob, annotations }
  }
  const layers: Layer[] = [
    { mediaType: layerTypes.root, ...blobs.root },
    compressed(layerTypes.rootZstd, blobs.rootZstd, blobs.root),
    { mediaType: layerTypes.uki, ...blobs.uki },
    compressed(layerTypes.ukiZstd, blobs.ukiZstd, blobs.uki),
    { mediaType: layerTypes.ukiTree, ...blobs.ukiTree },
    { mediaType: layerTypes.sbom, ...blobs.sbom },
  ]
  const annotations = {
    [annotation.version]: version,
    [annotation.created]: new Date(content.createdSeconds * 1000).toISOString(),
    [annotation.appliance]: appliance,
    [annotation.board]: board,
    [annotation.architecture]: architecture,
    [annotation.counter]: String(counter),
    [annotation.minimumCounter]: String(minimumCounter),
    [annotation.notes]: notes,
    [annotation.rootHash]: blobs.rootHash,
    [annotation.rootImageId]: root.imageId,
    [annotation.rootDataBlocks]: String(root.dataBlocks),
    [annotation.salt]: Buffer.from(root.salt).toString('hex'),
    [annotation.ukiHash]: blobs.ukiHash,
  }
  return manifestText(RELEASE_TYPE, layers, { annotations })
}

/** A manifest of any artifact. */
export function manifestText(
  artifactType: string,
  layers: readonly Layer[],
  more: { readonly subject?: BlobReference; readonly annotations?: Readonly<Record<string, string>> },
): string {
  const { subject, annotations } = more
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: oci.manifest,
    artifactType,
    config: emptyConfig,
    layers: layers.map((layer) => describe(layer.mediaType, layer, layer.annotations)),
    ...(subject === undefined ? {} : { subject: describe(oci.manifest, subject) }),
    ...(annotations === undefined ? {} : { annotations }),
  })
}

/** The index of a release. */
export function indexText(manifests: readonly BlobReference[]): string {
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: oci.index,
    manifests: manifests.map((each) => describe(oci.manifest, each)),
  })
}

function describe(
  mediaType: string,
  { digest, sizeBytes }: BlobReference,
  annotations?: Readonly<Record<string, string>>,
): object {
  return { mediaType, digest, size: sizeBytes, ...(annotations === undefined ? {} : { annotations }) }
}

const layoutIndex = z.object({ manifests: z.array(descriptor) })

/**
 * `index.json` with one name more, or one that goes over to another index.
 *
 * @param present - the file as it is; undefined when there is none
 */
export function withReference(present: string | undefined, index: BlobReference, name: string): string {
  // As a tag of a registry, which it may become.
  if (!/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/.test(name)) {
    throw new UpdateRefused(
      'format',
      `${JSON.stringify(name)} is no name of a release: expected letters, digits, . _ -`,
    )
  }
  const others = present === undefined ? [] : readJson(present, layoutIndex, 'index.json').manifests
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: oci.index,
    manifests: [
      ...others.filter((each) => each.annotations?.[annotation.referenceName] !== name),
      describe(oci.index, index, { [annotation.referenceName]: name }),
    ],
  })
}
