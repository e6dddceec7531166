/** What a worker in a guest has the host do, because the files are the host's. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

/** The calls, by name. Paths are the host's. */
export interface HostCalls {
  /** The file's text; null when there is no such file. */
  readText(path: string): Promise<string | null>
  /** Writes the file, and makes its folder. */
  writeText(path: string, text: string): Promise<void>
  /** Removes the file, if it is there. */
  remove(path: string): Promise<void>
}

/** The calls, carried out. */
export const hostCalls: HostCalls = {
  async readText(path) {
    try {
      return await readFile(path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw error
    }
  },
  async writeText(path, text) {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text)
  },
  async remove(path) {
    await rm(path, { force: true })
  },
}
