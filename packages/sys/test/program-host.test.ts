// Programs are made on hosts too: under Node, and on machines that are no Linux.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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

test('no area reaches bun:ffi while it loads', () => {
  const names = readdirSync(sources).filter((name) => name.endsWith('.ts'))
  const loaded = new Set<string>()
  for (const name of names) reached(join(sources, name), loaded)
  expect(loaded).toContain(join(sources, 'raw/ffi.ts'))
  expect([...loaded].filter((path) => !path.startsWith(sources))).toEqual([])
})

test('under Node all can be imported, and the first call says that it needs Bun', () => {
  const names = readdirSync(sources).filter((name) => name.endsWith('.ts'))
  const entry = join(folder, 'all.ts')
  writeFileSync(
    entry,
    `${names.map((name, index) => `import * as area${index} from '${sources}/${name}'`).join('\n')}
    const areas = [${names.map((_, index) => `area${index}`).join()}]
    const { getpid, spawn, uname, seccompFilter, seccompErrno } = Object.assign({}, ...areas)
    const refusal = (call) => { try { return String(call()) } catch (error) { return String(error) } }
    const rules = [{ calls: ['socket'], action: seccompErrno('EPERM') }]
    process.stdout.write(JSON.stringify({
      counts: areas.map((area) => Object.keys(area).length),
      filter: seccompFilter({ rules, architecture: 'arm64' }).length % 8,
      refusals: [getpid, uname, () => spawn({ file: '/bin/true', env: {} })].map(refusal),
    }))`,
  )
  const bundle = join(folder, 'all.mjs')
  execFileSync('bun', ['build', '--target=node', `--outfile=${bundle}`, entry])
  const found = JSON.parse(execFileSync('node', [bundle], { encoding: 'utf8' })) as {
    [key: string]: unknown
    counts: number[]
  }
  const refusal = 'TypeError: @pkg/sys makes system calls under Bun alone: there is no bun:ffi here'
  expect(found).toMatchObject({ filter: 0, refusals: [refusal, refusal, refusal] })
  expect(found.counts).toHaveLength(names.length)
  expect(found.counts).not.toContain(0)
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
