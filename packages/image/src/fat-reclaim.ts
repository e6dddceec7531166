/**
 * Giving back the clusters of a FAT file system that no file has: what a power cut leaves of one that was being made.
 *
 * A cluster is freed when no chain that begins at a directory entry comes through it in either table, whatever is wrong
 * with the chains: what can be read before can be read after, and what a damaged table has lost stays in the other one.
 * Each write frees clusters in one sector of one table, so a power cut between them leaves fewer of them to be freed,
 * and nothing else.
 */
import type { FatSectorWrite } from './fat-compact.ts'
import { FatError } from './fat/error.ts'
import { endOfChain, firstCluster, tableEntryBytes, viewOf } from './fat/format.ts'
import { tables } from './fat/geometry.ts'
import { openVolume } from './fat/volume.ts'
import { parseBootSector, type VolumeGeometry } from './fat/volume-geometry.ts'
import type { RandomAccess } from './random-access.ts'

/** What is to be done. */
export interface FatReclaim {
  /** How many clusters nobody has. */
  readonly clusters: number
  /** The sectors that free them; in any order. */
  readonly writes: readonly FatSectorWrite[]
}

/** Disks write at least this much whole. */
const sectorBytes = 512

/** A table of more is that of a data disk: whoever fills one can wait for a checker. */
const tableBytesMax = 4 * 1024 * 1024

/**
 * Plans it. The file system must not be mounted until it is carried out.
 *
 * @throws {@link FatError} a directory is damaged, so that it is not known what it has; the table is larger than 4 MiB
 *
 * @example
 * ```ts
 * import { writeFat } from '@pkg/image/fat'
 * import { planFatReclaim } from '@pkg/image/fat-reclaim'
 * import { bytesAccess } from '@pkg/image/random-access'
 * import { FileTree } from '@pkg/image/tree'
 *
 * const tree = new FileTree().add({ path: '/file', type: 'file', content: new Uint8Array(9000) })
 * const image = Buffer.concat(await Array.fromAsync(writeFat(tree, { sizeBytes: 4 * 1024 ** 2 })))
 * console.log((await planFatReclaim(bytesAccess(image))).clusters) // 0
 * ```
 */
export async function planFatReclaim(access: RandomAccess): Promise<FatReclaim> {
  const geometry = parseBootSector(await access.read(0, sectorBytes), access.sizeBytes)
  const { type, clusters } = geometry
  const tableBytes =
    Math.ceil(((clusters + firstCluster) * tableEntryBytes[type]) / sectorBytes) * sectorBytes
  if (tableBytes > tableBytesMax)
    throw new FatError(`its table has ${tableBytes} bytes, more than is looked at`)
  const copies = await tablesOf(access, geometry, tableBytes)
  const [main, other] = copies.map(({ bytes }) => new Table(bytes, geometry))
  if (main === undefined) throw new FatError('it has no table')
  const firsts = [geometry.rootCluster]
  for await (const { cluster } of (await openVolume(access)).walk()) firsts.push(cluster)
  const used = chainsFrom(firsts, main)
  const usedInOther = other === undefined ? used : chainsFrom(firsts, other)
  const lost = main.allocated().filter((cluster) => used[cluster] === 0 && usedInOther[cluster] === 0)
  const writes = copies.flatMap((copy) => freeing(copy, lost, tableEntryBytes[type]))
  return { clusters: lost.length, writes }
}

/** A copy of the table, and where it lies. */
interface TableCopy {
  readonly offset: number
  readonly bytes: Uint8Array
}

/** The table that counts, and the other one where there are two and both are kept up. */
async function tablesOf(
  access: RandomAccess,
  { type, tableOffset }: VolumeGeometry,
  tableBytes: number,
): Promise<TableCopy[]> {
  const boot = viewOf(await access.read(0, sectorBytes))
  const perSector = boot.getUint16(11, true)
  const stepBytes = (type === 'fat32' ? boot.getUint32(36, true) : boot.getUint16(22, true)) * perSector
  const reservedBytes = boot.getUint16(14, true) * perSector
  // FAT32 may keep up one of its tables only (BPB_ExtFlags, bit 7).
  const isOneOnly = type === 'fat32' && (boot.getUint16(40, true) & 0x80) !== 0
  const offsets = [tableOffset]
  if (boot.getUint8(16) === tables && !isOneOnly && tableOffset === reservedBytes)
    offsets.push(reservedBytes + stepBytes)
  return await Promise.all(
    offsets.map(async (offset) => ({
      offset,
      bytes: Uint8Array.from(await access.read(offset, tableBytes)),
    })),
  )
}

/** Which clusters chains come through that begin at `firsts`; 0 there is none. */
function chainsFrom(firsts: readonly number[], table: Table): Uint8Array {
  const used = new Uint8Array(table.length)
  for (const first of firsts) table.markChain(first, used)
  return used
}

/** The numbers of a table. */
class Table {
  readonly #view: DataView
  readonly #width: number
  readonly #clusters: number
  readonly #bad: number

  constructor(bytes: Uint8Array, { type, clusters }: VolumeGeometry) {
    this.#view = viewOf(bytes)
    this.#width = tableEntryBytes[type]
    this.#clusters = clusters
    // fatgen103: the number below the least end of a chain.
    this.#bad = endOfChain[type] - 8
  }

  /** How many numbers it has. */
  get length(): number {
    return this.#clusters + firstCluster
  }

  /** Follows a chain as far as it leads through clusters that it was not in before. */
  markChain(first: number, used: Uint8Array): void {
    for (let cluster = first; this.#isCluster(cluster) && used[cluster] === 0; cluster = this.#next(cluster))
      used[cluster] = 1
  }

  /** Clusters that are not free, without those that the medium cannot hold. */
  allocated(): number[] {
    const found: number[] = []
    for (let cluster = firstCluster; this.#isCluster(cluster); cluster += 1) {
      const next = this.#next(cluster)
      if (next !== 0 && next !== this.#bad) found.push(cluster)
    }
    return found
  }

  #isCluster(cluster: number): boolean {
    return cluster >= firstCluster && cluster < this.length
  }

  #next(cluster: number): number {
    const at = cluster * this.#width
    return this.#width === 2 ? this.#view.getUint16(at, true) : this.#view.getUint32(at, true) & 0x0fff_ffff
  }
}

/** The sectors of a copy in which clusters become free. The upper four bits of FAT32's entries stay (fatgen103). */
function freeing({ offset, bytes }: TableCopy, lost: readonly number[], width: number): FatSectorWrite[] {
  const view = viewOf(bytes)
  const sectors = new Set<number>()
  for (const cluster of lost) {
    const at = cluster * width
    if (width === 2) view.setUint16(at, 0, true)
    else view.setUint32(at, (view.getUint32(at, true) & 0xf000_0000) >>> 0, true)
    sectors.add(Math.floor(at / sectorBytes))
  }
  return [...sectors].map((sector) => {
    const start = sector * sectorBytes
    return { offset: offset + start, bytes: bytes.slice(start, start + sectorBytes) }
  })
}
