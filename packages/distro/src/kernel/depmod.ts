// What depmod(8) writes after a kernel package is installed, made here from the modules themselves: packages
// carry neither modules.dep nor modules.alias, and kmod need not be on the machine that builds.
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { elfSection } from '@pkg/image/elf'
import { readTextIfThere } from '../host/files.ts'

/** What a module says about itself in its .modinfo section. */
interface ModuleInfo {
  readonly name: string
  /** Path below the folder of the release. */
  readonly path: string
  readonly depends: readonly string[]
  readonly aliases: readonly string[]
  readonly softDependencies: readonly string[]
}

/**
 * Writes modules.dep, modules.alias and modules.softdep into a folder of uncompressed modules.
 *
 * @param folder - `…/lib/modules/<release>`
 * @see https://man7.org/linux/man-pages/man8/depmod.8.html
 * @see https://man7.org/linux/man-pages/man5/modules.dep.5.html
 */
export async function writeModuleTables(folder: string): Promise<void> {
  const modules = await readModules(folder)
  const byName = new Map(modules.map((module) => [module.name, module]))
  const dependencyLines = modules.map((module) => {
    const paths = dependencyOrder(byName, module).map(({ path }) => path)
    return `${module.path}:${paths.map((path) => ` ${path}`).join('')}`
  })
  const aliasLines = modules.flatMap(({ name, aliases }) => aliases.map((alias) => `alias ${alias} ${name}`))
  const softLines = modules.flatMap(({ name, softDependencies }) =>
    softDependencies.map((text) => `softdep ${name} ${text}`),
  )
  await writeFile(join(folder, 'modules.dep'), asText(dependencyLines))
  await writeFile(join(folder, 'modules.alias'), asText(aliasLines))
  await writeFile(join(folder, 'modules.softdep'), asText(softLines))
}

function asText(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('')
}

/** All modules, in the order of modules.order, which decides which of two drivers for one device comes first. */
async function readModules(folder: string): Promise<ModuleInfo[]> {
  const files = (await readdir(folder, { recursive: true })).filter((path) => path.endsWith('.ko')).toSorted()
  const order = new Map(
    ((await readTextIfThere(join(folder, 'modules.order'))) ?? '')
      .split('\n')
      .map((line, index) => [line.replace(/\.(xz|zst|gz)$/, ''), index]),
  )
  const rank = (path: string): number => order.get(path) ?? order.size
  const sorted = files.toSorted((a, b) => rank(a) - rank(b))
  const modules: ModuleInfo[] = []
  for (const path of sorted) modules.push(parseModule(path, await readFile(join(folder, path))))
  return modules
}

/**
 * All that a module needs, as depmod orders it: what must be loaded first comes last.
 */
function dependencyOrder(byName: ReadonlyMap<string, ModuleInfo>, module: ModuleInfo): ModuleInfo[] {
  const loadOrder: ModuleInfo[] = []
  const seen = new Set<string>([module.name])
  const visit = (of: ModuleInfo): void => {
    for (const name of of.depends) {
      const next = byName.get(name)
      if (next === undefined || seen.has(name)) continue
      seen.add(name)
      visit(next)
      loadOrder.push(next)
    }
  }
  visit(module)
  return loadOrder.toReversed()
}

function parseModule(path: string, bytes: Uint8Array): ModuleInfo {
  const fields = modinfo(bytes)
  const all = (key: string): string[] => fields.filter(([name]) => name === key).map(([, value]) => value)
  return {
    name: moduleName(path),
    path,
    depends: all('depends')
      .flatMap((value) => value.split(','))
      .filter((name) => name !== '')
      .map((name) => name.replaceAll('-', '_')),
    aliases: all('alias').map((alias) => alias.replaceAll(' ', '_')),
    softDependencies: all('softdep'),
  }
}

/** The kernel's name of a module: the file's, with underscores for dashes. */
export function moduleName(path: string): string {
  return (path.split('/').at(-1) ?? '').replace(/\.ko(\.(xz|zst|gz))?$/, '').replaceAll('-', '_')
}

/** The `key=value` strings of a module's section .modinfo. */
function modinfo(bytes: Uint8Array): [string, string][] {
  const section = elfSection(bytes, '.modinfo') ?? new Uint8Array()
  return Buffer.from(section)
    .toString('latin1')
    .split('\0')
    .filter((line) => line.includes('='))
    .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)])
}
