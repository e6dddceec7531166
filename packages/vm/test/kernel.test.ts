// The kernel through apt: the host's real apt against archives that the tests make.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { moduleClosure } from '@pkg/image/modules'
import { describe, expect, test, vi } from 'vitest'
import { Archive, type ArchiveOptions } from '../src/apt/archive.ts'
import { readLockFile } from '../src/apt/lock-file.ts'
import { type Kernel, provideKernel } from '../src/kernel.ts'
import { testFolder } from './support/folder.ts'
import { compressed, kernelModule, makeDeb, makeRepository, type Repository } from './support/repository.ts'

// apt, dpkg-deb and the bundler take their time on a busy machine.
vi.setConfig({ testTimeout: 60_000 })

interface Setup {
  readonly cache: string
  readonly lock: string
  readonly repository: Repository
  kernel(name: string, options?: Partial<ArchiveOptions>): Promise<Kernel>
}

function setup(folder: string): Setup {
  const cache = join(folder, 'cache')
  const lock = join(folder, 'solo.lock')
  const repository = makeRepository(join(folder, 'repository'))
  return {
    cache,
    lock,
    repository,
    async kernel(name, options = {}) {
      const archive = new Archive({
        cache,
        suite: 'test',
        architecture: 'amd64',
        sourcesFile: repository.sources,
        lock: await readLockFile(lock),
        updateLock: false,
        ...options,
      })
      return provideKernel({ package: name }, { cache: options.cache ?? cache, archive })
    },
  }
}

const virtio = kernelModule(['depends=', 'alias=virtio:d*', 'name=virtio'])
const network = kernelModule([
  'depends=virtio-core',
  'alias=virtio:d00000001v*',
  'softdep=pre: failover',
  'name=net',
])

function publishDebian(repository: Repository, release: string, version: string): void {
  const modules = `lib/modules/${release}`
  repository.publish(
    { name: 'linux-image-cloud-amd64', version, depends: `linux-image-${release} (= ${version})` },
    {
      name: `linux-image-${release}`,
      version,
      depends: 'kmod, linux-base (>= 4.3~), initramfs-tools | linux-initramfs-tool',
      files: {
        [`boot/vmlinuz-${release}`]: `kernel ${version}`,
        [`boot/config-${release}`]: 'CONFIG_X=y',
        [`${modules}/kernel/virtio-core.ko`]: virtio,
        [`${modules}/kernel/net.ko`]: network,
        [`${modules}/modules.order`]: 'kernel/net.ko\nkernel/virtio-core.ko\n',
        [`${modules}/modules.builtin`]: 'kernel/fs/ext4.ko\n',
      },
    },
  )
}

describe('provideKernel()', () => {
  test('provideKernel() follows the meta-package, and unpacks image and modules', async () => {
    using folder = testFolder()
    const { repository, kernel } = setup(folder.path)
    publishDebian(repository, '6.1.0-9-cloud-amd64', '6.1.9-1')
    const { image, release, modulesFolder, origin } = await kernel('linux-image-cloud-amd64')
    expect(origin).toBe('linux-image-6.1.0-9-cloud-amd64 6.1.9-1')
    expect(release).toBe('6.1.0-9-cloud-amd64')
    expect(readFileSync(image, 'utf8')).toBe('kernel 6.1.9-1')
    const closure = await moduleClosure({ modulesFolder: modulesFolder as string, wanted: ['net'] })
    expect(closure.modules.map(({ name }) => name)).toEqual(['virtio_core', 'net'])
    expect(closure.index.builtin).toEqual(['ext4'])
  })

  test('provideKernel() pins name, version, size and SHA-256 under the suite and keeps other suites', async () => {
    using folder = testFolder()
    const { repository, kernel, lock } = setup(folder.path)
    publishDebian(repository, '6.1.0-9-cloud-amd64', '6.1.9-1')
    await kernel('linux-image-cloud-amd64', { suite: 'other' })
    await kernel('linux-image-cloud-amd64')
    const deb = readFileSync(
      join(repository.folder, 'pool/linux-image-6.1.0-9-cloud-amd64_6.1.9-1_amd64.deb'),
    )
    const entry = {
      request: 'linux-image-cloud-amd64',
      packages: [
        {
          name: 'linux-image-6.1.0-9-cloud-amd64',
          version: '6.1.9-1',
          architecture: 'amd64',
          sizeBytes: deb.length,
          sha256: new Bun.CryptoHasher('sha256').update(deb).digest('hex'),
        },
      ],
    }
    expect(JSON.parse(readFileSync(lock, 'utf8'))).toEqual({
      version: 1,
      suites: { 'other/amd64': { kernel: entry }, 'test/amd64': { kernel: entry } },
    })
  })

  test('provideKernel() keeps to the pin when the archive has a newer kernel, until the lock is updated', async () => {
    using folder = testFolder()
    const { repository, kernel } = setup(folder.path)
    publishDebian(repository, '6.1.0-9-cloud-amd64', '6.1.9-1')
    await kernel('linux-image-cloud-amd64')
    publishDebian(repository, '6.1.0-10-cloud-amd64', '6.1.10-1')
    expect((await kernel('linux-image-cloud-amd64')).release).toBe('6.1.0-9-cloud-amd64')
    expect((await kernel('linux-image-cloud-amd64', { updateLock: true })).release).toBe(
      '6.1.0-10-cloud-amd64',
    )
    expect((await kernel('linux-image-cloud-amd64')).release).toBe('6.1.0-10-cloud-amd64')
  })

  test('provideKernel() needs no archive when the pinned package is in the cache', async () => {
    using folder = testFolder()
    const { repository, kernel, lock } = setup(folder.path)
    publishDebian(repository, '6.1.0-9-cloud-amd64', '6.1.9-1')
    await kernel('linux-image-cloud-amd64')
    const before = readFileSync(lock, 'utf8')
    const sourcesFile = join(folder.path, 'no-such.list')
    expect((await kernel('linux-image-cloud-amd64', { sourcesFile })).release).toBe('6.1.0-9-cloud-amd64')
    expect(readFileSync(lock, 'utf8')).toBe(before)
  })

  test('provideKernel() names the pin and the way out when neither archive nor cache has it', async () => {
    using folder = testFolder()
    const { repository, kernel } = setup(folder.path)
    publishDebian(repository, '6.1.0-9-cloud-amd64', '6.1.9-1')
    await kernel('linux-image-cloud-amd64')
    repository.remove('linux-image-6.1.0-9-cloud-amd64', '6.1.9-1')
    publishDebian(repository, '6.1.0-10-cloud-amd64', '6.1.10-1')
    await expect(kernel('linux-image-cloud-amd64', { cache: join(folder.path, 'empty') })).rejects.toThrow(
      /^solo\.lock: kernel of test\/amd64 is pinned to linux-image-6\.1\.0-9-cloud-amd64 6\.1\.9-1 \(sha256 [0-9a-f]{64}\), which the package sources no longer have, and the cache neither: take what is there now: remove \/.*\/solo\.lock$/,
    )
  })

  test('provideKernel() refuses a package of the pinned version with other bytes', async () => {
    using folder = testFolder()
    const { repository, kernel, lock } = setup(folder.path)
    publishDebian(repository, '6.1.0-9-cloud-amd64', '6.1.9-1')
    await kernel('linux-image-cloud-amd64')
    const text = readFileSync(lock, 'utf8').replace(/"sha256": "[0-9a-f]+"/, `"sha256": "${'0'.repeat(64)}"`)
    writeFileSync(lock, text)
    await expect(kernel('linux-image-cloud-amd64')).rejects.toThrow(/other bytes under that version/)
  })

  test('provideKernel() takes image, modules and extra modules of Ubuntu, from /usr/lib, compressed by zstd', async () => {
    using folder = testFolder()
    const { repository, kernel } = setup(folder.path)
    const release = '6.8.0-31-generic'
    const modules = `usr/lib/modules/${release}`
    repository.publish(
      {
        name: 'linux-image-generic',
        version: '6.8.0-31.31',
        depends: `linux-image-${release} | linux-image-unsigned-${release}, linux-modules-extra-${release}, linux-firmware`,
      },
      {
        name: `linux-image-${release}`,
        version: '6.8.0-31.31',
        depends: `kmod, linux-base (>= 4.5), linux-modules-${release}`,
        files: { [`boot/vmlinuz-${release}`]: 'ubuntu' },
      },
      {
        name: `linux-modules-${release}`,
        version: '6.8.0-31.31',
        files: {
          [`${modules}/kernel/virtio-core.ko.zst`]: compressed(virtio, 'zst'),
          [`${modules}/modules.order`]: 'kernel/virtio-core.ko\nkernel/net.ko\n',
        },
      },
      {
        name: `linux-modules-extra-${release}`,
        version: '6.8.0-31.31',
        files: { [`${modules}/kernel/net.ko.zst`]: compressed(network, 'zst') },
      },
      { name: 'linux-firmware', version: '1', files: { 'lib/firmware/x': 'x' } },
    )
    const { modulesFolder, image, origin } = await kernel('linux-image-generic')
    expect(origin.split(', ').toSorted()).toEqual([
      `linux-image-${release} 6.8.0-31.31`,
      `linux-modules-${release} 6.8.0-31.31`,
      `linux-modules-extra-${release} 6.8.0-31.31`,
    ])
    expect(readFileSync(image, 'utf8')).toBe('ubuntu')
    expect(readdirSync(join(modulesFolder as string, 'kernel')).toSorted()).toEqual([
      'net.ko',
      'virtio-core.ko',
    ])
    expect(new Uint8Array(readFileSync(join(modulesFolder as string, 'kernel/net.ko')))).toEqual(
      new Uint8Array(network),
    )
  })

  test.each(['xz', 'gz'] as const)(
    'provideKernel() decompresses modules that are stored as .ko.%s',
    async (format) => {
      using folder = testFolder()
      const { cache, repository } = setup(folder.path)
      const deb = makeDeb(
        {
          name: 'linux-image-6.12.1-amd64',
          version: '6.12.1-1',
          files: {
            'boot/vmlinuz-6.12.1-amd64': 'debian 13',
            [`usr/lib/modules/6.12.1-amd64/kernel/net.ko.${format}`]: compressed(network, format),
          },
        },
        folder.path,
      )
      const archive = new Archive({
        cache,
        suite: 'test',
        architecture: 'amd64',
        sourcesFile: repository.sources,
        lock: await readLockFile(join(folder.path, 'solo.lock')),
        updateLock: false,
      })
      const { modulesFolder, release } = await provideKernel({ deb }, { cache, archive })
      expect(release).toBe('6.12.1-amd64')
      expect(new Uint8Array(readFileSync(join(modulesFolder as string, 'kernel/net.ko')))).toEqual(
        new Uint8Array(network),
      )
      expect(existsSync(join(modulesFolder as string, `kernel/net.ko.${format}`))).toBe(false)
      expect(existsSync(join(folder.path, 'solo.lock'))).toBe(false)
    },
  )

  test('provideKernel() says which package the sources lack', async () => {
    using folder = testFolder()
    const { kernel } = setup(folder.path)
    await expect(kernel('linux-image-none')).rejects.toThrow(
      'kernel: the package sources of test/amd64 have no package linux-image-none: check the sources of apt',
    )
  })

  test('provideKernel() leaves no temporary file when a package is damaged', async () => {
    using folder = testFolder()
    const { cache, repository } = setup(folder.path)
    const deb = join(folder.path, 'broken.deb')
    writeFileSync(deb, 'not a package')
    const archive = new Archive({
      cache,
      suite: 'test',
      architecture: 'amd64',
      sourcesFile: repository.sources,
      lock: await readLockFile(join(folder.path, 'solo.lock')),
      updateLock: false,
    })
    await expect(provideKernel({ deb }, { cache, archive })).rejects.toThrow(/dpkg-deb/)
    expect(readdirSync(join(cache, 'kernels'))).toEqual([])
  })
})
