/** What PID 1 keeps about the data of one service, and where: the record, the snapshots, and what was set aside. */
import { below, readArray, readBoolean, readInteger, readObject, readString } from '../plan/read.ts'
import type { Problems } from '../plan/read.ts'
import type { DataRecord, DataVersion } from './decide.ts'
import type { DataFiles } from './files.ts'

/** A folder of a snapshot. */
export interface KeptFolder {
  /** Where it belongs. */
  readonly path: string
  /** Whether it was there; its copy has the place in the list as its name. */
  readonly present: boolean
}

/** What a whole snapshot says of itself. */
export interface Manifest extends DataVersion {
  /** Its folders. */
  readonly folders: readonly KeptFolder[]
}

/** File of a snapshot that says what it is. */
const MANIFEST = 'manifest.json'

/** Begins the name of the folder with data that made place for a snapshot; the version follows. */
const ASIDE = 'set-aside-from-'

/** Ends the names of what is not whole: on its way in, or on its way out. */
const UNFINISHED = '.new'
const REMOVED = '.old'

/** The store of one service. */
export class DataStore {
  readonly #files: DataFiles
  readonly #recordFolder: string
  readonly #recordFile: string
  /** The folder of its snapshots. */
  readonly folder: string

  /** @param stateFolder - the folder of PID 1's state: `/var/lib/solo` */
  constructor(files: DataFiles, stateFolder: string, service: string) {
    this.#files = files
    this.#recordFolder = `${stateFolder}/data`
    this.#recordFile = `${this.#recordFolder}/${service}.json`
    this.folder = `${stateFolder}/snapshots/${service}`
  }

  /** What is recorded; null when nothing is. @throws Error it is damaged */
  record(): DataRecord | null {
    const text = this.#files.read(this.#recordFile)
    return text === undefined ? null : parseRecord(text, this.#recordFile)
  }

  /** Replaces the record. */
  write(record: DataRecord): void {
    this.#files.makeFolder(this.#recordFolder)
    this.#files.write(this.#recordFile, textOf(record))
  }

  /** Makes the folder of its snapshots. */
  makeFolder(): void {
    this.#files.makeFolder(this.folder.slice(0, this.folder.lastIndexOf('/')))
    this.#files.makeFolder(this.folder)
  }

  /** The versions of which there are whole snapshots. */
  versions(): number[] {
    return this.#names(/^\d+$/).map(Number)
  }

  /** What a whole snapshot says of itself. */
  manifest(version: number): Manifest {
    const file = `${this.snapshot(version)}/${MANIFEST}`
    return parseManifest(this.#files.read(file) ?? 'nothing', file)
  }

  /** Writes what a snapshot says of itself into the unfinished one. */
  writeManifest(manifest: Manifest): void {
    this.#files.write(`${this.unfinished(manifest.version)}/${MANIFEST}`, textOf(manifest))
  }

  /** Folder of a whole snapshot. */
  snapshot(version: number): string {
    return `${this.folder}/${version}`
  }

  /** Folder of one that is being made. */
  unfinished(version: number): string {
    return `${this.snapshot(version)}${UNFINISHED}`
  }

  /** Folder of data of this version that make place for a snapshot. */
  aside(version: number): string {
    return `${this.folder}/${ASIDE}${version}`
  }

  /** Folder of a snapshot on its way out. */
  removed(version: number): string {
    return `${this.snapshot(version)}${REMOVED}`
  }

  /** Folder of data on their way out. */
  discarded(version: number): string {
    return `${this.folder}/half-migrated-from-${version}${REMOVED}`
  }

  /** Removes a snapshot. It loses its name first, so that what is left after a power cut is not taken for one. */
  async drop(version: number): Promise<void> {
    const removed = this.removed(version)
    await this.#files.remove(removed)
    this.#files.rename(this.snapshot(version), removed)
    await this.#files.remove(removed)
  }

  /** Removes what is no whole snapshot, and was not set aside. */
  async tidy(): Promise<void> {
    for (const name of this.#names(/\.(new|old)$/)) await this.#files.remove(`${this.folder}/${name}`)
  }

  /** Removes what was set aside, if something was. */
  async dropAside(): Promise<boolean> {
    const names = this.#names(new RegExp(`^${ASIDE}`))
    for (const name of names) await this.#files.remove(`${this.folder}/${name}`)
    return names.length > 0
  }

  #names(pattern: RegExp): string[] {
    return this.#files.namesIn(this.folder).filter((name) => pattern.test(name))
  }
}

function textOf(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

function parseRecord(text: string, source: string): DataRecord {
  return parse(text, source, (problems, value) => {
    const record = readObject(problems, '', value, ['version', 'readableBy', 'unfinished', 'restoring'])
    const inner = (key: string): DataVersion | null => {
      if (record[key] === null) return null
      const version = readObject(problems, key, record[key], ['version', 'readableBy'])
      return readVersion(problems, key, version)
    }
    return {
      ...readVersion(problems, '', record),
      unfinished: inner('unfinished'),
      restoring: inner('restoring'),
    }
  })
}

function parseManifest(text: string, source: string): Manifest {
  return parse(text, source, (problems, value) => {
    const manifest = readObject(problems, '', value, ['version', 'readableBy', 'folders'])
    const folders = readArray(problems, 'folders', manifest['folders'], (path, each) => {
      const folder = readObject(problems, path, each, ['path', 'present'])
      return {
        path: readString(problems, below(path, 'path'), folder['path'], 'an absolute path', /^\//),
        present: readBoolean(problems, below(path, 'present'), folder['present']),
      }
    })
    return { ...readVersion(problems, '', manifest), folders }
  })
}

function readVersion(problems: Problems, path: string, value: Record<string, unknown>): DataVersion {
  const number = (key: 'version' | 'readableBy'): number =>
    readInteger(problems, below(path, key), value[key], 1, Number.MAX_SAFE_INTEGER)
  return { version: number('version'), readableBy: number('readableBy') }
}

/** Both kinds of files are PID 1's own, and decide about what users have: what is damaged is not guessed at. */
function parse<T>(text: string, source: string, read: (problems: Problems, value: unknown) => T): T {
  const problems: Problems = []
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new Error(`${source}: damaged: expected JSON`, { cause: error })
  }
  const result = read(problems, value)
  const [first] = problems
  if (first === undefined) return result
  throw new Error(`${source}: damaged: ${first.path}: expected ${first.expected}, found ${first.found}`)
}
