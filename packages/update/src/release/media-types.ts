// The names that a release's manifests and blobs have in an OCI layout.

/** The artifact type of a release's manifest. */
export const RELEASE_TYPE = 'application/vnd.solo.release.v1+json'

/** The artifact type of the manifest that holds a release's signatures. */
export const SIGNATURES_TYPE = 'application/vnd.solo.signatures.v1+json'

/** The artifact type of a channel pointer's manifest. */
export const CHANNEL_TYPE = 'application/vnd.solo.channel.v1+json'

/** A layer of a signatures manifest: one armored SSH signature. */
export const SSH_SIGNATURE_TYPE = 'application/vnd.solo.sshsig.v1'

/** A layer of a signatures manifest: one trust document with its signatures. */
export const TRUST_TYPE = 'application/vnd.solo.trust.v1+json'

/** The layer of a channel's manifest: the pointer with its signatures. */
export const POINTER_TYPE = 'application/vnd.solo.channel-pointer.v1+json'

/** The media types of the layers of a release; a manifest has one layer of each. */
export const layerTypes = {
  /** The raw root. */
  root: 'application/vnd.solo.root.v1',
  /** The root as Zstandard. */
  rootZstd: 'application/vnd.solo.root.v1+zstd',
  /** The raw unified kernel image. */
  uki: 'application/vnd.solo.uki.v1',
  /** The unified kernel image as Zstandard. */
  ukiZstd: 'application/vnd.solo.uki.v1+zstd',
  /** The hash tree over the unified kernel image. */
  ukiTree: 'application/vnd.solo.uki.tree.v1',
  /** The bill of materials. */
  sbom: 'application/spdx+json',
} as const

/** OCI's media types. */
export const oci = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
} as const

/**
 * The content of a manifest that has no configuration.
 *
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md#guidance-for-an-empty-descriptor
 */
export const emptyConfig = {
  mediaType: 'application/vnd.oci.empty.v1+json',
  digest: 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
  size: 2,
} as const

/** Keys of annotations. */
export const annotation = {
  version: 'org.opencontainers.image.version',
  created: 'org.opencontainers.image.created',
  referenceName: 'org.opencontainers.image.ref.name',
  appliance: 'vnd.solo.appliance',
  board: 'vnd.solo.board',
  architecture: 'vnd.solo.architecture',
  counter: 'vnd.solo.counter',
  minimumCounter: 'vnd.solo.minimum-counter',
  notes: 'vnd.solo.notes',
  rootHash: 'vnd.solo.root.hash',
  rootImageId: 'vnd.solo.root.image-id',
  rootDataBlocks: 'vnd.solo.root.data-blocks',
  salt: 'vnd.solo.salt',
  ukiHash: 'vnd.solo.uki.hash',
  /** Of a compressed layer: the digest of what it holds. */
  raw: 'vnd.solo.raw',
  /** Of a compressed layer: how many bytes each of its frames has, with commas between. */
  frames: 'vnd.solo.frames',
} as const
