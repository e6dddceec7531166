/** Who may import what: the direction between packages, `bun:ffi` in one folder, PID 1 without npm and Node's modules. */
import { posix } from 'node:path'
import ts from 'typescript'
import { lineOf, packageOf, parse, walk, type Source, type Violation } from './sources.ts'

/** Which packages of ours each package may import. Nothing may import distro: it is in no list. */
export const allowedImports: Record<string, string[]> = {
  sys: [],
  mount: ['sys'],
  net: ['sys'],
  // image is pure: PID 1 reads partition tables and makes file systems with it.
  init: ['sys', 'mount', 'net', 'image'],
  image: [],
  update: ['sys', 'mount', 'net', 'init', 'image'],
  vm: ['image', 'sys'],
  distro: ['sys', 'mount', 'net', 'init', 'image', 'update', 'vm'],
}

/** Packages that end up inside PID 1: nothing of npm may be in them. */
const withoutNpm = new Set(['sys', 'mount', 'net', 'init'])

/** One import, of whatever kind, of one file. */
export interface Import {
  /** As written: `./fs.ts`, `@pkg/sys/fs`, `node:path`. */
  specifier: string
  /** From 1. */
  line: number
}

/** All imports of a file: `import`, `export … from`, `import()`, `require()`, `getBuiltinModule()` and `import('…')` types. */
export function importsOf(source: Source): Import[] {
  const tree = parse(source)
  const found: Import[] = []
  walk(tree, (node) => {
    const specifier = specifierOf(node)
    if (specifier !== undefined && ts.isStringLiteralLike(specifier)) {
      found.push({ specifier: specifier.text, line: lineOf(tree, node) })
    }
  })
  return found
}

function specifierOf(node: ts.Node): ts.Node | undefined {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return node.moduleSpecifier
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) return node.argument.literal
  if (!ts.isCallExpression(node)) return undefined
  const isImport = node.expression.kind === ts.SyntaxKind.ImportKeyword
  const isRequire = ts.isIdentifier(node.expression) && node.expression.text === 'require'
  const isBuiltin =
    ts.isPropertyAccessExpression(node.expression) && node.expression.name.text === 'getBuiltinModule'
  return isImport || isRequire || isBuiltin ? node.arguments[0] : undefined
}

/** Packages import each other in one direction, by public subpaths, and never by a relative path. */
export function checkDirection(sources: Source[]): Violation[] {
  return eachImport(sources, (source, { specifier }) => {
    const from = packageOf(source.path)
    if (from === undefined) return undefined
    if (specifier.startsWith('.')) {
      const target = posix.join(posix.dirname(source.path), specifier)
      // Its own manifest, for its version: the build copies it in.
      if (target.startsWith(`packages/${from}/src/`) || target === `packages/${from}/package.json`)
        return undefined
      return `imports ${specifier}, which lies outside the package's src`
    }
    const [, target, subpath] = /^@pkg\/([^/]+)(?:\/(.+))?$/.exec(specifier) ?? []
    if (target === undefined) return undefined
    if (target === from) return `imports itself as ${specifier}: use a relative path`
    if (allowedImports[from]?.includes(target) !== true)
      return `${from} must not import ${target} (${specifier})`
    return subpath?.includes('/') === true ? `imports an internal file (${specifier})` : undefined
  })
}

/** `bun:ffi` is imported in one folder, so that another back end can take its place. */
export function checkFfi(sources: Source[]): Violation[] {
  return eachImport(sources, (source, { specifier }) => {
    const isOurs = /^(packages\/[^/]+\/(src|scripts)|examples)\//.test(source.path)
    if (!isOurs || specifier !== 'bun:ffi' || source.path.startsWith('packages/sys/src/raw/'))
      return undefined
    return 'imports bun:ffi: only packages/sys/src/raw/ may'
  })
}

/** What PID 1 is made of imports nothing from npm. */
export function checkNpmFree(sources: Source[]): Violation[] {
  return eachImport(sources, (source, { specifier }) => {
    const from = packageOf(source.path)
    if (from === undefined || !withoutNpm.has(from)) return undefined
    return isExternal(specifier) ? `imports ${specifier} from npm, and ${from} runs in PID 1` : undefined
  })
}

/** What a package imports of ours is in its package.json: in the repository `paths` would find it all the same. */
export function checkDeclared(sources: Source[]): Violation[] {
  const manifests = new Map(
    sources
      .filter(({ path }) => /^packages\/[^/]+\/package\.json$/.test(path))
      .map(({ path, text }) => [
        path.split('/')[1],
        JSON.parse(text) as { dependencies?: Record<string, string> },
      ]),
  )
  return eachImport(sources, (source, { specifier }) => {
    const from = packageOf(source.path)
    const target = /^@pkg\/[^/]+/.exec(specifier)?.[0]
    if (from === undefined || target === undefined) return undefined
    const isDeclared = manifests.get(from)?.dependencies?.[target] !== undefined
    return isDeclared ? undefined : `imports ${specifier}, but package.json does not depend on ${target}`
  })
}

/** Image runs on any operating system and runtime: no Bun API. */
export function checkImageIsPortable(sources: Source[]): Violation[] {
  const violations = eachImport(sources, (source, { specifier }) =>
    packageOf(source.path) === 'image' && /^bun(:|$)/.test(specifier)
      ? `imports ${specifier}: image runs on any runtime`
      : undefined,
  )
  for (const source of sources) {
    if (packageOf(source.path) !== 'image') continue
    const tree = parse(source)
    walk(tree, (node) => {
      if (!ts.isPropertyAccessExpression(node) || !ts.isIdentifier(node.expression)) return
      if (node.expression.text !== 'Bun') return
      violations.push({
        path: source.path,
        line: lineOf(tree, node),
        message: 'uses Bun: image runs on any runtime',
      })
    })
  }
  return violations
}

/**
 * Follows every import from one file through our packages.
 *
 * @param sources - the files that there are
 * @param entry - where to begin: `packages/init/src/main.ts`
 * Node's built-in modules are violations too: loading them took 19 of the 43 ms that PID 1 needed to be ready.
 *
 * @returns the files reached, and a violation for each import that leaves them
 */
export function checkGraph(sources: Source[], entry: string): { files: string[]; violations: Violation[] } {
  const byPath = new Map(sources.map((source) => [source.path, source]))
  const seen = new Set([entry])
  const violations: Violation[] = []
  for (const path of seen) {
    const source = byPath.get(path)
    if (source === undefined) {
      violations.push({ path, line: 0, message: `does not exist, but ${entry} reaches it` })
      continue
    }
    for (const { specifier, line } of importsOf(source)) {
      const target = resolve(path, specifier)
      if (target !== undefined) seen.add(target)
      else if (!/^bun(:|$)/.test(specifier)) {
        const origin = specifier.startsWith('node:') ? 'a module of Node' : 'from npm'
        violations.push({ path, line, message: `${entry} reaches ${specifier}, which is ${origin}` })
      }
    }
  }
  return { files: [...seen], violations }
}

/** The file of ours that an import means; undefined for built-in modules and npm's. */
function resolve(from: string, specifier: string): string | undefined {
  if (specifier.startsWith('.')) return posix.join(posix.dirname(from), specifier)
  const [, target, subpath] = /^@pkg\/([^/]+)(?:\/(.+))?$/.exec(specifier) ?? []
  return target === undefined ? undefined : `packages/${target}/src/${subpath ?? 'index'}.ts`
}

function isExternal(specifier: string): boolean {
  return !/^(\.|node:|bun$|bun:|@pkg\/)/.test(specifier)
}

function eachImport(
  sources: Source[],
  judge: (source: Source, found: Import) => string | undefined,
): Violation[] {
  const violations: Violation[] = []
  for (const source of sources) {
    if (!source.path.endsWith('.ts')) continue
    for (const found of importsOf(source)) {
      const message = judge(source, found)
      if (message !== undefined) violations.push({ path: source.path, line: found.line, message })
    }
  }
  return violations
}
