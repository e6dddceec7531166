/** Every export is documented, and so is every field of an exported interface. */
import { posix } from 'node:path'
import ts from 'typescript'
import { isGenerated, lineOf, packageOf, parse, type Source, type Violation } from './sources.ts'

/**
 * Exports of the packages' sources that have no docstring, and undocumented fields of the interfaces that
 * users can name: those in a top-level file, and those that one passes on from a subfolder.
 */
export function checkDocumentation(sources: Source[]): Violation[] {
  const handwritten = sources
    .filter((source) => packageOf(source.path) !== undefined && source.path.endsWith('.ts'))
    .filter((source) => !isGenerated(source.path))
  const passedOn = new Set(
    handwritten.filter(({ path }) => isTopLevel(path)).flatMap((source) => reexports(source)),
  )
  return handwritten.flatMap((source) =>
    checkFile(source, (name) => isTopLevel(source.path) || passedOn.has(`${source.path} ${name}`)),
  )
}

function isTopLevel(path: string): boolean {
  return /^packages\/[^/]+\/src\/[^/]+$/.test(path)
}

/** `path name` for every name that the file exports from another. */
function reexports(source: Source): string[] {
  return parse(source).statements.flatMap((statement) => {
    if (!ts.isExportDeclaration(statement) || statement.moduleSpecifier === undefined) return []
    if (statement.exportClause === undefined || !ts.isNamedExports(statement.exportClause)) return []
    const specifier = (statement.moduleSpecifier as ts.StringLiteral).text
    const target = posix.join(posix.dirname(source.path), specifier)
    return statement.exportClause.elements.map(
      (element) => `${target} ${(element.propertyName ?? element.name).text}`,
    )
  })
}

function checkFile(source: Source, isPublic: (name: string) => boolean): Violation[] {
  const tree = parse(source)
  const violations: Violation[] = []
  const demand = (node: ts.Node, name: string): void => {
    if (!hasDocstring(node)) {
      violations.push({ path: source.path, line: lineOf(tree, node), message: `${name} has no docstring` })
    }
  }
  const exportedLater = localExports(tree)
  for (const statement of tree.statements) {
    for (const { node, name } of declarationsOf(statement)) {
      if (!isExported(statement) && !exportedLater.has(name)) continue
      // The implementation of an overloaded function is not seen from outside.
      if (ts.isFunctionDeclaration(node) && hasOverloads(tree, node)) continue
      demand(statement, name)
      if (!isPublic(name)) continue
      for (const member of membersOf(node)) demand(member.node, `${name}.${member.name}`)
    }
  }
  return violations
}

function isExported(statement: ts.Statement): boolean {
  if (!ts.canHaveModifiers(statement)) return false
  return ts.getModifiers(statement)?.some((word) => word.kind === ts.SyntaxKind.ExportKeyword) ?? false
}

/** Names in `export { a, b }` without `from`. */
function localExports(tree: ts.SourceFile): Set<string> {
  const names = new Set<string>()
  for (const statement of tree.statements) {
    if (!ts.isExportDeclaration(statement) || statement.moduleSpecifier !== undefined) continue
    if (statement.exportClause === undefined || !ts.isNamedExports(statement.exportClause)) continue
    for (const element of statement.exportClause.elements)
      names.add((element.propertyName ?? element.name).text)
  }
  return names
}

function declarationsOf(statement: ts.Statement): { node: ts.Node; name: string }[] {
  if (ts.isVariableStatement(statement)) {
    return statement.declarationList.declarations.map((node) => ({ node, name: node.name.getText() }))
  }
  const isNamed =
    ts.isFunctionDeclaration(statement) ||
    ts.isClassDeclaration(statement) ||
    ts.isInterfaceDeclaration(statement) ||
    ts.isTypeAliasDeclaration(statement) ||
    ts.isModuleDeclaration(statement)
  return isNamed ? [{ node: statement, name: statement.name?.getText() ?? 'default' }] : []
}

function hasOverloads(tree: ts.SourceFile, node: ts.FunctionDeclaration): boolean {
  if (node.body === undefined) return false
  return tree.statements.some(
    (other) =>
      ts.isFunctionDeclaration(other) && other.body === undefined && other.name?.text === node.name?.text,
  )
}

/** Fields and methods that users see: of interfaces and object types all, of classes the public named ones. */
function membersOf(node: ts.Node): { node: ts.Node; name: string }[] {
  const members: ts.NodeArray<ts.ClassElement | ts.TypeElement> | undefined =
    ts.isInterfaceDeclaration(node) || ts.isClassDeclaration(node)
      ? node.members
      : ts.isTypeAliasDeclaration(node) && ts.isTypeLiteralNode(node.type)
        ? node.type.members
        : undefined
  const isClass = ts.isClassDeclaration(node)
  return (members ?? [])
    .filter((member) => member.name !== undefined && ts.isIdentifier(member.name))
    .filter((member) => !isHidden(member) && !isSelfEvident(member) && !(isClass && isOverride(member)))
    .map((member) => ({ node: member, name: member.name?.getText() ?? '' }))
}

/** A discriminant (`type: 'file'`) says itself what it is, and `stx_mode` is documented by the kernel's manual. */
function isSelfEvident(member: ts.ClassElement | ts.TypeElement): boolean {
  if (/^[a-z]+_/.test(member.name?.getText() ?? '')) return true
  if (!ts.isPropertySignature(member) || member.type === undefined) return false
  const types = ts.isUnionTypeNode(member.type) ? member.type.types : [member.type]
  return member.name.getText() === 'type' && types.every((type) => ts.isLiteralTypeNode(type))
}

function isHidden(member: ts.Node): boolean {
  const modifiers = ts.canHaveModifiers(member) ? (ts.getModifiers(member) ?? []) : []
  return modifiers.some(
    (word) => word.kind === ts.SyntaxKind.PrivateKeyword || word.kind === ts.SyntaxKind.ProtectedKeyword,
  )
}

/** What overrides something (an error's `name`) is documented there. */
function isOverride(member: ts.Node): boolean {
  const modifiers = ts.canHaveModifiers(member) ? (ts.getModifiers(member) ?? []) : []
  return modifiers.some((word) => word.kind === ts.SyntaxKind.OverrideKeyword)
}

/** A docstring that says what the thing is or gives, not one of other tags only. */
function hasDocstring(node: ts.Node): boolean {
  return ts.getJSDocCommentsAndTags(node).some((entry) => {
    if (!ts.isJSDoc(entry)) return false
    const returns = entry.tags?.find((tag) => ts.isJSDocReturnTag(tag))
    return [entry.comment, returns?.comment].some(
      (text) => (ts.getTextOfJSDocComment(text) ?? '').trim() !== '',
    )
  })
}
