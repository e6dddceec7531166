// The host side of vm runs on Node 20: what newer engines have, and it has not, may not be used there.
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const sources = join(import.meta.dirname, '../src')

/** Missing from Node 20 (https://node.green): each would fail only once its line is reached. */
const newerThanNode20 =
  /\b(Promise\.(withResolvers|try)|Object\.groupBy|Map\.groupBy|Array\.fromAsync|RegExp\.escape)\b/

test('host code uses nothing that Node 20 lacks', () => {
  const files = globSync('**/*.ts', { cwd: sources }).filter((file) => !/(^|\/)guest\//.test(file))
  expect(files.length).toBeGreaterThan(100)
  const users = files.filter((file) => newerThanNode20.test(withoutComments(file)))
  expect(users).toEqual([])
})

test('the rule finds what it looks for', () => {
  expect(newerThanNode20.test('const { promise } = Promise.withResolvers<void>()')).toBe(true)
  expect(newerThanNode20.test('deferred<void>()')).toBe(false)
})

function withoutComments(file: string): string {
  return readFileSync(join(sources, file), 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')
}
