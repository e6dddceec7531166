// OCI's indexes and manifests, as far as a reader of releases needs them.
import { z } from 'zod'
import { manifestBytesMax } from '../release.ts'
import { oci } from '../release/media-types.ts'
import { digest, readJson } from '../release/schema.ts'

/** So many manifests an index of a release may name: the release, signatures, a pointer, and what others add. */
const manifestsMax = 16

/** More signatures and trust documents than a release may have are refused where they are read. */
const layersMax = 256

/** What names a blob. */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly annotations?: Readonly<Record<string, string>>
}

/** The shape of a {@link Descriptor}. */
export const descriptor: z.ZodType<Descriptor> = z.object({
  mediaType: z.string(),
  digest,
  size: z.int().min(0),
  annotations: z.record(z.string(), z.string()).exactOptional(),
})

const manifestDescriptor = descriptor.refine(
  ({ mediaType, size }) => mediaType === oci.manifest && size <= manifestBytesMax,
  `expected a manifest (${oci.manifest}) of ${manifestBytesMax} bytes at most`,
)

const index = z.object({
  schemaVersion: z.literal(2),
  manifests: z.array(manifestDescriptor).max(manifestsMax),
})

const manifest = z.object({
  schemaVersion: z.literal(2),
  artifactType: z.string().exactOptional(),
  subject: descriptor.exactOptional(),
  layers: z.array(descriptor).max(layersMax),
})

/** The manifests that an index names. */
export function readIndex(text: string): readonly Descriptor[] {
  return readJson(text, index, 'the index of the release').manifests
}

/** What kind of manifest it is, of which manifest it tells, and its layers. */
export function readManifest(text: string): {
  readonly artifactType?: string
  readonly subject?: string
  readonly layers: readonly Descriptor[]
} {
  const { artifactType, subject, layers } = readJson(text, manifest, 'a manifest')
  return {
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(subject === undefined ? {} : { subject: subject.digest }),
    layers,
  }
}
