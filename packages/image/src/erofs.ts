/**
 * EROFS images, the read-only file system of roots.
 *
 * What is written: uncompressed images in blocks of 4 KiB, which every kernel since 5.4 mounts. Superblock and inodes
 * come first, then directories, then files, each beginning with a block of its own; files of equal content have the
 * same blocks. Files and ends of directories up to 2 KiB, symlinks, and all extended attributes lie behind their
 * inodes. The superblock has its checksum, and a uuid that is made from the image's content. Nothing depends on the
 * clock or the host.
 *
 * What is read: those, and what `mkfs.erofs` writes without compression and chunks, in blocks of 4 KiB.
 *
 * Files are neither compressed nor packed into one another, so that a small change in a tree changes few blocks:
 * 0.15 % of a 100 MB image, where squashfs with zstd changed 6.4 %.
 *
 * @see https://docs.kernel.org/filesystems/erofs.html
 * @see https://erofs.docs.kernel.org/en/latest/core_ondisk.html
 */
import { seal, volumeNameBytesMax, blockBytes } from './erofs/format.ts'
import { ImageIdHash, readImageId } from './erofs/image-id.ts'
import { layoutOf, shareBlocks } from './erofs/layout.ts'
import type { Layout } from './erofs/layout.ts'
import { parseUuid, formatUuid } from './uuid/uuid.ts'
import { InodeReader } from './erofs/inode-reader.ts'
import { ErofsReader } from './erofs/reader.ts'
import { contentKeys } from './erofs/sharing.ts'
import { imagePieces } from './erofs/writer.ts'
import type { RandomAccess } from './random-access.ts'
import { coalesce } from './stream/coalesce.ts'
import { counted } from './stream/progress.ts'
import type { PassOptions } from './stream/progress.ts'
import { FileTree } from './tree.ts'
import type { FileNode } from './tree.ts'

export { ErofsError } from './erofs/error.ts'
export type { ErofsErrorCode } from './erofs/error.ts'
export type { ErofsReader, ErofsStat, ReadTreeOptions } from './erofs/reader.ts'
export type { PassOptions } from './stream/progress.ts'

/** How an image is written. */
export interface ErofsOptions extends PassOptions {
  /**
   * The superblock's uuid: 32 hexadecimal digits, as `01234567-89ab-cdef-0123-456789abcdef`. Default: the image's id,
   * see {@link erofsImageId}; for it all files are read once more, before the first byte is given.
   */
  readonly uuid?: string
  /** The superblock's volume name (`blkid` calls it LABEL), at most 15 bytes of UTF-8. Default: none. */
  readonly volumeName?: string
  /**
   * Where a file's data lies among the others': lower ranks come first, equal ranks in the order of their paths.
   * Large files that seldom change first leave most blocks of the image where they were. Default: 0 for all. Long
   * symlinks have the rank 0.
   */
  readonly rank?: (file: FileNode) => number
  /**
   * Whether files of equal content have the same blocks; for it files of equal size are read once more, before the
   * first byte is given. Default: true.
   */
  readonly shareEqualFiles?: boolean
}

/** An image that is ready to be written. */
export interface ErofsImage {
  /** All its bytes, a multiple of 4096. */
  readonly sizeBytes: number
  /** The superblock's uuid in lower case; the image's id unless another one was given. */
  readonly uuid: string
  /**
   * Starts a new pass over its bytes, which reads all files. See {@link writeErofs} for chunks and errors. The signal
   * is that of {@link prepareErofs} unless another one is given.
   */
  open(options?: PassOptions): AsyncGenerator<Uint8Array, void, undefined>
}

/**
 * Writes `tree` as an EROFS image.
 *
 * Streams: memory in use is the names and places of all nodes, and one chunk of a file (and its source's buffer). The
 * chunks are new memory, or views of content that was given as bytes: do not change them. The tree is read at the
 * call; sources are opened while iterating, twice without the option `uuid`, and once more for files of equal size.
 *
 * @throws TypeError or RangeError at the call for wrong options, for extended attributes that EROFS cannot hold or of
 *   more than 4032 bytes a node, and for a tree of more than 16 TiB. While iterating: an Error naming the path when a
 *   source gives more or fewer bytes than it promised; an Error at the end when content was not the same in both
 *   passes
 * @see https://erofs.docs.kernel.org/en/latest/core_ondisk.html
 *
 * @example
 * ```ts
 * import { writeErofs } from '@pkg/image/erofs'
 * import { FileTree } from '@pkg/image/tree'
 *
 * const tree = new FileTree().add({ path: '/init', type: 'file', mode: 0o755, content: new Uint8Array(10_000) })
 * let sizeBytes = 0
 * for await (const chunk of writeErofs(tree)) sizeBytes += chunk.byteLength
 * console.log(sizeBytes) // 16384: one block of inodes, three of the file
 * ```
 */
export function writeErofs(
  tree: FileTree,
  options: ErofsOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  return withImage(planOf(tree, options), options)
}

/**
 * Plans an image and finds its id, before it is written: for what must know size or id first, such as a partition
 * table or the command line of a kernel.
 *
 * Blocks: no (awaited). Reads all files once, of which `onProgress` tells, unless `options.uuid` is given.
 *
 * @throws TypeError, RangeError and Error as {@link writeErofs}
 *
 * @example
 * ```ts
 * import { erofsImageId, prepareErofs } from '@pkg/image/erofs'
 * import { FileTree } from '@pkg/image/tree'
 *
 * const tree = new FileTree().add({ path: '/etc/hostname', type: 'file', content: new TextEncoder().encode('solo') })
 * const image = await prepareErofs(tree, { volumeName: 'root' })
 * console.log(image.sizeBytes, image.uuid === (await erofsImageId(image.open()))) // 4096 true
 * ```
 */
export async function prepareErofs(tree: FileTree, options: ErofsOptions = {}): Promise<ErofsImage> {
  return await prepare(planOf(tree, options), options)
}

/**
 * The id of an EROFS image: the first 16 bytes of the SHA-256 of its bytes with uuid and checksum zeroed, as a uuid.
 * Equal ids mean equal contents. It is the uuid of images that were written without the option `uuid`, so this tells
 * whether such an image is whole.
 *
 * Reads only the bytes that belong to the image by its superblock: a partition may have more after them.
 *
 * @param image - its bytes, or chunks of them of any size
 * @throws TypeError when `image` does not begin with EROFS in blocks of 4 KiB; Error when it is cut off
 */
export async function erofsImageId(
  image: Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<string> {
  return await readImageId(chunksOf(image instanceof Uint8Array ? [image] : image))
}

/**
 * Opens an image for reading: one of {@link writeErofs}, or of `mkfs.erofs` without compression and chunks. Whatever
 * the image says, reading ends: in answers or in an error.
 *
 * Blocks: no (awaited). Reads the superblock; all else when it is asked for.
 *
 * @param access - the image, or a partition that begins with it
 * @throws {@link ErofsError} when there is no superblock, its checksum is wrong, or it uses what is not read
 *
 * @example
 * ```ts
 * import { readErofs, writeErofs } from '@pkg/image/erofs'
 * import { bytesAccess } from '@pkg/image/random-access'
 * import { FileTree } from '@pkg/image/tree'
 *
 * const tree = new FileTree().add({ path: '/etc/motd', type: 'file', content: new TextEncoder().encode('hello') })
 * const image = await readErofs(bytesAccess(Buffer.concat(await Array.fromAsync(writeErofs(tree)))))
 * console.log(await image.list('/etc'), (await image.stat('/etc/motd')).sizeBytes) // [ "motd" ] 5
 * const content = (await image.file('/etc/motd')).open()
 * for await (const chunk of content) console.log(new TextDecoder().decode(chunk)) // hello
 * ```
 */
export async function readErofs(access: RandomAccess): Promise<ErofsReader> {
  return new ErofsReader(await InodeReader.open(access))
}

/** What is known of an image before any file is read. */
interface Plan {
  readonly layout: Layout
  readonly volumeName: Uint8Array
  readonly uuid: string | undefined
  readonly sharesEqualFiles: boolean
}

function planOf(tree: FileTree, options: ErofsOptions): Plan {
  if (!(tree instanceof FileTree)) throw new TypeError('an EROFS image is made of a FileTree')
  const volumeName = encodeVolumeName(options.volumeName ?? '')
  const uuid = options.uuid === undefined ? undefined : formatUuid(parseUuid(options.uuid))
  const layout = layoutOf(tree, options.rank ?? (() => 0))
  return { layout, volumeName, uuid, sharesEqualFiles: options.shareEqualFiles ?? true }
}

async function* withImage(plan: Plan, pass: PassOptions): AsyncGenerator<Uint8Array, void, undefined> {
  // The progress of writing, which is what the caller sees.
  const image = await prepare(plan, pass.signal ? { signal: pass.signal } : {})
  yield* image.open(pass)
}

async function prepare(given: Plan, { signal, onProgress }: PassOptions): Promise<ErofsImage> {
  const { layout } = given
  const plan = given.sharesEqualFiles
    ? { ...given, layout: shareBlocks(layout, await contentKeys(layout.files, signal)) }
    : given
  const uuid = plan.uuid ?? (await idOf(plan, signal, onProgress))
  return {
    sizeBytes: plan.layout.blocks * blockBytes,
    uuid,
    open: (pass = {}) => counted(coalesce(sealedPieces(plan, uuid, pass.signal ?? signal)), pass.onProgress),
  }
}

async function idOf(
  plan: Plan,
  signal: AbortSignal | undefined,
  onProgress: PassOptions['onProgress'],
): Promise<string> {
  const hash = new ImageIdHash()
  for await (const piece of counted(imagePieces(plan.layout, plan.volumeName, signal), onProgress)) {
    hash.update(piece)
  }
  return hash.id()
}

async function* sealedPieces(
  plan: Plan,
  uuid: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = plan.uuid === undefined ? new ImageIdHash() : undefined
  let isFirst = true
  for await (const piece of imagePieces(plan.layout, plan.volumeName, signal)) {
    hash?.update(piece)
    if (isFirst) seal(piece, parseUuid(uuid))
    isFirst = false
    yield piece
  }
  if (hash && hash.id() !== uuid) {
    throw new Error(`a file changed while the image ${uuid} was written: what was written has another id`)
  }
}

function encodeVolumeName(text: string): Uint8Array {
  if (typeof text !== 'string' || text.includes('\0') || !text.isWellFormed()) {
    throw new TypeError(`volumeName is ${JSON.stringify(text)}, expected text without NUL`)
  }
  const bytes = new TextEncoder().encode(text)
  if (bytes.byteLength > volumeNameBytesMax) {
    throw new RangeError(
      `volumeName ${JSON.stringify(text)} has ${bytes.byteLength} bytes of UTF-8, expected at most ${volumeNameBytesMax}`,
    )
  }
  return bytes
}

async function* chunksOf(
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield* chunks
}
