import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { declarationsOf } from '../declarations.ts'

let source: string

beforeEach(() => {
  source = mkdtempSync(join(tmpdir(), 'solo-declarations-'))
})

afterEach(() => rmSync(source, { recursive: true }))

function declare(text: string): string | undefined {
  writeFileSync(join(source, 'a.ts'), text)
  return declarationsOf(source).get('a.d.ts')
}

it('declarationsOf() keeps types and docstrings, and points to the built modules', () => {
  const text = `import type { Fd } from './fd.ts'\n/** Reads. */\nexport function read(fd: Fd): number { return 1 }\n`
  expect(declare(text)).toBe(
    `import type { Fd } from './fd.js';\n/** Reads. */\nexport declare function read(fd: Fd): number;\n`,
  )
})

it('declarationsOf() points re-exports and import types to the built modules', () => {
  const declarations = declare(`export { a } from '../a.ts'\nexport type B = import('./b.ts').B\n`)
  expect(declarations).toContain(`'../a.js'`)
  expect(declarations).toContain(`import('./b.js')`)
})

it('declarationsOf() names a disposable’s method once', () => {
  const text = `export class A implements Disposable {\n  #b = 1;\n  [Symbol.dispose](): void {}\n}\n`
  expect(declare(text)?.match(/Symbol\.dispose/g)).toHaveLength(1)
})

it('declarationsOf() refuses a type that would have to be inferred', () => {
  expect(() => declare('export const a = f()')).toThrow(/a\.ts: .*--isolatedDeclarations/)
})
