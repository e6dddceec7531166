// Programs are made on hosts too: under Node, and on machines that are no Linux.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const sources = resolve(import.meta.dirname, '../src')
const hostModules = ['program.ts', 'boot-stub.ts', 'constants.ts', 'errno.ts']

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'solo-host-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

/** Every file and package that `file` imports, itself or through others. */
function reached(file: string, seen: Set<string> = new Set()): Set<string> {
  if (seen.has(file)) return seen
  seen.add(file)
  if (!file.startsWith('/')) return seen
  const { imports } = new Bun.Transpiler({ loader: 'ts' }).scan(readFileSync(file))
  for (const { path } of imports) {
    reached(path.startsWith('.') ? resolve(dirname(file), path) : path, seen)
  }
  return seen
}

describe.each(hostModules)('%s', (name) => {
  test('reaches no module outside the package', () => {
    const outside = [...reached(join(sources, name))].filter((path) => !path.startsWith(sources))
    expect(outside).toEqual([])
  })
})

test('the walk finds bun:ffi where it is reached', () => {
  expect([...reached(join(sources, 'raw.ts'))]).toContain('bun:ffi')
})

test('a boot stub is made under Node, as on another operating system', () => {
  const entry = join(folder, 'entry.ts')
  writeFileSync(
    entry,
    `import { bootStub } from '${sources}/boot-stub.ts'
    Object.defineProperty(process, 'platform', { value: 'darwin' })
    const stub = bootStub({ program: '/bin/bun', args: [], env: {} })
    const sizes = ['x64', 'arm64'].map((architecture) => stub.standalone({ architecture, address: 0 }).code.length)
    process.stdout.write(JSON.stringify(sizes.map((size) => size > 50)))`,
  )
  const bundle = join(folder, 'entry.mjs')
  execFileSync('bun', ['build', '--target=node', `--outfile=${bundle}`, entry])
  expect(readFileSync(bundle, 'utf8')).not.toContain('bun:')
  expect(execFileSync('node', [bundle], { encoding: 'utf8' })).toBe('[true,true]')
})

test('a program brings along only the constants that its listing names', () => {
  const bundle = join(folder, 'program.mjs')
  execFileSync('bun', ['build', '--target=node', `--outfile=${bundle}`, join(sources, 'program.ts')])
  const text = readFileSync(bundle, 'utf8')
  expect(text).toContain('MS_NOSUID')
  expect(text).not.toContain('BLKROSET')
  expect(text).not.toContain('MOUNT_ATTR_IDMAP')
})
