/**
 * Releases in a folder: on a disk, or on a medium that somebody brought.
 *
 * Only regular files are read, neither symbolic links nor devices nor pipes, which such a medium may have.
 */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { blobPath, type DocumentSource, layoutDocuments } from './layout.ts'
import { UpdateRefused } from './refused.ts'
import { type BlobSource, SourceError } from './source.ts'

/** The most bytes of one chunk. */
const chunkBytes = 256 * 1024

/**
 * The releases of an OCI layout in a folder.
 *
 * @param folder - the one with `oci-layout` in it
 *
 * @example
 * ```ts no-run
 * import { folderSource } from '@pkg/update/folder-source'
 * import { collectDocuments } from '@pkg/update/layout'
 *
 * const documents = await collectDocuments(folderSource('/media/stick/release'), '1.2')
 * console.log(documents.signatures.length)
 * ```
 */
export function folderSource(folder: string): BlobSource & DocumentSource {
  return {
    ...layoutDocuments((path, bytesMax) => readWhole(join(folder, path), bytesMax)),
    open: (digest, offset, length, signal) =>
      readPart(join(folder, blobPath(digest)), { offset, length }, signal),
  }
}

async function readWhole(path: string, bytesMax: number): Promise<Uint8Array> {
  await using file = await openRegular(path)
  const { size } = await file.stat()
  if (size > bytesMax)
    throw new UpdateRefused('size', `${path} has ${size} bytes, expected ${bytesMax} at most`)
  const bytes = new Uint8Array(size)
  let done = 0
  while (done < size) {
    const { bytesRead } = await file.read(bytes, done, size - done, done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return bytes.subarray(0, done)
}

async function* readPart(
  path: string,
  { offset, length }: { readonly offset: number; readonly length: number },
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  await using file = await openRegular(path)
  for (let done = 0; done < length;) {
    signal?.throwIfAborted()
    const bytes = new Uint8Array(Math.min(chunkBytes, length - done))
    const { bytesRead } = await readFrom(file, bytes, offset + done, path)
    if (bytesRead === 0)
      throw new SourceError(`${path} ends after ${offset + done} bytes, expected ${offset + length}`)
    done += bytesRead
    yield bytes.subarray(0, bytesRead)
  }
}

async function readFrom(
  file: FileHandle,
  bytes: Uint8Array,
  offset: number,
  path: string,
): Promise<{ bytesRead: number }> {
  try {
    return await file.read(bytes, 0, bytes.byteLength, offset)
  } catch (cause) {
    throw new SourceError(`${path}: cannot be read: ${String(cause)}`, { cause })
  }
}

async function openRegular(path: string): Promise<FileHandle> {
  let file: FileHandle
  try {
    // O_NONBLOCK: to open a pipe would wait for its writer.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (cause) {
    throw new SourceError(`${path}: cannot be opened: ${String(cause)}`, { cause })
  }
  if ((await file.stat()).isFile()) return file
  await file.close()
  throw new SourceError(`${path} is no regular file`)
}
