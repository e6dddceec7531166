/** Reads of an ELF file what its parser looks at: of a program of 100 MB that is a few kilobytes. */
import { type FileHandle, open } from 'node:fs/promises'
import type { ElfFile } from '../elf.ts'
import { ElfBytes, ElfError } from '../elf/bytes.ts'
import { parse } from '../elf/parse.ts'

/** Read at once. Headers and dynamic section of most files lie in two or three of these. */
const pageBytes = 64 * 1024

/** Thrown out of the parser where it comes to a part that was not read yet. */
class NotRead extends Error {
  readonly firstPage: number
  readonly lastPage: number

  constructor(firstPage: number, lastPage: number) {
    super('this part was not read yet')
    this.firstPage = firstPage
    this.lastPage = lastPage
  }
}

/**
 * Parses a file.
 *
 * @param name - how an error calls it
 * @throws Error when it is no ELF file, or damaged
 */
export async function parseElfFile(path: string, name: string = path): Promise<ElfFile> {
  await using file = await open(path)
  const { size } = await file.stat()
  // What is never read of it stays zero, and takes no memory.
  const bytes = new Uint8Array(size)
  const read = new Set<number>()
  const elf = new ElfBytes(bytes, (offset, sizeBytes) => {
    const [first, last] = [Math.floor(offset / pageBytes), Math.floor((offset + sizeBytes - 1) / pageBytes)]
    for (let page = first; page <= last; page++) if (!read.has(page)) throw new NotRead(first, last)
  })
  for (;;) {
    try {
      return parse(elf)
    } catch (error) {
      if (error instanceof ElfError)
        throw new Error(`${name}: ${error.problem} (byte ${error.offset})`, { cause: error })
      if (!(error instanceof NotRead)) throw error
      // From the beginning again: what was parsed before takes microseconds.
      const { firstPage, lastPage } = error
      await readWhole(
        file,
        bytes.subarray(firstPage * pageBytes, (lastPage + 1) * pageBytes),
        firstPage * pageBytes,
      )
      for (let page = firstPage; page <= lastPage; page++) read.add(page)
    }
  }
}

async function readWhole(file: FileHandle, into: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < into.byteLength;) {
    const { bytesRead } = await file.read(into, done, into.byteLength - done, offset + done)
    if (bytesRead === 0) throw new Error(`it was cut off at byte ${offset + done} while it was read`)
    done += bytesRead
  }
}
