/**
 * The build of every package, started in the package's folder: each top-level `src/*.ts` becomes one
 * entry of `dist/`, as the generated `exports` of its package.json say (`scripts/exports.ts`).
 */
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { defineConfig, type Options } from 'tsup'
import { writeDeclarations } from './scripts/declarations.ts'
import { fewFiles } from './scripts/few-files.ts'

const entries = readdirSync('src', { withFileTypes: true })
  .filter((file) => file.isFile() && file.name.endsWith('.ts'))
  .map((file) => `src/${file.name}`)

/** Whether @pkg/sys is built, of which one imports an area: what that costs is paid before anything runs. */
const isSys = existsSync('src/raw.ts')

/** White space goes, and numbers stand where their names did; errors are told by lines of the sources all the same. */
const minified = { minifySyntax: true, minifyWhitespace: true }

/** The entry that is nothing but numbers, thousands of them: it shares nothing with the others. */
const numbers = 'src/constants.ts'

const options: Options = {
  // Bun takes a file that begins so as it is, and looks for nothing to translate in it.
  ...(isSys ? { esbuildPlugins: [fewFiles], banner: { js: '// @bun' }, ...minified } : {}),
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
