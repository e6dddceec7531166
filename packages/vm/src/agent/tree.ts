/**
 * A file or a folder as a stream of bytes, the same code on both sides. Each entry is a length (4 bytes,
 * little-endian) and so many bytes of JSON; the content of a file follows in pieces, each after its length, until one
 * of length 0. Sizes are not asked before: files of /proc have none. Modes and symbolic links are kept; owners, times
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
  /** Of a symbolic link. */
  readonly target?: string
}

/** The most that an entry's JSON may have, in bytes: more than a path and a link's target. */
const HEADER_LIMIT_BYTES = 1 << 20

/**
 * The stream of what is at `path`. Sockets, pipes and devices in a folder are left out.
 *
 * @throws Node's error when something cannot be read; Error when `path` itself is neither file, folder nor link
 */
export async function* packTree(path: string, below: string = ''): AsyncGenerator<Uint8Array> {
  const stat = await lstat(path)
  const base = { path: below, mode: stat.mode & 0o7777 }
  if (stat.isSymbolicLink()) yield header({ ...base, type: 'symlink', target: await readlink(path) })
  else if (stat.isFile()) yield* packFile(path, { ...base, type: 'file' })
  else if (stat.isDirectory()) {
    yield header({ ...base, type: 'folder' })
    const names = await readdir(path)
    for (const name of names.toSorted()) yield* packTree(join(path, name), join(below, name))
  } else if (below === '') throw new Error(`${path}: is neither a file, a folder nor a symbolic link`)
}

async function* packFile(path: string, entry: Entry): AsyncGenerator<Uint8Array> {
  yield header(entry)
  for await (const chunk of createReadStream(path)) {
    const bytes = chunk as Uint8Array
    if (bytes.length === 0) continue
    yield lengthOf(bytes)
    yield bytes
  }
  yield lengthOf(NOTHING)
}

const NOTHING = new Uint8Array(0)

function lengthOf(bytes: Uint8Array): Uint8Array {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(bytes.length)
  return length
}

function header(entry: Entry): Uint8Array {
  const json = Buffer.from(JSON.stringify(entry))
  return Buffer.concat([lengthOf(json), json])
}

/**
 * Writes what {@link packTree} read at `path`: a folder into one that may be there already, a file or a link in place
 * of what was there. Folders above it are made.
 *
 * @param followsLinks - whether a folder may go into one that a symbolic link, which was there before, leads to. Not
 *   where the sender is not trusted: it may have sent the link earlier
 * @throws Node's error when something cannot be written; Error when the stream ends too early, or wants to write
 *   elsewhere than at or below `path`
 */
export async function unpackTree(
  stream: AsyncIterable<Uint8Array>,
  path: string,
  followsLinks: boolean = false,
): Promise<void> {
  const reader = new ByteReader(stream)
  // Last, and innermost first: a folder may not be writable.
  const folders: Entry[] = []
  const places = new Places()
  await mkdir(dirname(path), { recursive: true })
  for (;;) {
    const entry = await readEntry(reader)
    if (entry === undefined) break
    places.take(entry)
    const at = entry.path === '' ? path : join(path, entry.path)
    if (entry.type === 'folder') {
      if (!followsLinks && entry.path !== '' && (await isLink(at)))
        throw new Error(`${at}: is a symbolic link, and the copy has a folder there`)
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

/** The places that a stream may write to: below folders that it brought itself, and each once. */
class Places {
  readonly #folders = new Set<string>()
  readonly #taken = new Set<string>()

  /** @throws Error the entry's place is not one of them */
  take({ path, type }: Entry): void {
    const parts = path.split('/')
    const isPlain = path === '' || parts.every((part) => !['', '.', '..'].includes(part))
    const isInside = path === '' ? this.#taken.size === 0 : this.#folders.has(parts.slice(0, -1).join('/'))
    if (!isPlain || !isInside || this.#taken.has(path) || !['file', 'folder', 'symlink'].includes(type))
      throw new Error(`the copy has an entry that cannot be: ${JSON.stringify(path)}`)
    this.#taken.add(path)
    if (type === 'folder') this.#folders.add(path)
  }
}

async function isLink(path: string): Promise<boolean> {
  const stat = await lstat(path).catch(() => undefined)
  return stat?.isSymbolicLink() === true
}

async function readEntry(reader: ByteReader): Promise<Entry | undefined> {
  const lengthBytes = await reader.length()
  if (lengthBytes === undefined) return undefined
  if (lengthBytes > HEADER_LIMIT_BYTES) throw new Error(`the copy has an entry of ${lengthBytes} bytes`)
  const json = await reader.exactly(lengthBytes)
  return JSON.parse(new TextDecoder().decode(json)) as Entry
}

async function unpackFile(reader: ByteReader, { mode }: Entry, path: string): Promise<void> {
  const file = createWriteStream(path)
  // A failure shows in `finished`; without a listener it would be nobody's.
  file.on('error', () => {})
  for (let left = await reader.length(); left !== 0 && !file.destroyed; left = await reader.length()) {
    if (left === undefined) throw new Error('the copy ended in the middle')
    while (left > 0 && !file.destroyed) {
      const chunk = await reader.upTo(left)
      left -= chunk.length
      if (!file.write(chunk)) await Promise.race([once(file, 'drain'), finished(file)])
    }
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

  /** A length of 4 bytes; undefined when the stream is at its end. */
  async length(): Promise<number | undefined> {
    const bytes = await this.exactly(4)
    return bytes && Buffer.from(bytes).readUInt32LE()
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
