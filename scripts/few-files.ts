/**
 * Few files for an area of @pkg/sys: a plugin of its build. What an import costs is the files that it finds and what it runs
 * of them, while esbuild by itself makes a chunk of all that the same entries want (ADR 18).
 */
import { readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import type { Options } from 'tsup'

type Plugin = NonNullable<Options['esbuildPlugins']>[number]

/** The sources of the package that is built. */
const src = resolve('src')

/** What areas stand on, with all that it imports: one chunk, which each entry loads. */
const foundation = new Set(
  [
    ...['errno', 'errno/check-meaning', 'fd', 'fs/struct-memory', 'memory/map', 'memory/mapping'],
    ...['raw', 'raw/number', 'raw/vectors', 'struct'],
  ].map((name) => join(src, `${name}.ts`)),
)

/** Areas of which others have copies of what they use: no file more, and nothing that they do not use. */
const copied = new Set(['capability', 'fs', 'futex', 'io', 'limits', 'process'])

/** Numbers and layouts: each module has its own copy of the few that it uses, instead of a dozen tables. */
const tables = /^generated\/(constants|structs)\//

/** What there would be two of, after a module was copied. */
const state = /^(export )?((let|var|class|abstract class) |const \w+[^=]*= new (Weak)?(Map|Set)\b)/m

/** The area that a module belongs to: `spawn/clone.ts` is part of spawn. */
const areaOf = (file: string): string => /^[\w-]*/.exec(relative(src, file))?.[0] ?? ''

/** The plugin. */
export const fewFiles: Plugin = {
  name: 'few-files',
  setup(build) {
    build.onResolve({ filter: /^/ }, ({ path, importer, kind, resolveDir, pluginData }) => {
      if (kind === 'entry-point') return { path: resolve(path), namespace: 'entry' }
      if (!path.startsWith('.')) return undefined
      const target = join(resolveDir, path)
      if (kind === 'dynamic-import') return { path: target, namespace: 'entry' }
      if (foundation.has(target)) return { path: target, sideEffects: true }
      const owner = (pluginData as string | undefined) ?? areaOf(importer)
      const isTable = tables.test(relative(src, target))
      if (!isTable && (areaOf(target) === owner || !copied.has(areaOf(target)))) return undefined
      const suffix = isTable ? `?${relative(src, importer)}?${owner}` : `?${owner}`
      return { path: target, suffix, sideEffects: false, pluginData: owner }
    })
    // Before each entry stands a module that has its exports, and imports the foundation.
    build.onLoad({ filter: /^/, namespace: 'entry' }, ({ path }) => {
      const imports = [...foundation].map((file) => `import './${relative(src, file)}'`)
      const contents = [`export * from './${relative(src, path)}'`, ...imports].join('\n')
      return { contents, resolveDir: src, loader: 'ts' }
    })
    build.onLoad({ filter: /^/, namespace: 'file' }, ({ path, pluginData }) => {
      if (pluginData === undefined) return undefined
      const contents = readFileSync(path, 'utf8')
      if (state.test(contents)) throw new Error(`${path} has state: ${pluginData} cannot have a copy of it`)
      return { contents, resolveDir: dirname(path), loader: 'ts', pluginData: pluginData as string }
    })
  },
}
