/**
 * The build of every package, started in the package's folder: each top-level `src/*.ts` becomes one
 * entry of `dist/`, as the generated `exports` of its package.json say (`scripts/exports.ts`).
 */
import { readdirSync } from 'node:fs'
import { defineConfig, type Options } from 'tsup'
import { writeDeclarations } from './scripts/declarations.ts'

const options: Options = {
  entry: readdirSync('src', { withFileTypes: true })
    .filter((file) => file.isFile() && file.name.endsWith('.ts'))
    .map((file) => `src/${file.name}`),
  format: 'esm',
  target: 'es2024',
  platform: 'node',
  sourcemap: true,
  clean: true,
  // Entries share chunks: one reactor, one table of signal handlers, whichever subpath is imported first.
  splitting: true,
  // `paths` of the tsconfig point into the other packages' sources; without this they would be bundled in.
  external: ['bun', /^bun:/, /^node:/, /^@pkg\//],
  onSuccess: async () => writeDeclarations('src', 'dist'),
}

export default defineConfig(options)
