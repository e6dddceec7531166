/** The bytes of a planned file system, from its first to its last. */
import { readContent } from '../stream/content.ts'
import { backupSector, encodeBootSector, encodeInfoSector, infoSector, mediaByte } from './boot-sector.ts'
import type { Identity } from './boot-sector.ts'
import type { ContentDirectory, ContentFile } from './contents.ts'
import { encodeEntry, encodeLongName } from './directory-entry.ts'
import { attribute, endOfChain, entryBytes, firstCluster, tableEntryBytes, viewOf } from './format.ts'
import { tables } from './geometry.ts'
import type { Layout } from './layout.ts'

/** At most so many bytes are made at once. */
const pieceBytesMax = 256 * 1024

/** Yields pieces of any size; some are views of the same zeros. */
export async function* imagePieces(
  layout: Layout,
  identity: Identity,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  signal?.throwIfAborted()
  const { geometry, contents, placed, usedClusters } = layout
  const { sectorBytes, clusterBytes } = geometry
  yield* reservedPieces(layout, identity)
  for (let copy = 0; copy < tables; copy++) yield* tablePieces(layout, signal)
  if (geometry.type === 'fat16') {
    yield encodeDirectory(contents.root, layout, identity, geometry.rootSectors * sectorBytes)
  }
  for (const { node, clusters } of placed) {
    signal?.throwIfAborted()
    const sizeBytes = clusters * clusterBytes
    if (node.type === 'directory') {
      yield encodeDirectory(node, layout, identity, sizeBytes)
      continue
    }
    yield* readContent(node.node.content, node.node.path, signal)
    yield new Uint8Array(sizeBytes - node.sizeBytes)
  }
  const usedBytes = geometry.dataSector * sectorBytes + usedClusters * clusterBytes
  yield* zeros(geometry.sectors * sectorBytes - usedBytes, signal)
}

/** Boot sector, FSInfo and their copies, and what lies between them and the first table. */
function* reservedPieces({ geometry, usedClusters }: Layout, identity: Identity): Generator<Uint8Array> {
  const { sectorBytes, reservedSectors, clusters } = geometry
  const bytes = new Uint8Array(reservedSectors * sectorBytes)
  const boot = encodeBootSector(geometry, identity)
  bytes.set(boot, 0)
  if (geometry.type === 'fat32') {
    const info = encodeInfoSector(sectorBytes, clusters - usedClusters, firstCluster + usedClusters - 1)
    bytes.set(info, infoSector * sectorBytes)
    bytes.set(boot, backupSector * sectorBytes)
    bytes.set(info, (backupSector + infoSector) * sectorBytes)
  }
  yield bytes
}

/** One copy of the table: a chain for each file and directory, its clusters one after another (4). */
function* tablePieces(
  { geometry, placed, usedClusters }: Layout,
  signal?: AbortSignal,
): Generator<Uint8Array> {
  const { type, sectorBytes, tableSectors } = geometry
  const width = tableEntryBytes[type]
  const tableBytes = tableSectors * sectorBytes
  const usedBytes = Math.ceil(((firstCluster + usedClusters) * width) / sectorBytes) * sectorBytes
  let place = 0
  for (let startBytes = 0; startBytes < usedBytes; startBytes += pieceBytesMax) {
    signal?.throwIfAborted()
    const bytes = new Uint8Array(Math.min(pieceBytesMax, usedBytes - startBytes))
    const view = viewOf(bytes)
    for (let offset = 0; offset < bytes.byteLength; offset += width) {
      const cluster = (startBytes + offset) / width
      if (cluster >= firstCluster + usedClusters) break
      let next = cluster + 1
      // Not a cluster: the media byte; and a place for bits that say that the file system is clean, all set.
      if (cluster < firstCluster) next = (endOfChain[type] & ~0xff) | (cluster === 0 ? mediaByte : 0xff)
      const extent = placed[place]
      if (extent && cluster === extent.firstCluster + extent.clusters - 1) {
        next = endOfChain[type]
        place += 1
      }
      if (width === 2) view.setUint16(offset, next, true)
      else view.setUint32(offset, next, true)
    }
    yield bytes
  }
  yield* zeros(tableBytes - usedBytes, signal)
}

/** A whole directory: at most 2 MiB. */
function encodeDirectory(
  directory: ContentDirectory,
  layout: Layout,
  identity: Identity,
  sizeBytes: number,
): Uint8Array {
  const bytes = new Uint8Array(sizeBytes)
  let offset = 0
  const put = (name: string | Uint8Array, attributes: number, node: ContentDirectory | ContentFile): void => {
    const isRoot = node.type === 'directory' && node.parent === undefined
    encodeEntry(bytes, offset, {
      short: typeof name === 'string' ? new TextEncoder().encode(name.padEnd(11)) : name,
      attributes,
      time: node.time,
      // The root has no number where it is named as a parent (6.5).
      cluster: isRoot ? 0 : (layout.byNode.get(node)?.firstCluster ?? 0),
      sizeBytes: node.type === 'file' ? node.sizeBytes : 0,
    })
    offset += entryBytes
  }
  if (directory.parent) {
    put('.', attribute.directory, directory)
    put('..', attribute.directory, directory.parent)
  } else if (identity.volumeLabel !== undefined) {
    put(identity.volumeLabel, attribute.volumeLabel, directory)
  }
  for (const { name, node } of directory.children) {
    if (name.needsLong) offset = encodeLongName(bytes, offset, name)
    put(name.short, node.type === 'directory' ? attribute.directory : attribute.archive, node)
  }
  return bytes
}

function* zeros(sizeBytes: number, signal?: AbortSignal): Generator<Uint8Array> {
  const piece = new Uint8Array(Math.min(pieceBytesMax, sizeBytes))
  for (let doneBytes = 0; doneBytes < sizeBytes; doneBytes += pieceBytesMax) {
    signal?.throwIfAborted()
    yield piece.subarray(0, sizeBytes - doneBytes)
  }
}
