/**
 * Paths inside a folder that plays the root of a file system: symlinks are followed as the kernel would after a
 * chroot, absolute ones from the folder, `..` never above it.
 */
import { lstat, readFile, readdir, readlink } from 'node:fs/promises'
import { join, posix } from 'node:path'

/** What a path inside the sysroot is. */
export interface Resolved {
  /** The path after following every symlink, absolute from the sysroot. */
  readonly path: string
  /** The same on the host. */
  readonly source: string
  /** Whether it is a regular file, a directory, or something else. */
  readonly type: 'file' | 'directory' | 'other'
}

/** The kernel gives up after this many (MAXSYMLINKS, linux/namei.h). */
const symlinksMax = 40

/** A folder of the host, read as if it were `/`. */
export class Sysroot {
  readonly folder: string
  /** What lies at each path: the text of a symlink, or a type. The sysroot is taken not to change meanwhile. */
  readonly #known = new Map<string, Promise<{ link: string } | { type: Resolved['type'] } | undefined>>()

  constructor(folder: string) {
    this.folder = folder
  }

  /** Follows `path`; undefined when there is nothing at its end. */
  async resolve(path: string): Promise<Resolved | undefined> {
    const left = path.split('/').toReversed()
    let current = '/'
    let type: Resolved['type'] = 'directory'
    let symlinks = 0
    while (left.length > 0) {
      const part = left.pop()
      if (part === undefined || part === '' || part === '.') continue
      if (type !== 'directory') return undefined
      if (part === '..') {
        current = posix.dirname(current)
        continue
      }
      const next = posix.join(current, part)
      const found = await this.#look(next)
      if (!found) return undefined
      if ('link' in found) {
        if (++symlinks > symlinksMax) return undefined
        if (found.link.startsWith('/')) current = '/'
        left.push(...found.link.split('/').toReversed())
        continue
      }
      current = next
      type = found.type
    }
    return { path: current, source: join(this.folder, current), type }
  }

  /** The text of a file; undefined if it is not there. */
  async readText(path: string): Promise<string | undefined> {
    const found = await this.resolve(path)
    return found?.type === 'file' ? readFile(found.source, 'utf8') : undefined
  }

  /** Names in a directory, sorted; none if it is not there. */
  async list(path: string): Promise<string[]> {
    const found = await this.resolve(path)
    return found?.type === 'directory' ? (await readdir(found.source)).toSorted() : []
  }

  async #look(path: string): Promise<{ link: string } | { type: Resolved['type'] } | undefined> {
    const known = this.#known.get(path) ?? this.#read(path)
    this.#known.set(path, known)
    return known
  }

  async #read(path: string): Promise<{ link: string } | { type: Resolved['type'] } | undefined> {
    const source = join(this.folder, path)
    try {
      const stats = await lstat(source)
      if (stats.isSymbolicLink()) return { link: await readlink(source) }
      if (stats.isDirectory()) return { type: 'directory' }
      return { type: stats.isFile() ? 'file' : 'other' }
    } catch (error) {
      if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
        return undefined
      throw error
    }
  }
}
