/** The tables of a folder in which depmod was not run, from each module's own `.modinfo`. */
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { comparePaths } from '../tree.ts'
import { canonicalName, moduleOfFile, readModinfo } from './modinfo.ts'
import type { DecompressModule, Modinfo } from './modinfo.ts'
import { parseSoftDependencies, parseWeakDependencies } from './soft-dependencies.ts'
import type { KnownModule, ModuleTables } from './tables.ts'

interface Scanned {
  readonly name: string
  readonly path: string
  readonly info: Modinfo
}

type ScannedTables = Pick<ModuleTables, 'modules' | 'softDependencies' | 'weakDependencies' | 'aliases'>

/**
 * Reads every module of `folder`, one at a time.
 *
 * @param order - the text of modules.order, by which depmod orders modules and their aliases
 */
export async function scanModules(
  folder: string,
  order: string,
  decompress: DecompressModule | undefined,
): Promise<ScannedTables> {
  const scanned = new Map<string, Scanned>()
  for (const path of await modulePaths(folder, order)) {
    const name = moduleOfFile(path)?.name
    if (name === undefined || scanned.has(name)) continue
    const file = join(folder, path)
    scanned.set(name, { name, path, info: await readModinfo(file, await readFile(file), decompress) })
  }
  const all = [...scanned.values()]
  const texts = (key: string, keyword: string): string[] =>
    all.flatMap(({ name, info }) => (info.get(key) ?? []).map((value) => `${keyword} ${name} ${value}`))
  return {
    modules: new Map(all.map((module) => [module.name, withDependencies(module, scanned)])),
    softDependencies: parseSoftDependencies(texts('softdep', 'softdep')),
    weakDependencies: parseWeakDependencies(texts('weakdep', 'weakdep')),
    aliases: all.flatMap(({ name, info }) =>
      (info.get('alias') ?? []).map((alias) => [alias, name] as const),
    ),
  }
}

/** In the kernel's order; `updates/` first, since of two modules of one name depmod takes that (depmod.d(5)). */
async function modulePaths(folder: string, order: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true })
  const paths = entries.map((path) => path.replaceAll('\\', '/')).filter((path) => moduleOfFile(path))
  const withoutCompression = (path: string): string => path.replace(/\.(gz|xz|zst)$/, '')
  const places = new Map(order.split('\n').map((path, index) => [withoutCompression(path), index]))
  const placeOf = (path: string): number =>
    path.startsWith('updates/') ? -1 : (places.get(withoutCompression(path)) ?? places.size)
  return paths.toSorted((left, right) => placeOf(left) - placeOf(right) || comparePaths(left, right))
}

/** `depends=` has what a module itself needs; what those need comes before them. */
function withDependencies(module: Scanned, scanned: ReadonlyMap<string, Scanned>): KnownModule {
  const done = new Set<string>()
  const underway: string[] = []
  const visit = (name: string): void => {
    if (done.has(name)) return
    if (underway.includes(name)) {
      throw new Error(`${module.path}: its dependencies go in a circle: ${[...underway, name].join(' → ')}`)
    }
    underway.push(name)
    const direct = scanned.get(name)?.info.get('depends') ?? []
    for (const list of direct)
      for (const needed of list.split(',').filter(Boolean)) visit(canonicalName(needed))
    underway.pop()
    done.add(name)
  }
  visit(module.name)
  return { name: module.name, path: module.path, dependencies: [...done].slice(0, -1) }
}
