// Reading tar archives as dpkg-deb makes them: ustar headers with GNU's long names, and pax headers for others.

/** One entry of an archive; its bytes pass by once. */
export interface TarEntry {
  /** As in the header: relative, often with a leading `./`. */
  readonly name: string
  readonly type: 'file' | 'symlink' | 'hardlink' | 'directory' | 'other'
  /** What a symbolic link says, or the name of the entry that a hard link is another name of. */
  readonly target: string
  /** Permission bits. */
  readonly mode: number
  /** Owner. */
  readonly uid: number
  /** Group. */
  readonly gid: number
  readonly sizeBytes: number
  /** The bytes. What is not read is passed over when the next entry is asked for. */
  readonly content: AsyncIterable<Uint8Array>
}

const blockBytes = 512

/**
 * Gives the entries of an archive in their order.
 *
 * @throws Error when it is cut off or is no tar archive
 * @see https://www.gnu.org/software/tar/manual/html_node/Standard.html
 */
export async function* readTar(
  archive: AsyncIterable<Uint8Array>,
): AsyncGenerator<TarEntry, void, undefined> {
  const input = new ByteReader(archive)
  const long: { name?: string; target?: string } = {}
  for (;;) {
    const header = await input.take(blockBytes)
    if (header === undefined) return
    // Two blocks of zeros end an archive; the first is enough. What pads it to a whole record is read all the same: a
    // program whose pipe is left full never ends.
    if (header.every((byte) => byte === 0)) return await input.drain()
    checkHeader(header)
    const sizeBytes = number(header, 124, 12)
    const paddedBytes = Math.ceil(sizeBytes / blockBytes) * blockBytes
    const flag = String.fromCharCode(header[156] as number)
    if ('LKxg'.includes(flag)) {
      const body = (await input.takeAll(paddedBytes)).subarray(0, sizeBytes)
      if (flag === 'L') long.name = text(body, 0, sizeBytes)
      else if (flag === 'K') long.target = text(body, 0, sizeBytes)
      else if (flag === 'x') Object.assign(long, paxNames(body))
      continue
    }
    const prefix = text(header, 257, 6).startsWith('ustar') ? ustarPrefix(header) : ''
    const rest = { bytes: sizeBytes }
    yield {
      name: long.name ?? `${prefix}${text(header, 0, 100)}`,
      type: typeOf(flag),
      target: long.target ?? text(header, 157, 100),
      mode: number(header, 100, 8) & 0o7777,
      uid: number(header, 108, 8),
      gid: number(header, 116, 8),
      sizeBytes,
      content: pieces(input, rest),
    }
    delete long.name
    delete long.target
    await input.skip(rest.bytes + paddedBytes - sizeBytes)
  }
}

function typeOf(flag: string): TarEntry['type'] {
  if (flag === '0' || flag === '\0') return 'file'
  if (flag === '1') return 'hardlink'
  if (flag === '2') return 'symlink'
  return flag === '5' ? 'directory' : 'other'
}

/** GNU's own format has other fields where ustar has the prefix. */
function ustarPrefix(header: Uint8Array): string {
  const isUstar = header[262] === 0
  const prefix = isUstar ? text(header, 345, 155) : ''
  return prefix === '' ? '' : `${prefix}/`
}

/** The sum of all bytes, those of the field itself taken as spaces. */
function checkHeader(header: Uint8Array): void {
  let sum = 0
  for (const [index, byte] of header.entries()) sum += index >= 148 && index < 156 ? 0x20 : byte
  if (sum !== number(header, 148, 8)) throw new Error('tar: a header has a wrong checksum')
}

function number(header: Uint8Array, at: number, length: number): number {
  // GNU: sizes of 8 GiB and more are binary, marked by the first bit.
  if (((header[at] as number) & 0x80) !== 0) {
    return header.subarray(at + 1, at + length).reduce((value, byte) => value * 256 + byte, 0)
  }
  return Number.parseInt(text(header, at, length).trim() || '0', 8)
}

function text(bytes: Uint8Array, at: number, length: number): string {
  const field = bytes.subarray(at, at + length)
  const end = field.indexOf(0)
  return new TextDecoder().decode(end === -1 ? field : field.subarray(0, end))
}

/** Records are `LENGTH KEY=VALUE\n`, the length in bytes and of the whole record. @see pax(1) */
function paxNames(body: Uint8Array): { name?: string; target?: string } {
  const found: { name?: string; target?: string } = {}
  for (let at = 0; at < body.length;) {
    const space = body.indexOf(0x20, at)
    const length = Number(text(body, at, space - at))
    if (space === -1 || !(length > 0)) throw new Error('tar: a damaged pax header')
    const [, key, value] = /^([^=]+)=(.*)\n$/s.exec(text(body, space + 1, at + length - space - 1)) ?? []
    if (key === 'path' && value !== undefined) found.name = value
    if (key === 'linkpath' && value !== undefined) found.target = value
    at += length
  }
  return found
}

async function* pieces(
  input: ByteReader,
  rest: { bytes: number },
): AsyncGenerator<Uint8Array, void, undefined> {
  while (rest.bytes > 0) {
    const piece = await input.some(rest.bytes)
    rest.bytes -= piece.length
    yield piece
  }
}

/** Bytes of a stream in the sizes that a format has. */
class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>
  #piece: Uint8Array = new Uint8Array(0)

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** Exactly `length` bytes, or undefined at the end of the stream. */
  async take(length: number): Promise<Uint8Array | undefined> {
    return (await this.#fill()) ? await this.takeAll(length) : undefined
  }

  /** Exactly `length` bytes. */
  async takeAll(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length)
    for (let at = 0; at < length;) {
      const piece = await this.some(length - at)
      bytes.set(piece, at)
      at += piece.length
    }
    return bytes
  }

  /** At least one and at most `limit` bytes. */
  async some(limit: number): Promise<Uint8Array> {
    if (!(await this.#fill())) throw new Error('tar: the archive is cut off')
    const piece = this.#piece.subarray(0, limit)
    this.#piece = this.#piece.subarray(piece.length)
    return piece
  }

  /** Everything up to the end of the stream. */
  async drain(): Promise<void> {
    while (await this.#fill()) this.#piece = new Uint8Array(0)
  }

  async skip(length: number): Promise<void> {
    for (let rest = length; rest > 0;) rest -= (await this.some(rest)).length
  }

  async #fill(): Promise<boolean> {
    while (this.#piece.length === 0) {
      const { done, value } = await this.#source.next()
      if (done === true) return false
      this.#piece = value
    }
    return true
  }
}
