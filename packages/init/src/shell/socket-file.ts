/** The file that a Unix socket leaves behind: bind(2) refuses a path that is there. */
import { AT_FDCWD } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { unlinkat } from '@pkg/sys/fs'

/** Removes it, if it is there. */
export function removeSocket(path: string): void {
  try {
    unlinkat(AT_FDCWD, path)
  } catch (error) {
    if (!isSysError(error, 'ENOENT')) throw error
  }
}
