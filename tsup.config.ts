/**
 * The build of every package, started in the package's folder: each top-level `src/*.ts` becomes one
 * entry of `dist/`, as the generated `exports` of its package.json say (`scripts/exports.ts`).
 */
import { readdirSync, rmSync } from 'node:fs'
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

const options: Options = {
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
if (entries.includes(numbers)) builds.push({ ...options, entry: [numbers] })

export default defineConfig(builds)
