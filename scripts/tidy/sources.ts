/** The repository's own files, as the tidy rules see them: a path and a text. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'

/** One file. Rules take lists of these, so a test can feed them made-up ones. */
export interface Source {
  /** Relative to the repository's folder. */
  path: string
  /** The whole content. */
  text: string
}

/** One broken rule at one place. */
export interface Violation {
  /** The file, relative to the repository's folder. */
  path: string
  /** From 1; 0 when it is about the file as a whole. */
  line: number
  /** What is wrong and what is expected. */
  message: string
}

/** @returns `path:line message`, as editors and terminals understand it */
export function describe(violation: Violation): string {
  const place = violation.line === 0 ? violation.path : `${violation.path}:${violation.line}`
  return `${place} ${violation.message}`
}

/**
 * Every text file that git tracks or would track, so that a new file is checked before its first commit.
 *
 * @param root - the repository's folder
 */
export function readSources(root: string): Source[] {
  const listing = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  })
  const paths = [...new Set(listing.split('\0'))].filter((path) => path !== '' && isFile(join(root, path)))
  return paths
    .toSorted()
    .map((path) => ({ path, text: readFileSync(join(root, path), 'latin1') }))
    .filter((source) => !source.text.includes('\0'))
    .map((source) => ({ path: source.path, text: Buffer.from(source.text, 'latin1').toString('utf8') }))
}

function isFile(path: string): boolean {
  return existsSync(path) && statSync(path).isFile()
}

/** Whether a script of the repository wrote the file. */
export function isGenerated(path: string): boolean {
  return /(^|\/)generated\//.test(path)
}

/** `sys` for a file in `packages/sys/src/`; undefined elsewhere. */
export function packageOf(path: string): string | undefined {
  return /^packages\/([^/]+)\/src\//.exec(path)?.[1]
}

const parsed = new WeakMap<Source, ts.SourceFile>()

/** The syntax tree of a TypeScript file, made once. */
export function parse(source: Source): ts.SourceFile {
  const known = parsed.get(source)
  if (known !== undefined) return known
  const tree = ts.createSourceFile(source.path, source.text, ts.ScriptTarget.Latest, true)
  parsed.set(source, tree)
  return tree
}

/** The line of a node, from 1. */
export function lineOf(tree: ts.SourceFile, node: ts.Node): number {
  return tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1
}

/** Calls `visit` with every node below (and with) `node`. */
export function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node)
  ts.forEachChild(node, (child) => walk(child, visit))
}
