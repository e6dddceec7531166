/**
 * Kernels: Debian's or Ubuntu's packages, taken through the host's own apt without root and pinned in a lock file, or
 * files of the user's. What comes out is always the same: the image, and a folder
 * of uncompressed modules.
 */
import { cp, readdir, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { depmod } from '@pkg/image/modules'
import type { Archive } from './apt/archive.ts'
import { unpackDeb } from './apt/deb.ts'
import { ProvisionError } from './host/error.ts'
import { cacheFolder } from './host/cache.ts'
import { kindOf, readTextIfThere, sha256, sha256File } from './host/files.ts'
import { fillOnce } from './host/once.ts'
import { decompressModules } from './kernel/decompress.ts'
import { resolveKernel } from './kernel/resolve.ts'

export { type KernelFlavour, kernelPackage } from './kernel/resolve.ts'

/** Where the kernel comes from. */
export type KernelSource =
  /** A package of the archive, by the name of its meta-package or its own. */
  | { readonly package: string }
  /** A .deb file of a kernel, absolute path. */
  | { readonly deb: string }
  /** A kernel image and, if it has modules, their folder `…/lib/modules/<release>`; absolute paths. */
  | { readonly image: string; readonly modules?: string }

/** A kernel that can be put into an image. */
export interface Kernel {
  /** The image that a boot loader loads. */
  readonly image: string
  /** The kernel's release, such as `6.1.0-37-cloud-amd64`; `unknown` for an image without modules. */
  readonly release: string
  /** Folder of its modules, none of them compressed; undefined without modules. */
  readonly modulesFolder: string | undefined
  /** Where it comes from, for people: package and version, or the file. */
  readonly origin: string
}

/** What {@link provideKernel} needs besides the source. */
export interface KernelOptions {
  /** Cache folder. Default: `SOLO_CACHE_DIR`, else `~/.cache/solo`. */
  readonly cache?: string
  /** The archive that packages come from; `openArchive` of `@pkg/vm/archive` gives one. */
  readonly archive: Archive
}

/** Raised when the layout of unpacked kernels changes, so that old caches are not used. */
const layoutVersion = 2

/**
 * Provides a kernel in the cache folder. A second call with the same pin needs no network.
 *
 * @throws ProvisionError when the package cannot be had, with the way out
 *
 * @example
 * ```ts no-run
 * import { openArchive } from '@pkg/vm/archive'
 * import { provideKernel } from '@pkg/vm/kernel'
 *
 * const archive = await openArchive()
 * const kernel = await provideKernel({ package: 'linux-image-cloud-amd64' }, { archive })
 * console.log(kernel.release)
 * ```
 */
export async function provideKernel(source: KernelSource, options: KernelOptions): Promise<Kernel> {
  const cache = options.cache ?? cacheFolder()
  if ('image' in source) return localKernel(source.image, source.modules, cache)
  if ('deb' in source) {
    const id = await sha256File(source.deb)
    return unpackKernel([id], async () => [source.deb], basename(source.deb), cache)
  }
  const pins = await options.archive.pins('kernel', source.package, resolveKernel)
  const origin = pins.map(({ name, version }) => `${name} ${version}`).join(', ')
  const files = (): Promise<string[]> => Promise.all(pins.map((pin) => options.archive.file('kernel', pin)))
  return unpackKernel(
    pins.map((pin) => pin.sha256),
    files,
    origin,
    cache,
  )
}

async function unpackKernel(
  ids: readonly string[],
  files: () => Promise<string[]>,
  origin: string,
  cache: string,
): Promise<Kernel> {
  const folder = join(cache, 'kernels', `${sha256(ids.join('\n')).slice(0, 32)}-v${layoutVersion}`)
  if ((await kindOf(folder)) === undefined) {
    const debs = await files()
    await fillOnce(folder, async (scratch) => {
      for (const deb of debs) await unpackDeb(deb, scratch, placeKernelFile)
      const release = await onlyRelease(scratch, origin)
      await decompressModules(join(scratch, 'modules', release))
      // So that not every build reads every module.
      await depmod(join(scratch, 'modules', release))
      await writeFile(join(scratch, 'release'), release)
    })
  }
  const release = (await readTextIfThere(join(folder, 'release'))) ?? 'unknown'
  return { image: join(folder, 'vmlinuz'), release, modulesFolder: join(folder, 'modules', release), origin }
}

/** Keeps image, configuration and modules; /lib and /usr/lib are one (Debian 13 and Ubuntu use the latter). */
function placeKernelFile(path: string): string | undefined {
  if (/^boot\/vmlinuz-[^/]+$/.test(path)) return 'vmlinuz'
  if (/^boot\/config-[^/]+$/.test(path)) return 'config'
  const match = /^(?:usr\/)?lib\/modules\/([^/]+)\/(.+)$/.exec(path)
  if (match === null) return undefined
  // Where the image lies beside its modules, as newer kernel-install layouts have it.
  if (match[2] === 'vmlinuz') return 'vmlinuz'
  // `build` and `source` are links to the headers.
  return /^(build|source)$/.test(match[2] as string) ? undefined : `modules/${match[1]}/${match[2]}`
}

async function onlyRelease(folder: string, origin: string): Promise<string> {
  const releases =
    (await kindOf(join(folder, 'modules'))) === 'folder' ? await readdir(join(folder, 'modules')) : []
  if ((await kindOf(join(folder, 'vmlinuz'))) !== 'file' || releases.length !== 1) {
    throw new ProvisionError(
      `${origin}: expected one kernel with its modules (boot/vmlinuz-… and lib/modules/…), ` +
        `got modules of ${releases.length} kernels`,
    )
  }
  return releases[0] as string
}

/** A folder of the user's is never written to: when its modules are compressed, a copy is made. */
async function localKernel(image: string, modules: string | undefined, cache: string): Promise<Kernel> {
  // Its name alone: where it lies is of no interest to whoever gets the image.
  const origin = basename(image)
  if (modules === undefined) return { image, release: 'unknown', modulesFolder: undefined, origin }
  const release = basename(modules)
  const files = (await readdir(modules, { recursive: true })).toSorted()
  if (!files.some((path) => /\.ko\.(xz|zst|gz)$/.test(path))) {
    return { image, release, modulesFolder: modules, origin }
  }
  const states = await Promise.all(
    files.map(async (path) => {
      const { size, mtimeMs } = await stat(join(modules, path))
      return `${path} ${size} ${mtimeMs}`
    }),
  )
  const id = sha256([modules, ...states].join('\n')).slice(0, 32)
  const folder = join(cache, 'kernels', `local-${id}-v${layoutVersion}`)
  if ((await kindOf(folder)) === undefined) {
    await fillOnce(folder, async (scratch) => {
      await cp(modules, join(scratch, release), {
        recursive: true,
        filter: (path) => !/\/(build|source)$/.test(path),
      })
      await decompressModules(join(scratch, release))
    })
  }
  return { image, release, modulesFolder: join(folder, release), origin }
}
