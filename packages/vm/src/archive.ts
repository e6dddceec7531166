/**
 * A package archive: this machine's own sources, or those of a file, looked at through apt without root and without
 * a change to the machine, with what was taken pinned in a lock file.
 */
import { join, resolve } from 'node:path'
import { Archive, type ArchiveAdvice } from './apt/archive.ts'
import { readLockFile } from './apt/lock-file.ts'
import { cacheFolder } from './host/cache.ts'
import { debianArchitecture, hostArchitecture, hostSystem } from './host/system.ts'
import type { Architecture } from './machine.ts'

export type { Archive, ArchiveAdvice } from './apt/archive.ts'
export { type DebEntry, unpackDeb } from './apt/deb.ts'
export type { Pin } from './apt/lock-file.ts'
export type { PrivateApt } from './apt/private-apt.ts'
export { type Dependency, type PackageRecord, parseDependencies } from './apt/stanza.ts'
export { type PackageFiles, providePackage } from './apt/provide.ts'

/** Options of {@link openArchive}. */
export interface OpenArchiveOptions {
  /** The lock file; it need not exist. Default: `vm/packages.lock` in the cache folder. */
  readonly lock?: string
  /** Architecture that packages are for. Default: that of this machine. */
  readonly architecture?: Architecture
  /** Other sources than this machine's, with the code name that their pins are filed under. */
  readonly sources?: { readonly suite: string; readonly file: string }
  /** Take the newest packages, whatever is pinned. Default: false. */
  readonly updateLock?: boolean
  /** Cache folder. Default: `SOLO_CACHE_DIR`, else `~/.cache/solo`. */
  readonly cache?: string
  /** Ways out for messages, where the user has a command or a file for them. */
  readonly advice?: Partial<ArchiveAdvice>
  /** Called with a line that is worth showing. */
  readonly onNote?: (line: string) => void
  /** Called while a package is downloaded, with how far it is, 0 to 100. */
  readonly onPercent?: (name: string, percent: number) => void
}

/**
 * Opens an archive. Nothing is fetched before something is asked for that neither lock file nor cache have.
 *
 * @throws LockFileError when the lock file is not one that was written here
 *
 * @example
 * ```ts no-run
 * import { openArchive } from '@pkg/vm/archive'
 * import { provideKernel } from '@pkg/vm/kernel'
 *
 * const archive = await openArchive()
 * const { image, modulesFolder } = await provideKernel({ package: 'linux-image-amd64' }, { archive })
 * console.log(image, modulesFolder)
 * ```
 */
export async function openArchive(options: OpenArchiveOptions = {}): Promise<Archive> {
  const { sources, advice, onNote, onPercent } = options
  const cache = options.cache ?? cacheFolder()
  return new Archive({
    cache,
    suite: sources?.suite ?? (await hostSystem()).suite,
    architecture: debianArchitecture[options.architecture ?? hostArchitecture()],
    ...(sources === undefined ? {} : { sourcesFile: resolve(sources.file) }),
    lock: await readLockFile(options.lock ?? join(cache, 'vm', 'packages.lock')),
    updateLock: options.updateLock ?? false,
    ...(advice === undefined ? {} : { advice }),
    ...(onNote === undefined ? {} : { onNote }),
    ...(onPercent === undefined ? {} : { onPercent }),
  })
}
