// Reads a release's manifest, strictly: what is signed may still be wrong.
import { createHash } from 'node:crypto'
import { verityLevels } from '@pkg/image/verity'
import { z } from 'zod'
import { UpdateRefused } from '../refused.ts'
import type { BlobReference, CompressedBlob, Release } from '../release.ts'
import { annotation, emptyConfig, layerTypes, oci, RELEASE_TYPE } from './media-types.ts'
import { architecture, counterMax, digest, name, readJson, version } from './schema.ts'

/** The most bytes of a manifest. */
export const manifestBytesMax: number = 64 * 1024

/**
 * So many bytes of a blob, the last ones may be fewer, are one frame of the compressed one. The larger, the fewer bytes
 * move: of Bun's program 42.6 MB with 4 MiB, 41.9 MB with 8. A device needs memory for one, packed and unpacked.
 */
export const frameBytes: number = 6 * 1024 * 1024

/** What does not compress grows by less than this; zstd.h, `ZSTD_COMPRESSBOUND`. */
const compressedFrameBytesMax = frameBytes + 64 * 1024

/** Bytes of a block of dm-verity. */
const blockBytes = 4096

/** More than any partition that holds a root; what is larger is a mistake or meant to fill a disk. */
const rootBytesMax = 2 ** 40

/** A boot partition holds two of them. */
const ukiBytesMax = 2 ** 30

/** A bill of materials is kept in memory where it is shown. */
const sbomBytesMax = 64 * 2 ** 20

const hash = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 lower-case hexadecimal digits')
const uuid = z
  .string()
  .regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'expected a uuid of lower-case hexadecimal digits')
const number = z.string().regex(/^(0|[1-9]\d{0,15})$/, 'expected a whole number')

const layer = z.object({
  mediaType: z.string(),
  digest,
  size: z.int().min(1),
  annotations: z.record(z.string(), z.string()).exactOptional(),
})

type Layer = z.infer<typeof layer>

const schema = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.literal(oci.manifest),
  artifactType: z.literal(RELEASE_TYPE),
  config: z.object({
    mediaType: z.literal(emptyConfig.mediaType),
    digest: z.literal(emptyConfig.digest),
    size: z.literal(emptyConfig.size),
  }),
  layers: z.array(layer).max(32),
  annotations: z.object({
    [annotation.version]: version,
    [annotation.created]: z.iso.datetime({ error: 'expected a time such as 2026-11-30T12:00:00Z' }),
    [annotation.appliance]: name,
    [annotation.board]: name,
    [annotation.architecture]: architecture,
    [annotation.counter]: number,
    [annotation.minimumCounter]: number,
    // Shown on terminals and pages: no control characters but tab and line feed.
    [annotation.notes]: z
      .string()
      .max(16_384)
      .regex(/^[\t\n\P{Cc}]*$/u, 'expected text without control characters'),
    [annotation.rootHash]: hash,
    [annotation.rootImageId]: uuid,
    [annotation.rootDataBlocks]: number,
    [annotation.salt]: z.string().regex(/^([0-9a-f]{2}){0,256}$/, 'expected hexadecimal digits'),
    [annotation.ukiHash]: hash,
  }),
})

type Manifest = z.infer<typeof schema>

/**
 * A release by its manifest, whose signature has been checked already.
 *
 * @throws UpdateRefused `format` for what is no manifest of a release or contradicts itself; `size` for sizes that
 *   cannot be
 */
export function readRelease(manifest: string | Uint8Array): Release {
  const bytes = typeof manifest === 'string' ? new TextEncoder().encode(manifest) : manifest
  if (bytes.byteLength > manifestBytesMax) {
    throw new UpdateRefused(
      'format',
      `the manifest has ${bytes.byteLength} bytes, expected ${manifestBytesMax} at most`,
    )
  }
  const read = readJson(decode(bytes), schema, 'the manifest')
  const layers = layersOf(read)
  const release = releaseOf(read, layers, `sha256:${createHash('sha256').update(bytes).digest('hex')}`)
  if (release.minimumCounter >= release.counter) {
    throw new UpdateRefused(
      'format',
      `the manifest's minimum counter is ${release.minimumCounter}, expected less than its counter ${release.counter}`,
    )
  }
  checkSizes(release)
  return release
}

/** Without a byte order mark being dropped, so that no two texts of bytes are read as one. */
function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new UpdateRefused('format', 'the manifest is no UTF-8', { cause })
  }
}

type Layers = Readonly<Record<keyof typeof layerTypes, Layer>>

/** The layer of each kind. Others may be there, for what is yet to come, but no kind twice. */
function layersOf({ layers }: Manifest): Layers {
  const byType = new Map<string, Layer>()
  for (const each of layers) {
    if (byType.has(each.mediaType))
      throw new UpdateRefused('format', `the manifest has two layers ${each.mediaType}`)
    byType.set(each.mediaType, each)
  }
  const found = Object.entries(layerTypes).map(([key, type]) => {
    const layerOfType = byType.get(type)
    if (layerOfType === undefined) throw new UpdateRefused('format', `the manifest has no layer ${type}`)
    return [key, layerOfType] as const
  })
  return Object.fromEntries(found) as Layers
}

function releaseOf(manifest: Manifest, layers: Layers, manifestDigest: string): Release {
  const values = manifest.annotations
  return {
    manifestDigest,
    appliance: values[annotation.appliance],
    board: values[annotation.board],
    architecture: values[annotation.architecture],
    version: values[annotation.version],
    counter: counterOf(values[annotation.counter], 'counter', 1),
    minimumCounter: counterOf(values[annotation.minimumCounter], 'minimum counter', 0),
    createdSeconds: Math.floor(Date.parse(values[annotation.created]) / 1000),
    notes: values[annotation.notes],
    root: {
      ...reference(layers.root),
      compressed: compressedOf(layers.rootZstd, layers.root),
      hash: values[annotation.rootHash],
      salt: values[annotation.salt],
      dataBlocks: Number(values[annotation.rootDataBlocks]),
      imageId: values[annotation.rootImageId],
    },
    uki: {
      ...reference(layers.uki),
      compressed: compressedOf(layers.ukiZstd, layers.uki),
      hash: values[annotation.ukiHash],
      tree: reference(layers.ukiTree),
    },
    sbom: reference(layers.sbom),
  }
}

function reference({ digest: value, size }: Layer): BlobReference {
  return { digest: value, sizeBytes: size }
}

function compressedOf(compressed: Layer, raw: Layer): CompressedBlob {
  const { [annotation.raw]: of, [annotation.frames]: text = '' } = compressed.annotations ?? {}
  const refuse = (message: string): never => {
    throw new UpdateRefused('format', `the layer ${compressed.mediaType} ${message}`)
  }
  if (of !== raw.digest) refuse(`is of ${of ?? 'nothing'}, expected ${annotation.raw} to be ${raw.digest}`)
  if (!/^[1-9]\d{0,6}(,[1-9]\d{0,6})*$/.test(text))
    refuse(`needs the sizes of its frames in ${annotation.frames}`)
  const frames = text.split(',').map(Number)
  const count = Math.ceil(raw.size / frameBytes)
  if (frames.length !== count) refuse(`has ${frames.length} frames, expected ${count} for ${raw.size} bytes`)
  if (frames.some((size) => size > compressedFrameBytesMax)) {
    refuse(`has a frame of more than ${compressedFrameBytesMax} bytes`)
  }
  const sum = frames.reduce((total, size) => total + size, 0)
  if (sum !== compressed.size) refuse(`has ${compressed.size} bytes, its frames have ${sum}`)
  return { ...reference(compressed), frames }
}

function counterOf(text: string, what: string, least: number): number {
  const value = Number(text)
  if (value >= least && value <= counterMax) return value
  throw new UpdateRefused('format', `the manifest's ${what} is ${text}, expected ${least} to ${counterMax}`)
}

/** Sizes follow from one another; one that lies would fill a partition, or leave a tree that covers too little. */
function checkSizes({ root, uki, sbom }: Release): void {
  most('the root', root.sizeBytes, rootBytesMax)
  most('the UKI', uki.sizeBytes, ukiBytesMax)
  most('the SBOM', sbom.sizeBytes, sbomBytesMax)
  if (root.dataBlocks < 1) throw new UpdateRefused('size', 'the root has no blocks')
  if (root.dataBlocks * blockBytes > rootBytesMax)
    most('the root', root.dataBlocks * blockBytes, rootBytesMax)
  exactly('the root', root.sizeBytes, (root.dataBlocks + 1 + treeBlocks(root.dataBlocks)) * blockBytes)
  const ukiBlocks = Math.ceil(uki.sizeBytes / blockBytes)
  exactly("the UKI's tree", uki.tree.sizeBytes, treeBlocks(ukiBlocks) * blockBytes)
}

function treeBlocks(dataBlocks: number): number {
  return verityLevels(dataBlocks).reduce((sum, { blocks }) => sum + blocks, 0)
}

function most(what: string, sizeBytes: number, limitBytes: number): void {
  if (sizeBytes <= limitBytes) return
  throw new UpdateRefused(
    'size',
    `${what} has ${sizeBytes} bytes by the manifest, expected ${limitBytes} at most`,
  )
}

function exactly(what: string, sizeBytes: number, expectedBytes: number): void {
  if (sizeBytes === expectedBytes) return
  throw new UpdateRefused('size', `${what} has ${sizeBytes} bytes by the manifest, expected ${expectedBytes}`)
}
