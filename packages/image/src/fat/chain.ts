/** Follows chains of clusters through the table, and never for ever. */
import type { RandomAccess } from '../random-access.ts'
import { FatError } from './error.ts'
import { endOfChainMin, firstCluster, tableEntryBytes, viewOf } from './format.ts'
import type { VolumeGeometry } from './volume-geometry.ts'

/** Clusters that follow one another. */
export interface Run {
  readonly cluster: number
  readonly clusters: number
}

/** The table is read in windows of this size, of which some are kept. */
const windowBytes = 16 * 1024
const windowsMax = 64

/** Runs are cut at this size, which is read at once. */
const runBytesMax = 256 * 1024

/** A file system's table, read as it is needed. */
export class Chains {
  readonly #access: RandomAccess
  readonly #geometry: VolumeGeometry
  readonly #windows = new Map<number, DataView>()

  constructor(access: RandomAccess, geometry: VolumeGeometry) {
    this.#access = access
    this.#geometry = geometry
  }

  /**
   * The runs of a chain from `first` on, up to its end, or as many clusters as are needed.
   *
   * @param what - whose chain it is, for errors
   * @param needed - how many clusters are wanted; what the table says behind them is not looked at. Default: all
   * @throws {@link FatError} for a number that is no cluster, for a cluster that comes twice, and for a chain that ends
   *   too early
   */
  async *runs(what: string, first: number, needed?: number): AsyncGenerator<Run, void, undefined> {
    const { type, clusters, clusterBytes } = this.#geometry
    // A bit for each: 32 MiB for the largest FAT32 that there can be.
    const seen = new Uint8Array(Math.ceil((clusters + firstCluster) / 8))
    const runMax = Math.max(1, runBytesMax / clusterBytes)
    let run = { cluster: first, clusters: 0 }
    let cluster = first
    for (let count = 1; ; count++) {
      if (cluster < firstCluster || cluster >= clusters + firstCluster) {
        throw new FatError(
          `${what}: its chain leads to ${cluster}, which is none of the ${clusters} clusters`,
        )
      }
      const bit = 1 << (cluster & 7)
      if ((seen[cluster >> 3] ?? 0) & bit) {
        throw new FatError(`${what}: its chain of clusters comes back to ${cluster}`)
      }
      seen[cluster >> 3] = (seen[cluster >> 3] ?? 0) | bit
      if (cluster === run.cluster + run.clusters && run.clusters < runMax) run.clusters += 1
      else {
        yield run
        run = { cluster, clusters: 1 }
      }
      if (count === needed) break
      cluster = await this.#next(cluster)
      if (cluster < endOfChainMin[type]) continue
      if (needed !== undefined) {
        throw new FatError(`${what}: its chain ends after ${count} of ${needed} clusters`)
      }
      break
    }
    yield run
  }

  async #next(cluster: number): Promise<number> {
    const { type, tableOffset } = this.#geometry
    const width = tableEntryBytes[type]
    const offset = cluster * width
    const window = await this.#window(Math.floor(offset / windowBytes))
    const inWindow = offset % windowBytes
    if (inWindow + width > window.byteLength) {
      throw new FatError(`cut off in its table, at byte ${tableOffset + offset}`)
    }
    // The upper four bits of FAT32's entries are not part of the number (4.1).
    return width === 2 ? window.getUint16(inWindow, true) : window.getUint32(inWindow, true) & 0x0fff_ffff
  }

  async #window(index: number): Promise<DataView> {
    const known = this.#windows.get(index)
    if (known) return known
    const bytes = await this.#access.read(this.#geometry.tableOffset + index * windowBytes, windowBytes)
    const [oldest] = this.#windows.keys()
    if (this.#windows.size >= windowsMax && oldest !== undefined) this.#windows.delete(oldest)
    const window = viewOf(bytes)
    this.#windows.set(index, window)
    return window
  }
}
