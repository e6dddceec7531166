/**
 * What the sources of @pkg/sys call: for every exported function, the system calls that its code reaches, found by
 * parsing. A call is bound by `bind('name', …)`, or is a step of a program (`program.call('name', …)`, `rowOf('name')`).
 */
import { readFileSync, globSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

/** An exported function and what it is to the kernel. */
export interface ExportedFunction {
  /** `statx` */
  readonly name: string
  /** The public module: `fs` for `@pkg/sys/fs`. */
  readonly module: string
  /** The calls that the first line of its docstring names, before the dash: "`umount2(target, flags)` — detaches …". */
  readonly documented: readonly string[]
  /** The calls that its code reaches, helpers and other modules included. */
  readonly reached: ReadonlySet<string>
}

const sourceFolder = fileURLToPath(new URL('../../src/', import.meta.url))

/** Functions whose first argument is the name of a call that is then made. */
const binders = new Set(['bind', 'bindSyscall', 'call', 'rowOf'])

interface Declaration {
  /** Names of this file that the code mentions: `check`, `raw.openat`. */
  readonly references: Set<string>
  /** Calls that it binds itself. */
  readonly bound: Set<string>
  readonly documented: string[]
}

interface SourceFile {
  readonly declarations: Map<string, Declaration>
  /** What a local name stands for in another file. */
  readonly imports: Map<string, { file: string; name: string }>
  /** Exported name to local name, or to a name of another file. */
  readonly exports: Map<string, { file: string; name: string }>
}

/** All exported functions and classes of the package's public modules. */
export function exportedFunctions(): ExportedFunction[] {
  const files = new Map(
    globSync('**/*.ts', { cwd: sourceFolder })
      .filter((path) => !path.startsWith('generated'))
      .map((path) => [path, readSource(path)]),
  )
  const reach = reachIn(files)
  return [...files].flatMap(([path, { exports }]) => {
    if (path.includes('/')) return []
    return [...exports].flatMap(([name, target]): ExportedFunction[] => {
      const declaration = files.get(target.file)?.declarations.get(target.name)
      if (declaration === undefined) return []
      const { documented } = declaration
      return [{ name, module: path.replace('.ts', ''), documented, reached: reach(target.file, target.name) }]
    })
  })
}

/** The calls that a declaration reaches, through whatever it mentions. */
function reachIn(files: ReadonlyMap<string, SourceFile>): (file: string, name: string) => Set<string> {
  const collect = (file: string, name: string, seen: Set<string>, into: Set<string>): void => {
    const key = `${file}:${name}`
    if (seen.has(key)) return
    seen.add(key)
    const source = files.get(file)
    const declaration = source?.declarations.get(name)
    const target =
      declaration === undefined ? (source?.imports.get(name) ?? source?.exports.get(name)) : undefined
    if (target !== undefined) collect(target.file, target.name, seen, into)
    for (const call of declaration?.bound ?? []) into.add(call)
    for (const reference of declaration?.references ?? []) collect(file, reference, seen, into)
  }
  return (file, name) => {
    const into = new Set<string>()
    collect(file, name, new Set(), into)
    return into
  }
}

function readSource(path: string): SourceFile {
  const text = readFileSync(join(sourceFolder, path), 'utf8')
  const tree = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const source: SourceFile = { declarations: new Map(), imports: new Map(), exports: new Map() }
  const resolve = (specifier: string): string =>
    relative(sourceFolder, join(sourceFolder, dirname(path), specifier))
  for (const statement of tree.statements) {
    if (ts.isImportDeclaration(statement)) readImport(statement, resolve, source)
    else if (ts.isExportDeclaration(statement)) readReexport(statement, resolve, source)
    else {
      for (const [name, node] of declarationsOf(statement)) {
        source.declarations.set(name, readDeclaration(node, statement))
        if (isExported(statement)) source.exports.set(name, { file: path, name })
      }
    }
  }
  return source
}

function readImport(
  statement: ts.ImportDeclaration,
  resolve: (specifier: string) => string,
  { imports }: SourceFile,
): void {
  const specifier = (statement.moduleSpecifier as ts.StringLiteral).text
  const bindings = statement.importClause?.namedBindings
  if (!specifier.startsWith('.') || bindings === undefined || !ts.isNamedImports(bindings)) return
  for (const { name, propertyName } of bindings.elements) {
    imports.set(name.text, { file: resolve(specifier), name: (propertyName ?? name).text })
  }
}

function readReexport(
  statement: ts.ExportDeclaration,
  resolve: (specifier: string) => string,
  { exports }: SourceFile,
): void {
  const { moduleSpecifier, exportClause } = statement
  if (moduleSpecifier === undefined || exportClause === undefined || !ts.isNamedExports(exportClause)) return
  for (const { name, propertyName } of exportClause.elements) {
    const file = resolve((moduleSpecifier as ts.StringLiteral).text)
    exports.set(name.text, { file, name: (propertyName ?? name).text })
  }
}

/** The names that a statement declares; the properties of `const raw = { … }` are names of their own. */
function declarationsOf(statement: ts.Statement): [name: string, node: ts.Node][] {
  if (ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement)) {
    return statement.name === undefined ? [] : [[statement.name.text, statement]]
  }
  if (!ts.isVariableStatement(statement)) return []
  return statement.declarationList.declarations.flatMap((declaration): [string, ts.Node][] => {
    const { name, initializer } = declaration
    if (!ts.isIdentifier(name) || initializer === undefined) return []
    if (name.text !== 'raw' || !ts.isObjectLiteralExpression(initializer)) return [[name.text, initializer]]
    return initializer.properties.filter(ts.isPropertyAssignment).map((property) => {
      return [`raw.${property.name.getText()}`, property.initializer]
    })
  })
}

function readDeclaration(node: ts.Node, statement: ts.Statement): Declaration {
  const declaration: Declaration = {
    references: new Set(),
    bound: new Set(),
    documented: signatures(statement),
  }
  const visit = (child: ts.Node): void => {
    if (ts.isPropertyAccessExpression(child) && child.expression.getText() === 'raw') {
      declaration.references.add(child.getText())
      return
    }
    if (ts.isIdentifier(child)) declaration.references.add(child.text)
    if (ts.isCallExpression(child)) {
      const callee = ts.isPropertyAccessExpression(child.expression)
        ? child.expression.name
        : child.expression
      const [first] = child.arguments
      if (binders.has(callee.getText()) && first !== undefined && ts.isStringLiteral(first)) {
        declaration.bound.add(first.text)
      }
    }
    ts.forEachChild(child, visit)
  }
  visit(node)
  return declaration
}

/** The names in code before the dash of a docstring's first line. */
function signatures(statement: ts.Statement): string[] {
  const [doc] = ts.getJSDocCommentsAndTags(statement)
  const comment = doc === undefined ? '' : (ts.getTextOfJSDocComment(doc.comment) ?? '')
  const dash = comment.indexOf(' — ')
  if (dash < 0) return []
  return [...comment.slice(0, dash).matchAll(/`(\w+)[(`]/g)].map(([, name = '']) => name)
}

function isExported(statement: ts.Statement): boolean {
  if (!ts.canHaveModifiers(statement)) return false
  return ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) ?? false
}
