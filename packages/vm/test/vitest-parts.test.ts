import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { parseAst } from 'vitest/node'
import type { BootOptions } from '../src/boot/options.ts'
import { StackMapper } from '../src/vitest/guest/stacks.ts'
import { bootGuest } from '../src/vitest/boot-guest.ts'
import { workerEnvironment } from '../src/vitest/environment.ts'
import { Guests } from '../src/vitest/guests.ts'
import { FRAME, frame, FrameReader } from '../src/vitest/frames.ts'
import { machineOf } from '../src/vitest/machine-literal.ts'
import { machineOfFile, type GuestPoolOptions, type MachineDefinition } from '../src/vitest/options.ts'
import { addImportsOf, addPackageOf, exportTarget, type FileSet } from '../src/vitest/packages.ts'
import type { StartedProgram } from '../src/vitest/runtime.ts'
import type { WorkerTransport } from '../src/vitest/transport.ts'

describe('FrameReader', () => {
  test('finds the frames however the bytes are cut', () => {
    const bodies = fc.array(
      fc.tuple(fc.constantFrom(...Object.values(FRAME)), fc.uint8Array({ maxLength: 40 })),
    )
    fc.assert(
      fc.property(bodies, fc.array(fc.integer({ min: 1, max: 50 })), (frames, cuts) => {
        const bytes = Buffer.concat(frames.map(([kind, body]) => frame(kind, body)))
        const found: [number, number[]][] = []
        const reader = new FrameReader((kind, body) => found.push([kind, [...body]]))
        let offset = 0
        for (const cut of [...cuts, bytes.length]) {
          reader.push(bytes.subarray(offset, offset + cut))
          offset += cut
        }
        expect(found).toEqual(frames.map(([kind, body]) => [kind, [...body]]))
      }),
    )
  })

  test('refuses what cannot be a frame', () => {
    const reader = new FrameReader(() => {})
    expect(() => reader.push(Buffer.from('[    0.000000] Linux version'))).toThrow(RangeError)
  })
})

describe('machineOf()', () => {
  const machine = (source: string): unknown => machineOf(source, '/test.ts', parseAst)?.value

  test('reads literals, arithmetic, templates and constants of the file', () => {
    const source = `
      import { defineMachine } from '@pkg/vm/vitest'
      const MEBIBYTES: number = 64
      const name = \`disk\${1}\`
      export const machine = defineMachine({
        backend: 'qemu',
        memoryMiB: 2 * MEBIBYTES,
        'needs': ['clock', 'reboot'] as const,
        disks: [{ name, sizeBytes: 1 << 20 }],
        snapshot: !false,
        append: undefined,
      } satisfies object)`
    expect(machine(source)).toEqual({
      backend: 'qemu',
      memoryMiB: 128,
      needs: ['clock', 'reboot'],
      disks: [{ name: 'disk1', sizeBytes: 1_048_576 }],
      snapshot: true,
      append: undefined,
    })
  })

  test('is undefined without an exported constant of this name', () => {
    expect(machine('const machine = { memoryMiB: 1 }')).toBeUndefined()
    expect(machine('export let machine = 1; export const other = 2')).toBeUndefined()
    expect(machine('this is no < program')).toBeUndefined()
  })

  test.each([
    ['a call', 'memoryMiB: Number("1")'],
    ['a spread', '...base'],
    ['a value of the environment', 'memoryMiB: process.env.X'],
    ['a method', 'prepare() {}'],
    ['a name that is imported', 'memoryMiB: imported'],
  ])('refuses %s and points at it', (_, property) => {
    const source = `export const machine = defineMachine({\n  ${property},\n})`
    expect(() => machine(source)).toThrow(
      expect.objectContaining({ name: 'MachineDefinitionError', file: '/test.ts', line: 2 }),
    )
  })
})

test('placeOf() of a machine points to its option, or else to the machine', () => {
  const source = `const size = 64\nexport const machine = defineMachine({\n  memoryMiB: size,\n  cpus: 2,\n})`
  const text = machineOf(source, '/test.ts', parseAst)
  expect(text?.placeOf('cpus')).toEqual({ file: '/test.ts', line: 4, column: 3 })
  expect(text?.placeOf('disks')).toMatchObject({ line: 2, column: 24 })
})

describe('machineOfFile()', () => {
  test('has the file override the pool', () => {
    expect(machineOfFile({ backend: 'uml', memoryMiB: 64, shareProject: true }, { memoryMiB: 128 })).toEqual({
      backend: 'uml',
      memoryMiB: 128,
    })
  })

  test("boots a file's guest of another backend, where the pool's are restored", () => {
    const pool: GuestPoolOptions = { backend: 'qemu', snapshot: true }
    expect(machineOfFile(pool, { backend: 'uml' })).toEqual({ backend: 'uml', snapshot: false })
    expect(machineOfFile(pool, { memoryMiB: 64 })).toMatchObject({ snapshot: true })
    expect(machineOfFile(pool, { backend: 'uml', snapshot: true })).toMatchObject({ snapshot: true })
  })

  test('refuses what no guest can be', () => {
    expect(() => machineOfFile({ runAs: 'pid1', guest: 'shared' }, undefined)).toThrow(TypeError)
    expect(() => machineOfFile({}, { backend: 'xen' })).toThrow(/backend: xen is not one of/)
    expect(() => machineOfFile({}, 'qemu')).toThrow(TypeError)
    expect(() => machineOfFile({}, { memoryMib: 1 })).toThrow(
      'memoryMib: there is no such option; did you mean memoryMiB?',
    )
    expect(() => machineOfFile({}, { memory: 1 })).toThrow(/the options are accelerator, /)
    expect(() => machineOfFile({ blockedTimeoutMs: 0 }, undefined)).toThrow(RangeError)
  })
})

describe('StackMapper', () => {
  test('gives frames that answer whatever the engine’s own answer', () => {
    let frames: object[] = []
    let own: object[] = []
    const { prepareStackTrace } = Error
    onTestFinished(() => void (Error.prepareStackTrace = prepareStackTrace))
    Error.prepareStackTrace = (_error, sites) => {
      frames = sites
      return ''
    }
    const mapper = new StackMapper()
    mapper.install()
    void new Error().stack
    own = frames
    const error = { stack: 'Error: late\n    at work (/a.ts:1:2)' }
    mapper.mend('onUnhandledError', [error])
    expect(frames).not.toBe(own)
    // Of an engine's call sites, what vitest and Vite ask to write a frame: places, names and kinds.
    const asked = Object.getOwnPropertyNames(Object.getPrototypeOf(own[0]))
      .filter((name) => /^(?:is|get)/.test(name))
      .filter((name) => !['getThis', 'getFunction', 'getScriptId', 'isPromiseAll'].includes(name))
    expect(asked.length).toBeGreaterThan(10)
    expect(asked.filter((name) => !(name in (frames[0] ?? {})))).toEqual([])
  })
})

describe('Guests', () => {
  /** Guests that know whether a file runs in them, and whether they are gone. */
  function herd(maxShared: number): { guests: Guests; started: { isGone: boolean }[] } {
    const started: { isGone: boolean }[] = []
    const start = async (): Promise<WorkerTransport> => {
      await new Promise((resolve) => setTimeout(resolve, 1))
      const guest = {
        isGone: false,
        spawnWorker: () => Promise.reject(new Error('not here')),
        warmWorker: async () => undefined,
        [Symbol.asyncDispose]: async () => void (guest.isGone = true),
      }
      started.push(guest)
      return guest
    }
    return { guests: new Guests(start, maxShared), started }
  }

  const program = {} as StartedProgram

  test('are shared by one file at a time, and are as many as they may be', async () => {
    const { guests, started } = herd(4)
    const busy = new Set<unknown>()
    const file = async (): Promise<void> => {
      const lease = await guests.lease({ guest: 'shared' }, program)
      expect(busy.has(lease.transport)).toBe(false)
      busy.add(lease.transport)
      await new Promise((resolve) => setTimeout(resolve, 2))
      busy.delete(lease.transport)
      await lease.release(false)
    }
    await Promise.all(Array.from({ length: 20 }, file))
    expect(started).toHaveLength(4)
    await guests[Symbol.asyncDispose]()
    expect(started.every(({ isGone }) => isGone)).toBe(true)
  })

  test("are not given to others when they broke, or are nobody else's", async () => {
    const { guests, started } = herd(1)
    const broken = await guests.lease({ guest: 'shared' }, program)
    const waiting = guests.lease({ guest: 'shared' }, program)
    await broken.release(true)
    expect((await waiting).transport).not.toBe(broken.transport)
    await (await waiting).release(false)
    const own = await guests.lease({}, program)
    await own.release(false)
    expect(started.map(({ isGone }) => isGone)).toEqual([true, false, true])
  })
})

describe('bootGuest()', () => {
  const program: StartedProgram = {
    runtime: {
      bootstrap: '',
      files: new Uint8Array(),
      program: { module: '/worker.ts', vitestDist: '/dist' },
      key: 'k',
    },
    env: {},
    folder: '/project',
  }

  async function booted(machine: MachineDefinition, shareProject: boolean = false): Promise<BootOptions> {
    let options: BootOptions = {}
    const boot = async (given: BootOptions): Promise<never> => {
      options = given
      throw new Error('no guest today')
    }
    await expect(bootGuest(boot, machine, program, { shareProject })).rejects.toThrow('no guest today')
    return options
  }

  test('passes on what boot() knows, and nothing else', async () => {
    const machine: MachineDefinition = {
      backend: 'uml',
      memoryMiB: 64,
      runAs: 'root',
      guest: 'shared',
      blockedTimeoutMs: 1,
    }
    expect(await booted(machine)).toEqual({
      backend: 'uml',
      memoryMiB: 64,
      timeoutMs: Infinity,
      shares: [],
    })
  })

  test('shares the project after the shares of the machine', async () => {
    const machine: MachineDefinition = { shares: [{ host: '/data', guest: '/mnt' }] }
    expect((await booted(machine, true)).shares).toEqual([
      { host: '/data', guest: '/mnt' },
      { host: '/project', guest: '/project' },
    ])
  })

  test('saves a guest per program and per way to run it', async () => {
    const asRoot = await booted({ snapshot: true })
    const asPid1 = await booted({ snapshot: true, runAs: 'pid1' })
    expect(asRoot.snapshot).toMatchObject({ key: expect.stringMatching(/^[0-9a-f]{64}$/) as string })
    expect(asPid1.snapshot).not.toMatchObject({ key: (asRoot.snapshot as { key: string }).key })
  })
})

describe('workerEnvironment()', () => {
  test("keeps the host's environment at home, and passes on vitest's and the project's", () => {
    const host = { HOME: '/home/me', TOKEN: 'secret', CI: 'true', VITEST: 'true' }
    const env = workerEnvironment({ ...host, NODE_ENV: 'test', MINE: 'x' }, host)
    expect(env).toMatchObject({ HOME: '/root', CI: 'true', VITEST: 'true', NODE_ENV: 'test', MINE: 'x' })
    expect(env).not.toHaveProperty('TOKEN')
  })
})

describe('packages', () => {
  const folders: string[] = []
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true })
  })

  /** A tree of files; a value that begins with `->` is a symlink. */
  function tree(files: Record<string, string>): string {
    const root = mkdtempSync(join(tmpdir(), 'solo-packages-'))
    folders.push(root)
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(join(root, path, '..'), { recursive: true })
      if (content.startsWith('->')) symlinkSync(join(root, content.slice(2)), join(root, path))
      else writeFileSync(join(root, path), content)
    }
    return root
  }

  const below = (root: string, files: FileSet): string[] =>
    [...files].map(([path, link]) => path.slice(root.length + 1) + (link === null ? '' : ' ->')).toSorted()

  test('addPackageOf() takes a package and what it depends on but vitest, through symlinks', async () => {
    const root = tree({
      'node_modules/.store/a/node_modules/a/package.json':
        '{"dependencies":{"b":"1"},"peerDependencies":{"c":"1","vitest":"5"}}',
      'node_modules/.store/vitest/node_modules/vitest/package.json': '{}',
      'node_modules/.store/a/node_modules/vitest': '->node_modules/.store/vitest/node_modules/vitest',
      'node_modules/.store/a/node_modules/a/index.js': '',
      'node_modules/.store/a/node_modules/a/index.d.ts': '',
      'node_modules/.store/b/node_modules/b/package.json': '{}',
      'node_modules/.store/b/node_modules/b/data/table.bin': '',
      'node_modules/.store/a/node_modules/b': '->node_modules/.store/b/node_modules/b',
    })
    const files: FileSet = new Map()
    await addPackageOf(join(root, 'node_modules/.store/a/node_modules/a/index.js'), files)
    expect(below(root, files)).toEqual([
      'node_modules/.store/a/node_modules/a/index.js',
      'node_modules/.store/a/node_modules/a/package.json',
      'node_modules/.store/a/node_modules/b ->',
      'node_modules/.store/a/node_modules/vitest ->',
      'node_modules/.store/b/node_modules/b/data/table.bin',
      'node_modules/.store/b/node_modules/b/package.json',
    ])
  })

  test('addImportsOf() follows imports, requires and exports, and takes nothing else', async () => {
    const root = tree({
      'main.js': `import './near.js'; import x from "p/sub"; import('missing'); import 'node:fs'`,
      'near.js': `export * from './nearer.js'`,
      'nearer.js': '',
      'other.js': '',
      'node_modules/p/package.json': '{"exports":{"./sub":{"types":"./s.d.ts","default":"./lib/s.js"}}}',
      'node_modules/p/lib/s.js': `require('./t')`,
      'node_modules/p/lib/t.js': '',
      'node_modules/p/lib/u.js': '',
    })
    const files: FileSet = new Map()
    await addImportsOf(join(root, 'main.js'), files)
    expect(below(root, files)).toEqual([
      'main.js',
      'near.js',
      'nearer.js',
      'node_modules/p/lib/s.js',
      'node_modules/p/lib/t.js',
      'node_modules/p/package.json',
    ])
  })

  test('exportTarget() follows conditions and patterns', () => {
    expect(exportTarget({ main: './m.js' }, '.')).toBe('./m.js')
    expect(exportTarget({ exports: './e.js' }, '.')).toBe('./e.js')
    expect(exportTarget({ exports: { import: './i.js', require: './r.cjs' } }, '.')).toBe('./i.js')
    expect(exportTarget({ exports: { './*': { default: './dist/*.js' } } }, './x')).toBe('./dist/x.js')
    expect(exportTarget({ exports: { '.': './e.js' } }, './inner')).toBeUndefined()
  })
})
