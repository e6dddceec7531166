// Files of the host: hashing, reading JSON, and writing so that a reader sees the old bytes or the new.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import { ProvisionError } from './error.ts'
import { scratchBeside } from './scratch.ts'

/** SHA-256 of bytes or text, in hexadecimal. */
export function sha256(data: Uint8Array | string): string {
  return createHash('sha256').update(data).digest('hex')
}

/** SHA-256 of a file, in hexadecimal; reads it piece by piece. */
export async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 }))
    hash.update(piece as Uint8Array)
  return hash.digest('hex')
}

/** The value of a property `code` (`ENOENT`, `EACCES`…) of an unknown error, or undefined. */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

/** What a path is, or undefined when nothing is there. */
export async function kindOf(path: string): Promise<'file' | 'folder' | 'other' | undefined> {
  try {
    const info = await stat(path)
    if (info.isFile()) return 'file'
    return info.isDirectory() ? 'folder' : 'other'
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}

/** Text of a file, or undefined when there is none. */
export async function readTextIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Bytes of a file, or undefined when there is none. */
export async function readBytesIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/**
 * Writes a file under a temporary name and renames it: nobody sees half of it.
 *
 * @throws ProvisionError that says what to do when the disk is full or the folder cannot be written
 */
export async function writeAtomically(path: string, data: Uint8Array | string): Promise<void> {
  try {
    using scratch = scratchBeside(path)
    const temporary = join(scratch.folder, basename(path))
    await writeFile(temporary, data)
    await rename(temporary, path)
  } catch (error) {
    throw explainWriteError(error, path)
  }
}

/** A path as people would write it: relative to where they are, unless it lies elsewhere. */
export function displayPath(file: string): string {
  const short = relative(process.cwd(), file)
  return short === '' || short.startsWith('..') ? file : short
}

/**
 * Turns what the kernel says about a failed write into a line that says what to do; else returns the error.
 *
 * @param path - what was to be written
 * @param elsewhere - how the user can choose another place
 */
export function explainWriteError(error: unknown, path: string, elsewhere = 'SOLO_CACHE_DIR'): unknown {
  const ways: Record<string, string> = {
    ENOSPC: `the disk is full: free some space, or write elsewhere with ${elsewhere}`,
    EDQUOT: `the disk quota is used up: free some space, or write elsewhere with ${elsewhere}`,
    EROFS: `the file system is read-only: write elsewhere with ${elsewhere}`,
    EACCES: `permission denied: write elsewhere with ${elsewhere}`,
    ENOTDIR: 'a part of the path is a file, not a folder',
  }
  const way = ways[errorCode(error) ?? '']
  return way === undefined ? error : new ProvisionError(`cannot write ${path}: ${way}`, { cause: error })
}
