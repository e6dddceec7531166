/** The kernels that guests run when nobody chooses one: the distribution's, and the one of User Mode Linux. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { openArchive } from './archive.ts'
import { ProvisionError } from './host/error.ts'
import { kindOf } from './host/files.ts'
import { runProgram } from './host/program.ts'
import { hostArchitecture, hostSystem } from './host/system.ts'
import { type Kernel, type KernelFlavour, kernelPackage, provideKernel } from './kernel.ts'
import type { Architecture } from './machine.ts'
import { findProgram } from './host/find-program.ts'

/** Which kernel {@link debianKernel} gives. */
export interface DebianKernelOptions {
  /** Processor. Default: the host's. */
  readonly architecture?: Architecture
  /** `generic` has the drivers of real machines, 9p and every file system; `cloud` is smaller. Default: `generic`. */
  readonly flavour?: KernelFlavour
  /** A package of the archive instead of the one for `flavour`. */
  readonly package?: string
  /** Cache folder. Default: `SOLO_CACHE_DIR`, else `~/.cache/solo`. */
  readonly cache?: string
  /** Called with a line that is worth showing: that package lists are read, or which package is downloaded. */
  readonly onNote?: (line: string) => void
}

/**
 * The kernel of the host's distribution, Debian or Ubuntu: fetched and unpacked on the first call (seconds to minutes
 * of network), found in the cache folder by later ones (milliseconds), without root. The package stays the same until
 * `vm/packages.lock` in the cache folder is removed.
 *
 * @throws ProvisionError when the package cannot be had, with the way out
 *
 * @example
 * ```ts no-run
 * import { debianKernel } from '@pkg/vm/guest-kernel'
 *
 * const kernel = await debianKernel({ architecture: 'aarch64' })
 * console.log(kernel.release, kernel.image, kernel.modulesFolder)
 * ```
 */
export async function debianKernel(options: DebianKernelOptions = {}): Promise<Kernel> {
  const { architecture = hostArchitecture(), flavour = 'generic', cache, onNote } = options
  const place = cache === undefined ? {} : { cache }
  const downloading = new Set<string>()
  const onPercent = (name: string): void => {
    if (!downloading.has(name)) onNote?.(`downloading ${name}`)
    downloading.add(name)
  }
  const notes = onNote === undefined ? {} : { onNote, onPercent }
  const archive = await openArchive({ architecture, ...place, ...notes })
  const name = options.package ?? kernelPackage((await hostSystem()).family, flavour, architecture)
  return await provideKernel({ package: name }, { archive, ...place })
}

/** Releases by program, size and time of change: asking one costs a process. */
const umlReleases = new Map<string, string>()

/**
 * The kernel of User Mode Linux as Debian's package `user-mode-linux` installs it: `linux.uml` of PATH, and its
 * modules at /usr/lib/uml/modules.
 *
 * @param program - name or path of the kernel
 * @throws ProvisionError when it is not installed
 */
export async function umlKernel(program = 'linux.uml'): Promise<Kernel> {
  const image = findProgram(program)
  if (image === undefined) {
    throw new ProvisionError(
      `${program} was not found in PATH: install it (Debian, Ubuntu: apt install user-mode-linux)`,
    )
  }
  const release = await umlRelease(image)
  const folder = join('/usr/lib/uml/modules', release)
  const modulesFolder = (await kindOf(folder)) === 'folder' ? folder : undefined
  return { image, release, modulesFolder, origin: `${program} ${release}` }
}

async function umlRelease(image: string): Promise<string> {
  const { size, mtimeMs } = await stat(image)
  const key = `${image} ${size} ${mtimeMs}`
  const known = umlReleases.get(key)
  if (known !== undefined) return known
  const { status, stdout, stderr } = await runProgram(image, ['--version'])
  const release = stdout.trim()
  if (status !== 0 || !/^\d+\.\d+\S*$/.test(release)) {
    throw new ProvisionError(`${image} --version: expected the kernel's release, got ${stdout}${stderr}`)
  }
  umlReleases.set(key, release)
  return release
}
