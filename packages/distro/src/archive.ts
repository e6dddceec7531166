/**
 * A package archive as appliances are built from: this machine's own sources, or those of a file, looked at
 * through apt without root and without a change to the machine, with what was taken pinned in a lock file.
 */
import { resolve } from 'node:path'
import { Archive } from './apt/archive.ts'
import { readLockFile } from './apt/lock-file.ts'
import { cacheFolder } from './host/cache.ts'
import { type Architecture, debianArchitecture, hostArchitecture, hostSystem } from './host/system.ts'

export type { Archive } from './apt/archive.ts'

/** Options of {@link openArchive}. */
export interface OpenArchiveOptions {
  /** The lock file; it need not exist. */
  readonly lock: string
  /** Architecture that packages are for. Default: that of this machine. */
  readonly architecture?: Architecture
  /** Other sources than this machine's, with the code name that their pins are filed under. */
  readonly sources?: { readonly suite: string; readonly file: string }
  /** Take the newest packages, whatever is pinned. Default: false. */
  readonly updateLock?: boolean
  /** Cache folder. Default: `SOLO_CACHE_DIR`, else `~/.cache/solo`. */
  readonly cache?: string
  /** Called with a line that is worth showing. */
  readonly onNote?: (line: string) => void
  /** Called while a package is downloaded, with how far it is, 0 to 100. */
  readonly onPercent?: (name: string, percent: number) => void
}

/**
 * Opens an archive. Nothing is fetched before something is asked for that neither lock file nor cache have.
 *
 * @throws ConfigError when the lock file is not one that was written here
 *
 * @example
 * ```ts no-run
 * import { openArchive } from '@pkg/distro/archive'
 * import { provideKernel } from '@pkg/distro/kernel'
 *
 * const archive = await openArchive({ lock: 'solo.lock' })
 * const { image, modulesFolder } = await provideKernel({ package: 'linux-image-amd64' }, { archive })
 * console.log(image, modulesFolder)
 * ```
 */
export async function openArchive(options: OpenArchiveOptions): Promise<Archive> {
  const { sources, onNote, onPercent } = options
  return new Archive({
    cache: options.cache ?? cacheFolder(),
    suite: sources?.suite ?? (await hostSystem()).suite,
    architecture: debianArchitecture[options.architecture ?? hostArchitecture()],
    ...(sources === undefined ? {} : { sourcesFile: resolve(sources.file) }),
    lock: await readLockFile(options.lock),
    updateLock: options.updateLock ?? false,
    ...(onNote === undefined ? {} : { onNote }),
    ...(onPercent === undefined ? {} : { onPercent }),
  })
}
