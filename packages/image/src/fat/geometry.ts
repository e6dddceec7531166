/** How a file system is divided: reserved sectors, two tables, the root directory of FAT16, clusters (3). */
import { clustersMax, clustersMin, entryBytes, tableEntryBytes } from './format.ts'
import type { FatType } from './format.ts'

/** The tables are there twice, as every reader expects. */
export const tables = 2

/** What is known before the size is. */
export interface Shape {
  readonly type: FatType
  readonly sectorBytes: number
  readonly clusterBytes: number
  /** Entries of the root directory of FAT16, which has a place of its own; 0 for FAT32. */
  readonly rootEntries: number
}

/** Where everything is, in sectors. */
export interface Geometry extends Shape {
  readonly sectors: number
  readonly sectorsPerCluster: number
  /** Before the first table: the boot sector, and what FAT32 has behind it. */
  readonly reservedSectors: number
  readonly tableSectors: number
  readonly rootSectors: number
  /** The sector of the first cluster. */
  readonly dataSector: number
  readonly clusters: number
}

/** FAT32 keeps 32 sectors for itself; FAT16 the boot sector only (3.1). */
const reservedMin: Record<FatType, number> = { fat16: 1, fat32: 32 }

/** Clusters begin at a multiple of this, or of their size: what flash memory and page caches work with. */
const dataAlignBytes = 4096

/** The largest that all systems take (3.1, BPB_SecPerClus). */
const clusterBytesMax = 32_768

/** Which clusters are tried: from a sector to 32 KiB. */
export function clusterSizes(sectorBytes: number): number[] {
  const sizes: number[] = []
  for (let size = sectorBytes; size <= clusterBytesMax; size *= 2) sizes.push(size)
  return sizes
}

/**
 * The cluster size below which one does not go by choice. FAT32's are those of the specification's table (3.5); FAT16
 * takes the smallest with which its few numbers do.
 */
export function clusterBytesPreferred(type: FatType, sizeBytes: number): number {
  if (type === 'fat16') return 512
  const gibibyte = 1024 ** 3
  if (sizeBytes <= 260 * 1024 ** 2) return 512
  if (sizeBytes <= 8 * gibibyte) return 4096
  if (sizeBytes <= 16 * gibibyte) return 8192
  return sizeBytes <= 32 * gibibyte ? 16_384 : 32_768
}

/** The geometry with so many sectors; undefined where that is too few or too many for the type. */
export function geometryOf(shape: Shape, sectors: number): Geometry | undefined {
  const { sectorsPerCluster, rootSectors } = derived(shape)
  const entriesPerSector = shape.sectorBytes / tableEntryBytes[shape.type]
  // Each sector of a table costs one in each copy and names `entriesPerSector` clusters: begin with what that gives.
  const usable = sectors - reservedMin[shape.type] - rootSectors
  let tableSectors = Math.max(1, Math.floor(usable / (entriesPerSector * sectorsPerCluster + tables)))
  for (; tables * tableSectors < usable; tableSectors++) {
    const reservedSectors = reservedFor(shape, tableSectors)
    const dataSector = reservedSectors + tables * tableSectors + rootSectors
    const clusters = Math.floor((sectors - dataSector) / sectorsPerCluster)
    if (tableSectors * entriesPerSector < clusters + 2) continue
    if (clusters < clustersMin[shape.type] || clusters > clustersMax[shape.type]) return undefined
    if (sectors > 0xffff_ffff) return undefined
    return {
      ...shape,
      sectors,
      sectorsPerCluster,
      reservedSectors,
      tableSectors,
      rootSectors,
      dataSector,
      clusters,
    }
  }
  return undefined
}

/** How many sectors hold so many clusters, or the fewest that the type may have. */
export function sectorsFor(shape: Shape, clusters: number): number {
  const { sectorsPerCluster, rootSectors } = derived(shape)
  const count = Math.max(clusters, clustersMin[shape.type])
  const tableSectors = Math.ceil(((count + 2) * tableEntryBytes[shape.type]) / shape.sectorBytes)
  return reservedFor(shape, tableSectors) + tables * tableSectors + rootSectors + count * sectorsPerCluster
}

function derived({ sectorBytes, clusterBytes, rootEntries }: Shape): {
  readonly sectorsPerCluster: number
  readonly rootSectors: number
} {
  return {
    sectorsPerCluster: clusterBytes / sectorBytes,
    rootSectors: (rootEntries * entryBytes) / sectorBytes,
  }
}

/** As many as it takes for the clusters to begin at a multiple of {@link dataAlignBytes} or their size. */
function reservedFor(shape: Shape, tableSectors: number): number {
  const alignSectors = Math.max(shape.clusterBytes, dataAlignBytes) / shape.sectorBytes
  const behind = tables * tableSectors + derived(shape).rootSectors
  const end = Math.ceil((reservedMin[shape.type] + behind) / alignSectors) * alignSectors
  return end - behind
}
