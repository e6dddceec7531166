/** Entries of a directory as they are read, with long names put together (6, 7). */
import { decodeCodePage } from './code-page.ts'
import { lastPiece, shortChecksum, unitOffsets } from './directory-entry.ts'
import { FatError } from './error.ts'
import { attribute, entryBytes, viewOf } from './format.ts'
import { decodeTime } from './time.ts'

/** An entry that names something, or the label. */
export interface ReadEntry {
  readonly name: string
  readonly shortName: string
  readonly attributes: number
  readonly cluster: number
  readonly sizeBytes: number
  readonly mtimeSeconds: number
}

/** The first byte of an entry that is not in use any more, of all from the first that never was, and of 0xe5 itself. */
const deleted = 0xe5
const neverUsed = 0x00
const standsForDeleted = 0x05

/** Windows NT's bits: the name, or its extension, is meant in small letters (Linux honours them as well). */
const smallBase = 0x08
const smallExtension = 0x10

/**
 * Reads the entries in `chunks`, which hold whole entries, up to the first one that was never used. Leaves out `.` and
 * `..`, and pieces of long names that belong to no short one.
 *
 * @throws {@link FatError} for names that cannot be: then this is no directory
 */
export async function* readEntries(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<ReadEntry, void, undefined> {
  const longName = new LongName()
  for await (const chunk of chunks) {
    for (let offset = 0; offset + entryBytes <= chunk.byteLength; offset += entryBytes) {
      const bytes = chunk.subarray(offset, offset + entryBytes)
      const [first = 0] = bytes
      if (first === neverUsed) return
      if (first === deleted) {
        longName.forget()
        continue
      }
      const attributes = bytes[11] ?? 0
      if ((attributes & attribute.longNameMask) === attribute.longName) {
        longName.add(bytes)
        continue
      }
      const long = longName.take(bytes.subarray(0, 11))
      if (isDots(bytes)) continue
      yield decodeEntry(path, bytes, long)
    }
  }
}

function isDots(bytes: Uint8Array): boolean {
  const name = decodeCodePage(bytes.subarray(0, 11)).trimEnd()
  return name === '.' || name === '..'
}

function decodeEntry(path: string, bytes: Uint8Array, long: string | undefined): ReadEntry {
  const view = viewOf(bytes)
  const attributes = view.getUint8(11)
  const isLabel = (attributes & attribute.volumeLabel) !== 0
  const shortName = isLabel ? decodeCodePage(bytes.subarray(0, 11)).trimEnd() : decodeShortName(bytes)
  const name = long ?? shortName
  // A name with a slash would be another path's, one with control characters is not a name but other data.
  if (!isLabel && (/^\.{0,2}$/.test(name) || hasForbidden(name) || hasForbidden(shortName))) {
    throw new FatError(
      `${path}: has an entry with the name ${JSON.stringify(name)}: damaged, or no directory`,
    )
  }
  return {
    name,
    shortName,
    attributes,
    cluster: view.getUint16(20, true) * 0x1_0000 + view.getUint16(26, true),
    sizeBytes: view.getUint32(28, true),
    mtimeSeconds: decodeTime(view.getUint16(24, true), view.getUint16(22, true)),
  }
}

function hasForbidden(name: string): boolean {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return /[\u0000-\u001f/]/u.test(name)
}

function decodeShortName(bytes: Uint8Array): string {
  const name = new Uint8Array(bytes.subarray(0, 11))
  if (name[0] === standsForDeleted) name[0] = deleted
  const bits = bytes[12] ?? 0
  const part = (start: number, end: number, small: number): string => {
    const text = decodeCodePage(name.subarray(start, end)).trimEnd()
    return bits & small ? text.toLowerCase() : text
  }
  const [base, extension] = [part(0, 8, smallBase), part(8, 11, smallExtension)]
  return extension === '' ? base : `${base}.${extension}`
}

/** Puts the pieces of a long name together, which come in the order from the last to the first. */
class LongName {
  #units: number[] = []
  /** The number of the piece that came last; 1 when all are there. */
  #piece = 0
  #checksum = 0

  add(bytes: Uint8Array): void {
    const [order = 0] = bytes
    const piece = order & ~lastPiece
    const checksum = bytes[13] ?? 0
    if (order & lastPiece) {
      this.#units = []
      this.#checksum = checksum
    } else if (piece !== this.#piece - 1 || checksum !== this.#checksum) {
      this.forget()
      return
    }
    this.#piece = piece
    const view = viewOf(bytes)
    this.#units.unshift(...unitOffsets.map((offset) => view.getUint16(offset, true)))
  }

  /** The name, if it is whole and was made for this short one; undefined otherwise. */
  take(short: Uint8Array): string | undefined {
    const isWhole = this.#piece === 1 && this.#checksum === shortChecksum(short)
    const end = this.#units.indexOf(0)
    const units = end === -1 ? this.#units : this.#units.slice(0, end)
    this.forget()
    return isWhole && units.length > 0 ? String.fromCharCode(...units).toWellFormed() : undefined
  }

  forget(): void {
    this.#units = []
    this.#piece = 0
  }
}
