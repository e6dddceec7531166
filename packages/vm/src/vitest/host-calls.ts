/** What a worker in a guest has the host do, because the files are the host's. */
import { lstat, mkdir, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'

/** The calls, by name. Paths are the host's. */
export interface HostCalls {
  /** The file's text; null when there is no such file. */
  readText(path: string): Promise<string | null>
  /** Writes the file, and makes its folder. @throws Error the file is not the project's */
  writeText(path: string, text: string): Promise<void>
  /** Removes the file, if it is there. @throws Error the file is not the project's */
  remove(path: string): Promise<void>
}

/**
 * The calls, carried out. A guest is not trusted with the host's files: it changes those below `folders` only, and
 * there nothing that other programs would run (`node_modules`, `.git`).
 */
export function hostCalls(folders: readonly string[]): HostCalls {
  return {
    async readText(path) {
      try {
        return await readFile(path, 'utf8')
      } catch (error) {
        if (isMissing(error)) return null
        throw error
      }
    },
    async writeText(path, text) {
      const target = await owned(path, folders)
      await mkdir(dirname(target), { recursive: true })
      await writeFile(target, text)
    },
    async remove(path) {
      await rm(await owned(path, folders), { force: true })
    },
  }
}

/** Parts of a path below which other programs find what they run. */
const NOT_TO_CHANGE: ReadonlySet<string> = new Set(['.git', 'node_modules'])

async function owned(path: string, folders: readonly string[]): Promise<string> {
  const target = await real(resolve(path))
  for (const folder of folders) {
    const [first, ...rest] = relative(await real(folder), target).split(sep)
    const isBelow = first !== '' && first !== '..'
    if (isBelow && [first, ...rest].every((part) => part !== undefined && !NOT_TO_CHANGE.has(part)))
      return target
  }
  throw new Error(
    `${path}: a guest may change files below ${folders.join(' and ')} only, and none of node_modules or .git`,
  )
}

/** The path without symlinks; what is not there yet has none. */
async function real(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    if (!isMissing(error) || path === dirname(path)) throw error
  }
  // To write to a link that leads nowhere would make what it leads to.
  const isLink = await lstat(path).then(
    () => true,
    () => false,
  )
  if (isLink) throw new Error(`${path}: a symlink that leads nowhere`)
  return join(await real(dirname(path)), basename(path))
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT'
}
