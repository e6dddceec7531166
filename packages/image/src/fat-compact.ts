/**
 * Closing the gaps in a directory of a FAT file system, by one write of one sector.
 *
 * Firmware made from EDK2 never uses the place of a removed entry again: it appends. A boot loader that counts boots
 * in a name appends an entry at each, and at last one that begins in one sector and ends in another. Those are two
 * writes, and when the power goes between them the file has no name any more. As long as all entries lie in the
 * directory's first sector, with room for the next one behind them, a renaming is one sector, which disks write whole
 * or not at all.
 */
import { Chains } from './fat/chain.ts'
import { shortChecksum } from './fat/directory-entry.ts'
import { FatError } from './fat/error.ts'
import { attribute, entryBytes, firstCluster } from './fat/format.ts'
import { openVolume } from './fat/volume.ts'
import { parseBootSector } from './fat/volume-geometry.ts'
import type { RandomAccess } from './random-access.ts'

/** A sector that has to be written. */
export interface FatSectorWrite {
  /** Where, in bytes from the beginning of the file system; a multiple of 512. */
  readonly offset: number
  /** 512 bytes. */
  readonly bytes: Uint8Array
}

/** Disks write at least this much whole. */
const sectorBytes = 512

const deleted = 0xe5
const neverUsed = 0x00

/**
 * Plans it. The file system must not be mounted while it is carried out, and each write be flushed before the next: the
 * first brings all entries into the first sector, those that may follow clear what lies behind it.
 *
 * @param path - of the directory, absolute
 * @returns nothing when all is as it should be
 * @throws {@link FatError} there is no such directory, or its entries do not fit into one sector; it is damaged
 *
 * @example
 * ```ts
 * import { writeFat } from '@pkg/image/fat'
 * import { planFatCompaction } from '@pkg/image/fat-compact'
 * import { bytesAccess } from '@pkg/image/random-access'
 * import { FileTree } from '@pkg/image/tree'
 *
 * const tree = new FileTree().add({ path: '/EFI/Linux/a+3-0.efi', type: 'file', content: new Uint8Array(9) })
 * const image = Buffer.concat(await Array.fromAsync(writeFat(tree, { sizeBytes: 4 * 1024 ** 2 })))
 * console.log(await planFatCompaction(bytesAccess(image), '/EFI/Linux')) // []
 * ```
 */
export async function planFatCompaction(
  access: RandomAccess,
  path: string,
): Promise<readonly FatSectorWrite[]> {
  const directory = await (await openVolume(access)).find(path)
  if (directory?.type !== 'directory') throw new FatError(`${path}: there is no such directory`)
  const sectors = await sectorsOf(access, path, directory.cluster)
  const live = liveEntries(sectors.map(({ bytes }) => bytes))
  // One entry that was never used must follow: it is the end of the directory.
  if (live.length >= sectorBytes / entryBytes)
    throw new FatError(
      `${path}: has ${live.length} entries, one sector holds ${sectorBytes / entryBytes - 1}`,
    )
  const first = new Uint8Array(sectorBytes)
  for (const [index, entry] of live.entries()) first.set(entry, index * entryBytes)
  return sectors.flatMap(({ offset, bytes }, index) => {
    const wanted = index === 0 ? first : new Uint8Array(sectorBytes)
    return Buffer.compare(bytes, wanted) === 0 ? [] : [{ offset, bytes: wanted }]
  })
}

async function sectorsOf(access: RandomAccess, path: string, cluster: number): Promise<FatSectorWrite[]> {
  const geometry = parseBootSector(await access.read(0, sectorBytes), access.sizeBytes)
  const { dataOffset, clusterBytes } = geometry
  const sectors: FatSectorWrite[] = []
  for await (const run of new Chains(access, geometry).runs(path, cluster)) {
    const start = dataOffset + (run.cluster - firstCluster) * clusterBytes
    const end = start + run.clusters * clusterBytes
    for (let offset = start; offset < end; offset += sectorBytes)
      sectors.push({ offset, bytes: await access.read(offset, sectorBytes) })
  }
  return sectors
}

/** The entries of files and directories, each behind the pieces of its long name, up to the directory's end. */
function liveEntries(sectors: readonly Uint8Array[]): Uint8Array[] {
  const live: Uint8Array[] = []
  let pieces: Uint8Array[] = []
  for (const sector of sectors) {
    for (let at = 0; at + entryBytes <= sector.byteLength; at += entryBytes) {
      const entry = sector.subarray(at, at + entryBytes)
      if (entry[0] === neverUsed) return live
      if (entry[0] === deleted) pieces = []
      else if (((entry[11] ?? 0) & attribute.longNameMask) === attribute.longName) pieces.push(entry)
      else {
        // Pieces that belong to another name are what a power cut has left of it.
        const sum = shortChecksum(entry.subarray(0, 11))
        live.push(...pieces.filter((piece) => piece[13] === sum), entry)
        pieces = []
      }
    }
  }
  return live
}
