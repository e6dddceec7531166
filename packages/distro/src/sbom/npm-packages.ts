// Which npm packages a bundle was made from.
import { dirname } from 'node:path'
import { readTextIfThere } from '@pkg/vm/host'
import { type Component, npmComponent } from './component.ts'

/**
 * The packages that files belong to, by the nearest package.json with a name and a version: that of `entry`, which is
 * what was bundled, and the others in the order of their names.
 *
 * @param inputs - absolute paths
 */
export async function npmPackages(
  inputs: Iterable<string>,
  entry: string,
): Promise<{ own: Component[]; packages: Component[] }> {
  const known = new Map<string, Promise<Package | undefined>>()
  const own = await packageOf(dirname(entry), known)
  const found = new Map<string, Component>()
  for (const input of inputs) {
    const owner = await packageOf(dirname(input), known)
    if (owner === undefined || owner.folder === own?.folder) continue
    found.set(`${owner.name}@${owner.version}`, npmComponent(owner.name, owner.version))
  }
  const sorted = [...found.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1))
  return {
    own: own === undefined ? [] : [npmComponent(own.name, own.version)],
    packages: sorted.map(([, component]) => component),
  }
}

interface Package {
  readonly folder: string
  readonly name: string
  readonly version: string
}

function packageOf(
  folder: string,
  known: Map<string, Promise<Package | undefined>>,
): Promise<Package | undefined> {
  const cached = known.get(folder)
  if (cached !== undefined) return cached
  const found = (async (): Promise<Package | undefined> => {
    const text = await readTextIfThere(`${folder}/package.json`)
    const fields = text === undefined ? undefined : (JSON.parse(text) as { name?: string; version?: string })
    if (fields?.name !== undefined && fields.version !== undefined) {
      return { folder, name: fields.name, version: fields.version }
    }
    const parent = dirname(folder)
    return parent === folder ? undefined : await packageOf(parent, known)
  })()
  known.set(folder, found)
  return found
}
