/**
 * Packages as the guest needs them: which files of `node_modules` a program imports, found on the host, to be put at
 * the same absolute paths in the guest. Symlinks of package managers (Bun's and pnpm's stores) are kept as such.
 */
import { readdir, readFile, readlink, realpath, stat } from 'node:fs/promises'
import { isBuiltin } from 'node:module'
import { basename, dirname, join, resolve } from 'node:path'

/** Files and symlinks by absolute path: a symlink's value is its target, a file's is null. */
export type FileSet = Map<string, string | null>

/** What of a `package.json` matters here. */
interface Manifest {
  dependencies?: Record<string, string>
  optionalDependencies?: Record<string, string>
  peerDependencies?: Record<string, string>
  exports?: Exports
  module?: string
  main?: string
}

type Exports = string | null | Exports[] | { [key: string]: Exports }

/** Conditions of `exports` under which Bun resolves an `import`, in the guest. */
const CONDITIONS: ReadonlySet<string> = new Set(['bun', 'node', 'import', 'module', 'default'])

/** Files of a package that no program loads: declarations, source maps, documentation. */
const NEVER_LOADED = /\.d\.[cm]?ts$|\.map$|\.md$|\.markdown$|\.flow$|\.tsbuildinfo$/

/** In every guest already, as far as it runs there: all of it, with Vite and its compilers, is 50 MB. */
const RUNNER = 'vitest'

/** Folders of a package that no program loads. */
const NEVER_ENTERED: ReadonlySet<string> = new Set([
  'node_modules',
  '.git',
  'test',
  'tests',
  '__tests__',
  'docs',
])

/**
 * Adds the package that `file` belongs to, as a whole, and the packages it depends on. A file outside of any
 * `node_modules` is added alone.
 */
export async function addPackageOf(file: string, files: FileSet): Promise<void> {
  const folder = packageFolder(file)
  if (folder === undefined) {
    files.set(file, null)
    return
  }
  await addPackage(folder, files)
}

/** The folder `…/node_modules/<name>` or `…/node_modules/@scope/<name>` that `file` lies in, if any. */
export function packageFolder(file: string): string | undefined {
  return /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(file)?.[0]
}

async function addPackage(folder: string, files: FileSet): Promise<void> {
  const real = await addLinks(folder, files)
  const manifestPath = join(real, 'package.json')
  if (files.has(manifestPath)) return
  files.set(manifestPath, null)
  await addFolder(real, files)
  const manifest = await readManifest(real)
  const names = [manifest.dependencies, manifest.optionalDependencies, manifest.peerDependencies].flatMap(
    (list) => Object.keys(list ?? {}),
  )
  for (const name of new Set(names)) {
    const dependency = await findPackage(name, real)
    // Optional and peer dependencies need not be there. Types are for the compiler.
    if (dependency === undefined || name.startsWith('@types/')) continue
    if (name === RUNNER) await addLinks(dependency, files)
    else await addPackage(dependency, files)
  }
}

async function addFolder(folder: string, files: FileSet): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) {
      if (!NEVER_ENTERED.has(entry.name)) await addFolder(path, files)
    } else if (entry.isSymbolicLink()) files.set(path, await readlink(path))
    else if (entry.isFile() && !NEVER_LOADED.test(entry.name)) files.set(path, null)
  }
}

/** Adds the symlinks that lead to `path`, and gives where they lead. */
async function addLinks(path: string, files: FileSet): Promise<string> {
  const real = await realpath(path)
  if (real !== path && (await realpath(dirname(path))) === dirname(path)) files.set(path, real)
  return real
}

async function findPackage(name: string, from: string): Promise<string | undefined> {
  for (let folder = from; ; folder = dirname(folder)) {
    if (basename(folder) !== 'node_modules') {
      const candidate = join(folder, 'node_modules', name)
      if (await exists(join(candidate, 'package.json'))) return candidate
    }
    if (folder === dirname(folder)) return undefined
  }
}

/**
 * Adds `file` and everything that it imports, file by file, following relative paths and packages: for modules
 * whose imports are written out, such as the bundles that vitest is made of. What cannot be found is left out: vitest
 * imports optional packages when they are asked for.
 */
export async function addImportsOf(file: string, files: FileSet): Promise<void> {
  const pending = [file]
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    if (files.has(path)) continue
    files.set(path, null)
    if (!/\.[cm]?[jt]s$/.test(path)) continue
    for (const specifier of specifiers(await readFile(path, 'utf8'))) {
      const found = await resolveImport(specifier, path, files)
      if (found !== undefined) pending.push(found)
    }
  }
}

/** Adds what an import of `specifier` in the file `from` leads to, and all that it imports, if it can be found. */
export async function addImport(specifier: string, from: string, files: FileSet): Promise<void> {
  const found = await resolveImport(specifier, from, files)
  if (found !== undefined) await addImportsOf(found, files)
}

/** `from '…'`, `import '…'`, `import('…')`, `require('…')`; a match in a string or comment only adds a file too many. */
const IMPORT = /\b(?:from|import|require)\s*\(?\s*(?:\/\*.*?\*\/\s*)?(["'])([^"'\n]+)\1/g

/** What CommonJS lets a path leave out. */
const ENDINGS: readonly string[] = ['', '.js', '.json', '.cjs', '/index.js']

function specifiers(source: string): Set<string> {
  return new Set(Array.from(source.matchAll(IMPORT), (match) => match[2] as string))
}

async function resolveImport(specifier: string, from: string, files: FileSet): Promise<string | undefined> {
  if (isBuiltin(specifier) || /^(?:bun|data|https?):/.test(specifier)) return undefined
  if (specifier.startsWith('.') || specifier.startsWith('/')) {
    const path = resolve(dirname(from), specifier)
    for (const candidate of ENDINGS.map((ending) => path + ending))
      if (await exists(candidate)) return candidate
    return undefined
  }
  // `#name`: an import that the package's own manifest resolves; vitest's lead to files that are listed by name, too.
  const name = /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0]
  const folder =
    name === undefined || name.startsWith('#') ? undefined : await findPackage(name, dirname(from))
  if (name === undefined || folder === undefined) return undefined
  const real = await addLinks(folder, files)
  const target = exportTarget(await readManifest(real), `.${specifier.slice(name.length)}`)
  const path = target === undefined ? undefined : join(real, target)
  if (path === undefined || !(await exists(path))) return undefined
  files.set(join(real, 'package.json'), null)
  return path
}

/** Where a package's subpath (`.`, `./sub`) leads by its `exports`, or, without, by `main`. */
export function exportTarget(manifest: Manifest, subpath: string): string | undefined {
  const { exports } = manifest
  if (exports === undefined || exports === null)
    return subpath === '.' ? (manifest.module ?? manifest.main ?? './index.js') : subpath
  const isTable =
    typeof exports === 'object' && !Array.isArray(exports) && Object.keys(exports)[0]?.[0] === '.'
  const table = isTable ? (exports as Record<string, Exports>) : { '.': exports }
  const exact = table[subpath]
  if (exact !== undefined) return conditional(exact)
  for (const [pattern, target] of Object.entries(table)) {
    const [before, after] = pattern.split('*')
    if (after === undefined || before === undefined) continue
    if (!subpath.startsWith(before) || !subpath.endsWith(after)) continue
    const star = subpath.slice(before.length, subpath.length - after.length)
    return conditional(target)?.replaceAll('*', star)
  }
  return undefined
}

function conditional(target: Exports): string | undefined {
  if (typeof target === 'string' || target === null) return target ?? undefined
  const branches = Array.isArray(target)
    ? target
    : Object.entries(target).flatMap(([condition, branch]) => (CONDITIONS.has(condition) ? [branch] : []))
  for (const branch of branches) {
    const found = conditional(branch)
    if (found !== undefined) return found
  }
  return undefined
}

async function readManifest(folder: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Manifest
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
}
