/** Folders that services find at their first start, each with its owner. */
import { AT_FDCWD, F_OK } from '@pkg/sys/constants'
import { faccessat, fchmodat, fchownat, renameat2 } from '@pkg/sys/fs'
import type { FolderPlan } from '../plan.ts'
import { makeFolder } from '../shell/cgroup.ts'

/**
 * Makes the folders that are not there; those that are keep what they are.
 *
 * @returns what was made
 * @throws Error that names each that could not be made; the others are there
 */
export function makeFolders(folders: readonly FolderPlan[]): string {
  const made: string[] = []
  const failures: string[] = []
  for (const folder of folders) {
    try {
      if (makeOne(folder)) made.push(folder.path)
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error))
    }
  }
  if (failures.length > 0) throw new Error(failures.join('; '))
  return made.join(' ') || 'none new'
}

function makeOne({ path, mode, uid, gid }: FolderPlan): boolean {
  for (let end = path.indexOf('/', 1); end !== -1; end = path.indexOf('/', end + 1)) {
    makeFolder(path.slice(0, end))
  }
  if (faccessat(AT_FDCWD, path, F_OK)) return false
  // It gets its name when it is as it has to be: a power cut must not leave one that its service cannot enter.
  const unfinished = `${path}.new`
  makeFolder(unfinished, 0o700)
  fchownat(AT_FDCWD, unfinished, uid, gid)
  // After the owner: a change of that clears the set-user-id bits.
  fchmodat(AT_FDCWD, unfinished, mode)
  renameat2(AT_FDCWD, unfinished, AT_FDCWD, path)
  return true
}
