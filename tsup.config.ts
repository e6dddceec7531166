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
 * Entries that are nothing but tables of numbers. They share no chunks with the others, which would have to load whole
 * tables then for the few values that they use: this halves what the import of an area of @pkg/sys costs.
 */
const tables = new Set(['src/constants.ts', 'src/structs.ts'])

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

export default defineConfig(() => {
  const [alone, rest] = [
    entries.filter((entry) => tables.has(entry)),
    entries.filter((entry) => !tables.has(entry)),
  ]
  const builds: Options[] = [
    { ...options, entry: rest, onSuccess: async () => writeDeclarations('src', 'dist') },
  ]
  if (alone.length > 0) builds.push({ ...options, entry: alone })
  return builds
})
