/**
 * What is known of all modules of a kernel: from the text files that depmod writes, or where it has not been run
 * (distributions' packages come without modules.dep), from the modules themselves.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { canonicalName, moduleOfFile, parseModinfo } from './modinfo.ts'
import type { DecompressModule } from './modinfo.ts'
import { parseSoftDependencies, parseWeakDependencies } from './soft-dependencies.ts'
import type { SoftDependencies } from './soft-dependencies.ts'
import { scanModules } from './scan.ts'

/** One module's file and needs. */
export interface KnownModule {
  readonly name: string
  /** Below the modules' folder. */
  readonly path: string
  /** Names of all modules that must be loaded before it, in that order. */
  readonly dependencies: readonly string[]
}

/** A pattern of an alias and the module that it stands for. */
export type Alias = readonly [pattern: string, name: string]

/** Everything about a kernel's modules. */
export interface ModuleTables {
  readonly modules: ReadonlyMap<string, KnownModule>
  readonly softDependencies: ReadonlyMap<string, SoftDependencies>
  /** Modules that may be asked for later and must then be there (kmod 33, modules.weakdep). */
  readonly weakDependencies: ReadonlyMap<string, readonly string[]>
  readonly aliases: readonly Alias[]
  /** Names of what is part of the kernel. */
  readonly builtin: ReadonlySet<string>
  readonly builtinAliases: readonly Alias[]
  /** Firmware of what is part of the kernel, by its name. */
  readonly builtinFirmware: ReadonlyMap<string, readonly string[]>
}

/**
 * Reads the tables of `folder`.
 *
 * @see https://man7.org/linux/man-pages/man5/modules.dep.5.html
 */
export async function readTables(
  folder: string,
  decompress: DecompressModule | undefined,
): Promise<ModuleTables> {
  const read = (name: string): Promise<string | undefined> => readIfThere(join(folder, name))
  const dependencies = await read('modules.dep')
  const fromModules =
    dependencies === undefined
      ? await scanModules(folder, (await read('modules.order')) ?? '', decompress)
      : {
          modules: parseDependencies(dependencies),
          softDependencies: parseSoftDependencies(lines(await read('modules.softdep'))),
          weakDependencies: parseWeakDependencies(lines(await read('modules.weakdep'))),
          aliases: parseAliases(lines(await read('modules.alias'))),
        }
  const builtinNames = lines(await read('modules.builtin')).flatMap((path) => moduleOfFile(path)?.name ?? [])
  return {
    ...fromModules,
    builtin: new Set(builtinNames),
    ...parseBuiltin(await read('modules.builtin.modinfo')),
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  })
}

/** Lines with content; the files begin with a comment. */
function lines(text: string | undefined): string[] {
  return (text ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
}

/** `kernel/a.ko: kernel/b.ko kernel/c.ko`: to load a, load c, then b, then a. */
function parseDependencies(text: string): Map<string, KnownModule> {
  const modules = new Map<string, KnownModule>()
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue
    const colon = line.indexOf(':')
    const path = line.slice(0, Math.max(0, colon))
    const module = moduleOfFile(path)
    if (!module)
      throw new Error(`modules.dep line ${index + 1}: expected PATH.ko: PATHS, found ${JSON.stringify(line)}`)
    const needed = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
      .filter(Boolean)
    const names = needed.map((file) => moduleOfFile(file)?.name ?? file)
    modules.set(module.name, { name: module.name, path, dependencies: names.toReversed() })
  }
  return modules
}

/** `alias PATTERN NAME`. */
function parseAliases(texts: readonly string[]): Alias[] {
  return texts.flatMap((text) => {
    const [keyword, pattern, name] = text.split(/\s+/)
    return keyword === 'alias' && pattern !== undefined && name !== undefined
      ? [[pattern, canonicalName(name)] as const]
      : []
  })
}

/** `NAME.KEY=VALUE` texts, each with a NUL after it. */
function parseBuiltin(text: string | undefined): Pick<ModuleTables, 'builtinAliases' | 'builtinFirmware'> {
  const builtinAliases: Alias[] = []
  const builtinFirmware = new Map<string, readonly string[]>()
  for (const [key, values] of parseModinfo(new TextEncoder().encode(text ?? ''))) {
    const name = canonicalName(key.slice(0, key.indexOf('.')))
    if (key.endsWith('.alias')) builtinAliases.push(...values.map((value) => [value, name] as const))
    if (key.endsWith('.firmware')) builtinFirmware.set(name, values)
  }
  return { builtinAliases, builtinFirmware }
}
