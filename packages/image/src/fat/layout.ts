/** Gives everything its clusters: directories first, then files, one after another without a gap. */
import type { ContentDirectory, ContentFile, Contents } from './contents.ts'
import { entryBytes, firstCluster } from './format.ts'
import type { FatType } from './format.ts'
import { clusterBytesPreferred, clusterSizes, geometryOf, sectorsFor } from './geometry.ts'
import type { Geometry, Shape } from './geometry.ts'
import type { Settings } from './settings.ts'

/** What lies in clusters that follow one another. */
export interface Placed {
  readonly node: ContentDirectory | ContentFile
  readonly firstCluster: number
  readonly clusters: number
}

/** Everything with its place. */
export interface Layout {
  readonly geometry: Geometry
  readonly contents: Contents
  /** In the order of their clusters, from the first cluster on. Without empty files, and without FAT16's root. */
  readonly placed: readonly Placed[]
  readonly byNode: ReadonlyMap<ContentDirectory | ContentFile, Placed>
  readonly usedClusters: number
}

/** FAT16's root has as many entries as everyone's (3.1, BPB_RootEntCnt), unless more are needed. */
const rootEntriesMin = 512
/** Their number is one of 16 bits. */
const rootEntriesMax = 65_535

/**
 * Decides about size and clusters, and gives each file and directory its place.
 *
 * @throws RangeError when the tree does not fit, with the size that would do
 */
export function layoutOf(contents: Contents, settings: Settings): Layout {
  const geometry = chooseGeometry(contents, settings)
  const placed: Placed[] = []
  let next = firstCluster
  for (const node of inClusters(contents, geometry.type)) {
    const clusters = clustersOf(node, geometry.clusterBytes)
    if (clusters > 0) placed.push({ node, firstCluster: next, clusters })
    next += clusters
  }
  const byNode = new Map(placed.map((place) => [place.node, place]))
  return { geometry, contents, placed, byNode, usedClusters: next - firstCluster }
}

function* inClusters(
  { root, directories, files }: Contents,
  type: FatType,
): Generator<ContentDirectory | ContentFile> {
  for (const directory of directories) if (type === 'fat32' || directory !== root) yield directory
  yield* files
}

/** A directory has at least one, a file without bytes none. */
function clustersOf(node: ContentDirectory | ContentFile, clusterBytes: number): number {
  const sizeBytes = node.type === 'file' ? node.sizeBytes : Math.max(1, node.entries) * entryBytes
  return Math.ceil(sizeBytes / clusterBytes)
}

function chooseGeometry(contents: Contents, settings: Settings): Geometry {
  const { type, sizeBytes } = settings
  if (sizeBytes === undefined) return smallest(contents, settings, type ?? 'fat32')
  if (type !== undefined) return within(contents, settings, type, sizeBytes)
  const isEnough = shapes(contents, settings, 'fat32').some(
    (shape) => sectorsFor(shape, 0) * settings.sectorBytes <= sizeBytes,
  )
  return within(contents, settings, isEnough ? 'fat32' : 'fat16', sizeBytes)
}

/** The shapes that may be chosen, from the smallest clusters on. */
function shapes(contents: Contents, settings: Settings, type: FatType): Shape[] {
  const { sectorBytes, clusterBytes } = settings
  const sizes = clusterBytes === undefined ? clusterSizes(sectorBytes) : [clusterBytes]
  const rootEntries = type === 'fat16' ? rootEntriesFor(contents.root, sectorBytes) : 0
  return sizes.map((size) => ({ type, sectorBytes, clusterBytes: size, rootEntries }))
}

function rootEntriesFor(root: ContentDirectory, sectorBytes: number): number {
  const perSector = sectorBytes / entryBytes
  const entries = Math.ceil(Math.max(rootEntriesMin, root.entries) / perSector) * perSector
  const most = Math.floor(rootEntriesMax / perSector) * perSector
  if (entries > most) {
    throw new RangeError(`/: its names take ${root.entries} entries, FAT16 holds ${most} in the root`)
  }
  return entries
}

function neededClusters(contents: Contents, { type, clusterBytes }: Shape): number {
  let clusters = 0
  for (const node of inClusters(contents, type)) clusters += clustersOf(node, clusterBytes)
  return clusters
}

/** The smallest file system for the contents: with the smallest clusters that are preferred at its size. */
function smallest(contents: Contents, settings: Settings, type: FatType): Geometry {
  const possible = shapes(contents, settings, type)
    .map((shape) => geometryOf(shape, sectorsFor(shape, neededClusters(contents, shape))))
    .filter((geometry) => geometry !== undefined)
  const preferred = possible.find(isPreferred) ?? possible.at(-1)
  if (!preferred) throw new RangeError(`the tree is too large for ${nameOf(type)}`)
  return preferred
}

function isPreferred({ type, clusterBytes, sectors, sectorBytes }: Geometry): boolean {
  return clusterBytes >= clusterBytesPreferred(type, sectors * sectorBytes)
}

/** A file system of this size, if the contents fit. */
function within(contents: Contents, settings: Settings, type: FatType, sizeBytes: number): Geometry {
  const { sectorBytes } = settings
  const all = shapes(contents, settings, type)
  const possible = all
    .map((shape) => geometryOf(shape, sizeBytes / sectorBytes))
    .filter((geometry) => geometry !== undefined)
  const geometry = possible.find(isPreferred) ?? possible.at(-1)
  if (!geometry) throw new RangeError(outOfBounds(all, sizeBytes))
  const needed = neededClusters(contents, geometry)
  if (needed > geometry.clusters) {
    const sectors = sectorsFor(geometry, needed)
    throw new RangeError(
      `the tree needs ${needed} clusters of ${geometry.clusterBytes} bytes, a ${nameOf(type)} of ${sizeBytes} bytes has ${geometry.clusters}: sizeBytes must be ${sectors * sectorBytes} at least`,
    )
  }
  return geometry
}

function outOfBounds(all: readonly Shape[], sizeBytes: number): string {
  const [first] = all
  if (!first) throw new Error('no size of clusters to choose from')
  const leastBytes = sectorsFor(first, 0) * first.sectorBytes
  const clusters = all.length === 1 ? ` with clusters of ${first.clusterBytes} bytes` : ''
  const bound = sizeBytes < leastBytes ? `has ${leastBytes} bytes at least` : 'cannot be so large'
  return `sizeBytes is ${sizeBytes}: ${nameOf(first.type)} in sectors of ${first.sectorBytes}${clusters} ${bound}`
}

function nameOf(type: FatType): string {
  return type.toUpperCase()
}
