/** Where the bytes of a file in an image come from: memory, or a stream that is opened only when it is written. */
import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import type { FileSource } from './stream/content.ts'

export { abortable, contentSizeBytes, readContent } from './stream/content.ts'
export type { FileContent, FileSource, OpenOptions } from './stream/content.ts'

/** Files of the host are read in chunks of this size, smaller ones at once. */
const hostChunkBytes = 256 * 1024

/**
 * A {@link FileSource} for a file of the host. Its size and its identity (inode and times) are taken now; the file is
 * opened when it is written.
 *
 * Blocks: no (awaited).
 *
 * @param path - of a regular file; symlinks are followed
 * @throws TypeError when `path` is no regular file; Node's `ENOENT`, `EACCES` … from stat(2)
 *
 * @example
 * ```ts
 * import { hostFile } from '@pkg/image/file-source'
 *
 * const source = await hostFile('/etc/passwd')
 * let sizeBytes = 0
 * for await (const chunk of source.open()) sizeBytes += chunk.byteLength
 * console.log(sizeBytes === source.sizeBytes)
 * ```
 */
export async function hostFile(path: string): Promise<FileSource> {
  const stats = await stat(path, { bigint: true })
  if (!stats.isFile())
    throw new TypeError(`${path}: not a regular file, so its bytes cannot go into an image`)
  const { dev, ino, size, mtimeNs, ctimeNs } = stats
  return {
    sizeBytes: Number(size),
    identity: [dev, ino, size, mtimeNs, ctimeNs].join(':'),
    open: ({ signal } = {}) =>
      size <= hostChunkBytes
        ? wholeFile(path, signal)
        : createReadStream(path, { highWaterMark: hostChunkBytes, ...(signal ? { signal } : {}) }),
  }
}

/** Without a stream: 5763 files of /usr/share/doc were read in 0.35 s, each with a stream of its own in 1.7 s. */
async function* wholeFile(path: string, signal?: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  yield await readFile(path, signal ? { signal } : {})
}
