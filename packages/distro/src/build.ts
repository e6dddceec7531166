/**
 * From a checked configuration to files that boot: kernel, runtime, services and init become a disk image, an
 * initramfs or a unified kernel image, and `appliance.json` says what it holds. Equal sources and pins give equal bytes,
 * whatever the folder.
 */
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { hostFile } from '@pkg/image/file-source'
import { WRITTEN_MS } from '@pkg/init/boot-state'
import { type Archive, openArchive } from '@pkg/vm/archive'
import { cacheFolder, hostArchitecture, type HostSystem, hostSystem } from '@pkg/vm/host'
import { kernelPackage, type KernelSource, provideKernel } from '@pkg/vm/kernel'
import { bunVersion, provideBun, provideGlibc } from '@pkg/vm/runtime'
import { userOf } from './build/accounts.ts'
import type { Assembly, FormatOutput } from './build/assembly.ts'
import { contentSizes } from './build/component-sizes.ts'
import { type BuildFormat, buildFormats } from './build/format.ts'
import { initramfsOutput } from './build/initramfs.ts'
import { agentPort, withOwnServices } from './build/own-services.ts'
import { commandOf } from './build/plan.ts'
import { checkPrograms } from './build/programs.ts'
import { sourceDateEpoch } from './build/source-date.ts'
import { applianceTree, type Ingredients, runtimeTree } from './build/tree.ts'
import { ukiOutput } from './build/uki.ts'
import { releaseIdentity } from './build/update-files.ts'
import { type Manifest, writeOutput } from './build/write-out.ts'
import type { ApplianceConfig } from './config.ts'
import { type LoadedAppliance, loadAppliance } from './config/load.ts'
import { diskOutput } from './disk/disk.ts'
import { SoloError } from './error.ts'
import { type Progress, silent } from './progress.ts'
import { digestsOf } from './sbom/digests.ts'
import { Origins } from './sbom/origins.ts'
import { sourcesOf } from './sbom/sources.ts'
import { spdxDocument } from './sbom/spdx.ts'

export type { BuildFormat } from './build/format.ts'
export type { ComponentSizes } from './build/component-sizes.ts'
export type { DiskManifest, Manifest, OutputFile } from './build/write-out.ts'
export type { Progress } from './progress.ts'

/** Options of {@link buildAppliance}. */
export interface BuildOptions {
  /** What is made. Default: `initramfs`. */
  readonly format?: BuildFormat
  /** Folder for the result. Default: `build` in the project's folder. */
  readonly out?: string
  /** Take the newest packages and pin them, whatever solo.lock says. Default: false. */
  readonly updateLock?: boolean
  /** Cache folder. Default: `SOLO_CACHE_DIR`, else `~/.cache/solo`. */
  readonly cache?: string
  /** The release's counter and version, instead of the configuration's. */
  readonly release?: { readonly counter: number; readonly version: string }
  /**
   * When the release was made, in seconds since 1970: no clock of a device is earlier. Default: `SOURCE_DATE_EPOCH`,
   * else the date of Solo's own sources, wherever the folder is: equal sources give equal bytes.
   */
  readonly createdSeconds?: number
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
  /** Path of the disk image, with `disk`. */
  readonly disk?: string
  /** Path of the unified kernel image, with `uki`. */
  readonly uki?: string
  /** Path of the bill of materials. */
  readonly sbom: string
  /** What `appliance.json` says. */
  readonly manifest: Manifest
}

/**
 * Builds the appliance of a folder.
 *
 * @param place - the folder with `solo.config.ts`, or the path of such a file
 * @throws ConfigError for mistakes in the configuration; SoloError or ProvisionError for what cannot be had
 *   or written
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
  const format = options.format ?? 'initramfs'
  if (!buildFormats.includes(format)) {
    const known = buildFormats.join(', ')
    throw new SoloError(`--format: expected one of ${known}, got ${JSON.stringify(format)}`, {
      exitStatus: 2,
    })
  }
  const progress = options.progress ?? silent
  const cache = options.cache ?? cacheFolder()
  const given = sourceDateEpoch()
  const mtimeSeconds = given ?? 0
  const loaded = withOwnServices(withRelease(await loadAppliance(place), options.release), format)
  const { config } = loaded
  const createdSeconds = options.createdSeconds ?? given ?? WRITTEN_MS / 1000
  const gathered = await gather(loaded, cache, options.updateLock ?? false, progress)
  const { archive } = gathered
  const { architecture, kernel } = gathered.ingredients
  const identity = releaseIdentity(config, architecture, createdSeconds)
  const ingredients: Ingredients = { ...gathered.ingredients, identity }

  progress.step('image')
  const runtime = await runtimeTree(ingredients)
  const { tree, modules } = await applianceTree(
    loaded,
    { ...ingredients, archive, cache, progress },
    runtime,
    format,
  )
  await checkPrograms(loaded, [tree, runtime])
  const words = commandLine(config, architecture, format)
  const assembly: Assembly = {
    ...{ config, architecture, kernel, tree, runtime, archive, cache },
    ...{ mtimeSeconds, createdSeconds, progress },
    ...{ origins: ingredients.origins, sources: ingredients.sources },
    commandLine: words,
  }
  const output = await outputs[format](assembly)
  const sbom = await billOfMaterials(assembly, output)
  const folder = resolve(options.out ?? join(loaded.folder, 'build'))
  const common = { ...(await describe(config, ingredients, modules.names, cache)), release: identity }
  const manifest = await writeOutput(folder, {
    files: { ...output.files, [sbomFile]: (path) => writeFile(path, sbom) },
    manifest: async (fileOf) => ({
      ...{ ...common, format, commandLine: words },
      kernel: { ...(await fileOf('kernel')), release: kernel.release, origin: kernel.origin },
      initramfs: { ...(await fileOf('initramfs.img')), unpackedBytes: output.unpackedBytes },
      ...(output.disk === undefined ? {} : { disk: output.disk }),
      ...('appliance.efi' in output.files ? { uki: await fileOf('appliance.efi') } : {}),
      sbom: await fileOf(sbomFile),
      sizes: { ...contentSizes(assembly), ...(await output.sizes?.()) },
    }),
  })
  progress.done(`${folder}: ${summary(manifest)}, ${modules.names.length} modules`)
  return {
    folder,
    kernel: join(folder, manifest.kernel.file),
    initramfs: join(folder, manifest.initramfs.file),
    sbom: join(folder, manifest.sbom.file),
    ...(manifest.disk === undefined ? {} : { disk: join(folder, manifest.disk.file) }),
    ...(manifest.uki === undefined ? {} : { uki: join(folder, manifest.uki.file) }),
    manifest,
  }
}

/** The configuration with another release than it says. */
function withRelease(loaded: LoadedAppliance, release: BuildOptions['release']): LoadedAppliance {
  if (release === undefined) return loaded
  const { counter, version } = release
  return { ...loaded, config: { ...loaded.config, release: counter, version } }
}

/** How each format is made. */
const outputs: Readonly<Record<BuildFormat, (assembly: Assembly) => Promise<FormatOutput>>> = {
  disk: diskOutput,
  initramfs: initramfsOutput,
  uki: ukiOutput,
}

function summary({ disk, uki, initramfs }: Manifest): string {
  const main = uki ?? initramfs
  return disk === undefined
    ? mebibytes(main.sizeBytes)
    : `disk of ${mebibytes(disk.sizeBytes)}, root ${mebibytes(disk.root.sizeBytes)}`
}

/** Name of the bill of materials in the result's folder. */
const sbomFile = 'sbom.spdx.json'

function billOfMaterials(
  { config, cache, createdSeconds, sources }: Assembly,
  { parts }: FormatOutput,
): Promise<string> {
  const { name, version } = config
  const tool = `solo-${sources.solo.version}`
  return spdxDocument({ name, version, parts, cache, createdSeconds, tool })
}

async function gather(
  loaded: LoadedAppliance,
  cache: string,
  updateLock: boolean,
  progress: Progress,
): Promise<{ ingredients: Omit<Ingredients, 'identity'>; archive: Archive }> {
  const { config, folder } = loaded
  const architecture = config.architecture ?? hostArchitecture()
  const host = await hostSystem()
  const archive = await openArchive({
    lock: join(folder, 'solo.lock'),
    architecture,
    ...(config.apt === undefined
      ? {}
      : { sources: { suite: config.apt.suite, file: resolve(folder, config.apt.sources) } }),
    updateLock,
    advice: {
      noPackage: 'check the sources of apt, or set kernel or apt in solo.config.ts',
      gone: 'take what is there now with: solo build --update-lock',
    },
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
  const sources = await sourcesOf(loaded, archive, { architecture, kernel, glibc })
  return { ingredients: { architecture, kernel, bun, glibc, sources, origins: new Origins() }, archive }
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
  cache: string,
): Promise<
  Omit<
    Manifest,
    'format' | 'commandLine' | 'kernel' | 'initramfs' | 'disk' | 'uki' | 'sbom' | 'sizes' | 'release'
  >
> {
  const ports = config.services.flatMap((service) => service.ports ?? [])
  const forwards = (config.forward ?? ports).map((each) => {
    return typeof each === 'number'
      ? { host: each, guest: each }
      : { host: each.host ?? each.guest, guest: each.guest }
  })
  const agent = agentPort(config)
  if (agent !== undefined && !forwards.some(({ guest }) => guest === agent)) {
    forwards.push({ host: agent, guest: agent })
  }
  const { sha256 } = await digestsOf(await hostFile(bun), bun, cache)
  return {
    version: 1,
    name: config.name,
    applianceVersion: config.version ?? null,
    architecture,
    bun: { version: bunVersion, sha256 },
    services: config.services.map((service) => {
      return { name: service.name, command: commandOf(service), uid: userOf(service, config).uid }
    }),
    modules,
    forwards,
    agentPort: agent ?? null,
    machine: { memoryMiB: config.machine?.memoryMiB ?? 512, cpus: config.machine?.cpus ?? 2 },
  }
}

/**
 * A panic restarts the machine, and an oops is one: an appliance that nobody watches must not hang. `quiet`
 * keeps the console for init's lines; errors are still shown.
 */
function commandLine(
  config: ApplianceConfig,
  architecture: 'x86_64' | 'aarch64',
  format: BuildFormat,
): string[] {
  const consoleName = architecture === 'aarch64' ? 'ttyAMA0' : 'ttyS0'
  // With a torn primary partition table the kernel takes the backup only when it is told that there is one.
  const disk = format === 'disk' ? ['gpt'] : []
  return [`console=${consoleName}`, ...disk, 'panic=10', 'oops=panic', 'quiet', ...(config.commandLine ?? [])]
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`
}
