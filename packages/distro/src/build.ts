/**
 * From a checked configuration to files that boot: kernel, runtime, services and init become an initramfs, and
 * `appliance.json` says what it holds. Equal sources and pins give equal bytes, whatever the folder.
 */
import { join, resolve } from 'node:path'
import { openArchive } from './archive.ts'
import { cachedSegment, segment } from './build/compress.ts'
import { commandOf, userOf } from './build/plan.ts'
import { checkPrograms } from './build/programs.ts'
import { applianceTree, type Ingredients, runtimeTree, withTime } from './build/tree.ts'
import { type Manifest, writeOutput } from './build/write-out.ts'
import type { ApplianceConfig } from './config.ts'
import { type LoadedAppliance, loadAppliance } from './config/load.ts'
import { SoloError } from './error.ts'
import { cacheFolder } from './host/cache.ts'
import { sha256File } from './host/files.ts'
import { hostArchitecture, type HostSystem, hostSystem } from './host/system.ts'
import { type KernelSource, provideKernel } from './kernel.ts'
import { kernelPackage } from './kernel/resolve.ts'
import { type Progress, silent } from './progress.ts'
import { bunVersion, provideBun, provideGlibc } from './runtime.ts'

export type { Manifest, OutputFile } from './build/write-out.ts'
export type { Progress } from './progress.ts'

/** Options of {@link buildAppliance}. */
export interface BuildOptions {
  /** What is made. Default: `initramfs`, a kernel and an initramfs that holds everything. */
  readonly format?: 'initramfs'
  /** Folder for the result. Default: `build` in the project's folder. */
  readonly out?: string
  /** Take the newest packages and pin them, whatever solo.lock says. Default: false. */
  readonly updateLock?: boolean
  /** Cache folder. Default: `SOLO_CACHE_DIR`, else `~/.cache/solo`. */
  readonly cache?: string
  /** Hears what is done. Default: nobody. */
  readonly progress?: Progress
}

/** What a build made. */
export interface BuildResult {
  /** The folder with the files. */
  readonly folder: string
  /** Path of the kernel. */
  readonly kernel: string
  /** Path of the initramfs. */
  readonly initramfs: string
  /** What `appliance.json` says. */
  readonly manifest: Manifest
}

/**
 * Builds the appliance of a folder.
 *
 * @param place - the folder with `solo.config.ts`, or the path of such a file
 * @throws ConfigError for mistakes in the configuration; SoloError for what cannot be had or written
 *
 * @example
 * ```ts no-run
 * import { buildAppliance } from '@pkg/distro/build'
 *
 * const { initramfs, manifest } = await buildAppliance('examples/hello')
 * console.log(initramfs, manifest.kernel.release)
 * ```
 */
export async function buildAppliance(place: string, options: BuildOptions = {}): Promise<BuildResult> {
  const format: string = options.format ?? 'initramfs'
  if (format !== 'initramfs') {
    throw new SoloError(`--format: expected initramfs, got ${JSON.stringify(format)}`, { exitStatus: 2 })
  }
  const progress = options.progress ?? silent
  const cache = options.cache ?? cacheFolder()
  const mtimeSeconds = sourceDate()
  const loaded = await loadAppliance(place)
  const ingredients = await gather(loaded, cache, options.updateLock ?? false, progress)

  progress.step('image')
  const runtime = await runtimeTree(ingredients)
  const { tree, modules } = await applianceTree(loaded, ingredients, runtime)
  await checkPrograms(loaded, [tree, runtime])
  const own = await segment(withTime(tree, mtimeSeconds))
  const shared = await cachedSegment(withTime(runtime, mtimeSeconds), cache)
  const folder = resolve(options.out ?? join(loaded.folder, 'build'))
  const manifest = await writeOutput(folder, {
    kernelImage: ingredients.kernel.image,
    initramfs: [own.bytes, shared.bytes],
    unpackedBytes: own.unpackedBytes + shared.unpackedBytes,
    kernel: { release: ingredients.kernel.release, origin: ingredients.kernel.origin },
    manifest: await describe(loaded.config, ingredients, modules.names),
  })
  progress.done(`${folder}: ${mebibytes(manifest.initramfs.sizeBytes)}, ${modules.names.length} modules`)
  return {
    folder,
    kernel: join(folder, manifest.kernel.file),
    initramfs: join(folder, manifest.initramfs.file),
    manifest,
  }
}

async function gather(
  { config, folder }: LoadedAppliance,
  cache: string,
  updateLock: boolean,
  progress: Progress,
): Promise<Ingredients> {
  const architecture = config.architecture ?? hostArchitecture()
  const host = await hostSystem()
  const archive = await openArchive({
    lock: join(folder, 'solo.lock'),
    architecture,
    ...(config.apt === undefined
      ? {}
      : { sources: { suite: config.apt.suite, file: resolve(folder, config.apt.sources) } }),
    updateLock,
    cache,
    onNote: (line) => progress.note(line),
    onPercent: (name, percent) => progress.percent(name, percent),
  })
  progress.step('kernel')
  const kernel = await provideKernel(kernelSource(config, folder, host), { cache, archive })
  progress.done(kernel.origin)
  progress.step('runtime')
  const bun = await provideBun(architecture, cache)
  // A root of the user's own has a glibc that its other libraries fit.
  const glibc =
    config.sysroot === undefined ? await provideGlibc(archive, cache) : resolve(folder, config.sysroot)
  progress.done(`Bun ${bunVersion}`)
  return { architecture, kernel, bun, glibc }
}

function kernelSource(config: ApplianceConfig, folder: string, host: HostSystem): KernelSource {
  const { flavour, package: name, deb, image, modules } = config.kernel ?? {}
  if (deb !== undefined) return { deb: resolve(folder, deb) }
  if (image !== undefined) {
    return {
      image: resolve(folder, image),
      ...(modules === undefined ? {} : { modules: resolve(folder, modules) }),
    }
  }
  const architecture = config.architecture ?? hostArchitecture()
  return { package: name ?? kernelPackage(host.family, flavour ?? 'cloud', architecture) }
}

async function describe(
  config: ApplianceConfig,
  { architecture, bun }: Ingredients,
  modules: readonly string[],
): Promise<Omit<Manifest, 'kernel' | 'initramfs'>> {
  const ports = config.services.flatMap((service) => service.ports ?? [])
  const forwards = (config.forward ?? ports).map((each) => {
    return typeof each === 'number'
      ? { host: each, guest: each }
      : { host: each.host ?? each.guest, guest: each.guest }
  })
  return {
    version: 1,
    name: config.name,
    applianceVersion: config.version ?? null,
    architecture,
    format: 'initramfs',
    commandLine: commandLine(config, architecture),
    bun: { version: bunVersion, sha256: await sha256File(bun) },
    services: config.services.map((service) => {
      return { name: service.name, command: commandOf(service), uid: userOf(service).uid }
    }),
    modules,
    forwards,
    machine: { memoryMiB: config.machine?.memoryMiB ?? 512, cpus: config.machine?.cpus ?? 2 },
  }
}

/**
 * A panic restarts the machine, and an oops is one: an appliance that nobody watches must not hang. `quiet`
 * keeps the console for init's lines; errors are still shown.
 */
function commandLine(config: ApplianceConfig, architecture: 'x86_64' | 'aarch64'): string[] {
  const consoleName = architecture === 'aarch64' ? 'ttyAMA0' : 'ttyS0'
  return [`console=${consoleName}`, 'panic=10', 'oops=panic', 'quiet', ...(config.commandLine ?? [])]
}

/** @see https://reproducible-builds.org/specs/source-date-epoch/ */
function sourceDate(): number {
  const text = process.env['SOURCE_DATE_EPOCH'] ?? '0'
  // newc holds 32 bits.
  if (/^\d{1,10}$/.test(text) && Number(text) <= 0xffff_ffff) return Number(text)
  throw new SoloError(`SOURCE_DATE_EPOCH: expected seconds since 1970, got ${JSON.stringify(text)}`, {
    exitStatus: 2,
  })
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`
}
