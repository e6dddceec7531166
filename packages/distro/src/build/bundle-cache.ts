// Bundles of our own programs, made once: they are the same in every appliance, and take longer than all that an edit
// changes.
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fillOnce, kindOf, readBytesIfThere, readTextIfThere, sha256, writeAtomically } from '@pkg/vm/host'
import { bundle, type Bundle, type BundleOptions } from './bundle.ts'

/** Raised when bundles are made in another way, so that those that were made before are not used. */
const layoutVersion = 1

/**
 * What {@link bundle} makes of a program, from the cache when none of the files has changed that it was made from last
 * time.
 *
 * Only for a program whose imports name files, not packages of npm: what such an import stands for may change without a
 * change in any of the files that were read.
 */
export async function cachedBundle(
  entry: string,
  what: string,
  options: BundleOptions,
  cache: string,
): Promise<Bundle> {
  const program = sha256(JSON.stringify([layoutVersion, process.versions.bun, entry, options]))
  const listFile = join(cache, 'bundles', `${program}.inputs`)
  const inputs = await readTextIfThere(listFile)
  const known = inputs === undefined ? undefined : await contentKey(program, inputs.split('\n'))
  const found = known === undefined ? undefined : await readBundle(join(cache, 'bundles', known))
  if (found !== undefined) return found
  const made = await bundle(entry, what, options)
  const key = await contentKey(program, made.inputs)
  if (key !== undefined) await writeBundle(join(cache, 'bundles', key), made)
  await writeAtomically(listFile, made.inputs.join('\n'))
  return made
}

/** What the bundle of these files is called; undefined when one of them is gone. */
async function contentKey(program: string, inputs: readonly string[]): Promise<string | undefined> {
  const contents = await Promise.all(inputs.map((path) => readBytesIfThere(path)))
  const digests = contents.flatMap((bytes) => (bytes === undefined ? [] : [sha256(bytes)]))
  return digests.length < inputs.length ? undefined : sha256([program, ...inputs, ...digests].join('\n'))
}

/** Beside the files, which keep their names. */
const aboutFile = 'about.json'

async function readBundle(folder: string): Promise<Bundle | undefined> {
  if ((await kindOf(folder)) === undefined) return undefined
  const about = JSON.parse(await readFile(join(folder, aboutFile), 'utf8')) as Omit<Bundle, 'files'>
  const names = await readdir(join(folder, 'files'))
  const contents = await Promise.all(names.map((name) => readFile(join(folder, 'files', name))))
  return { ...about, files: new Map(names.map((name, index) => [name, contents[index] as Uint8Array])) }
}

async function writeBundle(folder: string, { files, ...about }: Bundle): Promise<void> {
  await fillOnce(folder, async (scratch) => {
    await mkdir(join(scratch, 'files'))
    for (const [name, bytes] of files) await writeFile(join(scratch, 'files', name), bytes)
    await writeFile(join(scratch, aboutFile), JSON.stringify(about))
  })
}
