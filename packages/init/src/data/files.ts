/**
 * What is done to files, as few kinds of steps as possible: a simulation puts a power cut before, into and after each.
 * Every step but {@link DataFiles.copy} and {@link DataFiles.remove} happens whole or not at all, and what has returned
 * is on the disk.
 */
import { isSysError } from '@pkg/sys/errno'
import { getdents64, renameat2, statfs } from '@pkg/sys/fs'
import { fsync, syncfs } from '@pkg/sys/io'
import { makeFolder } from '../shell/cgroup.ts'
import { readIfThere, syncFolder, writeSafely } from '../shell/safe-file.ts'
import type { Breath } from './breath.ts'
import { copyFolders } from './copy.ts'
import { measureTree, openFolder, removeTree } from './tree.ts'

/** Room, taken or free. */
export interface Room {
  /** Bytes, in whole blocks. */
  readonly sizeBytes: number
  /** Files and folders. */
  readonly files: number
}

/** The steps. Paths are absolute, and lie on one file system. */
export interface DataFiles {
  /** Whether there is a folder of this path. @throws Error there is something else, or a link leads there */
  isFolder(path: string): boolean
  /** The names in a folder; none where it is not there. */
  namesIn(path: string): readonly string[]
  /** The text of a file; undefined where it is not there. */
  read(path: string): string | undefined
  /** Replaces a file. */
  write(path: string, text: string): void
  /** Makes a folder that only root may enter, if it is not there. */
  makeFolder(path: string): void
  /** Moves a folder; what is there under the new name must be empty. */
  rename(from: string, to: string): void
  /** Removes a file or a folder with all that is in it, if it is there. A power cut may leave a part of it. */
  remove(path: string): Promise<void>
  /** Makes `to`, and in it a copy of each folder, by its place in the list (null: none). A power cut may leave a part. */
  copy(folders: readonly (string | null)[], to: string): Promise<void>
  /** Returns when what others have written is on the disk too. */
  sync(path: string): void
  /** What copies of these folders would take. */
  measure(folders: readonly string[]): Promise<Room>
  /** What is free. */
  room(path: string): Room
}

/** The files of the machine. `breath` lets PID 1 do other things meanwhile. */
export function machineFiles(breath: Breath): DataFiles {
  return {
    isFolder,
    namesIn: (path) => {
      if (!isFolder(path)) return []
      using folder = openFolder(path)
      return [...getdents64(folder)].map(({ d_name }) => d_name).filter((name) => !/^\.{1,2}$/.test(name))
    },
    read: readIfThere,
    write: (path, text) => writeSafely(path, new TextEncoder().encode(text), 0o600),
    makeFolder(path) {
      if (isFolder(path)) return
      makeFolder(path, 0o700)
      syncFolder(parentOf(path))
    },
    rename(from, to) {
      using source = openFolder(parentOf(from))
      using target = openFolder(parentOf(to))
      renameat2(source, nameOf(from), target, nameOf(to))
      fsync(target)
      fsync(source)
    },
    async remove(path) {
      using parent = openFolder(parentOf(path))
      await removeTree(parent, nameOf(path), breath)
      fsync(parent)
    },
    copy: async (folders, to) => await copyFolders(folders, to, breath),
    sync(path) {
      using folder = openFolder(path)
      syncfs(folder)
    },
    async measure(folders) {
      const seen = new Set<string>()
      const total = { sizeBytes: 0, files: 0 }
      for (const path of folders) {
        using folder = openFolder(path)
        const { sizeBytes, files } = await measureTree(folder, seen, breath)
        total.sizeBytes += sizeBytes
        total.files += files
      }
      return total
    },
    room(path) {
      const { f_bsize, f_bavail, f_ffree } = statfs(path)
      return { sizeBytes: Number(f_bsize * f_bavail), files: Number(f_ffree) }
    },
  }
}

function isFolder(path: string): boolean {
  try {
    openFolder(path).close()
    return true
  } catch (error) {
    if (isSysError(error, 'ENOENT')) return false
    throw error
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
