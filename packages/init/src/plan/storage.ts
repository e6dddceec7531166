/** The part of the plan that is about the machine's disk. */
import { below, maxId, readInteger, readObject, readString, type Problems } from './read.ts'

/** A folder that is made at boot if it is not there. */
export interface FolderPlan {
  /** Its absolute path; the folders above it are made too, root's and 0755. */
  readonly path: string
  /** Permission bits. Default: 0755. */
  readonly mode: number
  /** Owner. Default: 0. */
  readonly uid: number
  /** Group. Default: 0. */
  readonly gid: number
}

/** The disk that the machine keeps its state on. */
export interface StoragePlan {
  /** GPT name of the partition that becomes /var, on the disk that was booted; the last one, which grows with it. */
  readonly dataPartition: string
  /** GUID that the build gave the disk: the first boot gives it, and its partitions, GUIDs of their own. */
  readonly builtDiskGuid: string
}

/** Without `.` and `..`, so that nothing leads out of where it seems to be. */
const absolutePath = /^(\/(?!\.{1,2}(\/|$))[^\0/]+)+$/

/** Reads `storage`. */
export function readStorage(problems: Problems, value: unknown): StoragePlan | null {
  if (value === null) return null
  const storage = readObject(problems, 'storage', value, ['dataPartition', 'builtDiskGuid'])
  const read = (key: keyof StoragePlan, expected: string, pattern: RegExp): string =>
    readString(problems, below('storage', key), storage[key], expected, pattern)
  return {
    // 36 UTF-16 units (UEFI 2.10, 5.3.3).
    dataPartition: read('dataPartition', 'the name of a partition', /^[ -~]{1,36}$/),
    builtDiskGuid: read('builtDiskGuid', 'a GUID in lower case', /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/),
  }
}

/** Reads one of `folders`. */
export function readFolder(problems: Problems, path: string, value: unknown): FolderPlan {
  const folder = readObject(problems, path, value, ['path', 'mode', 'uid', 'gid'])
  return {
    path: readString(problems, below(path, 'path'), folder['path'], 'an absolute path', absolutePath),
    mode: readInteger(problems, below(path, 'mode'), folder['mode'] ?? 0o755, 0, 0o7777),
    uid: readInteger(problems, below(path, 'uid'), folder['uid'] ?? 0, 0, maxId),
    gid: readInteger(problems, below(path, 'gid'), folder['gid'] ?? 0, 0, maxId),
  }
}
