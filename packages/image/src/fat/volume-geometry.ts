/** What the boot sector of a file system says, as far as it can be true. */
import { FatError } from './error.ts'
import { clustersMax, entryBytes, firstCluster, tableEntryBytes, viewOf } from './format.ts'
import type { FatType } from './format.ts'

/** Where everything is in a file system that is read. */
export interface VolumeGeometry {
  readonly type: FatType
  readonly sizeBytes: number
  readonly sectorBytes: number
  readonly clusterBytes: number
  readonly clusters: number
  readonly volumeId: number
  /** Of the table that counts. */
  readonly tableOffset: number
  /** FAT16's root directory. */
  readonly rootOffset: number
  readonly rootBytes: number
  /** FAT32's root directory; 0 on FAT16. */
  readonly rootCluster: number
  readonly dataOffset: number
}

/**
 * Reads the first 512 bytes of an image.
 *
 * @throws {@link FatError} for what is no FAT, FAT12, or cut off
 */
export function parseBootSector(bytes: Uint8Array, imageBytes: number): VolumeGeometry {
  if (bytes.byteLength < 512) throw new FatError(`${imageBytes} bytes hold no file system`)
  const view = viewOf(bytes)
  if (view.getUint16(510, true) !== 0xaa55)
    throw new FatError('no boot sector: bytes 510 and 511 are not 55 AA')
  const basics = parseBasics(view)
  const { sectorBytes, sectorsPerCluster, reservedSectors, copies, rootEntries, sectors } = basics
  const tableSectors16 = view.getUint16(22, true)
  const tableSectors = tableSectors16 || view.getUint32(36, true)
  const rootBytes = Math.ceil((rootEntries * entryBytes) / sectorBytes) * sectorBytes
  const rootSector = reservedSectors + copies * tableSectors
  const dataSector = rootSector + rootBytes / sectorBytes
  if (tableSectors === 0 || dataSector > sectors) {
    throw new FatError(
      `tables of ${tableSectors} sectors and a root of ${rootBytes} bytes in ${sectors} sectors`,
    )
  }
  if (sectors * sectorBytes > imageBytes) {
    throw new FatError(`cut off: of ${sectors} sectors of ${sectorBytes} bytes there are ${imageBytes} bytes`)
  }
  // As Linux does (fs/fat/inode.c): the place where the table's size is, and only then the number of clusters.
  const inData = Math.floor((sectors - dataSector) / sectorsPerCluster)
  const type = tableSectors16 === 0 ? 'fat32' : typeByClusters(inData)
  const inTable = Math.floor((tableSectors * sectorBytes) / tableEntryBytes[type]) - firstCluster
  const { rootCluster, activeTable } =
    type === 'fat32' ? parse32(view, copies) : { rootCluster: 0, activeTable: 0 }
  return {
    type,
    sizeBytes: sectors * sectorBytes,
    sectorBytes,
    clusterBytes: sectorsPerCluster * sectorBytes,
    clusters: Math.min(inData, inTable, clustersMax.fat32),
    volumeId: view.getUint32(type === 'fat32' ? 67 : 39, true),
    tableOffset: (reservedSectors + activeTable * tableSectors) * sectorBytes,
    rootOffset: rootSector * sectorBytes,
    rootBytes,
    rootCluster,
    dataOffset: dataSector * sectorBytes,
  }
}

function parseBasics(view: DataView): {
  readonly sectorBytes: number
  readonly sectorsPerCluster: number
  readonly reservedSectors: number
  readonly copies: number
  readonly rootEntries: number
  readonly sectors: number
} {
  const sectorBytes = view.getUint16(11, true)
  const sectorsPerCluster = view.getUint8(13)
  const reservedSectors = view.getUint16(14, true)
  const copies = view.getUint8(16)
  if (![512, 1024, 2048, 4096].includes(sectorBytes)) throw new FatError(`sectors of ${sectorBytes} bytes`)
  if (!Number.isInteger(Math.log2(sectorsPerCluster))) {
    throw new FatError(`clusters of ${sectorsPerCluster} sectors, which is no power of two`)
  }
  if (reservedSectors === 0 || copies === 0) {
    throw new FatError(`${reservedSectors} reserved sectors and ${copies} tables`)
  }
  const sectors = view.getUint16(19, true) || view.getUint32(32, true)
  const rootEntries = view.getUint16(17, true)
  return { sectorBytes, sectorsPerCluster, reservedSectors, copies, rootEntries, sectors }
}

function typeByClusters(clusters: number): FatType {
  if (clusters < 4085) throw new FatError(`FAT12 (${clusters} clusters), which is not read here`)
  if (clusters >= 65_525) throw new FatError(`${clusters} clusters with a table of FAT16`)
  return 'fat16'
}

function parse32(
  view: DataView,
  copies: number,
): { readonly rootCluster: number; readonly activeTable: number } {
  const version = view.getUint16(42, true)
  if (version !== 0) throw new FatError(`FAT32 of version ${version}`)
  // Bit 7: only one table is kept up to date, the lower bits say which (3.3, BPB_ExtFlags).
  const flags = view.getUint16(40, true)
  const activeTable = flags & 0x80 ? flags & 0x0f : 0
  if (activeTable >= copies) throw new FatError(`table ${activeTable} is said to count, of ${copies}`)
  return { rootCluster: view.getUint32(44, true), activeTable }
}
