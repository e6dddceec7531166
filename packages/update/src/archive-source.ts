/**
 * Releases in one file: an OCI layout as a tar archive, such as `skopeo copy … oci-archive:FILE` or `tar -cf` makes.
 *
 * What is read: entries of regular files in the ustar format, not compressed. Others are passed over.
 *
 * @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_06
 */
import { fileAccess } from '@pkg/image/file-access'
import type { RandomAccess } from '@pkg/image/random-access'
import { blobPath, type DocumentSource, layoutDocuments } from './layout.ts'
import { UpdateRefused } from './refused.ts'
import { type BlobSource, SourceError } from './source.ts'

const blockBytes = 512

/** A layout has some tens of files for each release. */
const entriesMax = 100_000

/** The most bytes of one chunk. */
const chunkBytes = 256 * 1024

/** A source that holds a file open. */
export type ArchiveSource = BlobSource & DocumentSource & AsyncDisposable

/**
 * Opens an archive. Close it by `await using`.
 *
 * @throws UpdateRefused `format` when it is no archive, or one that is cut off; Node's `ENOENT`, `EACCES` …
 */
export async function openArchiveSource(path: string): Promise<ArchiveSource> {
  const access = await fileAccess(path)
  try {
    const entries = await readEntries(access, path)
    return {
      ...layoutDocuments(async (name, bytesMax) => {
        const entry = entryOf(entries, name, path)
        if (entry.sizeBytes > bytesMax) {
          throw new UpdateRefused(
            'size',
            `${path}: ${name} has ${entry.sizeBytes} bytes, expected ${bytesMax} at most`,
          )
        }
        return await access.read(entry.startBytes, entry.sizeBytes)
      }),
      async *open(digest, offset, length, signal) {
        const entry = entryOf(entries, blobPath(digest), path)
        if (offset + length > entry.sizeBytes) {
          throw new SourceError(
            `${path}: ${digest} ends after ${entry.sizeBytes} bytes, expected ${offset + length}`,
          )
        }
        for (let done = 0; done < length; done += chunkBytes) {
          signal?.throwIfAborted()
          yield await access.read(entry.startBytes + offset + done, Math.min(chunkBytes, length - done))
        }
      },
      [Symbol.asyncDispose]: () => access[Symbol.asyncDispose](),
    }
  } catch (error) {
    await access[Symbol.asyncDispose]()
    throw error
  }
}

interface Entry {
  readonly startBytes: number
  readonly sizeBytes: number
}

function entryOf(entries: ReadonlyMap<string, Entry>, name: string, path: string): Entry {
  const entry = entries.get(name)
  if (entry === undefined) throw new SourceError(`${path} has no file ${name}`)
  return entry
}

async function readEntries(access: RandomAccess, path: string): Promise<ReadonlyMap<string, Entry>> {
  const entries = new Map<string, Entry>()
  for (let offset = 0; offset + blockBytes <= access.sizeBytes;) {
    const header = Buffer.from(await access.read(offset, blockBytes))
    if (header.every((byte) => byte === 0)) return entries
    const { name, sizeBytes, isFile } = readHeader(header, path)
    const startBytes = offset + blockBytes
    if (startBytes + sizeBytes > access.sizeBytes) {
      throw new UpdateRefused('size', `${path}: ${name} has ${sizeBytes} bytes, which are not all there`)
    }
    // The first of a name counts, as for who looks for it from the front.
    if (isFile && !entries.has(name)) entries.set(name, { startBytes, sizeBytes })
    if (entries.size > entriesMax)
      throw new UpdateRefused('format', `${path} has more than ${entriesMax} files`)
    offset = startBytes + Math.ceil(sizeBytes / blockBytes) * blockBytes
  }
  return entries
}

function readHeader(header: Buffer, path: string): { name: string; sizeBytes: number; isFile: boolean } {
  const text = (start: number, end: number): string =>
    header.toString('latin1', start, end).replace(/\0.*$/s, '')
  const octal = (start: number, end: number): number => {
    const digits = text(start, end).trim()
    if (!/^[0-7]{1,12}$/.test(digits)) throw new UpdateRefused('format', `${path} is no tar archive`)
    return Number.parseInt(digits, 8)
  }
  // The checksum's own field counts as spaces.
  const sum = header.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 0x20 : byte), 0)
  if (sum !== octal(148, 156)) throw new UpdateRefused('format', `${path} is no tar archive, or damaged`)
  const prefix = text(257, 263) === 'ustar' ? text(345, 500) : ''
  const name = `${prefix === '' ? '' : `${prefix}/`}${text(0, 100)}`.replace(/^\.\//, '')
  return { name, sizeBytes: octal(124, 136), isFile: [0, 0x30].includes(header[156] ?? -1) }
}
