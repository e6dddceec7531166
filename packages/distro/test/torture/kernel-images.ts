// What lies in /EFI/Linux of a boot partition: each file's digest, and what the loader makes of it.
import { createHash } from 'node:crypto'
import { readCpio } from '@pkg/image/cpio'
import { FatError, readFat, type FatEntry } from '@pkg/image/fat'
import { bytesAccess, type RandomAccess } from '@pkg/image/random-access'
import { type DiskView, Memo } from './disk-view.ts'
import { peSections } from './pe-sections.ts'
import { isCandidate, loaderEntry, type LoaderEntry } from './systemd-boot.ts'
import { verityTableIn, type VerityTable } from './verity-model.ts'

/** The folder in which the loader looks. */
const FOLDER = '/EFI/Linux'

/** What is known of a file by its bytes. */
export interface FileFacts {
  /** SHA-256 of the whole file. */
  readonly digest: string
  /** Text of its `.osrel`; undefined for what the loader takes for no entry. */
  readonly osRelease: string | undefined
}

/** An entry of the loader's list, and the digest of the file behind it. */
export interface ListedEntry extends LoaderEntry {
  readonly digest: string
}

/** What the firmware and the loader find on a boot partition. */
export interface BootPartition {
  /** Digests of the files that the firmware and the loader themselves need, by path. */
  readonly loaderFiles: ReadonlyMap<string, string>
  /** The loader's list, unsorted. */
  readonly entries: readonly ListedEntry[]
}

/** Reads boot partitions of one disk's states. */
export class BootPartitionReader {
  readonly #listings = new Memo<readonly FatEntry[]>()
  /** Where files lie, by first cluster and size: another chain behind the same entry shows in what is read. */
  readonly #places = new Map<string, Memo<readonly Place[] | string>>()
  /** By places and what is there. */
  readonly #facts = new Map<string, FileFacts>()
  readonly #loaderPaths: readonly string[]

  /** @param loaderPaths - files without which nothing starts */
  constructor(loaderPaths: readonly string[]) {
    this.#loaderPaths = loaderPaths
  }

  /** @throws FatError it is no file system that can be read */
  async read(esp: DiskView): Promise<BootPartition> {
    const listed = await this.#listings.get(esp, async (access) => {
      const volume = await readFat(access)
      const kernels = await volume.list(FOLDER)
      const loader = await Promise.all(this.#loaderPaths.map((path) => volume.find(path)))
      return [...kernels, ...loader.filter((entry) => entry !== undefined)]
    })
    const loaderFiles = new Map<string, string>()
    const entries: ListedEntry[] = []
    for (const entry of listed) {
      if (entry.type !== 'file') continue
      if (!entry.path.startsWith(`${FOLDER}/`))
        loaderFiles.set(entry.path, (await this.#factsOf(esp, entry)).digest)
      else if (isCandidate(entry.name)) {
        const { digest, osRelease } = await this.#factsOf(esp, entry)
        const found = osRelease === undefined ? undefined : loaderEntry(entry.name, osRelease)
        if (found !== undefined) entries.push({ ...found, digest })
      }
    }
    return { loaderFiles, entries }
  }

  /** Most states differ in the table, which says where a file lies; few in the file, which is large. */
  async #factsOf(esp: DiskView, entry: FatEntry): Promise<FileFacts> {
    const name = `${entry.cluster}/${entry.sizeBytes}`
    const memo = this.#places.get(name) ?? new Memo<readonly Place[] | string>()
    this.#places.set(name, memo)
    const places = await memo.get(esp, (access) => placesOf(access, entry))
    // A chain of clusters that leads nowhere: whoever opens the file gets an error.
    if (typeof places === 'string') return { digest: `unreadable: ${places}`, osRelease: undefined }
    const key = [name, ...places.map(({ at, length }) => `${at}:${esp.hashOf(at, length)}`)].join(' ')
    const known = this.#facts.get(key)
    if (known !== undefined) return known
    const pieces = places.map(({ at, length }) => esp.read(at, length))
    const bytes = Buffer.concat(pieces).subarray(0, entry.sizeBytes)
    const facts = { digest: digestOf(bytes), osRelease: await osReleaseOf(bytesAccess(bytes)) }
    this.#facts.set(key, facts)
    return facts
  }
}

/** A piece of a file, in bytes of the boot partition. */
interface Place {
  readonly at: number
  readonly length: number
}

/** What a file's bytes are, where nobody wants to know. */
const NOTHING = new Uint8Array(1 << 20)

/** Where a file lies, without a look at it; in words, why that cannot be said. */
async function placesOf(access: RandomAccess, entry: FatEntry): Promise<readonly Place[] | string> {
  const places: Place[] = []
  let dataStart = Number.POSITIVE_INFINITY
  const volume = await readFat({
    sizeBytes: access.sizeBytes,
    read(offset, length) {
      if (offset < dataStart || length > NOTHING.length) return access.read(offset, length)
      places.push({ at: offset, length })
      return Promise.resolve(NOTHING.subarray(0, length))
    },
  })
  // Behind the tables there are only clusters, and a rest that is smaller than one.
  dataStart = volume.sizeBytes - (volume.clusters + 1) * volume.clusterBytes
  try {
    for await (const chunk of volume.open(entry)) if (chunk.length === 0) break
    return places
  } catch (error) {
    if (error instanceof FatError) return error.message
    throw error
  }
}

/** SHA-256, in hexadecimal digits. */
export function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

async function osReleaseOf(file: RandomAccess): Promise<string | undefined> {
  const section = (await peSections(file))?.find(({ name }) => name === '.osrel')
  if (section === undefined || section.sizeBytes === 0) return undefined
  const bytes = await file.read(section.offset, section.sizeBytes)
  return bytes.length < section.sizeBytes ? undefined : new TextDecoder('latin1').decode(bytes)
}

/** The root's table in a whole kernel image. */
export async function verityTableOf(uki: Uint8Array): Promise<VerityTable> {
  const file = bytesAccess(uki)
  const section = (await peSections(file))?.find(({ name }) => name === '.initrd')
  if (section === undefined) throw new Error('the kernel image has no section .initrd')
  for await (const entry of readCpio(await file.read(section.offset, section.sizeBytes)))
    if (entry.path === '/init') return verityTableIn(await entry.bytes())
  throw new Error('the initramfs has no /init')
}
