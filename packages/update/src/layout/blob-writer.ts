// Blobs of an OCI layout: written under a name of their own, renamed to their digest when that is known.
import { createHash, randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { blobPath } from '../layout.ts'
import type { BlobReference } from '../release.ts'

/** Writes into `folder/blobs`; nothing is there under a digest before it is whole. */
export class BlobWriter {
  readonly #folder: string

  private constructor(folder: string) {
    this.#folder = folder
  }

  /** Makes the folders of a layout, and the file that says that it is one. */
  static async open(folder: string): Promise<BlobWriter> {
    await mkdir(join(folder, 'blobs', 'sha256'), { recursive: true })
    await writeFile(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
    return new BlobWriter(folder)
  }

  /** Where a blob lies. */
  path(digest: string): string {
    return join(this.#folder, blobPath(digest))
  }

  /** Writes what is given piece by piece. */
  async put(pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<BlobReference> {
    const temporary = join(this.#folder, 'blobs', `.${randomUUID()}`)
    try {
      const written = await writeHashed(temporary, pieces)
      await rename(temporary, this.path(written.digest))
      return written
    } catch (error) {
      await rm(temporary, { force: true })
      throw error
    }
  }

  /** Replaces a file of the layout at once. */
  async replace(name: string, text: string): Promise<void> {
    const temporary = join(this.#folder, `.${randomUUID()}`)
    try {
      await writeFile(temporary, text)
      await rename(temporary, join(this.#folder, name))
    } catch (error) {
      await rm(temporary, { force: true })
      throw error
    }
  }
}

async function writeHashed(
  path: string,
  pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<BlobReference> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  await using file = await open(path, 'wx', 0o644)
  for await (const piece of pieces) {
    hash.update(piece)
    await writeAll(file, piece)
    sizeBytes += piece.byteLength
  }
  // A release is carried away by pulling out a stick.
  await file.sync()
  return { digest: `sha256:${hash.digest('hex')}`, sizeBytes }
}

async function writeAll(file: FileHandle, piece: Uint8Array): Promise<void> {
  for (let done = 0; done < piece.byteLength;) {
    done += (await file.write(piece, done, piece.byteLength - done)).bytesWritten
  }
}
