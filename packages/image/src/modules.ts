/**
 * The kernel modules that an image needs: what is wanted, by name or by the hardware's modalias, and all that must be
 * loaded before and beside it, in the order in which modprobe would load it.
 */
import { readFile, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { ModuleNotFoundError, similarNames } from './modules/not-found.ts'
import { canonicalName, moduleOfFile, readModinfo } from './modules/modinfo.ts'
import type { DecompressModule, ModuleCompression } from './modules/modinfo.ts'
import { Resolution } from './modules/resolution.ts'
import { readTables } from './modules/tables.ts'
import type { ModuleTables } from './modules/tables.ts'
import { writeTables } from './modules/write-tables.ts'

export { ModuleNotFoundError } from './modules/not-found.ts'
export { requestedModules } from './modules/request.ts'
export type { DecompressModule, ModuleCompression } from './modules/modinfo.ts'

/** What {@link moduleClosure} is to find. */
export interface ModuleClosureOptions {
  /**
   * The kernel's folder of modules, `…/lib/modules/RELEASE`, with depmod's modules.dep, modules.alias and so on, or
   * as it lies in a distribution's package, without: then every module of the folder is read.
   */
  readonly modulesFolder: string
  /**
   * What shall work in the image: names (`virtio_net`, `virtio-net`), modaliases as the kernel gives them
   * (`pci:v00001AF4d00001000sv…`), or patterns over names and aliases (`virtio:*`). Built-in ones are fine.
   */
  readonly wanted: readonly string[]
  /** Wanted likewise, but nothing is said when the kernel does not know them. */
  readonly optional?: readonly string[]
  /** The kernel's release, as uname has it. Default: the name of `modulesFolder`. */
  readonly release?: string
  /** Where the modules will be in the image. Default: `/lib/modules/RELEASE`. */
  readonly imageFolder?: string
  /** Whether the image takes compressed modules as they are; else paths in it are without `.xz`, `.zst`, `.gz`. */
  readonly keepCompressed?: boolean
  /** Needed when the folder has compressed modules, to read what firmware they want. */
  readonly decompress?: DecompressModule
}

/** A module of the closure. */
export interface ClosureModule {
  /** Its name, with `_`. */
  readonly name: string
  /** Its file in the image, absolute. */
  readonly path: string
  /** Its file on the host. */
  readonly source: string
  /** How the file on the host is compressed; undefined when it is not. */
  readonly compression?: ModuleCompression
  /** True when it is not to be loaded with the others, only to be there when something asks (modules.weakdep). */
  readonly weak: boolean
}

/** A file below `/lib/firmware` that a module of the closure may ask the kernel for. */
export interface ModuleFirmware {
  /** Its name below `/lib/firmware`; may be a pattern with `*`. */
  readonly name: string
  /** Names of the modules that ask for it. */
  readonly modules: readonly string[]
}

/** One module in {@link ModuleIndex}. */
export interface ModuleIndexEntry {
  /** Its file in the image, absolute. */
  readonly path: string
  /** Names of what must be loaded before it, in that order. */
  readonly dependencies: readonly string[]
  /** Names of what should be loaded before it. */
  readonly softPre: readonly string[]
  /** Names of what should be loaded after it. */
  readonly softPost: readonly string[]
}

/** What the image's PID 1 reads to load modules: `/lib/modules/RELEASE/solo-modules.json`. */
export interface ModuleIndex {
  /** The kernel's release. */
  readonly release: string
  /** The modules in the image by name, sorted. */
  readonly modules: Readonly<Record<string, ModuleIndexEntry>>
  /** Patterns of modaliases and the module of the image that each stands for, in depmod's order. */
  readonly aliases: readonly (readonly [pattern: string, name: string])[]
  /** Names of everything that is part of the kernel, sorted. */
  readonly builtin: readonly string[]
}

/** What {@link moduleClosure} finds. */
export interface ModuleClosure {
  /** The kernel's release. */
  readonly release: string
  /** Every module of the closure, in the order in which to load them. */
  readonly modules: readonly ClosureModule[]
  /** Names of what was wanted and is part of the kernel, sorted. */
  readonly builtin: readonly string[]
  /** Firmware, sorted by name. */
  readonly firmware: readonly ModuleFirmware[]
  /** For the image's PID 1; write it with JSON.stringify. */
  readonly index: ModuleIndex
}

/**
 * Finds the modules for `wanted`, with their dependencies, soft dependencies and firmware.
 *
 * A name is looked up as modprobe does: a module, else an alias (all that match), else something built in. `-` and
 * `_` are one. Soft dependencies that the kernel does not know are passed over, as modprobe does.
 *
 * Blocks: no (awaited). Memory: one module's file at a time.
 *
 * @throws {@link ModuleNotFoundError} for something wanted that is nowhere; Error when the folder is missing, or a
 *   module's file is missing or damaged; TypeError when modules are compressed and `decompress` is not given
 * @see https://man7.org/linux/man-pages/man8/modprobe.8.html
 *
 * @example
 * ```ts no-run
 * import { moduleClosure } from '@pkg/image/modules'
 *
 * const closure = await moduleClosure({
 *   modulesFolder: '/lib/modules/6.1.0-37-cloud-amd64',
 *   wanted: ['virtio_net', 'pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00'],
 * })
 * for (const module of closure.modules) console.log(module.name, module.source, '→', module.path)
 * ```
 */
export async function moduleClosure(options: ModuleClosureOptions): Promise<ModuleClosure> {
  const folder = resolve(options.modulesFolder)
  if (!(await stat(folder).catch(() => undefined))?.isDirectory()) {
    throw new Error(`${folder}: no such folder of kernel modules`)
  }
  const release = options.release ?? basename(folder)
  const tables = await readTables(folder, options.decompress)
  const resolution = resolveWanted(tables, options, folder)

  const modules: ClosureModule[] = []
  const firmware = new FirmwareList()
  for (const name of resolution.builtin) firmware.add(name, tables.builtinFirmware.get(name))
  for (const { name, weak } of resolution.inOrder()) {
    const file = await findFile(folder, tables, name, resolution.neededBy(name))
    const info = await readModinfo(file.source, await readFile(file.source), options.decompress)
    firmware.add(name, info.get('firmware'))
    const pathBelow = options.keepCompressed ? file.path : file.path.replace(/\.(gz|xz|zst)$/, '')
    const path = `${options.imageFolder ?? `/lib/modules/${release}`}/${pathBelow}`
    const { compression } = moduleOfFile(file.path) ?? {}
    modules.push({ name, path, source: file.source, ...(compression ? { compression } : {}), weak })
  }
  const builtin = [...resolution.builtin].toSorted()
  return {
    release,
    modules,
    builtin,
    firmware: firmware.sorted(),
    index: indexOf(release, modules, tables, resolution),
  }
}

/**
 * Does what depmod(8) does, for the modules of a package: writes modules.dep, modules.alias, modules.softdep and
 * modules.weakdep, so that {@link moduleClosure} need not read every module again. Not the
 * `.bin` files beside them, which modprobe reads. Tables that are there stay.
 *
 * Blocks: no (awaited).
 *
 * @param modulesFolder - `…/lib/modules/RELEASE`
 * @throws Error when the folder is missing, or a module is damaged
 *
 * @example
 * ```ts no-run
 * import { depmod } from '@pkg/image/modules'
 *
 * await depmod('unpacked/lib/modules/6.1.0-37-cloud-amd64')
 * ```
 */
export async function depmod(modulesFolder: string): Promise<void> {
  const folder = resolve(modulesFolder)
  if ((await stat(join(folder, 'modules.dep')).catch(() => undefined)) !== undefined) return
  await writeTables(folder, await readTables(folder, undefined))
}

function resolveWanted(tables: ModuleTables, options: ModuleClosureOptions, folder: string): Resolution {
  const resolution = new Resolution(tables)
  for (const wanted of options.wanted) {
    if (!resolution.want(wanted)) {
      const names = [...tables.modules.keys(), ...tables.builtin]
      throw new ModuleNotFoundError(wanted, folder, similarNames(canonicalName(wanted), names))
    }
  }
  for (const wanted of options.optional ?? []) resolution.want(wanted)
  return resolution
}

/** modules.dep may have been written before modules were compressed or decompressed: the other names count too. */
async function findFile(
  folder: string,
  tables: ModuleTables,
  name: string,
  neededBy: string | undefined,
): Promise<{ path: string; source: string }> {
  const known = tables.modules.get(name)
  if (!known)
    throw new Error(
      `${folder}: ${neededBy ?? name} needs the module ${name}, which is not there: is a package missing?`,
    )
  const plain = known.path.replace(/\.(gz|xz|zst)$/, '')
  for (const path of [known.path, plain, `${plain}.xz`, `${plain}.zst`, `${plain}.gz`]) {
    // modules.dep has absolute paths where modules lie outside of its folder.
    const source = path.startsWith('/') ? path : join(folder, path)
    const stats = await stat(source).catch(() => undefined)
    if (stats?.isFile()) return { path: path.replace(/^\/+/, ''), source }
  }
  throw new Error(
    `${join(folder, known.path)}: modules.dep names this file, but it is not there: run depmod for this folder`,
  )
}

class FirmwareList {
  readonly #modules = new Map<string, string[]>()

  add(module: string, names: readonly string[] = []): void {
    for (const name of names) {
      const modules = this.#modules.get(name) ?? []
      if (!modules.includes(module)) modules.push(module)
      this.#modules.set(name, modules)
    }
  }

  sorted(): ModuleFirmware[] {
    return [...this.#modules]
      .toSorted(([left], [right]) => (left < right ? -1 : 1))
      .map(([name, modules]) => ({ name, modules }))
  }
}

function indexOf(
  release: string,
  modules: readonly ClosureModule[],
  tables: ModuleTables,
  resolution: Resolution,
): ModuleIndex {
  const present = new Set(modules.map(({ name }) => name))
  const resolveSoft = (wanted: readonly string[] = []): string[] =>
    [...new Set(wanted.flatMap((each) => resolution.lookUp(each)?.modules ?? []))].filter((name) =>
      present.has(name),
    )
  const sorted = modules.toSorted((left, right) => (left.name < right.name ? -1 : 1))
  const entries = sorted.map(({ name, path }): [string, ModuleIndexEntry] => {
    const soft = tables.softDependencies.get(name)
    const dependencies = tables.modules.get(name)?.dependencies ?? []
    return [name, { path, dependencies, softPre: resolveSoft(soft?.pre), softPost: resolveSoft(soft?.post) }]
  })
  const aliases = tables.aliases.filter(([, name]) => present.has(name))
  return { release, modules: Object.fromEntries(entries), aliases, builtin: [...tables.builtin].toSorted() }
}
