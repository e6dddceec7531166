import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { depmod, ModuleNotFoundError, moduleClosure, requestedModules } from '../src/modules.ts'
import type { DecompressModule, ModuleClosure, ModuleClosureOptions } from '../src/modules.ts'
import { fnmatch } from '../src/modules/fnmatch.ts'
import {
  installedModules,
  moduleNames,
  packagedModules,
  release,
  runDepmod,
  showDepends,
} from './module-tree.ts'
import { run, runOk, temporaryFolder } from './run.ts'

// Each test starts many other programs, on machines that may be busy.

const namesOf = (closure: ModuleClosure): string[] => closure.modules.map(({ name }) => name)

async function failure(options: ModuleClosureOptions): Promise<Error> {
  const result = await moduleClosure(options).catch((error: unknown) => error)
  if (result instanceof Error) return result
  throw new Error('no error')
}

function modulePaths(folder: string): string[] {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return paths.filter((path) => path.endsWith('.ko')).map((path) => join(folder, path))
}

/** modules.dep as depmod writes it for compressed modules, where its kmod knows the compression. */
function writeCompressedDependencies(folder: string, compression: string): void {
  const plain = packagedModules()
  runDepmod(plain)
  const dependencies = readFileSync(join(plain, 'modules.dep'), 'utf8')
  writeFileSync(join(folder, 'modules.dep'), dependencies.replaceAll('.ko', `.ko.${compression}`))
}

const decompress: DecompressModule = (bytes, compression) => {
  if (compression === 'gz') return gunzipSync(bytes)
  if (compression === 'zst') return zstdDecompressSync(bytes)
  return Buffer.from(runOk(['sh', '-c', 'xz -dc | base64 -w0'], { input: bytes }), 'base64')
}

describe('moduleClosure()', () => {
  test("loads what kmod's modprobe loads, in its order, for every name", async () => {
    const modulesFolder = installedModules()
    for (const name of [
      ...moduleNames,
      'net-dev',
      'sum-fast',
      'extfs',
      'fs-extfs',
      'fs_fancyfs',
      'virtio-console',
    ]) {
      const closure = await moduleClosure({ modulesFolder, wanted: [name] })
      const expected = showDepends(modulesFolder, name)
      const loaded = closure.modules.filter(({ weak }) => !weak)
      expect([name, loaded.map(({ source }) => source)]).toEqual([name, expected.files])
      if (expected.files.length === 0) expect([name, closure.builtin]).toEqual([name, expected.builtin])
    }
  })

  test('loads what modprobe loads for modaliases, all modules that match', async () => {
    const modulesFolder = installedModules()
    const modaliases = [
      'virtio:d00000001v00001AF4',
      'pci:v00001AF4d0000100Asv00001AF4sd00000001bc02sc00i00',
      'cpu:type:x86,ven0000fam0006mod0055:feature:,0000,0094,0095',
      'crypto-sum-generic',
    ]
    for (const modalias of modaliases) {
      const closure = await moduleClosure({ modulesFolder, wanted: [modalias] })
      const loaded = closure.modules.filter(({ weak }) => !weak)
      const expected = showDepends(modulesFolder, modalias).files
      expect(expected.length).toBeGreaterThan(0)
      expect([modalias, loaded.map(({ source }) => source)]).toEqual([modalias, expected])
    }
    const both = await moduleClosure({ modulesFolder, wanted: ['crypto-sum'] })
    expect(namesOf(both)).toEqual(['sum_fast', 'sum_generic'])
    expect(
      (await failure({ modulesFolder, wanted: ['pci:v00001AF4d0000200Asv0sd0bc0sc0i0'] })).message,
    ).toContain('no module or alias')
  })

  test('takes patterns over names and aliases', async () => {
    const modulesFolder = installedModules()
    expect(namesOf(await moduleClosure({ modulesFolder, wanted: ['sum-*'] }))).toEqual([
      'sum_fast',
      'sum_generic',
    ])
    expect(namesOf(await moduleClosure({ modulesFolder, wanted: ['virtio:*'] }))).toContain('net_dev')
    expect((await moduleClosure({ modulesFolder, wanted: ['fs-ext*'] })).builtin).toEqual(['extfs'])
  })

  test("gives the same from depmod's tables and from the modules of a package without them", async () => {
    const packaged = packagedModules()
    const before = await moduleClosure({ modulesFolder: packaged, wanted: ['*'] })
    runDepmod(packaged)
    // kmod 33 is the first that writes weak dependencies.
    writeFileSync(join(packaged, 'modules.weakdep'), 'weakdep net_dev helper\n')
    const after = await moduleClosure({ modulesFolder: packaged, wanted: ['*'] })
    expect(after).toEqual(before)
    expect(namesOf(before).toSorted()).toEqual([...moduleNames].toSorted())
  })

  test("depmod() writes what kmod's depmod writes, and leaves tables alone that are there", async () => {
    const [ours, theirs] = [packagedModules(), packagedModules()]
    const before = await moduleClosure({ modulesFolder: ours, wanted: ['*'] })
    await depmod(ours)
    runDepmod(theirs)
    const lines = (folder: string, name: string): string[] =>
      readFileSync(join(folder, name), 'utf8')
        .split('\n')
        .filter((line) => !line.startsWith('#'))
    for (const name of ['modules.dep', 'modules.alias', 'modules.softdep']) {
      expect([name, lines(ours, name).toSorted()]).toEqual([name, lines(theirs, name).toSorted()])
    }
    expect(await moduleClosure({ modulesFolder: ours, wanted: ['*'] })).toEqual(before)
    writeFileSync(join(ours, 'modules.dep'), '')
    await depmod(ours)
    expect(readFileSync(join(ours, 'modules.dep'), 'utf8')).toBe('')
  })

  test('lists firmware with the modules that ask for it, built-in ones too', async () => {
    const closure = await moduleClosure({ modulesFolder: installedModules(), wanted: ['net_dev', 'extfs'] })
    expect(closure.firmware).toEqual([
      { name: 'ext.bin', modules: ['extfs'] },
      { name: 'vendor/a.bin', modules: ['net_dev'] },
      { name: 'vendor/b.bin', modules: expect.arrayContaining(['libx', 'net_dev']) },
    ])
  })

  test('puts weak dependencies last, not to be loaded, with what they need', async () => {
    const closure = await moduleClosure({ modulesFolder: packagedModules(), wanted: ['net_dev'] })
    const order = closure.modules.map(({ name, weak }) => (weak ? `(${name})` : name))
    expect(order).toEqual([
      'bus_core',
      'sum_fast',
      'sum_generic',
      'ring',
      'net_dev',
      'libx',
      'late_one',
      '(helper)',
    ])
  })

  test('gives the index that PID 1 reads, of the modules in the image only', async () => {
    const { index } = await moduleClosure({ modulesFolder: installedModules(), wanted: ['net-dev'] })
    const folder = `/lib/modules/${release}/kernel`
    const none = { dependencies: [], softPre: [], softPost: [] }
    expect(index).toEqual({
      release,
      modules: {
        bus_core: { ...none, path: `${folder}/drivers/bus-core.ko` },
        late_one: { ...none, path: `${folder}/misc/late_one.ko`, dependencies: ['libx'] },
        libx: { ...none, path: `${folder}/lib/libx.ko` },
        net_dev: {
          path: `${folder}/drivers/net/net-dev.ko`,
          dependencies: ['bus_core', 'ring'],
          softPre: [],
          softPost: ['late_one'],
        },
        ring: {
          path: `${folder}/drivers/ring.ko`,
          dependencies: ['bus_core'],
          softPre: ['sum_fast', 'sum_generic'],
          softPost: [],
        },
        sum_fast: { ...none, path: `${folder}/crypto/sum_fast.ko` },
        sum_generic: { ...none, path: `${folder}/crypto/sum_generic.ko` },
      },
      aliases: [
        ['virtio:d00000001v*', 'net_dev'],
        ['pci:v00001AF4d0000100[0-9A-F]sv*sd*bc*sc*i*', 'net_dev'],
        ['crypto-sum', 'sum_fast'],
        ['cpu:type:x86,ven*fam*mod*:feature:*0094*', 'sum_fast'],
        ['crypto-sum', 'sum_generic'],
        ['crypto-sum-generic', 'sum_generic'],
      ],
      builtin: ['extfs', 'virtio_console'],
    })
    expect(Object.keys(index.modules)).toEqual(Object.keys(index.modules).toSorted())
  })

  test.each([
    ['xz', 'xz'],
    ['zst', 'zstd'],
    ['gz', 'gzip'],
  ] as const)('reads modules ending in .ko.%s through the callback', async (compression, tool) => {
    const modulesFolder = packagedModules()
    const quietly: string[] = tool === 'zstd' ? ['--rm'] : []
    runOk([tool, '-q', ...quietly, ...modulePaths(modulesFolder)])
    const fromModules = await moduleClosure({ modulesFolder, wanted: ['net_dev'], decompress })
    writeCompressedDependencies(modulesFolder, compression)
    const fromTables = await moduleClosure({
      modulesFolder,
      wanted: ['net_dev'],
      decompress,
      keepCompressed: true,
    })
    for (const closure of [fromModules, fromTables]) {
      expect(closure.modules[0]).toMatchObject({
        name: 'bus_core',
        compression,
        source: `${modulesFolder}/kernel/drivers/bus-core.ko.${compression}`,
      })
      expect(closure.firmware.length).toBe(2)
    }
    expect(fromModules.modules[0]?.path).toBe(`/lib/modules/${release}/kernel/drivers/bus-core.ko`)
    expect(fromTables.index.modules['bus_core']?.path).toBe(
      `/lib/modules/${release}/kernel/drivers/bus-core.ko.${compression}`,
    )
    const error = await failure({ modulesFolder, wanted: ['ring'] })
    expect(error).toBeInstanceOf(TypeError)
    expect(error.message).toContain(
      `bus-core.ko.${compression}: is compressed: give moduleClosure() the option decompress`,
    )
  })

  test('finds modules that were decompressed after depmod ran', async () => {
    const modulesFolder = installedModules()
    writeCompressedDependencies(modulesFolder, 'xz')
    const { modules } = await moduleClosure({ modulesFolder, wanted: ['bus-core'] })
    expect(modules).toMatchObject([{ source: `${modulesFolder}/kernel/drivers/bus-core.ko` }])
  })

  test('uses the image folder and release that it is given', async () => {
    const modulesFolder = packagedModules()
    const given = { release: '9.9', imageFolder: '/usr/lib/modules/9.9' }
    const { modules, index } = await moduleClosure({
      modulesFolder,
      wanted: ['ring'],
      optional: ['libx', 'nowhere'],
      ...given,
    })
    expect(index.release).toBe('9.9')
    expect(modules.map(({ path }) => path)).toContain('/usr/lib/modules/9.9/kernel/drivers/ring.ko')
    expect(modules.at(-1)?.name).toBe('libx')
  })
})

describe('moduleClosure() says what is wrong', () => {
  test('with a module that is nowhere, and names those that look alike', async () => {
    const modulesFolder = installedModules()
    const error = await failure({ modulesFolder, wanted: ['net_dve'] })
    expect(error).toBeInstanceOf(ModuleNotFoundError)
    expect(error.message).toBe(
      `net_dve: ${modulesFolder} has no module or alias of that name, and it is not built into the kernel; there is net_dev`,
    )
    expect(await failure({ modulesFolder, wanted: ['virtio-consol'] })).toMatchObject({
      similar: ['virtio_console'],
    })
    expect(await failure({ modulesFolder, wanted: ['zfs'] })).toMatchObject({ wanted: 'zfs', similar: [] })
  })

  test('with folders and files that are missing or damaged', async () => {
    const missing = join(temporaryFolder(), 'none')
    expect((await failure({ modulesFolder: missing, wanted: [] })).message).toBe(
      `${missing}: no such folder of kernel modules`,
    )
    const modulesFolder = installedModules()
    const ring = join(modulesFolder, 'kernel/drivers/ring.ko')
    const bytes = readFileSync(ring)
    writeFileSync(ring, bytes.subarray(0, 100))
    expect((await failure({ modulesFolder, wanted: ['net_dev'] })).message).toContain(`${ring}: e_shoff is `)
    rmSync(ring)
    expect((await failure({ modulesFolder, wanted: ['net_dev'] })).message).toBe(
      `${ring}: modules.dep names this file, but it is not there: run depmod for this folder`,
    )
    rmSync(join(modulesFolder, 'modules.dep'))
    expect((await failure({ modulesFolder, wanted: ['net_dev'] })).message).toBe(
      `${modulesFolder}: net_dev needs the module ring, which is not there: is a package missing?`,
    )
    writeFileSync(join(modulesFolder, 'modules.dep'), 'kernel/a.ko:\nsomething else\n')
    expect((await failure({ modulesFolder, wanted: [] })).message).toBe(
      'modules.dep line 2: expected PATH.ko: PATHS, found "something else"',
    )
  })

  test('with modules that need each other', async () => {
    const modulesFolder = packagedModules()
    for (const [name, needs] of [['bus-core', 'ring'] as const]) {
      const source = `static const char info[] __attribute__((used, section(".modinfo"))) = "depends=${needs}";`
      runOk(['gcc', '-c', '-x', 'c', '-o', join(modulesFolder, `kernel/drivers/${name}.ko`), '-'], {
        input: Buffer.from(source),
      })
    }
    expect((await failure({ modulesFolder, wanted: [] })).message).toMatch(
      /its dependencies go in a circle: bus_core → ring → bus_core/,
    )
  })
})

test('fnmatch() matches as the shell does', () => {
  const unit = fc.constantFrom('a', 'b', 'c', '-', 'd')
  const pattern = fc
    .array(fc.oneof(unit, fc.constantFrom('*', '?', '[ab]', '[!a]', '[a-c]', '[b-]')), { maxLength: 6 })
    .map((parts) => parts.join(''))
  const cases = fc.array(fc.tuple(pattern, fc.string({ unit, maxLength: 6 })), {
    minLength: 50,
    maxLength: 50,
  })
  fc.assert(
    fc.property(cases, (pairs) => {
      const script =
        'while IFS=: read -r pattern text; do case "$text" in $pattern) echo 1;; *) echo 0;; esac; done'
      const input = Buffer.from(pairs.map(([one, text]) => `${one}:${text}\n`).join(''))
      const answers = run(['bash', '-c', script], { input }).stdout.trim().split('\n')
      expect(pairs.map(([one, text]) => [one, text, fnmatch(one, text)])).toEqual(
        pairs.map(([one, text], index) => [one, text, answers[index] === '1']),
      )
    }),
    { numRuns: 20 },
  )
})

test('requestedModules() finds what a kernel asks for by name and by alias, as modprobe takes `-` and `_` as one', () => {
  const entry = (path: string) => ({ path, dependencies: [], softPre: [], softPost: [] })
  const index = {
    release: '6.1.0',
    modules: { ext4: entry('/ext4.ko'), dm_crypt: entry('/dm-crypt.ko'), raid456: entry('/raid456.ko') },
    aliases: [
      ['fs-ext[34]', 'ext4'],
      ['block-major-9-*', 'raid456'],
      ['md-level-5', 'raid456'],
      ['md-level-5', 'dm_crypt'],
    ],
    builtin: ['loop'],
  } as const
  expect(requestedModules(index, 'dm-crypt')).toEqual(['dm_crypt'])
  expect(requestedModules(index, 'fs-ext3')).toEqual(['ext4'])
  expect(requestedModules(index, 'block-major-9-127')).toEqual(['raid456'])
  expect(requestedModules(index, 'md-level-5')).toEqual(['raid456', 'dm_crypt'])
  for (const nothing of ['fs-ext2', 'loop', 'toString', ''])
    expect(requestedModules(index, nothing)).toEqual([])
})
