/**
 * What a release is made of: an OCI manifest that names its blobs by digest and size, and says for what it is.
 *
 * The manifest is `application/vnd.oci.image.manifest.v1+json` with the artifact type {@link RELEASE_TYPE} and one layer
 * of each media type of {@link layerTypes}; everything else of a {@link Release} is in its annotations.
 *
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md
 */
export { layerTypes, RELEASE_TYPE } from './release/media-types.ts'
export { frameBytes, manifestBytesMax, readRelease } from './release/manifest.ts'
export { documentBytesMax, readDocuments } from './release/documents.ts'
export type { ReleaseDocuments } from './release/documents.ts'

/** A blob, by what its bytes are. */
export interface BlobReference {
  /** `sha256:` and 64 lower-case hexadecimal digits. */
  readonly digest: string
  /** How many bytes it has, neither more nor fewer. */
  readonly sizeBytes: number
}

/**
 * A blob as Zstandard: cut every {@link frameBytes} and each piece compressed as a frame of its own, so that a device
 * unpacks and checks one after the other. The frames follow one another and are one stream for any `zstd -d`.
 */
export interface CompressedBlob extends BlobReference {
  /** How many bytes each frame has. */
  readonly frames: readonly number[]
}

/** The root: exactly what a root partition gets, an EROFS image followed by its dm-verity superblock and tree. */
export interface ReleaseRoot extends BlobReference {
  /** The same bytes, compressed. */
  readonly compressed: CompressedBlob
  /** The dm-verity root hash, 64 hexadecimal digits. */
  readonly hash: string
  /** What dm-verity hashes before each block, in hexadecimal digits; the UKI's tree has the same. */
  readonly salt: string
  /** How many blocks of 4 KiB the EROFS image has; one block of superblock and the tree follow. */
  readonly dataBlocks: number
  /** The EROFS superblock's uuid, by which stage 1 finds the root. */
  readonly imageId: string
}

/** The unified kernel image that boots the root, and no other root. */
export interface ReleaseUki extends BlobReference {
  /** The same bytes, compressed. */
  readonly compressed: CompressedBlob
  /** The root hash of {@link tree}, 64 hexadecimal digits. */
  readonly hash: string
  /**
   * A hash tree over the image padded with zeros to blocks of 4 KiB, with dm-verity's geometry and the root's salt,
   * without a superblock.
   */
  readonly tree: BlobReference
}

/** A release, as its manifest tells it. */
export interface Release {
  /** The digest of the manifest, which is the release's identity. */
  readonly manifestDigest: string
  /** The appliance's name. */
  readonly appliance: string
  /** The kind of machine, such as `pc`. */
  readonly board: string
  /** The processor's architecture. */
  readonly architecture: 'x86_64' | 'aarch64'
  /** The version that people read; nothing is decided by it. */
  readonly version: string
  /** Strictly rising from release to release, from 1. */
  readonly counter: number
  /** The least counter of a running release that may be followed by this one. */
  readonly minimumCounter: number
  /** When it was made, in seconds since 1970. */
  readonly createdSeconds: number
  /** What is new, for people; may be empty. */
  readonly notes: string
  /** The root. */
  readonly root: ReleaseRoot
  /** Kernel, command line and initramfs. */
  readonly uki: ReleaseUki
  /** What the release is made of, in SPDX's JSON. */
  readonly sbom: BlobReference
}
