// Folders that are made once and never changed: whoever sees one sees all of it, however many make it at a time.
import { rename } from 'node:fs/promises'
import { explainWriteError, kindOf } from './files.ts'
import { scratchBeside } from './scratch.ts'

/**
 * Fills a folder under a temporary name and renames it when it is whole. When another process has made the same
 * meanwhile, that one stays.
 *
 * @throws ProvisionError that says what to do when the disk is full or the folder cannot be written
 */
export async function fillOnce(folder: string, fill: (scratch: string) => Promise<void>): Promise<void> {
  try {
    using scratch = scratchBeside(folder)
    await fill(scratch.folder)
    await rename(scratch.folder, folder).catch(async (error: unknown) => {
      if ((await kindOf(folder)) === undefined) throw error
    })
  } catch (error) {
    throw explainWriteError(error, folder)
  }
}
