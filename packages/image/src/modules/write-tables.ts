/** The text files of depmod, for a folder in which it was not run. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ModuleTables } from './tables.ts'

/** Writes modules.dep, modules.alias, modules.softdep and modules.weakdep; each stands for what `tables` has. */
export async function writeTables(folder: string, tables: ModuleTables): Promise<void> {
  const { modules, aliases, softDependencies, weakDependencies } = tables
  const pathOf = (name: string): string => modules.get(name)?.path ?? name
  const dependencies = [...modules.values()].map(({ path, dependencies: names }) =>
    // The first that is loaded is named last.
    [`${path}:`, ...names.toReversed().map(pathOf)].join(' '),
  )
  const soft = [...softDependencies].map(([name, { pre, post }]) =>
    ['softdep', name, ...words('pre:', pre), ...words('post:', post)].join(' '),
  )
  const texts = {
    'modules.alias': aliases.map(([pattern, name]) => `alias ${pattern} ${name}`),
    'modules.softdep': soft,
    'modules.weakdep': [...weakDependencies].map(([name, needed]) => ['weakdep', name, ...needed].join(' ')),
    // The last one: a reader that finds it relies on the others.
    'modules.dep': dependencies,
  }
  for (const [name, lines] of Object.entries(texts)) {
    await writeFile(join(folder, name), lines.map((line) => `${line}\n`).join(''))
  }
}

function words(keyword: string, names: readonly string[]): readonly string[] {
  return names.length === 0 ? [] : [keyword, ...names]
}
