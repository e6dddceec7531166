// A lock file (solo.lock): which package, to the byte, each role (kernel, glibc…) was built from, an entry per suite, so
// that a build tomorrow or by a colleague on another distribution takes the same files.
import { LockFileError, type LockFileProblem } from '../host/error.ts'
import { displayPath, readTextIfThere, writeAtomically } from '../host/files.ts'
import type { PackageRecord } from './stanza.ts'

/** One pinned package. */
export interface Pin {
  /** The package. */
  readonly name: string
  /** Its version. */
  readonly version: string
  /** Debian's name of its architecture, or `all`. */
  readonly architecture: string
  /** Size of the .deb file. */
  readonly sizeBytes: number
  /** Hash of the .deb file, in hexadecimal. */
  readonly sha256: string
}

/** What one role of the build is pinned to. */
export interface LockEntry {
  /** The package that was asked for; when the configuration asks for another one, the pin is made anew. */
  readonly request: string
  /** What it stood for, to be unpacked in this order. */
  readonly packages: readonly Pin[]
}

type Suites = Record<string, Record<string, LockEntry>>

/** A lock file that was read; changes are written by {@link LockFile.save}. */
export class LockFile {
  readonly path: string
  readonly #suites: Suites
  #changed = false

  constructor(path: string, suites: Suites) {
    this.path = path
    this.#suites = suites
  }

  /** The pins of a role, if there are any for this request. */
  get(suite: string, role: string, request: string): LockEntry | undefined {
    const entry = this.#suites[suite]?.[role]
    return entry?.request === request ? entry : undefined
  }

  /** Replaces the pins of a role; {@link LockFile.save} writes them. */
  set(suite: string, role: string, request: string, records: readonly PackageRecord[]): LockEntry {
    const packages = records.map(({ name, version, architecture, sizeBytes, sha256 }) => {
      return { name, version, architecture, sizeBytes, sha256 }
    })
    const entry: LockEntry = { request, packages }
    this.#suites[suite] = { ...this.#suites[suite], [role]: entry }
    this.#changed = true
    return entry
  }

  /** Writes the file if anything was set, in one step. */
  async save(): Promise<void> {
    if (!this.#changed) return
    const sorted = Object.fromEntries(
      Object.entries(this.#suites)
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([suite, roles]) => [
          suite,
          Object.fromEntries(Object.entries(roles).toSorted(([a], [b]) => (a < b ? -1 : 1))),
        ]),
    )
    await writeAtomically(this.path, `${JSON.stringify({ version: 1, suites: sorted }, undefined, 2)}\n`)
    this.#changed = false
  }
}

/**
 * Reads a lock file; one that does not exist is empty.
 *
 * @throws LockFileError when it is not what is written here
 */
export async function readLockFile(path: string): Promise<LockFile> {
  const text = await readTextIfThere(path)
  if (text === undefined) return new LockFile(path, {})
  const name = displayPath(path)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new LockFileError(name, [
      { path: '', message: `expected JSON: ${(error as Error).message}; ${wayOut}` },
    ])
  }
  const problems: LockFileProblem[] = []
  const suites = readSuites(value, problems)
  if (problems.length > 0) throw new LockFileError(name, problems)
  return new LockFile(path, suites)
}

const wayOut = 'remove the file, then a new one is written'

function readSuites(value: unknown, problems: LockFileProblem[]): Suites {
  const expect = (path: string, what: string): void => {
    problems.push({ path, message: `expected ${what}; ${wayOut}` })
  }
  const suites: Suites = {}
  if (!isObject(value) || value['version'] !== 1 || !isObject(value['suites'])) {
    expect('', 'an object with version 1 and suites')
    return suites
  }
  for (const [suite, roles] of Object.entries(value['suites'])) {
    if (!isObject(roles)) {
      expect(`suites["${suite}"]`, 'an object')
      continue
    }
    const read: Record<string, LockEntry> = {}
    for (const [role, entry] of Object.entries(roles)) {
      if (isEntry(entry)) read[role] = entry
      else
        expect(`suites["${suite}"].${role}`, 'request and packages with name, version, sizeBytes and sha256')
    }
    suites[suite] = read
  }
  return suites
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isEntry(value: unknown): value is LockEntry {
  if (!isObject(value) || typeof value['request'] !== 'string' || !Array.isArray(value['packages']))
    return false
  return value['packages'].length > 0 && value['packages'].every(isPin)
}

function isPin(value: unknown): value is Pin {
  if (!isObject(value)) return false
  const texts = ['name', 'version', 'architecture', 'sha256'].map((key) => value[key])
  return (
    texts.every((text) => typeof text === 'string') &&
    /^[0-9a-f]{64}$/.test(String(value['sha256'])) &&
    typeof value['sizeBytes'] === 'number'
  )
}
