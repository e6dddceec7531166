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

/**
 * What a line of a module that is copied may begin with. Of everything else there could be two then: variables, collections,
 * classes. Memory of a fixed size is written and read within one call.
 */
const stateless = [
  /^($|[\s})\]*]|\/[/*]|import |export [{*])/,
  /^(export )?(async )?(function|interface|type)\b/,
  /^(export )?const \w+(: \(\) => number)? = (-?\d[\da-fnx_]*$|raw_|\/\* @__PURE__ \*\/ bind\()/,
  /^const \w+ = (\{( \w+: \d+,?)+ \}|new \w+Array\(new ArrayBuffer\(\d+\)\))$/,
]

/**
 * A module without state, for an area of others. Its table of system calls, `const raw = { read: bind(…), write: bind(…) }`,
 * has become constants: of those tree shaking leaves what is called, of an object all.
 */
function copyOf(path: string): string {
  const contents = readFileSync(path, 'utf8')
  const [table = '', rows = ''] = /^const raw = \{\n(.*?)\n\}\n/ms.exec(contents) ?? []
  const calls = Array.from(rows.matchAll(/^ {2}(\w+): (bind\([^)]*\)),$/gm), ([, name, call]) => {
    return `const raw_${name} = /* @__PURE__ */ ${call}\n`
  })
  const split = contents.replace(table, calls.join('')).replace(/(?<![\w./])raw\.(?=\w)/g, 'raw_')
  const rest = split.split('\n').find((line) => !stateless.some((form) => form.test(line)))
  if (rest !== undefined) throw new Error(`${path} cannot be copied, for it has state: ${rest}`)
  if (rows.split('bind(').length - 1 !== calls.length || /(?<![\w./])raw(?=[,)\]};[])/.test(split))
    throw new Error(`${path}: its calls are no table of bind() by name`)
  return split
}

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
      const contents = tables.test(relative(src, path)) ? readFileSync(path, 'utf8') : copyOf(path)
      return { contents, resolveDir: dirname(path), loader: 'ts', pluginData: pluginData as string }
    })
  },
}
