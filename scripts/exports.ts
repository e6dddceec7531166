/**
 * Writes what package.json says about a package's own files: `exports` from its top-level `src/*.ts`,
 * and the scripts that turbo runs. `bun scripts/exports.ts` writes, `--check` only compares.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A package.json, as far as this script touches it. */
export interface Manifest {
  /** `@pkg/sys` */
  name: string
  /** Command names and the files in `dist/` that they start. */
  bin?: Record<string, string>
  /** Subpath to its declaration and its module. */
  exports?: Record<string, unknown>
  /** What turbo runs in the package's folder. */
  scripts?: Record<string, string>
  [field: string]: unknown
}

const root = fileURLToPath(new URL('..', import.meta.url))

/** The folders under `packages/`, as absolute paths in order of name. */
export function packageFolders(): string[] {
  return readdirSync(join(root, 'packages'))
    .toSorted()
    .map((name) => join(root, 'packages', name))
    .filter((folder) => existsSync(join(folder, 'package.json')))
}

/**
 * The manifest as it should be, given the package's sources. A file that a `bin` starts is a program, not
 * a subpath.
 *
 * @param manifest - the present package.json
 * @param sources - names of the files directly in `src/`, such as `fs.ts`
 */
export function freshManifest(manifest: Manifest, sources: string[]): Manifest {
  const programs = new Set(
    Object.values(manifest.bin ?? {}).map((file) => file.replace(/^\.\/dist\/(.*)\.js$/, '$1.ts')),
  )
  const names = sources
    .filter((file) => file.endsWith('.ts') && !programs.has(file))
    .map((file) => file.slice(0, -'.ts'.length))
    .toSorted((a, b) => Number(b === 'index') - Number(a === 'index') || (a < b ? -1 : 1))
  const subpaths = names.map((name) => [
    name === 'index' ? '.' : `./${name}`,
    { types: `./dist/${name}.d.ts`, default: `./dist/${name}.js` },
  ])
  return {
    ...manifest,
    exports: Object.fromEntries([...subpaths, ['./package.json', './package.json']]),
    scripts: scriptsFor(manifest.name.replace('@pkg/', '')),
  }
}

function scriptsFor(name: string): Record<string, string> {
  const vitest = 'bun --preload ../../scripts/vitest-fork-preload.ts ../../node_modules/vitest/vitest.mjs'
  const run = `${vitest} run --root ../.. --passWithNoTests`
  return {
    build: 'bun --bun tsup --config ../../tsup.config.ts',
    typecheck: 'bun --bun ../../node_modules/typescript-native/bin/tsc -p .',
    test: `${run} --project unit packages/${name}/`,
    'test:vm': `${run} --project vm packages/${name}/`,
  }
}

/**
 * Compares one package's manifest with its sources.
 *
 * @param folder - the package's folder
 * @returns the file's path, and its new content when it is out of date
 */
export function checkManifest(folder: string): { path: string; replacement?: Manifest } {
  const path = join(folder, 'package.json')
  const manifest = JSON.parse(readFileSync(path, 'utf8')) as Manifest
  const sourceFolder = join(folder, 'src')
  const sources = existsSync(sourceFolder)
    ? readdirSync(sourceFolder, { withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => entry.name)
    : []
  const fresh = freshManifest(manifest, sources)
  return JSON.stringify(fresh) === JSON.stringify(manifest) ? { path } : { path, replacement: fresh }
}

if (import.meta.main) {
  const stale = packageFolders()
    .map(checkManifest)
    .filter((result) => result.replacement !== undefined)
  if (process.argv.includes('--check')) {
    for (const { path } of stale)
      process.stderr.write(`${path} is out of date: run \`bun scripts/exports.ts\`\n`)
    process.exitCode = stale.length === 0 ? 0 : 1
  } else if (stale.length > 0) {
    for (const { path, replacement } of stale) {
      writeFileSync(path, `${JSON.stringify(replacement, null, 2)}\n`)
      process.stdout.write(`wrote ${path}\n`)
    }
    Bun.spawnSync(['bun', '--bun', 'oxfmt', '--write', ...stale.map(({ path }) => path)], { cwd: root })
  }
}
