/** Answers about the files of an image by path, each read when it is asked for. */
import type { FileSource } from '../stream/content.ts'
import type { FileTree, Xattrs } from '../tree.ts'
import { decodeDevice } from './decode.ts'
import type { DecodedInode } from './decode.ts'
import { ErofsError } from './error.ts'
import type { ErofsType } from './format.ts'
import type { InodeReader } from './inode-reader.ts'
import { treeFrom } from './to-tree.ts'

/** What an image says of one of its files. */
export interface ErofsStat {
  /** What it is. */
  readonly type: ErofsType
  /** Permission bits with set-uid, set-gid and sticky. */
  readonly mode: number
  /** Owner. */
  readonly uid: number
  /** Group. */
  readonly gid: number
  /** How many names it has; of a directory also its `.` and its subdirectories' `..`. */
  readonly links: number
  /** In whole seconds since 1970. */
  readonly mtimeSeconds: number
  /** Bytes of its content, of a directory those of its entries. */
  readonly sizeBytes: number
  /** The number of its inode: names of one file have the same. */
  readonly nid: number
  /** Of devices only. */
  readonly device?: { readonly major: number; readonly minor: number }
}

/** Bounds for what an image may make of its reader. */
export interface ReadTreeOptions {
  /**
   * The most bytes that names, targets and extended attributes may take, with 128 for each node; a damaged image may
   * tell of any number. Default 512 MiB.
   */
  readonly heldBytesMax?: number
}

const heldBytesMaxDefault = 512 * 1024 * 1024

/** An EROFS image, open for questions; `readErofs` opens it. Paths are absolute, and no symlink in them is followed. */
export class ErofsReader {
  readonly #inodes: InodeReader

  /** @internal */
  constructor(inodes: InodeReader) {
    this.#inodes = inodes
  }

  /** The superblock's uuid, in lower case. */
  get uuid(): string {
    return this.#inodes.superblock.uuid
  }

  /** The superblock's volume name, empty without. */
  get volumeName(): string {
    return this.#inodes.superblock.volumeName
  }

  /** Bytes of the image, which may be fewer than those of its partition. */
  get sizeBytes(): number {
    return this.#inodes.sizeBytes
  }

  /** The names in a directory, in the image's order. @throws {@link ErofsError} */
  async list(path: string): Promise<string[]> {
    const names: string[] = []
    for await (const { name } of this.#inodes.entries(await this.#find(path, 'directory'))) names.push(name)
    return names
  }

  /** What is known of a file. @throws {@link ErofsError} */
  async stat(path: string): Promise<ErofsStat> {
    const inode = await this.#find(path)
    const { type, mode, uid, gid, links, mtimeSeconds, sizeBytes, nid, address } = inode
    const isDevice = type === 'char' || type === 'block'
    const device = isDevice ? { device: decodeDevice(address) } : {}
    return { type, mode, uid, gid, links, mtimeSeconds, sizeBytes, nid, ...device }
  }

  /** What a symlink says. @throws {@link ErofsError} */
  async readlink(path: string): Promise<string> {
    return await this.#inodes.target(await this.#find(path, 'symlink'))
  }

  /** The content of a file, to be streamed. @throws {@link ErofsError} */
  async file(path: string): Promise<FileSource> {
    return this.#inodes.content(await this.#find(path, 'file'))
  }

  /** The extended attributes of a file by name, empty without. @throws {@link ErofsError} */
  async xattrs(path: string): Promise<Xattrs> {
    return await this.#inodes.attributes(await this.#find(path))
  }

  /**
   * All files as a tree, whose contents are read from the image when they are asked for.
   *
   * @throws {@link ErofsError}
   */
  async tree(options: ReadTreeOptions = {}): Promise<FileTree> {
    return await treeFrom(this.#inodes, options.heldBytesMax ?? heldBytesMaxDefault)
  }

  async #find(path: string, type?: ErofsType): Promise<DecodedInode> {
    if (!path.startsWith('/')) throw new TypeError(`${path}: a path in an image must be absolute`)
    let inode = await this.#inodes.inode(this.#inodes.superblock.rootNid)
    for (const name of path.split('/').filter((part) => part !== '')) {
      const nid = inode.type === 'directory' ? await this.#lookup(inode, name) : undefined
      if (nid === undefined) throw new ErofsError(`${path}: is not in the image`, 'not-found')
      inode = await this.#inodes.inode(nid)
    }
    if (type !== undefined && inode.type !== type) {
      throw new ErofsError(`${path}: is a ${inode.type}, not a ${type}`, 'wrong-type')
    }
    return inode
  }

  async #lookup(directory: DecodedInode, name: string): Promise<number | undefined> {
    for await (const entry of this.#inodes.entries(directory)) if (entry.name === name) return entry.nid
    return undefined
  }
}
