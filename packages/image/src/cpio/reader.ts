/**
 * Archives one after another, read entry by entry.
 *
 * The rules are the kernel's (init/initramfs.c): zeros may lie between archives, each archive begins at a multiple
 * of four, names of one file share device, inode and type and have nlink ≥ 2, and such groups end at the trailer.
 */
import { abortable } from '../stream/content.ts'
import { typeBits, typeMask } from '../tree/mode.ts'
import { CpioError } from './error.ts'
import { headerBytes, headerFields, nameBytesMax, paddingBytes, trailerName } from './format.ts'
import type { CpioHeader, CpioType } from './format.ts'
import { Input } from '../stream/input.ts'

/** One entry of an archive. */
export interface CpioEntry {
  /** The name as it stands in the archive: `etc/motd`, `./etc/motd` or `/etc/motd`. Bytes that are no UTF-8 become U+FFFD. */
  readonly name: string
  /** The absolute path that the name means: `/etc/motd`; `/` for `.`. */
  readonly path: string
  /** What it is. */
  readonly type: CpioType
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number
  /** Owner. */
  readonly uid: number
  /** Group. */
  readonly gid: number
  /** Time of last change, seconds since 1970. */
  readonly mtimeSeconds: number
  /** Inode number in the archive. */
  readonly ino: number
  /** Number of names that the file had when it was archived. */
  readonly nlink: number
  /** Major number of a device, else 0. */
  readonly major: number
  /** Minor number of a device, else 0. */
  readonly minor: number
  /** What a symlink says. */
  readonly target?: string
  /**
   * The path of the first entry of this archive that is the same file. Only one of a file's names has its bytes,
   * usually the last: content of an entry with `linkTo` is the content of all names.
   */
  readonly linkTo?: string
  /** Bytes of a file with this entry; 0 for other types. */
  readonly sizeBytes: number
  /** Which archive of the input it is in: 0 for the first. */
  readonly archive: number
  /** Where the entry's header begins, in bytes from the beginning of the input. */
  readonly offset: number
  /** The file's bytes, once, before the next entry is asked for. */
  readonly content: AsyncIterable<Uint8Array>
  /** The file's bytes as one array, once, before the next entry is asked for. */
  bytes(): Promise<Uint8Array>
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

/** All entries of all archives in `chunks`. */
export async function* readArchives(
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<CpioEntry, void, undefined> {
  const input = new Input(abortable(asynchronous(chunks), signal))
  try {
    for (let archive = 0; await input.skipZeros(); archive++) {
      if (input.offset % 4 !== 0) {
        throw new CpioError(
          input.offset,
          'data after an archive must begin at a multiple of 4 (init/initramfs.c)',
        )
      }
      yield* readArchive(input, archive)
    }
    if (input.offset === 0) throw new CpioError(0, 'the input is empty, expected a newc archive')
  } finally {
    await input.close()
  }
}

async function* asynchronous(
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield* chunks
}

async function* readArchive(input: Input, archive: number): AsyncGenerator<CpioEntry, void, undefined> {
  const firstNames = new Map<string, string>()
  for (;;) {
    const offset = input.offset
    const { header, hasSum } = await readHeader(input)
    const name = await readName(input, header.namesize)
    if (name === trailerName) {
      await skipBody(input, header.filesize, name)
      return
    }
    const path = pathOf(name, offset)
    const type = typeOf(header.mode, path, offset)
    checkSize(header, type, path, offset)
    const target = type === 'symlink' ? await readTarget(input, header.filesize, path) : undefined
    const linkTo = findLink(firstNames, header, type, path)
    const body = new Body(
      input,
      target === undefined ? header.filesize : 0,
      path,
      hasSum ? header.check : undefined,
    )
    yield {
      name,
      path,
      type,
      mode: header.mode & 0o7777,
      uid: header.uid,
      gid: header.gid,
      mtimeSeconds: header.mtime,
      ino: header.ino,
      nlink: header.nlink,
      major: header.rdevmajor,
      minor: header.rdevminor,
      ...(target === undefined ? {} : { target }),
      ...(linkTo === undefined ? {} : { linkTo }),
      sizeBytes: type === 'file' ? header.filesize : 0,
      archive,
      offset,
      content: body,
      bytes: () => body.bytes(),
    }
    await body.skipRest()
  }
}

async function readHeader(input: Input): Promise<{ header: CpioHeader; hasSum: boolean }> {
  const offset = input.offset
  const bytes = await input.take(headerBytes)
  if (bytes.byteLength === 0) {
    throw new CpioError(offset, `the input ends without the entry ${trailerName} that ends an archive`)
  }
  const text = String.fromCharCode(...bytes)
  if (!text.startsWith('070701') && !text.startsWith('070702'))
    throw new CpioError(offset, unknownMagic(bytes))
  if (bytes.byteLength < headerBytes) {
    throw new CpioError(offset, `a header of ${headerBytes} bytes is cut off after ${bytes.byteLength}`)
  }
  const header: Partial<CpioHeader> = {}
  for (const [index, field] of headerFields.entries()) {
    const start = 6 + index * 8
    const digits = text.slice(start, start + 8)
    if (!/^[0-9a-f]{8}$/i.test(digits)) {
      throw new CpioError(
        offset + start,
        `${field} is ${JSON.stringify(digits)}, expected 8 hexadecimal digits`,
      )
    }
    header[field] = Number.parseInt(digits, 16)
  }
  return { header: header as CpioHeader, hasSum: text.startsWith('070702') }
}

const otherMagics: readonly (readonly [number[], string])[] = [
  [[0x30, 0x37, 0x30, 0x37, 0x30, 0x37], 'an archive in the old portable format (odc): only newc is read'],
  [[0xc7, 0x71], 'an archive in the old binary format: only newc is read'],
  [[0x71, 0xc7], 'an archive in the old binary format, big-endian: only newc is read'],
  [[0x28, 0xb5, 0x2f, 0xfd], 'data compressed with zstd: decompress it first'],
  [[0x1f, 0x8b], 'data compressed with gzip: decompress it first'],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], 'data compressed with xz: decompress it first'],
  [[0x02, 0x21, 0x4c, 0x18], 'data compressed with lz4: decompress it first'],
  [[0x42, 0x5a, 0x68], 'data compressed with bzip2: decompress it first'],
]

function unknownMagic(bytes: Uint8Array): string {
  const known = otherMagics.find(([magic]) => magic.every((byte, index) => bytes[index] === byte))
  if (known) return known[1]
  const found = [...bytes.subarray(0, 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
  return `expected the magic 070701 of an entry, found the bytes ${found}`
}

async function readName(input: Input, namesize: number): Promise<string> {
  const offset = input.offset
  if (namesize < 2 || namesize > nameBytesMax) {
    throw new CpioError(offset, `a name of ${namesize} bytes with its NUL, expected 2 to ${nameBytesMax}`)
  }
  const lengthBytes = namesize + paddingBytes(headerBytes + namesize, 4)
  const bytes = await input.take(lengthBytes)
  if (bytes.byteLength < lengthBytes) {
    throw new CpioError(offset, `a name of ${namesize} bytes is cut off after ${bytes.byteLength}`)
  }
  if (bytes.indexOf(0) !== namesize - 1) {
    throw new CpioError(offset, `a name of ${namesize} bytes must have its only NUL at its end`)
  }
  return decoder.decode(bytes.subarray(0, namesize - 1))
}

function pathOf(name: string, offset: number): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) {
    throw new CpioError(
      offset,
      `the name ${JSON.stringify(name)} has .. in it and could leave the image's folder`,
    )
  }
  return `/${parts.join('/')}`
}

function typeOf(mode: number, path: string, offset: number): CpioType {
  for (const [type, bits] of Object.entries(typeBits)) {
    if ((mode & typeMask) === bits) return type as CpioType
  }
  throw new CpioError(offset, `${path}: mode 0o${mode.toString(8)} is of no known file type`)
}

function checkSize(header: CpioHeader, type: CpioType, path: string, offset: number): void {
  if (type === 'symlink' && (header.filesize === 0 || header.filesize >= nameBytesMax)) {
    throw new CpioError(
      offset,
      `${path}: a symlink's target of ${header.filesize} bytes, expected 1 to ${nameBytesMax - 1}`,
    )
  }
  if (type !== 'file' && type !== 'symlink' && header.filesize !== 0) {
    throw new CpioError(offset, `${path}: a ${type} with ${header.filesize} bytes of content`)
  }
}

async function readTarget(input: Input, sizeBytes: number, path: string): Promise<string> {
  const offset = input.offset
  const bytes = await input.take(sizeBytes)
  if (bytes.byteLength < sizeBytes) {
    throw new CpioError(
      offset,
      `${path}: its target of ${sizeBytes} bytes is cut off after ${bytes.byteLength}`,
    )
  }
  if (bytes.includes(0)) throw new CpioError(offset, `${path}: its target has a NUL in it`)
  await skipBody(input, paddingBytes(sizeBytes, 4), path)
  return decoder.decode(bytes)
}

function findLink(
  names: Map<string, string>,
  header: CpioHeader,
  type: CpioType,
  path: string,
): string | undefined {
  if (header.nlink < 2 || type === 'directory' || type === 'symlink') return undefined
  const key = `${header.devmajor}:${header.devminor}:${header.ino}:${type}`
  const first = names.get(key)
  if (first === undefined) names.set(key, path)
  return first
}

async function skipBody(input: Input, sizeBytes: number, path: string): Promise<void> {
  const offset = input.offset
  for (let left = sizeBytes; left > 0;) {
    const part = await input.some(left)
    if (!part)
      throw new CpioError(offset, `${path}: ${sizeBytes} bytes are cut off after ${sizeBytes - left}`)
    left -= part.byteLength
  }
}

/** The content of one entry: read at most once, skipped as far as it was not read, its sum checked either way. */
class Body implements AsyncIterable<Uint8Array> {
  readonly #input: Input
  readonly #sizeBytes: number
  readonly #path: string
  readonly #offset: number
  readonly #expectedSum: number | undefined
  #leftBytes: number
  #sum = 0
  #finished = false

  constructor(input: Input, sizeBytes: number, path: string, expectedSum: number | undefined) {
    this.#input = input
    this.#sizeBytes = sizeBytes
    this.#leftBytes = sizeBytes
    this.#path = path
    this.#offset = input.offset
    this.#expectedSum = expectedSum
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const part = await this.#next()
      if (!part) return
      yield part
    }
  }

  async bytes(): Promise<Uint8Array> {
    if (this.#finished || this.#leftBytes !== this.#sizeBytes) {
      throw new TypeError(`${this.#path}: its content has been read or passed already`)
    }
    // Collected, not allocated ahead: a damaged size must not ask for 4 GiB of memory before the input ends.
    const parts: Uint8Array[] = []
    for await (const part of this) parts.push(part.slice())
    const bytes = new Uint8Array(this.#sizeBytes)
    let filled = 0
    for (const part of parts) {
      bytes.set(part, filled)
      filled += part.byteLength
    }
    return bytes
  }

  async skipRest(): Promise<void> {
    while (await this.#next());
    this.#finished = true
    if (this.#expectedSum !== undefined && this.#sizeBytes > 0 && this.#sum !== this.#expectedSum) {
      throw new CpioError(
        this.#offset,
        `${this.#path}: the sum of its bytes is ${this.#sum}, its header says ${this.#expectedSum}`,
      )
    }
    await skipBody(this.#input, paddingBytes(this.#sizeBytes, 4), this.#path)
  }

  async #next(): Promise<Uint8Array | undefined> {
    if (this.#finished)
      throw new TypeError(`${this.#path}: its content was passed when the next entry was asked for`)
    if (this.#leftBytes === 0) return undefined
    const part = await this.#input.some(this.#leftBytes)
    if (!part) {
      const seenBytes = this.#sizeBytes - this.#leftBytes
      throw new CpioError(
        this.#offset,
        `${this.#path}: its ${this.#sizeBytes} bytes are cut off after ${seenBytes}`,
      )
    }
    this.#leftBytes -= part.byteLength
    if (this.#expectedSum !== undefined) for (const byte of part) this.#sum = (this.#sum + byte) >>> 0
    return part
  }
}
