/** A file system that is read: paths, directories, files. */
import type { RandomAccess } from '../random-access.ts'
import { Chains } from './chain.ts'
import { readEntries } from './directory-reader.ts'
import type { ReadEntry } from './directory-reader.ts'
import { FatError } from './error.ts'
import { comparable } from './fold.ts'
import { attribute, entriesMax, entryBytes, firstCluster } from './format.ts'
import type { FatType } from './format.ts'
import { formatVolumeId } from './settings.ts'
import type { VolumeGeometry } from './volume-geometry.ts'
import { parseBootSector } from './volume-geometry.ts'

/** A file or directory as it was found. */
export interface FatEntry {
  readonly type: 'file' | 'directory'
  /** Absolute, of long names in the case in which they are stored. */
  readonly path: string
  /** The long name, or the short one where there is no long one. */
  readonly name: string
  /** As `LONGNA~1.TXT`. */
  readonly shortName: string
  /** 0 for directories. */
  readonly sizeBytes: number
  /** Last change, taken for UTC, in steps of two seconds. */
  readonly mtimeSeconds: number
  /** Not to be changed; Linux shows it by the modes. */
  readonly readOnly: boolean
  /** Not to be listed, by its attributes. */
  readonly hidden: boolean
  /** Part of the operating system, by its attributes. */
  readonly system: boolean
  /** Its first cluster; 0 for a file without bytes. */
  readonly cluster: number
}

/** A file system that can be read. */
export interface FatVolume {
  /** By the place of its table's size in the boot sector, and the number of its clusters. */
  readonly type: FatType
  /** By its boot sector; the image may be longer. */
  readonly sizeBytes: number
  /** Size of a sector. */
  readonly sectorBytes: number
  /** Size of a cluster. */
  readonly clusterBytes: number
  /** How many clusters it has, free or not. */
  readonly clusters: number
  /** As `blkid` shows it: `1234-ABCD`. */
  readonly volumeId: string
  /** The label in the root directory, not the boot sector's copy. */
  readonly volumeLabel: string | undefined
  /**
   * What is in a directory, in the order in which it is stored.
   *
   * @throws {@link FatError} for a damaged directory; TypeError when there is none at `path`
   */
  list(path: string): Promise<FatEntry[]>
  /**
   * What is at a path, or undefined. Case does not matter, and short names are names as well. The root is no entry.
   *
   * @throws {@link FatError} for a damaged directory on the way
   */
  find(path: string): Promise<FatEntry | undefined>
  /**
   * Everything there is, directories before what they hold.
   *
   * @throws {@link FatError} for a damaged directory, and for one that is in several places
   */
  walk(): AsyncGenerator<FatEntry, void, undefined>
  /**
   * The bytes of a file, streamed in up to 256 KiB.
   *
   * @throws {@link FatError} for a damaged chain of clusters; TypeError when there is no file at a path
   */
  open(
    file: string | FatEntry,
    options?: { readonly signal?: AbortSignal },
  ): AsyncGenerator<Uint8Array, void, undefined>
  /** All bytes of a file. @throws as {@link FatVolume.open} */
  read(file: string | FatEntry): Promise<Uint8Array>
}

/** A directory: its path, `/` for the root, and its first cluster, 0 for the root of FAT16. */
interface Folder {
  readonly path: string
  readonly cluster: number
}

/**
 * Opens a file system: reads its boot sector and root directory.
 *
 * @throws {@link FatError}
 */
export async function openVolume(access: RandomAccess): Promise<FatVolume> {
  const geometry = parseBootSector(await access.read(0, 512), access.sizeBytes)
  const volume = new Volume(access, geometry)
  await volume.readLabel()
  return volume
}

class Volume implements FatVolume {
  readonly type: FatType
  readonly sizeBytes: number
  readonly sectorBytes: number
  readonly clusterBytes: number
  readonly clusters: number
  readonly volumeId: string
  volumeLabel: string | undefined
  readonly #access: RandomAccess
  readonly #geometry: VolumeGeometry
  readonly #chains: Chains
  readonly #root: Folder

  constructor(access: RandomAccess, geometry: VolumeGeometry) {
    this.type = geometry.type
    this.sizeBytes = geometry.sizeBytes
    this.sectorBytes = geometry.sectorBytes
    this.clusterBytes = geometry.clusterBytes
    this.clusters = geometry.clusters
    this.volumeId = formatVolumeId(geometry.volumeId)
    this.#access = access
    this.#geometry = geometry
    this.#chains = new Chains(access, geometry)
    this.#root = { path: '/', cluster: geometry.rootCluster }
  }

  async readLabel(): Promise<void> {
    for await (const { attributes, shortName } of this.#entries(this.#root)) {
      if (isLabel(attributes)) this.volumeLabel ??= shortName
    }
  }

  async list(path: string): Promise<FatEntry[]> {
    const entry = await this.find(path)
    const isRoot = namesIn(path).length === 0
    if (!isRoot && entry?.type !== 'directory') throw new TypeError(`${path}: there is no such directory`)
    const children: FatEntry[] = []
    for await (const child of this.#children(entry ?? this.#root)) children.push(child)
    return children
  }

  async find(path: string): Promise<FatEntry | undefined> {
    let found: FatEntry | undefined
    for (const name of namesIn(path)) {
      if (found?.type === 'file') return undefined
      found = await this.#childNamed(found ?? this.#root, comparable(name))
      if (!found) return undefined
    }
    return found
  }

  async *walk(): AsyncGenerator<FatEntry, void, undefined> {
    const seen = new Set([this.#root.cluster])
    // The lists of the directories on the way to where the walk is.
    const path = [this.#children(this.#root)]
    try {
      for (let current = path.at(-1); current; current = path.at(-1)) {
        const next = await current.next()
        if (next.done) {
          path.pop()
          continue
        }
        const entry = next.value
        yield entry
        if (entry.type === 'file') continue
        if (seen.has(entry.cluster)) {
          throw new FatError(`${entry.path}: its cluster ${entry.cluster} is another directory's as well`)
        }
        seen.add(entry.cluster)
        path.push(this.#children(entry))
      }
    } finally {
      for (const directory of path) await directory.return()
    }
  }

  async *open(
    file: string | FatEntry,
    options: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const entry = typeof file === 'string' ? await this.find(file) : file
    if (entry?.type !== 'file') throw new TypeError(`${describe(file)}: there is no such file`)
    if (entry.sizeBytes === 0) return
    const needed = Math.ceil(entry.sizeBytes / this.clusterBytes)
    let leftBytes = entry.sizeBytes
    for await (const bytes of this.#clusters(entry.path, entry.cluster, needed)) {
      options.signal?.throwIfAborted()
      yield bytes.subarray(0, leftBytes)
      leftBytes -= bytes.byteLength
    }
  }

  async read(file: string | FatEntry): Promise<Uint8Array> {
    const chunks: Uint8Array[] = []
    for await (const chunk of this.open(file)) chunks.push(chunk)
    const { buffer, byteOffset, byteLength } = Buffer.concat(chunks)
    return new Uint8Array(buffer, byteOffset, byteLength)
  }

  async #childNamed(folder: Folder, key: string): Promise<FatEntry | undefined> {
    for await (const child of this.#children(folder)) {
      if (comparable(child.name) === key || comparable(child.shortName) === key) return child
    }
    return undefined
  }

  async *#children(folder: Folder): AsyncGenerator<FatEntry, void, undefined> {
    const prefix = folder.path === '/' ? '/' : `${folder.path}/`
    for await (const entry of this.#entries(folder)) {
      if (!isLabel(entry.attributes)) yield publicEntry(prefix, entry, this.type)
    }
  }

  #entries({ path, cluster }: Folder): AsyncGenerator<ReadEntry, void, undefined> {
    const isRoot16 = path === '/' && this.type === 'fat16'
    return readEntries(path, isRoot16 ? this.#root16() : bounded(path, this.#clusters(path, cluster)))
  }

  async *#root16(): AsyncGenerator<Uint8Array, void, undefined> {
    const { rootOffset, rootBytes } = this.#geometry
    yield await this.#bytes('/', rootOffset, rootBytes)
  }

  async *#clusters(
    what: string,
    first: number,
    needed?: number,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const { dataOffset, clusterBytes } = this.#geometry
    for await (const { cluster, clusters } of this.#chains.runs(what, first, needed)) {
      const offset = dataOffset + (cluster - firstCluster) * clusterBytes
      yield await this.#bytes(what, offset, clusters * clusterBytes)
    }
  }

  async #bytes(what: string, offset: number, length: number): Promise<Uint8Array> {
    const bytes = await this.#access.read(offset, length)
    if (bytes.byteLength < length) throw new FatError(`${what}: cut off at byte ${offset + bytes.byteLength}`)
    return bytes
  }
}

/** A directory has 2 MiB at most: a chain of good clusters that is longer is none of a directory. */
async function* bounded(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  let doneBytes = 0
  for await (const chunk of chunks) {
    if (doneBytes >= entriesMax * entryBytes) throw new FatError(`${path}: a directory of more than 2 MiB`)
    doneBytes += chunk.byteLength
    yield chunk
  }
}

function isLabel(attributes: number): boolean {
  return (attributes & attribute.volumeLabel) !== 0
}

function publicEntry(prefix: string, entry: ReadEntry, type: FatType): FatEntry {
  const { name, shortName, attributes, mtimeSeconds } = entry
  // OS/2 had something else in the upper half on FAT16 (fs/fat/fat.h, fat_get_start).
  const cluster = type === 'fat16' ? entry.cluster & 0xffff : entry.cluster
  const isDirectory = (attributes & attribute.directory) !== 0
  return {
    type: isDirectory ? 'directory' : 'file',
    path: prefix + name,
    name,
    shortName,
    sizeBytes: isDirectory ? 0 : entry.sizeBytes,
    mtimeSeconds,
    readOnly: (attributes & attribute.readOnly) !== 0,
    hidden: (attributes & attribute.hidden) !== 0,
    system: (attributes & attribute.system) !== 0,
    cluster,
  }
}

function namesIn(path: string): string[] {
  if (!path.startsWith('/')) throw new TypeError(`${JSON.stringify(path)}: expected an absolute path`)
  return path.split('/').filter((name) => name !== '')
}

function describe(file: string | FatEntry): string {
  return typeof file === 'string' ? file : file.path
}
