/**
 * ext4, the file system of data partitions: empty, or with the files of a tree.
 *
 * What is written: blocks of 4 KiB, inodes of 256 bytes; a clean journal inside (inode 8); checksums of everything
 * (metadata_csum: CRC-32C, from the uuid); 64bit, flex_bg with the structures of 16 groups together, sparse_super,
 * extents, large_file, huge_file, dir_nlink, extra_isize, ext_attr; directories of more than a block with an index
 * (dir_index, half MD4), others without; a resize inode with room for more descriptors, so that the kernel can grow
 * the file system while it is mounted; lost+found; extended attributes in the inodes and in a block for each that needs
 * one. Inode tables and bitmaps that nothing uses yet are marked so and not
 * written. Files lie one after another in the order of the tree. Nothing depends on the clock, the host or chance.
 *
 * Not written: other sizes of blocks and inodes, bigalloc, inline data, ACLs, quotas, encryption, casefold, verity,
 * orphan_file, metadata_csum_seed, meta_bg, directories of more than about 1 GB (large_dir), holes in files.
 *
 * @see https://docs.kernel.org/filesystems/ext4/
 */
import { formatUuid } from './uuid/uuid.ts'
import { filesystemOf } from './ext4/filesystem.ts'
import type { Filesystem } from './ext4/filesystem.ts'
import type { Piece } from './ext4/format.ts'
import { withZeros } from './ext4/pieces.ts'
import { settingsOf } from './ext4/settings.ts'
import { counted } from './stream/progress.ts'
import { FileTree } from './tree.ts'

/** How a file system is made. */
export interface Ext4Options {
  /**
   * The space that it may take, in bytes, up to 16 TiB. A rest of less than a block of 4 KiB is not used, nor is one
   * of some MB after a multiple of 128 MiB, where a group would hold little more than its own structures.
   */
  readonly sizeBytes: number
  /**
   * The superblock's uuid: 32 hexadecimal digits, as `01234567-89ab-cdef-0123-456789abcdef`. All checksums begin with
   * it, so no two file systems that are in use should share one.
   */
  readonly uuid: string
  /** The superblock's volume name (`blkid` calls it LABEL), at most 16 bytes of UTF-8. Default: none. */
  readonly volumeName?: string
  /** What the hashes of names begin with, in the form of a uuid. Secret, it keeps users from making equal ones. Default: the uuid. */
  readonly hashSeed?: string
  /** How many inodes there are at least, with 11 of the file system's own. Default: by {@link bytesPerInode}. */
  readonly inodes?: number
  /** One inode is made for so many bytes, 4 KiB to 64 MiB; more if the tree needs more. Default 16384, as mke2fs. */
  readonly bytesPerInode?: number
  /** The share of the blocks that only root may use, 0 to 50 percent. Default 5, as mke2fs. */
  readonly reservedPercent?: number
  /** Size of the journal, a multiple of 4096 from 4 MiB to 39 GiB. Default: by the size as mke2fs, 4 MiB to 1 GiB. */
  readonly journalBytes?: number
  /**
   * Room is kept for the descriptors that the file system would have at this size, one block for each 8 GiB, in each
   * copy of the descriptors; at most 1024 blocks. Beyond it the kernel grows it in another way (meta_bg). Default: 1024
   * times the size, as mke2fs.
   */
  readonly growableBytes?: number
  /**
   * The time of creation that superblock, journal and a lost+found that is made have, in whole seconds since 1970.
   * Default 0. What is in the tree has times of its own.
   */
  readonly timeSeconds?: number
}

/** How a file system is planned that need not be written as a stream. */
export interface PrepareExt4Options extends Ext4Options {
  /**
   * Whether what is not written reads as zeros, as it does in a new file. If not, the kernel clears inode tables in
   * the background after the first mount (ext4lazyinit). Default false.
   */
  readonly zeroed?: boolean
}

/** How a file system is written. */
export interface WriteExt4Options {
  /** Ends the writing: the iteration rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** Called with the number of bytes from the beginning up to which all is written, of the file system's `sizeBytes`. */
  readonly onProgress?: (doneBytes: number) => void
}

/** Bytes, and where in the file system they belong. */
export interface Ext4Extent {
  /** A multiple of 4096. */
  readonly offsetBytes: number
  /** A multiple of 4096 bytes, at most 256 KiB; new memory, the taker's own. */
  readonly bytes: Uint8Array
}

/** A file system that is ready to be written. */
export interface Ext4Image {
  /** All its bytes, a multiple of 4096: what of the space is used. */
  readonly sizeBytes: number
  /** The superblock's uuid in lower case. */
  readonly uuid: string
  /** The first block. Without it nothing is mounted: written last, it makes what was written before a file system. */
  readonly superblock: Ext4Extent
  /**
   * Starts a new pass over all other bytes that must be written, in the order of their places, which reads all files.
   * An empty file system of 8 GiB has about 4 MB of them; what they leave out may have any content.
   *
   * @throws while iterating: an Error naming the path when a source gives more or fewer bytes than it promised
   */
  extents(options?: WriteExt4Options): AsyncGenerator<Ext4Extent, void, undefined>
  /** Starts a new pass over all bytes from the first to the last; they may be views of the same zeros. */
  open(options?: WriteExt4Options): AsyncGenerator<Uint8Array, void, undefined>
}

/** A device or file that a file system is made on. */
export interface Ext4Target {
  /** Writes all of `bytes` at `offsetBytes`. */
  write(bytes: Uint8Array, offsetBytes: number): void | Promise<void>
  /** Returns when all that was written is on the medium: fsync(2). */
  flush(): void | Promise<void>
}

/**
 * Plans a file system with the files of `tree`, before anything is read or written.
 *
 * Memory in use is the names and places of all nodes. The tree is read at the call.
 *
 * @throws TypeError or RangeError for wrong options; RangeError with the size that would do when the tree and the
 *   journal do not fit, or with the number of inodes that are needed; RangeError for what ext4 does not have: times
 *   after 2446, more than 65000 names of one file, some ten million names in one directory, more than 4060 bytes of
 *   extended attributes beside an inode; TypeError for attributes but `user.*`, `trusted.*` and `security.*`, and when
 *   `/lost+found` is no directory
 * @see https://docs.kernel.org/filesystems/ext4/
 *
 * @example
 * ```ts
 * import { prepareExt4 } from '@pkg/image/ext4'
 * import { FileTree } from '@pkg/image/tree'
 *
 * const uuid = '5f6ad4a0-2c5d-4b8e-9f3a-3f0a3c0b6e11'
 * const image = prepareExt4(new FileTree(), { sizeBytes: 8 * 1024 ** 3, uuid, volumeName: 'data' })
 * let writtenBytes = image.superblock.bytes.byteLength
 * for await (const { bytes } of image.extents()) writtenBytes += bytes.byteLength
 * console.log(writtenBytes < 8_000_000) // true
 * ```
 */
export function prepareExt4(tree: FileTree, options: PrepareExt4Options): Ext4Image {
  if (!(tree instanceof FileTree)) throw new TypeError('an ext4 file system is made of a FileTree')
  const settings = settingsOf(options)
  const filesystem = filesystemOf(tree, settings)
  return {
    sizeBytes: filesystem.sizeBytes,
    uuid: formatUuid(settings.uuid),
    superblock: filesystem.superblock,
    extents: ({ signal, onProgress } = {}) => reported(filesystem.rest(signal), onProgress),
    open: ({ signal, onProgress } = {}) =>
      counted(withZeros(inOrder(filesystem, signal), filesystem.sizeBytes, signal), onProgress),
  }
}

/**
 * Writes a file system with the files of `tree` as a stream, zeros included.
 *
 * Streams: memory in use is as for {@link prepareExt4}, and two chunks. Some chunks are views of the same zeros: do not
 * change them.
 *
 * @throws as {@link prepareExt4}; while iterating, an Error naming the path when a source gives more or fewer bytes
 *   than it promised
 *
 * @example
 * ```ts
 * import { writeExt4 } from '@pkg/image/ext4'
 * import { FileTree } from '@pkg/image/tree'
 *
 * const tree = new FileTree().add({ path: '/hello', type: 'file', content: new TextEncoder().encode('hello') })
 * const uuid = '5f6ad4a0-2c5d-4b8e-9f3a-3f0a3c0b6e11'
 * let sizeBytes = 0
 * for await (const chunk of writeExt4(tree, { sizeBytes: 16 * 1024 ** 2, uuid })) sizeBytes += chunk.byteLength
 * console.log(sizeBytes) // 16777216
 * ```
 */
export function writeExt4(
  tree: FileTree,
  options: Ext4Options & WriteExt4Options,
): AsyncGenerator<Uint8Array, void, undefined> {
  return prepareExt4(tree, { ...options, zeroed: true }).open(options)
}

/**
 * Makes a planned file system in place, so that at no moment a half-made one can be mounted: everything but the first
 * block, a flush, the first block, a flush. Until then the target's first 4096 bytes are what they were.
 *
 * That holds where they are no superblock from before: clear them first, or let them have a mark of their own.
 *
 * Blocks: no (awaited), as far as `target` does not.
 *
 * @throws what `target` throws, and as {@link Ext4Image.extents}; the first block is then not written
 *
 * @example
 * ```ts
 * import { installExt4, prepareExt4 } from '@pkg/image/ext4'
 * import { FileTree } from '@pkg/image/tree'
 *
 * const disk = new Uint8Array(16 * 1024 ** 2)
 * const uuid = '5f6ad4a0-2c5d-4b8e-9f3a-3f0a3c0b6e11'
 * const image = prepareExt4(new FileTree(), { sizeBytes: disk.byteLength, uuid, zeroed: true })
 * await installExt4(image, { write: (bytes, offsetBytes) => disk.set(bytes, offsetBytes), flush: () => {} })
 * console.log(disk[1024 + 0x38], disk[1024 + 0x39]) // 83 239: the magic number 0xef53
 * ```
 */
export async function installExt4(
  image: Ext4Image,
  target: Ext4Target,
  options: WriteExt4Options = {},
): Promise<void> {
  for await (const { offsetBytes, bytes } of image.extents(options)) await target.write(bytes, offsetBytes)
  await target.flush()
  options.signal?.throwIfAborted()
  await target.write(image.superblock.bytes, image.superblock.offsetBytes)
  await target.flush()
  options.onProgress?.(image.sizeBytes)
}

async function* inOrder(
  filesystem: Filesystem,
  signal?: AbortSignal,
): AsyncGenerator<Piece, void, undefined> {
  yield filesystem.superblock
  yield* filesystem.rest(signal)
}

/** Tells of a piece when the next one is asked for: then its taker has written it. */
async function* reported(
  pieces: AsyncIterable<Piece>,
  onProgress: ((doneBytes: number) => void) | undefined,
): AsyncGenerator<Piece, void, undefined> {
  for await (const piece of pieces) {
    yield piece
    onProgress?.(piece.offsetBytes + piece.bytes.byteLength)
  }
}
