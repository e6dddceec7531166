// The kernel's files, read by its own calls: openat, read, getdents64.
import { AT_FDCWD, O_DIRECTORY, O_RDONLY } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { getdents64, openat } from '@pkg/sys/fs'
import { read } from '@pkg/sys/io'

const decoder = new TextDecoder()
/** One buffer for all reads: nothing here waits, so no two of them are ever under way. */
const buffer = new Uint8Array(new ArrayBuffer(65_536))

/**
 * Reads a whole file. Its size is no help: every file of /proc says 0.
 *
 * @throws SysError `ENOENT`, `EACCES`; `ESRCH` the process that it tells of has ended
 */
export function readText(path: string): string {
  using file = openat(AT_FDCWD, path, O_RDONLY)
  const parts: Uint8Array[] = []
  for (let size = read(file, buffer); size > 0; size = read(file, buffer)) parts.push(buffer.slice(0, size))
  return decoder.decode(Buffer.concat(parts))
}

/** {@link readText}, or undefined where the kernel refuses: there is no such file, or it is not for us. */
export function tryReadText(path: string): string | undefined {
  return unlessRefused(() => readText(path))
}

/** What `call` returns, or undefined where the kernel refuses. Any other error is ours, and stays one. */
export function unlessRefused<T>(call: () => T): T | undefined {
  try {
    return call()
  } catch (error) {
    if (isSysError(error)) return undefined
    throw error
  }
}

/** The names in a directory, in the kernel's order. */
export function namesIn(path: string): string[] {
  using directory = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY)
  return Array.from(getdents64(directory), ({ d_name }) => d_name)
}
