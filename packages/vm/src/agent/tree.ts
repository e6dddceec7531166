/**
 * A file or a folder as a stream of bytes, the same code on both sides. Each entry is a length (4 bytes,
 * little-endian), so many bytes of JSON, and the content of a file. Modes and symbolic links are kept; owners, times
 * and devices are not.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { chmod, lstat, mkdir, readdir, readlink, rm, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { once } from 'node:events'
import { finished } from 'node:stream/promises'

interface Entry {
  /** Below the copied thing; empty for itself. */
  readonly path: string
  readonly type: 'file' | 'folder' | 'symlink'
  /** Permission bits. */
  readonly mode: number
  /** Of a file, in bytes. */
  readonly sizeBytes: number
  /** Of a symbolic link. */
  readonly target?: string
}

/**
 * The stream of what is at `path`. Sockets, pipes and devices are left out.
 *
 * @throws Node's error when something cannot be read; Error when a file shrinks meanwhile
 */
export async function* packTree(path: string, below: string = ''): AsyncGenerator<Uint8Array> {
  const stat = await lstat(path)
  const base = { path: below, mode: stat.mode & 0o7777, sizeBytes: 0 }
  if (stat.isSymbolicLink()) yield header({ ...base, type: 'symlink', target: await readlink(path) })
  else if (stat.isFile()) yield* packFile(path, { ...base, type: 'file', sizeBytes: stat.size })
  else if (stat.isDirectory()) {
    yield header({ ...base, type: 'folder' })
    const names = await readdir(path)
    for (const name of names.toSorted()) yield* packTree(join(path, name), join(below, name))
  }
}

async function* packFile(path: string, entry: Entry): AsyncGenerator<Uint8Array> {
  yield header(entry)
  if (entry.sizeBytes === 0) return
  let leftBytes = entry.sizeBytes
  // `end` is inclusive: a file that grows meanwhile is cut, not sent into the next entry.
  for await (const chunk of createReadStream(path, { end: entry.sizeBytes - 1 })) {
    leftBytes -= (chunk as Uint8Array).length
    yield chunk as Uint8Array
  }
  if (leftBytes !== 0) throw new Error(`${path}: became shorter while it was read`)
}

function header(entry: Entry): Uint8Array {
  const json = Buffer.from(JSON.stringify(entry))
  const length = Buffer.alloc(4)
  length.writeUInt32LE(json.length)
  return Buffer.concat([length, json])
}

/**
 * Writes what {@link packTree} read at `path`: a folder into one that may be there already, a file or a link in place
 * of what was there. Folders above it are made.
 *
 * @throws Node's error when something cannot be written; Error when the stream ends too early
 */
export async function unpackTree(stream: AsyncIterable<Uint8Array>, path: string): Promise<void> {
  const reader = new ByteReader(stream)
  // Last, and innermost first: a folder may not be writable.
  const folders: Entry[] = []
  await mkdir(dirname(path), { recursive: true })
  for (;;) {
    const entry = await readEntry(reader)
    if (entry === undefined) break
    const at = entry.path === '' ? path : join(path, entry.path)
    if (entry.type === 'folder') {
      await mkdir(at, { recursive: true })
      folders.push(entry)
      continue
    }
    await rm(at, { force: true })
    if (entry.type === 'symlink') await symlink(entry.target ?? '', at)
    else await unpackFile(reader, entry, at)
  }
  for (const { path: below, mode } of folders.toReversed())
    await chmod(below === '' ? path : join(path, below), mode)
}

async function readEntry(reader: ByteReader): Promise<Entry | undefined> {
  const length = await reader.exactly(4)
  if (length === undefined) return undefined
  const json = await reader.exactly(Buffer.from(length).readUInt32LE())
  return JSON.parse(new TextDecoder().decode(json)) as Entry
}

async function unpackFile(reader: ByteReader, { sizeBytes, mode }: Entry, path: string): Promise<void> {
  const file = createWriteStream(path)
  // A failure shows in `finished`; without a listener it would be nobody's.
  file.on('error', () => {})
  for (let left = sizeBytes; left > 0 && !file.destroyed;) {
    const chunk = await reader.upTo(left)
    left -= chunk.length
    if (!file.write(chunk)) await Promise.race([once(file, 'drain'), finished(file)])
  }
  file.end()
  await finished(file)
  await chmod(path, mode)
}

/** Takes bytes out of a stream in the amounts that are wanted. */
class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>
  #left: Uint8Array = new Uint8Array(0)

  constructor(stream: AsyncIterable<Uint8Array>) {
    this.#chunks = stream[Symbol.asyncIterator]()
  }

  /** At least one byte and at most `limitBytes`. */
  async upTo(limitBytes: number): Promise<Uint8Array> {
    if (this.#left.length === 0 && !(await this.#more())) throw new Error('the copy ended in the middle')
    const taken = this.#left.subarray(0, limitBytes)
    this.#left = this.#left.subarray(taken.length)
    return taken
  }

  /** So many bytes; undefined when the stream is at its end. */
  async exactly(sizeBytes: number): Promise<Uint8Array | undefined> {
    if (this.#left.length === 0 && !(await this.#more())) return undefined
    const parts: Uint8Array[] = []
    for (let left = sizeBytes; left > 0; left -= parts.at(-1)?.length ?? 0) parts.push(await this.upTo(left))
    return Buffer.concat(parts)
  }

  async #more(): Promise<boolean> {
    while (this.#left.length === 0) {
      const next = await this.#chunks.next()
      if (next.done === true) return false
      this.#left = next.value
    }
    return true
  }
}
