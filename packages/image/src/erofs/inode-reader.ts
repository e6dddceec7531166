/** Reads inodes and what belongs to them by their numbers. Every read is checked against the end of the image. */
import type { FileSource } from '../stream/content.ts'
import type { RandomAccess } from '../random-access.ts'
import type { Xattrs } from '../tree.ts'
import { decodeEntries, decodeInode, decodeSuperblock, inodeBytesMax, inodeOffset } from './decode.ts'
import type { DecodedEntry, DecodedInode, DecodedSuperblock } from './decode.ts'
import { ErofsError } from './error.ts'
import { blockBytes } from './format.ts'
import { decodeXattrs, xattrEntryBytesMax } from './xattrs.ts'

const chunkBytes = 1024 * 1024

/** PATH_MAX without its NUL. */
const targetBytesMax = 4095

/** An image by the numbers of its inodes. */
export class InodeReader {
  readonly superblock: DecodedSuperblock
  readonly #access: RandomAccess

  private constructor(access: RandomAccess, superblock: DecodedSuperblock) {
    this.#access = access
    this.superblock = superblock
  }

  /** Reads the superblock. @throws ErofsError */
  static async open(access: RandomAccess): Promise<InodeReader> {
    return new InodeReader(access, decodeSuperblock(await access.read(0, blockBytes), access.sizeBytes))
  }

  /** Bytes of the image by its superblock. */
  get sizeBytes(): number {
    return this.superblock.blocks * blockBytes
  }

  /** @throws ErofsError when there is none, or one that is not read */
  async inode(nid: number): Promise<DecodedInode> {
    const offset = inodeOffset(this.superblock, nid)
    return decodeInode(this.superblock, nid, await this.#access.read(offset, inodeBytesMax))
  }

  /** What a directory names, without its `.` and `..`. */
  async *entries(directory: DecodedInode): AsyncGenerator<DecodedEntry, void, undefined> {
    let [block, dots] = [0, 0]
    for await (const bytes of this.#data(directory, blockBytes)) {
      const what = `EROFS inode ${directory.nid}, block ${block} of a directory`
      for (const entry of decodeEntries(bytes, what)) {
        const isDots = entry.name === '.' || entry.name === '..'
        if (isDots) dots += 1
        // Without this a damaged image could make a reader pass over the same blocks without end or result.
        if (dots > 2) throw new ErofsError(`${what}: a third entry . or ..`)
        if (!isDots) yield entry
      }
      block += 1
    }
  }

  /** What a symlink says. */
  async target(symlink: DecodedInode): Promise<string> {
    const what = `EROFS inode ${symlink.nid}`
    if (symlink.sizeBytes === 0 || symlink.sizeBytes > targetBytesMax) {
      throw new ErofsError(`${what}: a symlink of ${symlink.sizeBytes} bytes`)
    }
    const pieces: Uint8Array[] = []
    for await (const piece of this.#data(symlink, chunkBytes)) pieces.push(piece)
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(pieces))
    } catch {
      throw new ErofsError(`${what}: a symlink whose target is not UTF-8`)
    }
  }

  /** The bytes of a file, read when they are asked for. */
  content(file: DecodedInode): FileSource {
    return { sizeBytes: file.sizeBytes, open: ({ signal } = {}) => this.#data(file, chunkBytes, signal) }
  }

  /** The extended attributes of an inode, its own and shared ones. */
  async attributes(inode: DecodedInode): Promise<Xattrs> {
    if (inode.xattrBytes === 0) return {}
    const what = `EROFS inode ${inode.nid}`
    const bytes = await this.#read(inode.xattrOffset, inode.xattrBytes, what)
    return await decodeXattrs(bytes, what, async (id) => {
      const offset = this.superblock.xattrBlock * blockBytes + id * 4
      const leftBytes = this.sizeBytes - offset
      if (leftBytes <= 0) throw new ErofsError(`${what}: the shared extended attribute ${id} lies outside`)
      return await this.#read(offset, Math.min(leftBytes, xattrEntryBytesMax), what)
    })
  }

  /** The data of an inode in pieces of `pieceBytes`, the last ones shorter. */
  async *#data(
    { nid, sizeBytes, address, inlineOffset }: DecodedInode,
    pieceBytes: number,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const what = `EROFS inode ${nid}`
    const inlineBytes = inlineOffset === undefined ? 0 : sizeBytes % blockBytes
    const plainBytes = sizeBytes - inlineBytes
    for (let offset = 0; offset < plainBytes; offset += pieceBytes) {
      signal?.throwIfAborted()
      yield await this.#read(address * blockBytes + offset, Math.min(pieceBytes, plainBytes - offset), what)
    }
    signal?.throwIfAborted()
    if (inlineOffset !== undefined && inlineBytes > 0) yield await this.#read(inlineOffset, inlineBytes, what)
  }

  async #read(offset: number, length: number, what: string): Promise<Uint8Array> {
    const bytes = await this.#access.read(offset, length)
    if (bytes.byteLength === length) return bytes
    throw new ErofsError(
      `${what}: the image ends at byte ${offset + bytes.byteLength}, ${length} bytes from ${offset} on are needed`,
    )
  }
}
