/** The names in a folder of the kernel's, where things come and go while one looks. */
import { AT_FDCWD, O_DIRECTORY, O_RDONLY } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { getdents64, openat } from '@pkg/sys/fs'

/** All names; none where the folder is not there. */
export function namesIn(folder: string): string[] {
  try {
    using opened = openat(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY)
    return [...getdents64(opened)].map(({ d_name }) => d_name)
  } catch (error) {
    if (isSysError(error)) return []
    throw error
  }
}
