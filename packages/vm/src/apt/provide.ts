// Files of one package in the cache, pinned, unpacked once and found again by the hash of the package.
import { mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { explainWriteError, kindOf, sha256 } from '../host/files.ts'
import { scratchBeside } from '../host/scratch.ts'
import type { Archive } from './archive.ts'
import { unpackDeb } from './deb.ts'

/** Which files of a package are wanted. */
export interface PackageFiles {
  /** The key of its pin in the lock file, and its folder in the cache. */
  readonly role: string
  /** The package. */
  readonly name: string
  /** Raised when `place` changes, so that what was unpacked before is not used. */
  readonly layoutVersion: number
  /** Maps a path in the package (no leading slash) to one in the folder; undefined leaves it out. */
  readonly place: (path: string) => string | undefined
}

/**
 * A folder with files of a package, for the suite and architecture of the archive.
 *
 * @throws ProvisionError when the package cannot be had, with the way out
 *
 * @example
 * ```ts no-run
 * import { openArchive, providePackage } from '@pkg/vm/archive'
 * import { cacheFolder } from '@pkg/vm/host'
 *
 * const place = (path: string) => (path.endsWith('.efi') ? path.split('/').at(-1) : undefined)
 * const files = { role: 'boot loader', name: 'systemd-boot-efi', layoutVersion: 1, place }
 * console.log(await providePackage(await openArchive(), cacheFolder(), files))
 * ```
 */
export async function providePackage(archive: Archive, cache: string, files: PackageFiles): Promise<string> {
  const { role, name, layoutVersion, place } = files
  const pins = await archive.pins(role, name, async (apt, request) => (await apt.show(request)).slice(0, 1))
  const id = sha256(pins.map((pin) => pin.sha256).join('\n')).slice(0, 32)
  const folder = join(cache, role.replaceAll(' ', '-'), `${id}-v${layoutVersion}`)
  if ((await kindOf(folder)) === 'folder') return folder
  try {
    await mkdir(join(folder, '..'), { recursive: true })
    using scratch = scratchBeside(folder)
    for (const pin of pins) await unpackDeb(await archive.file(role, pin), scratch.folder, place)
    await rename(scratch.folder, folder).catch(async (error: unknown) => {
      if ((await kindOf(folder)) !== 'folder') throw error
    })
  } catch (error) {
    throw explainWriteError(error, folder)
  }
  return folder
}
