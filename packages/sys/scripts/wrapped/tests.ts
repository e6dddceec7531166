/**
 * What the tests of @pkg/sys show. A test speaks for a function when its title, or that of a `describe` around it, names
 * it (`mount_setattr()`), its code calls it, and it expects something. One that only shows a refusal speaks for nothing.
 */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

/** One test. */
export interface TestCase {
  /** The titles from the outermost `describe` to the test's own. */
  readonly title: string
  /** Its code, and with it that of the scripts that it runs in other processes. */
  readonly code: string
}

const testFolder = fileURLToPath(new URL('../../test/', import.meta.url))

/** All tests of the package. */
export function testCases(): TestCase[] {
  return globSync('**/*.test.ts', { cwd: testFolder }).flatMap((path) => {
    const text = readFileSync(join(testFolder, path), 'utf8')
    return casesIn(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true))
  })
}

/** The tests of one file. */
export function casesIn(tree: ts.SourceFile): TestCase[] {
  const cases: TestCase[] = []
  const visit = (node: ts.Node, titles: readonly string[]): void => {
    const block = ts.isCallExpression(node) ? blockOf(node) : undefined
    if (block === undefined) {
      ts.forEachChild(node, (child) => visit(child, titles))
      return
    }
    const inner = [...titles, block.title]
    if (block.isTest) cases.push({ title: inner.join(' '), code: block.body.getText() })
    else ts.forEachChild(block.body, (child) => visit(child, inner))
  }
  visit(tree, [])
  return cases
}

function blockOf(node: ts.CallExpression): { isTest: boolean; title: string; body: ts.Node } | undefined {
  const kind = /^(describe|test|it)\b/.exec(node.expression.getText())?.[1]
  const [title, ...others] = node.arguments
  const body = others.find((other) => ts.isFunctionLike(other))
  if (kind === undefined || body === undefined || title === undefined || !ts.isStringLiteralLike(title))
    return undefined
  return { isTest: kind !== 'describe', title: title.text, body }
}

/** Whether the tests show the effect of the function `name`. */
export function isTested(name: string, cases: readonly TestCase[]): boolean {
  const named = new RegExp(`\\b${name}\\(\\)`)
  const called = new RegExp(`\\b${name}\\(`)
  return cases.some(
    ({ title, code }) =>
      named.test(title) &&
      !/\(\) (is|are) refused|\(\) refuses?\b/.test(title) &&
      called.test(code) &&
      /\b(expect|assert)\b/.test(code),
  )
}
