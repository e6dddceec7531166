/**
 * FAT32 and FAT16, the file systems that firmware boots from.
 *
 * What is written: file systems with long names, two tables, and, on FAT32, FSInfo and a copy of the boot sector.
 * Directories come first, then files, each in clusters that follow one another, which begin at a multiple of 4 KiB of the
 * file system. Nothing depends on the clock, the host or chance.
 *
 * What is not written: FAT12, exFAT, boot code, owners and modes (FAT has none), the read-only attribute (firmware that
 * counts boots renames files). What is read besides: what others wrote, with short names in code page 437.
 *
 * @see https://uefi.org/specs/UEFI/2.10/13_Protocols_Media_Access.html#file-system-format
 * @see https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
 */
import type { Identity } from './fat/boot-sector.ts'
import { contentsOf, volumeIdOf } from './fat/contents.ts'
import type { FatType } from './fat/format.ts'
import { layoutOf } from './fat/layout.ts'
import type { Layout } from './fat/layout.ts'
import { formatVolumeId, settingsOf } from './fat/settings.ts'
import type { FatOptions } from './fat/settings.ts'
import { openVolume } from './fat/volume.ts'
import type { FatVolume } from './fat/volume.ts'
import { imagePieces } from './fat/writer.ts'
import { bytesAccess } from './random-access.ts'
import type { RandomAccess } from './random-access.ts'
import { coalesce } from './stream/coalesce.ts'
import { counted } from './stream/progress.ts'
import type { PassOptions } from './stream/progress.ts'
import { FileTree } from './tree.ts'

export { FatError } from './fat/error.ts'
export type { FatType } from './fat/format.ts'
export type { FatOptions } from './fat/settings.ts'
export type { FatEntry, FatVolume } from './fat/volume.ts'

/** A file system that is ready to be written. */
export interface FatImage {
  /** By the number of its clusters. */
  readonly type: FatType
  /** All its bytes, a multiple of the sector. */
  readonly sizeBytes: number
  /** Size of a sector. */
  readonly sectorBytes: number
  /** Size of a cluster, of which each file takes as many as it needs. */
  readonly clusterBytes: number
  /** What is left for more, in whole clusters. */
  readonly freeBytes: number
  /** As `blkid` shows it: `1234-ABCD`. */
  readonly volumeId: string
  /** Starts a new pass over its bytes, which reads all files. See {@link writeFat} for chunks and errors. */
  open(options?: PassOptions): AsyncGenerator<Uint8Array, void, undefined>
}

/**
 * Plans a file system with the files of `tree`, before anything is read or written.
 *
 * Memory in use is the names and places of all nodes. The tree is read at the call. Times before 1980, where FAT's
 * begin, become 1980; owners and modes are left out.
 *
 * @throws TypeError or RangeError for wrong options; TypeError naming the path of what FAT does not have: other nodes
 *   than files and directories, names with ``"*:<>?\|`` or with a dot or space at the end, two names that differ only in
 *   case; RangeError for files of 4 GiB or more, directories of more than 65536 entries, times after 2107; RangeError with
 *   the size that would do when the tree does not fit
 *
 * @example
 * ```ts
 * import { prepareFat } from '@pkg/image/fat'
 * import { FileTree } from '@pkg/image/tree'
 *
 * const tree = new FileTree().add({ path: '/EFI/BOOT/BOOTX64.EFI', type: 'file', content: new Uint8Array(100_000) })
 * const image = prepareFat(tree, { sizeBytes: 64 * 1024 ** 2, volumeLabel: 'ESP' })
 * console.log(image.type, image.clusterBytes, image.freeBytes) // fat32 512 65954816
 * ```
 */
export function prepareFat(tree: FileTree, options: FatOptions = {}): FatImage {
  if (!(tree instanceof FileTree)) throw new TypeError('a FAT file system is made of a FileTree')
  const settings = settingsOf(options)
  const { volumeLabel } = settings
  const contents = contentsOf(tree, volumeLabel !== undefined)
  const layout = layoutOf(contents, settings)
  const volumeId = settings.volumeId ?? volumeIdOf(contents, volumeLabel)
  return imageOf(layout, { volumeId, volumeLabel })
}

/**
 * Writes a file system with the files of `tree` as a stream.
 *
 * Streams: memory in use is as for {@link prepareFat}, one directory and one chunk of a file (and its source's buffer).
 * Chunks may be views of the same zeros, or of content that was given as bytes: do not change them.
 *
 * @throws as {@link prepareFat}; while iterating, an Error naming the path when a source gives more or fewer bytes than
 *   it promised
 *
 * @example
 * ```ts
 * import { writeFat } from '@pkg/image/fat'
 * import { FileTree } from '@pkg/image/tree'
 *
 * const tree = new FileTree().add({ path: '/startup.nsh', type: 'file', content: new TextEncoder().encode('reset') })
 * let sizeBytes = 0
 * for await (const chunk of writeFat(tree, { sizeBytes: 4 * 1024 ** 2 })) sizeBytes += chunk.byteLength
 * console.log(sizeBytes) // 4194304
 * ```
 */
export function writeFat(
  tree: FileTree,
  options: FatOptions & PassOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  return prepareFat(tree, options).open(options)
}

/**
 * Opens a file system for reading: FAT32 or FAT16, whoever wrote it.
 *
 * It may be damaged: what is read is checked, so that wrong numbers and chains of clusters that lead back to themselves
 * are errors, and nothing is read for ever. Only the first boot sector is looked at, and only the table that counts.
 *
 * @param image - its bytes, or access to them, which must last as long as the volume is used
 * @throws {@link FatError} when it is no FAT, FAT12, cut off, or has a damaged root directory
 *
 * @example
 * ```ts
 * import { readFat, writeFat } from '@pkg/image/fat'
 * import { FileTree } from '@pkg/image/tree'
 *
 * const tree = new FileTree().add({ path: '/loader/loader.conf', type: 'file', content: new TextEncoder().encode('timeout 0') })
 * const chunks = await Array.fromAsync(writeFat(tree, { sizeBytes: 4 * 1024 ** 2 }))
 * const volume = await readFat(new Uint8Array(Buffer.concat(chunks)))
 * for await (const { path, sizeBytes } of volume.walk()) console.log(path, sizeBytes)
 * console.log(new TextDecoder().decode(await volume.read('/LOADER/LOADER.CONF'))) // timeout 0
 * ```
 */
export async function readFat(image: Uint8Array | RandomAccess): Promise<FatVolume> {
  return await openVolume(image instanceof Uint8Array ? bytesAccess(image) : image)
}

function imageOf(layout: Layout, identity: Identity): FatImage {
  const { type, sectors, sectorBytes, clusterBytes, clusters } = layout.geometry
  return {
    type,
    sizeBytes: sectors * sectorBytes,
    sectorBytes,
    clusterBytes,
    freeBytes: (clusters - layout.usedClusters) * clusterBytes,
    volumeId: formatVolumeId(identity.volumeId),
    open: ({ signal, onProgress } = {}) =>
      counted(coalesce(imagePieces(layout, identity, signal)), onProgress),
  }
}
