/** Files of which a power cut leaves the old or the new content, and nothing else. */
import { open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Writes a file beside the old one, and takes its place. When it resolves, the new content is on the disk.
 *
 * @param file - its folder must be there; `${file}.new` is written over
 * @throws the error of a call of the file system: `ENOSPC`, `EACCES` …
 *
 * @example
 * ```ts
 * import { mkdtemp, readFile } from 'node:fs/promises'
 * import { replaceFile } from '@pkg/update/replace-file'
 *
 * const file = `${await mkdtemp('/tmp/example-')}/seen.json`
 * await replaceFile(file, '{"counter":12}')
 * await replaceFile(file, '{"counter":13}')
 * console.log(await readFile(file, 'utf8')) // {"counter":13}
 * ```
 */
export async function replaceFile(file: string, text: string): Promise<void> {
  const temporary = `${file}.new`
  const handle = await open(temporary, 'w', 0o644)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(temporary, file)
  const folder = await open(dirname(file), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
