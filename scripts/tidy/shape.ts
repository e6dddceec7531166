/** The shape of files: their size and names, the size of functions, no console, no barrels, generated marks. */
import { posix } from 'node:path'
import ts from 'typescript'
import { isGenerated, lineOf, packageOf, parse, walk, type Source, type Violation } from './sources.ts'

/** A file longer than this is split; tables and generated files apart. */
export const hardFileLines = 800
/** A file longer than this is named in the report, so that somebody thinks about it. */
export const softFileLines = 400
/** A function longer than this is split: it no longer fits on a screen. */
export const functionLines = 70

/** TypeScript and JavaScript that people wrote. */
function isHandwritten(source: Source): boolean {
  return /\.(ts|mjs)$/.test(source.path) && !isGenerated(source.path)
}

function lineCount(text: string): number {
  return text.split('\n').length - (text.endsWith('\n') ? 1 : 0)
}

/** Files over the hard limit. */
export function checkFileSize(sources: Source[]): Violation[] {
  return longFiles(sources, hardFileLines)
}

/** Files over a limit, as violations. */
export function longFiles(sources: Source[], limit: number): Violation[] {
  return sources
    .filter((source) => isHandwritten(source) && lineCount(source.text) > limit)
    .map((source) => ({
      path: source.path,
      line: 0,
      message: `has ${lineCount(source.text)} lines: at most ${limit}`,
    }))
}

/** Functions over the limit; a `describe` block groups tests and is none. */
export function checkFunctionSize(sources: Source[]): Violation[] {
  const violations: Violation[] = []
  for (const source of sources.filter(isHandwritten)) {
    const tree = parse(source)
    walk(tree, (node) => {
      if (!ts.isFunctionLike(node) || !('body' in node) || node.body === undefined || isDescribe(node)) return
      const first = lineOf(tree, node)
      const last = tree.getLineAndCharacterOfPosition(node.end).line + 1
      const lines = last - first + 1
      if (lines <= functionLines) return
      const message = `function of ${lines} lines: at most ${functionLines}`
      violations.push({ path: source.path, line: first, message })
    })
  }
  return violations
}

function isDescribe(node: ts.Node): boolean {
  const call = node.parent
  return ts.isCallExpression(call) && /^describe\b/.test(call.expression.getText())
}

/** A library says what it has to say by results, errors and callbacks. */
export function checkConsole(sources: Source[]): Violation[] {
  const violations: Violation[] = []
  for (const source of sources) {
    if (packageOf(source.path) === undefined || !source.path.endsWith('.ts')) continue
    const tree = parse(source)
    // A file may call something of its own so: the guest's console, PID 1's.
    if (declares(tree, 'console')) continue
    walk(tree, (node) => {
      if (!ts.isIdentifier(node) || node.text !== 'console') return
      const isUse = ts.isPropertyAccessExpression(node.parent) && node.parent.expression === node
      if (isUse) violations.push({ path: source.path, line: lineOf(tree, node), message: 'uses console' })
    })
  }
  return violations
}

/** Whether a variable, parameter or import of the file has the name. */
function declares(tree: ts.SourceFile, name: string): boolean {
  let found = false
  walk(tree, (node) => {
    const isDeclaration =
      ts.isVariableDeclaration(node) ||
      ts.isParameter(node) ||
      ts.isBindingElement(node) ||
      ts.isImportSpecifier(node)
    if (isDeclaration && ts.isIdentifier(node.name) && node.name.text === name) found = true
  })
  return found
}

/**
 * No barrels: no `export *` (of a generated table it is fine), no index file in a subfolder, and no public
 * file that passes on another public one. A public file may gather the internal files of a subfolder.
 */
export function checkBarrels(sources: Source[]): Violation[] {
  const violations: Violation[] = []
  for (const source of sources) {
    if (packageOf(source.path) === undefined || !source.path.endsWith('.ts')) continue
    if (isGenerated(source.path)) continue
    if (/\/src\/.+\/index\.ts$/.test(source.path)) {
      violations.push({ path: source.path, line: 0, message: 'an index file in a subfolder is a barrel' })
    }
    const tree = parse(source)
    for (const statement of tree.statements) {
      if (!ts.isExportDeclaration(statement) || statement.moduleSpecifier === undefined) continue
      const message = judgeReexport(source.path, statement)
      if (message !== undefined)
        violations.push({ path: source.path, line: lineOf(tree, statement), message })
    }
  }
  return violations
}

function judgeReexport(path: string, statement: ts.ExportDeclaration): string | undefined {
  const specifier = (statement.moduleSpecifier as ts.StringLiteral).text
  const isStar = statement.exportClause === undefined
  if (isStar && !specifier.includes('generated/'))
    return `export * from ${specifier} is a barrel: name the exports`
  const isPublic = /^packages\/[^/]+\/src\/[^/]+$/.test(path)
  const isIndex = posix.basename(path) === 'index.ts'
  const passesOnPublic = isPublic && !isIndex && /^\.\/[^/]+\.ts$/.test(specifier)
  if (passesOnPublic && !statement.isTypeOnly) return `passes on ${specifier}, which has a subpath of its own`
  return undefined
}

/** A generated file says so in its first line, with the command that makes it. */
export function checkGeneratedMark(sources: Source[]): Violation[] {
  return sources
    .filter((source) => isGenerated(source.path) && source.path.endsWith('.ts'))
    .filter((source) => !/^\/[/*]+ Generated by .*\bbun \S+\.ts/.test(source.text))
    .map((source) => ({
      path: source.path,
      line: 1,
      message: 'must begin with "// Generated by …" and the bun command that makes it anew',
    }))
}

const vagueNames = new Set(['util', 'utils', 'helper', 'helpers', 'common', 'misc', 'shared', 'lib', 'stuff'])

/** Kebab-case, and a name that says what is inside. Plain JavaScript only where nothing else can run yet. */
export function checkNames(sources: Source[]): Violation[] {
  const violations: Violation[] = []
  for (const { path } of sources) {
    if (!/^(packages|examples|bench|scripts)\//.test(path) || !/\.(ts|tsx|js|mjs|cjs)$/.test(path)) continue
    const names = path.split('/').slice(1)
    for (const name of names) {
      // vitest's own name for a folder of mocks.
      if (name === '__mocks__') continue
      const stem = name.replace(/(\.[a-z]+)*\.(ts|tsx|mjs)$/, '')
      if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(stem))
        violations.push({ path, line: 0, message: `${name}: use kebab-case` })
      if (vagueNames.has(stem)) violations.push({ path, line: 0, message: `${name}: the name says nothing` })
    }
    // The bootstrap runs before anything is installed; peers of the bench run under Node 20 themselves.
    const isForNode = /^(scripts\/bootstrap[./]|bench\/src\/contestants\/)/.test(path)
    const isJavaScript = /\.(js|mjs|cjs)$/.test(path) && !isForNode
    if (isJavaScript)
      violations.push({ path, line: 0, message: 'is JavaScript: only what plain Node runs may be' })
  }
  return violations
}
