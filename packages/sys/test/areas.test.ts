// Each area for itself: what an import loads.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import { scriptResult } from './child-script.ts'

const source = join(import.meta.dirname, '../src')

/** What all areas stand on. */
const foundation = new Set(['errno', 'fd', 'raw', 'struct'])

/** Areas that are made of others, and of which. All else is calls of the kernel, and knows no other area. */
const composed: Readonly<Record<string, readonly string[]>> = {
  signal: ['io', 'reactor'],
  program: [],
  spawn: ['capability', 'fs', 'futex', 'io', 'process', 'program', 'reactor'],
  'run-program': ['futex', 'process', 'program'],
  'boot-stub': ['program'],
}

/** The areas that are such tables. */
const tables = ['constants', 'structs']

const transpiler = new Bun.Transpiler({ loader: 'ts' })

/** The modules that a module loads, itself included: imports of types are none. */
function loadedBy(file: string, seen: Set<string> = new Set()): Set<string> {
  if (seen.has(file)) return seen
  seen.add(file)
  for (const { path } of transpiler.scanImports(readFileSync(file, 'utf8'))) {
    if (path.startsWith('.')) loadedBy(join(dirname(file), path), seen)
  }
  return seen
}

const areas = readdirSync(source)
  .filter((name) => name.endsWith('.ts'))
  .map((name) => name.slice(0, -3))

describe.each(areas)('@pkg/sys/%s', (area) => {
  const loaded = [...loadedBy(join(source, `${area}.ts`))].map((file) => relative(source, file))

  test('loads no other area', () => {
    const others = loaded
      .filter((file) => !file.includes('/'))
      .map((file) => file.slice(0, -3))
      .filter((name) => name !== area && !foundation.has(name))
    expect(others.toSorted()).toEqual(composed[area] ?? [])
  })
})

test.each(areas.filter((area) => !tables.includes(area)))(
  '@pkg/sys/%s loads no table of everything',
  (area) => {
    const loaded = [...loadedBy(join(source, `${area}.ts`))].map((file) => relative(source, file))
    for (const table of tables) expect(loaded).not.toContain(`generated/${table}.ts`)
  },
)

test('loadedBy() finds what is loaded through others, and no types', () => {
  const loaded = [...loadedBy(join(source, 'run-program.ts'))].map((file) => relative(source, file))
  expect(loaded).toContain('raw/thunks.ts')
  expect(loaded).not.toContain('memory.ts')
})

test('an import makes no machine code and opens nothing: that waits for the first call', () => {
  const result = scriptResult(`
    import { readdirSync, readFileSync } from 'node:fs'
    // Pages of machine code that no file has. The engine's own are writable too.
    const pages = () => readFileSync('/proc/self/maps', 'utf8').match(/^\\S+ r-xp 0+ 00:00 0\\s*$/gm)?.length ?? 0
    const count = () => [pages(), readdirSync('/proc/self/fd').length]
    const before = count()
    for (const area of ${JSON.stringify(areas.filter((name) => name !== 'index'))}) await import('@pkg/sys/' + area)
    const imported = count()
    const { getppid } = await import('@pkg/sys/process')
    getppid()
    const called = pages()
    process.stdout.write(JSON.stringify({ before, imported, called }))`)
  const { before, imported, called } = result as { before: number[]; imported: number[]; called: number }
  expect(imported).toEqual(before)
  expect(called).toBe((before[0] ?? 0) + 1)
})
