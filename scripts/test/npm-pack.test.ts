/**
 * What a user of npm gets: `npm pack` of packages/sys, installed into an empty folder without network, compiler
 * or build step, and imported under Bun.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
let work: string

function run(command: string, parameters: string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync(command, parameters, { cwd, encoding: 'utf8' })
  if (status === 0) return stdout
  throw new Error(`${command} ${parameters.join(' ')}: exit status ${status}\n${stdout}${stderr}`)
}

/** Runs a module in the folder where the package is installed; it prints one JSON value. */
function evaluate(code: string): unknown {
  const file = join(work, 'user', 'main.ts')
  writeFileSync(file, code)
  return JSON.parse(run(process.execPath, [file], join(work, 'user')))
}

beforeAll(() => {
  // In /tmp, so that nothing of the repository (tsconfig paths, node_modules) can be found from there.
  work = mkdtempSync(join(tmpdir(), 'solo-pack-'))
  // From turbo's cache when the sources are unchanged.
  const script = `"$0" --bun turbo run build --filter=@pkg/sys --output-logs=errors-only
    cd packages/sys && npm pack --silent --pack-destination "$1"`
  // Locked: a test beside this one does the same (packages/vm/test/packed.test.ts), and turbo writes what npm reads.
  run('flock', ['packages/sys/package.json', 'sh', '-ec', script, process.execPath, work], root)
  const archive = readdirSync(work).find((name) => name.endsWith('.tgz')) ?? ''
  mkdirSync(join(work, 'user'))
  writeFileSync(join(work, 'user/package.json'), '{"name":"user","private":true,"type":"module"}')
  run('npm', ['install', '--offline', '--no-audit', '--no-fund', join(work, archive)], join(work, 'user'))
}, 240_000)

afterAll(() => rmSync(work, { recursive: true, force: true }))

describe('the packed @pkg/sys', () => {
  it('brings built modules, declarations and nothing to install', () => {
    const installed = readdirSync(join(work, 'user/node_modules/@pkg/sys/dist'))
    expect(installed).toEqual(expect.arrayContaining(['process.js', 'process.d.ts', 'process.js.map']))
    expect(readdirSync(join(work, 'user/node_modules')).filter((name) => !name.startsWith('.'))).toEqual([
      '@pkg',
    ])
  })

  it('declares its types without those of the FFI, which are not its users’ business', () => {
    const dist = join(work, 'user/node_modules/@pkg/sys/dist')
    const declarations = readdirSync(dist).filter((name) => name.endsWith('.d.ts'))
    expect(declarations.length).toBeGreaterThan(10)
    expect(declarations.filter((name) => readFileSync(join(dist, name), 'utf8').includes('bun:ffi'))).toEqual(
      [],
    )
  })

  it('has declarations that a strict program checks against', { timeout: 240_000 }, () => {
    const code = `
      import { isSysError } from '@pkg/sys/errno'
      import { statx } from '@pkg/sys/fs'
      import { reactor } from '@pkg/sys/reactor'
      import { type ExitStatus, spawn } from '@pkg/sys/spawn'
      export const end: Promise<ExitStatus> = spawn({ file: '/bin/true', env: {} }).wait()
      export const size: bigint | number = statx(0, '/', 0, 0).stx_size
      export const wait: Promise<void> = reactor().readable(0)
      // @ts-expect-error an fd is a number or an owned fd
      export const wrong = reactor().readable('0')
      export const missing: boolean = isSysError(new Error(), 'ENOENT')`
    writeFileSync(join(work, 'user', 'types.ts'), code)
    const options = ['--noEmit', '--strict', '--module', 'nodenext']
    const libraries = ['--target', 'es2024', '--lib', 'es2024,esnext.disposable,dom']
    const compiler = join(root, 'node_modules/typescript/bin/tsc')
    run(process.execPath, ['--bun', compiler, ...options, ...libraries, 'types.ts'], join(work, 'user'))
  })

  it('is few files for an area: its own, and what all stand on', () => {
    const dist = join(work, 'user/node_modules/@pkg/sys/dist')
    const loaded = (name: string, seen = new Set<string>()): Set<string> => {
      if (seen.has(name)) return seen
      seen.add(name)
      const text = readFileSync(join(dist, name), 'utf8')
      for (const [, other = ''] of text.matchAll(/(?:import|from) ?"\.\/([\w-]+\.js)"/g)) loaded(other, seen)
      return seen
    }
    const areas = readdirSync(dist).filter((name) => /^(?!chunk-).*\.js$/.test(name))
    const counts = new Map(areas.map((area) => [area, loaded(area).size]))
    // Programs, what runs them in a child, and the reactor are chunks that some share.
    expect(counts.get('spawn.js')).toBeLessThanOrEqual(5)
    expect(counts.get('run-program.js')).toBeLessThanOrEqual(4)
    for (const area of ['fs.js', 'io.js', 'process.js', 'socket.js', 'mount.js'])
      expect(counts.get(area)).toBe(2)
    expect([...counts].filter(([area, count]) => count > 3 && !/^(spawn|run-program)/.test(area))).toEqual([])
  })

  it('has what areas share once, whichever of them was imported first', () => {
    const code = `
      import { spawn } from '@pkg/sys/spawn'
      import { openat } from '@pkg/sys/fs'
      import { pipe2 } from '@pkg/sys/io'
      import { SysError } from '@pkg/sys/errno'
      import { OwnedFd } from '@pkg/sys/fd'
      import { Program } from '@pkg/sys/program'
      import { runProgram } from '@pkg/sys/run-program'
      using child = spawn({ file: '/bin/sh', args: ['-c', 'sleep 0.05; exit 3'], env: {}, stdio: ['inherit', 'pipe', 'inherit'] })
      let error
      try { openat(-100, '/no/such/file', 0) } catch (thrown) { error = thrown }
      using pipe = pipe2(0)
      const program = new Program()
      program.call('getpid')
      const { code } = await child.wait()
      const results = [error instanceof SysError, child.stdout instanceof OwnedFd, pipe.read instanceof OwnedFd]
      process.stdout.write(JSON.stringify([...results, code, typeof runProgram(program)]))`
    expect(evaluate(code)).toEqual([true, true, true, 3, 'object'])
  })

  it('tells of errors by the lines of its sources', () => {
    const code = `
      import { openat } from '@pkg/sys/fs'
      try { openat(-100, '/no/such/file', 0) } catch (error) { process.stdout.write(JSON.stringify(error.stack)) }`
    expect(evaluate(code)).toContain('@pkg/sys/src/fs.ts:')
  })

  it('getpid() gives the process id', () => {
    const code = `import { getpid } from '@pkg/sys/process'\nprocess.stdout.write(String(getpid() === process.pid))`
    expect(evaluate(code)).toBe(true)
  })

  it('uname() names the kernel', () => {
    const code = `import { uname } from '@pkg/sys/system'\nprocess.stdout.write(JSON.stringify(uname()))`
    expect(Object.values(evaluate(code) as object)).toEqual(
      expect.arrayContaining(['Linux', run('uname', ['-r'], work).trim()]),
    )
  })

  it('statx_into() takes a layout of the tables, which are modules of their own', () => {
    const code = `
      import { AT_FDCWD, STATX_SIZE } from '@pkg/sys/constants'
      import { statx_into } from '@pkg/sys/fs'
      import { alloc } from '@pkg/sys/struct'
      import { statx } from '@pkg/sys/structs'
      const buffer = alloc(statx)
      statx_into(AT_FDCWD, 'package.json', 0, STATX_SIZE, buffer)
      process.stdout.write(String(buffer.get('stx_size')))`
    expect(evaluate(code)).toBe(statSync(join(work, 'user', 'package.json')).size)
  })

  it("openat() of a missing file throws an error with code 'ENOENT'", () => {
    const code = `
      import { AT_FDCWD, O_RDONLY } from '@pkg/sys/constants'
      import { openat } from '@pkg/sys/fs'
      try { openat(AT_FDCWD, '/no/such/file', O_RDONLY) } catch (error) {
        process.stdout.write(JSON.stringify({ code: error.code, errno: error.errno, syscall: error.syscall }))
      }`
    expect(evaluate(code)).toEqual({ code: 'ENOENT', errno: -2, syscall: 'openat' })
  })

  it('spawn() runs a program under another uid', () => {
    const code = `
      import { AT_FDCWD, O_CREAT, O_RDWR } from '@pkg/sys/constants'
      import { openat } from '@pkg/sys/fs'
      import { spawn } from '@pkg/sys/spawn'
      import { readFileSync } from 'node:fs'
      using output = openat(AT_FDCWD, 'uid', O_CREAT | O_RDWR, 0o600)
      using child = spawn({
        file: '/usr/bin/id', args: ['-u'], env: {}, uid: 65534, gid: 65534, groups: [],
        stdio: ['null', output, 'inherit'],
      })
      const status = await child.wait()
      process.stdout.write(JSON.stringify({ code: status.code, uid: readFileSync('uid', 'utf8').trim() }))`
    // Without root the kernel refuses, and the error names the step.
    if (process.getuid?.() === 0) expect(evaluate(code)).toEqual({ code: 0, uid: '65534' })
    else expect(() => evaluate(code)).toThrow(/EPERM/)
  })
})
