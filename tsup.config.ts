/**
 * The build of every package, started in the package's folder: each top-level `src/*.ts` becomes one
 * entry of `dist/`, as the generated `exports` of its package.json say (`scripts/exports.ts`).
 */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { basename, join, relative, resolve } from 'node:path'
import { defineConfig, type Options } from 'tsup'
import { writeDeclarations } from './scripts/declarations.ts'

const entries = readdirSync('src', { withFileTypes: true })
  .filter((file) => file.isFile() && file.name.endsWith('.ts'))
  .map((file) => `src/${file.name}`)

/**
 * The entry that is nothing but numbers, thousands of them. It shares no chunks with the others, which would have to load
 * whole tables then for the few values that they use. (Layouts of structs are objects, and known again by that.)
 */
const numbers = 'src/constants.ts'

/**
 * Each module gets its own copy of the few numbers that it uses. As chunks of their own the tables would be a dozen files to
 * find and read, most of whose values nobody asked for.
 */
const ownNumbers: NonNullable<Options['esbuildPlugins']>[number] = {
  name: 'own-numbers',
  setup(build) {
    build.onResolve({ filter: /\/generated\/constants\/[\w-]+\.ts$/ }, ({ path, importer, resolveDir }) => ({
      path: join(resolveDir, path),
      suffix: `?${relative(process.cwd(), importer)}`,
      sideEffects: false,
    }))
  },
}

/**
 * What areas of @pkg/sys stand on, or several of the larger ones, with all that it imports: one chunk, which each entry
 * loads. By themselves they would be some twenty, as each is wanted by other entries; and finding a file costs more than
 * reading it.
 */
const foundation = [
  ...['raw', 'fd', 'raw/vectors', 'memory/map', 'memory/mapping', 'fs/struct-memory'],
  ...['limits/io-priority', 'limits/rusage'],
]

/** The part of it that makes no calls, and so runs under Node: a chunk of its own. */
const pureFoundation = [
  ...['errno', 'struct', 'raw/number'],
  ...['generated/structs/file', 'generated/structs/memory', 'generated/structs/process'],
]

/** Whether a module makes calls, by what it imports. */
function makesCalls(file: string, seen: Set<string> = new Set()): boolean {
  if (seen.has(file)) return false
  seen.add(file)
  return new Bun.Transpiler({ loader: 'ts' })
    .scanImports(readFileSync(file, 'utf8'))
    .some(
      ({ path }) => path === 'bun:ffi' || (path.startsWith('.') && makesCalls(join(file, '..', path), seen)),
    )
}

/** Puts a module before each entry which imports that and the foundation. */
const oneFoundation: NonNullable<Options['esbuildPlugins']>[number] = {
  name: 'one-foundation',
  setup(build) {
    build.onResolve({ filter: /./ }, ({ path, kind }) => {
      return kind === 'entry-point' ? { path: resolve(path), namespace: 'entry' } : undefined
    })
    build.onResolve({ filter: /^foundation:/ }, ({ path }) => {
      return { path: resolve('src', `${path.replace('foundation:', '')}.ts`), sideEffects: true }
    })
    build.onLoad({ filter: /./, namespace: 'entry' }, ({ path }) => {
      const names = [...pureFoundation, ...(makesCalls(path) ? foundation : [])]
      const imports = names.map((name) => `import 'foundation:${name}'`)
      const contents = [`export * from './${basename(path)}'`, ...imports].join('\n')
      return { contents, resolveDir: resolve('src'), loader: 'ts' }
    })
  },
}

const options: Options = {
  esbuildPlugins: existsSync('src/raw.ts') ? [ownNumbers, oneFoundation] : [],
  format: 'esm',
  target: 'es2024',
  platform: 'node',
  sourcemap: true,
  // Entries share chunks: one reactor, one table of signal handlers, whichever subpath is imported first.
  splitting: true,
  // `paths` of the tsconfig point into the other packages' sources; without this they would be bundled in.
  external: ['bun', /^bun:/, /^node:/, /^@pkg\//],
}

// By tsup's own `clean` each of two builds would remove what the other has written.
rmSync('dist', { recursive: true, force: true })

const builds: Options[] = [
  {
    ...options,
    entry: entries.filter((entry) => entry !== numbers),
    onSuccess: async () => writeDeclarations('src', 'dist'),
  },
]
if (entries.includes(numbers)) builds.push({ ...options, esbuildPlugins: [], entry: [numbers] })

export default defineConfig(builds)
