// Whole builds, without a package archive: a kernel made here, and this machine's root for the libraries.
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type CpioEntry, readCpio } from '@pkg/image/cpio'
import { WRITTEN_MS } from '@pkg/init/boot-state'
import { parsePlan } from '@pkg/init/plan'
import { beforeAll, describe, expect, test } from 'vitest'
import { buildAppliance, type BuildResult } from '../src/build.ts'
import { bundle } from '../src/build/bundle.ts'
import { stableUid } from '../src/config/users.ts'
import { testFolder } from './support/folder.ts'
import { spdxProblems } from './support/spdx-tools.ts'
import { kernelModule, makeDeb, tinyProgram } from '../../vm/test/support/repository.ts'

// apt, dpkg-deb and the bundler take their time on a busy machine.

const release = '6.1.0-9-test'
const root = testFolder()
/** Bun is compressed once for all tests. */
const cache = join(root.path, 'cache')

function write(folder: string, files: Readonly<Record<string, string | Uint8Array>>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), content)
  }
}

/** A project with a kernel package and what is given; returns its folder. */
function project(
  name: string,
  config: string,
  files: Readonly<Record<string, string | Uint8Array>> = {},
): string {
  const folder = join(root.path, name)
  write(folder, {
    'solo.config.ts': `export default { name: 'test', kernel: { deb: './kernel.deb' }, sysroot: '/', ${config} }`,
    ...files,
  })
  copyFileSync(kernelDeb, join(folder, 'kernel.deb'))
  return folder
}

let kernelDeb = ''

beforeAll(() => {
  const modules = `lib/modules/${release}/kernel`
  kernelDeb = makeDeb(
    {
      name: `linux-image-${release}`,
      version: '1',
      files: {
        [`boot/vmlinuz-${release}`]: 'kernel',
        [`${modules}/virtio.ko`]: kernelModule(['depends=', 'name=virtio']),
        [`${modules}/virtio_net.ko`]: kernelModule([
          'depends=virtio',
          'alias=virtio:d00000001v*',
          'name=virtio_net',
        ]),
        [`${modules}/odd.ko`]: kernelModule(['depends=', 'name=odd']),
        [`lib/modules/${release}/modules.builtin`]: 'kernel/fs/ext4.ko\n',
        [`lib/modules/${release}/modules.order`]: 'kernel/virtio.ko\nkernel/virtio_net.ko\nkernel/odd.ko\n',
      },
    },
    root.path,
  )
  return () => root[Symbol.dispose]()
})

/** What the image holds; texts of small files by path. */
async function contents(built: BuildResult): Promise<Map<string, CpioEntry & { text?: string }>> {
  const archive = execFileSync('zstd', ['-dc', built.initramfs], { maxBuffer: 1 << 30 })
  const entries = new Map<string, CpioEntry & { text?: string }>()
  for await (const entry of readCpio(archive)) {
    const isText = entry.type === 'file' && entry.path !== '/bin/bun' && !entry.path.startsWith('/lib/x86')
    entries.set(
      entry.path,
      isText ? { ...entry, text: new TextDecoder().decode(await entry.bytes()) } : entry,
    )
  }
  return entries
}

const web = `services: [{ name: 'web', entry: './server.ts', ports: [8080] }]`

describe('buildAppliance()', () => {
  test('buildAppliance() gives the same bytes in another folder, time zone, cache and order of files', async () => {
    const server = {
      'server.ts': `import { where } from './lib/old.cjs'\nconsole.log(where, import.meta.url, process.env.HOME)`,
      'lib/old.cjs': `exports.where = __dirname + __filename`,
    }
    const first = await buildAppliance(project('first', web, server), { cache })
    const folder = project('deep/er/second', web, Object.fromEntries(Object.entries(server).toReversed()))
    const main = fileURLToPath(new URL('../src/solo.ts', import.meta.url))
    const out = join(root.path, 'elsewhere')
    execFileSync(process.execPath, [main, 'build', folder, '--format', 'initramfs', '--out', out], {
      cwd: '/',
      env: {
        ...process.env,
        TZ: 'Pacific/Apia',
        LANG: 'tr_TR.UTF-8',
        HOME: '/nowhere',
        SOLO_CACHE_DIR: join(root.path, 'cache2'),
      },
      stdio: 'ignore',
    })
    for (const name of ['kernel', 'initramfs.img', 'appliance.json']) {
      expect(readFileSync(join(first.folder, name)).equals(readFileSync(join(out, name))), name).toBe(true)
    }
    const code = (await contents(first)).get('/usr/lib/solo/web/index.js')?.text ?? ''
    expect(code).not.toContain(root.path)
    expect(code).toContain('import.meta.dir')
  })

  test('buildAppliance() writes archives that GNU cpio lists', async () => {
    const built = await buildAppliance(project('cpio', web, { 'server.ts': '' }), { cache })
    const list = execFileSync('sh', ['-c', `zstd -dc "$0" | cpio --quiet -it`, built.initramfs], {
      encoding: 'utf8',
    })
    expect(list.split('\n')).toContain('usr/lib/solo/web/index.js')
    expect(list.split('\n')).toContain('init')
  })

  test('buildAppliance() takes the libraries of a dynamic program, each once', async () => {
    const config = `services: [{ name: 'one', command: ['/bin/one'] }],
      files: [{ from: '/bin/ls', to: '/bin/one' }, { from: '/bin/ls', to: '/bin/two' }]`
    const image = await contents(await buildAppliance(project('dynamic', config), { cache }))
    const names = [...image.keys()].map((path) => path.split('/').at(-1))
    expect(names.filter((name) => name === 'libselinux.so.1')).toHaveLength(1)
    expect(names.filter((name) => name === 'libc.so.6')).toHaveLength(1)
  })

  test('buildAppliance() says it was created when our own sources were, in a repository too', async () => {
    const folder = project('dated', web, { 'server.ts': '' })
    execFileSync('git', ['init', '-q'], { cwd: folder })
    const identity = ['-c', 'user.name=Test', '-c', 'user.email=test@example.org']
    execFileSync('git', [...identity, 'commit', '-q', '--allow-empty', '-m', 'first'], { cwd: folder })
    const { manifest, sbom } = await buildAppliance(folder, { cache })
    const written = new Date(WRITTEN_MS).toISOString().replace('.000Z', 'Z')
    expect(manifest.release.created).toBe(written)
    const bill = JSON.parse(readFileSync(sbom, 'utf8')) as { creationInfo: { created: string } }
    expect(bill.creationInfo.created).toBe(written)
  })

  test('buildAppliance() takes SOURCE_DATE_EPOCH as the time of every file', async () => {
    process.env['SOURCE_DATE_EPOCH'] = '1700000000'
    try {
      const image = await contents(
        await buildAppliance(project('epoch', web, { 'server.ts': '' }), { cache }),
      )
      expect([...image.values()].every(({ mtimeSeconds }) => mtimeSeconds === 1_700_000_000)).toBe(true)
      process.env['SOURCE_DATE_EPOCH'] = 'yesterday'
      await expect(buildAppliance(project('epoch2', web, { 'server.ts': '' }), { cache })).rejects.toThrow(
        'SOURCE_DATE_EPOCH: expected seconds since 1970, got "yesterday"',
      )
    } finally {
      delete process.env['SOURCE_DATE_EPOCH']
    }
  })
})

describe('the image', () => {
  let built: BuildResult
  let image: Map<string, CpioEntry & { text?: string }>
  const uid = stableUid('web')

  beforeAll(async () => {
    const config = `version: '1.2', hostname: 'box', modules: ['odd'], sysctl: { 'vm.swappiness': '1' },
      services: [
        { name: 'web', entry: './server.ts', ports: [8080], environment: { LEVEL: 'debug' } },
        { name: 'tool', command: ['/usr/bin/tool', 'x'], user: 'root', restart: 'never', stopSignal: 'SIGINT' },
      ],
      files: [{ from: './tool', to: '/usr/bin/tool', mode: 0o750 }, { from: './data', to: '/usr/share/data', uid: 5 }],
      forward: [{ host: 0, guest: 8080 }]`
    const files = {
      'server.ts': `console.log('hello')`,
      tool: tinyProgram(),
      'data/a/b.txt': 'b',
      'data/c': 'c',
    }
    built = await buildAppliance(project('contents', config, files), { cache })
    image = await contents(built)
  })

  const modes = (paths: readonly string[]): string[] =>
    paths.map((path) => {
      const entry = image.get(path)
      return entry === undefined
        ? `${path} missing`
        : `${path} ${entry.type} ${entry.mode.toString(8)} ${entry.uid}`
    })

  test('the image has stub, runtime, init and the files of the configuration with their modes', () => {
    expect(
      modes(['/init', '/bin/bun', '/sbin/init.js', '/dev/console', '/etc/resolv.conf', '/usr/bin/tool']),
    ).toEqual([
      '/init file 755 0',
      '/bin/bun file 755 0',
      '/sbin/init.js file 644 0',
      '/dev/console char 600 0',
      '/etc/resolv.conf symlink 777 0',
      '/usr/bin/tool file 750 0',
    ])
  })

  test('the image has the folders that init mounts on', () => {
    expect(
      modes(['/proc', '/sys', '/dev', '/run', '/tmp', '/var', '/root', '/usr/share/data/a/b.txt']),
    ).toEqual([
      '/proc directory 755 0',
      '/sys directory 755 0',
      '/dev directory 755 0',
      '/run directory 755 0',
      '/tmp directory 1777 0',
      '/var directory 755 0',
      '/root directory 700 0',
      '/usr/share/data/a/b.txt file 644 5',
    ])
  })

  test('the image has the users of its services and says what it is', () => {
    expect(image.get('/etc/passwd')?.text).toBe(
      `root:x:0:0:root:/root:/sbin/nologin\nweb:x:${uid}:${uid}::/:/sbin/nologin\n`,
    )
    expect(image.get('/etc/os-release')?.text).toContain('PRETTY_NAME="Solo (test 1.2)"\n')
  })

  test('the image has the plan of its services, which init accepts', () => {
    const plan = parsePlan(image.get('/etc/solo/plan.json')?.text ?? '')
    expect(plan).toMatchObject({
      hostname: 'box',
      modules: ['odd'],
      sysctl: { 'vm.swappiness': '1' },
      network: { dhcp: true },
    })
    expect(plan.services).toMatchObject([
      {
        name: 'web',
        command: ['/bin/bun', '/usr/lib/solo/web/index.js'],
        environment: { PORT: '8080', LEVEL: 'debug' },
        uid,
        gid: uid,
        restart: 'always',
      },
      { name: 'tool', command: ['/usr/bin/tool', 'x'], uid: 0, restart: 'never', stopSignal: 2 },
    ])
  })

  test('the image has the modules that its index names', () => {
    const index = JSON.parse(image.get(`/lib/modules/${release}/solo-modules.json`)?.text ?? '') as {
      modules: Record<string, { dependencies: string[]; path: string }>
      aliases: unknown
    }
    expect(Object.keys(index.modules)).toEqual(['odd', 'virtio', 'virtio_net'])
    expect(index.modules['virtio_net']?.dependencies).toEqual(['virtio'])
    for (const { path } of Object.values(index.modules)) expect(image.get(path)?.type).toBe('file')
  })

  test('the bill of materials has the files of the initramfs and the kernel, each with its origin', () => {
    expect(spdxProblems(built.sbom)).toBe('')
    const bill = JSON.parse(readFileSync(built.sbom, 'utf8')) as { files: { fileName: string }[] }
    const files = [...image.values()].filter(({ type }) => type === 'file').map(({ path }) => `.${path}`)
    expect(bill.files.map(({ fileName }) => fileName).toSorted()).toEqual([...files, './kernel'].toSorted())
  })

  test('appliance.json says what the image is, and nothing of its files has a time', () => {
    expect(built.manifest).toMatchObject({
      kernel: { release, origin: 'kernel.deb' },
      forwards: [{ host: 0, guest: 8080 }],
      commandLine: ['console=ttyS0', 'panic=10', 'oops=panic', 'quiet'],
    })
    expect([...image.values()].every(({ mtimeSeconds }) => mtimeSeconds === 0)).toBe(true)
  })
})

describe('what a build refuses', () => {
  const refused = async (
    name: string,
    config: string,
    files: Record<string, string | Uint8Array> = {},
  ): Promise<string> => {
    const folder = project(name, config, files)
    const error: unknown = await buildAppliance(folder, { cache }).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ exitStatus: 2 })
    return (error as Error).message.replaceAll(`${folder}/`, '')
  }

  test('a service whose program is not in the image, or cannot be executed, is named with what to do', async () => {
    const config = `services: [
      { name: 'none', command: ['/usr/bin/node', 'x.js'] },
      { name: 'plain', command: ['/plain'] },
      { name: 'script', command: ['/script'] },
      { name: 'folder', command: ['/etc'] },
    ], files: [{ from: './plain', to: '/plain' }, { from: './plain', to: '/script', mode: 0o755 }]`
    expect(await refused('programs', config, { plain: '#!/bin/sh -e\n' })).toBe(
      [
        `solo.config.ts: services[0].command[0]: service none: /usr/bin/node is not in the image: add it with files: [{ from: '…', to: '/usr/bin/node' }]`,
        'solo.config.ts: services[1].command[0]: service plain: /plain cannot be executed: set mode: 0o755 in files',
        'solo.config.ts: services[2].command[0]: service script: /script is a script for /bin/sh, which is not in the image: add that with files',
        'solo.config.ts: services[3].command[0]: service folder: /etc is a directory in the image, expected a program',
      ].join('\n'),
    )
  })

  test('modules that the kernel does not have are all named, with what looks alike', async () => {
    expect(
      await refused('modules', `${web}, modules: ['od', 'virtio', 'nothing_like_it']`, { 'server.ts': '' }),
    ).toBe(
      [
        `solo.config.ts: modules[0]: expected a module of kernel ${release}, got "od"; did you mean odd?`,
        `solo.config.ts: modules[2]: expected a module of kernel ${release}, got "nothing_like_it"`,
      ].join('\n'),
    )
  })

  test('a service that cannot be bundled is named with file and line', async () => {
    expect(await refused('bundle', web, { 'server.ts': `import { x } from './none.ts'\nx()` })).toMatch(
      /^solo\.config\.ts: services\[0\]\.entry: server\.ts:1: .*\.\/none\.ts/,
    )
  })

  test('a program of another architecture is refused', async () => {
    const arm = tinyProgram()
    // e_machine, elf(5)
    new DataView(arm.buffer).setUint16(18, 183, true)
    const config = `services: [{ name: 'x', command: ['/x'] }], files: [{ from: './x', to: '/x', mode: 0o755 }]`
    expect(await refused('machine', config, { x: arm })).toMatch(
      /^solo\.config\.ts: files\[0\]\.from: expected a program for x86_64, got x, which is for aarch64$/,
    )
  })

  test('--out that is a file is refused', async () => {
    const folder = project('out', web, { 'server.ts': '', taken: '' })
    await expect(buildAppliance(folder, { cache, out: join(folder, 'taken') })).rejects.toThrow(
      `--out: expected a folder, got ${join(folder, 'taken')}, which is a file`,
    )
  })
})

test('bundle() takes our packages from beside us for a project that has not installed them', async () => {
  using folder = testFolder()
  write(folder.path, {
    'own.ts': "import { getpid } from '@pkg/sys/process'\nprocess.exitCode = getpid() > 0 ? 7 : 8\n",
  })
  const { files, packages } = await bundle(join(folder.path, 'own.ts'), 'entry')
  expect(packages.map(({ name }) => name)).toEqual(['@pkg/sys'])
  write(folder.path, Object.fromEntries(files))
  expect(spawnSync(process.execPath, [join(folder.path, 'index.js')]).status).toBe(7)
  write(folder.path, { 'none.ts': "import '@pkg/none'\n" })
  await expect(bundle(join(folder.path, 'none.ts'), 'entry')).rejects.toThrow(
    /Could not resolve: "@pkg\/none"/,
  )
})
