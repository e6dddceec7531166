/** Files that are the old or the new one, whole, after a power cut at any time. */
import { AT_FDCWD, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_RDONLY, O_TRUNC, O_WRONLY } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { openat, renameat2, unlinkat } from '@pkg/sys/fs'
import { fsync, syncfs, writeAll } from '@pkg/sys/io'
import { readBytes } from './text-file.ts'

/** Replaces a file, and returns when the disk has it. */
export function writeSafely(path: string, bytes: Uint8Array, mode: number): void {
  const temporary = `${path}.new`
  {
    using file = openat(AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    writeAll(file, bytes)
    fsync(file)
  }
  renameat2(AT_FDCWD, temporary, AT_FDCWD, path)
  syncFolder(folderOf(path))
}

/** Removes a file, if it is there, and returns when the disk knows. */
export function removeSafely(path: string): void {
  try {
    unlinkat(AT_FDCWD, path)
  } catch (error) {
    if (isSysError(error, 'ENOENT')) return
    throw error
  }
  syncFolder(folderOf(path))
}

/**
 * Returns when the names in a folder are on the disk. Both calls are needed on FAT: syncfs(2) writes the table and the
 * folders, and does not flush the disk's own cache, which fsync(2) of a folder does (fs/fat/file.c, fat_file_fsync).
 */
export function syncFolder(path: string): void {
  using folder = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  syncfs(folder)
  fsync(folder)
}

/** The text of a file; undefined when it is not there. */
export function readIfThere(path: string): string | undefined {
  const bytes = bytesIfThere(path)
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes)
}

/** The bytes of a file; undefined when it is not there. */
export function bytesIfThere(path: string): Uint8Array | undefined {
  try {
    return readBytes(path)
  } catch (error) {
    if (isSysError(error, 'ENOENT')) return undefined
    throw error
  }
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}
