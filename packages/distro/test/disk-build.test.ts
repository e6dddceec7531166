// Disk images that are built, not booted: the same to the bit wherever they are built, and with a true bill of
// materials. The packages come from this machine's archive, once; then from the cache.
import { execFile, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { cacheFolder } from '@pkg/vm/host'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildAppliance, type BuildResult } from '../src/build.ts'
import { stableUid } from '../src/config/users.ts'
import { testFolder } from './support/folder.ts'
import { spdxProblems } from './support/spdx-tools.ts'

const BUILD_MS = 240_000
const root = testFolder()
/** Another file system, whose folders list their files in another order. */
const elsewhere = mkdtempSync('/dev/shm/solo-test-')
let built: BuildResult

/** An authority of our own: a key, and a certificate that is good for localhost. */
const authority = makeAuthority()

const sources: Readonly<Record<string, string>> = {
  'solo.config.ts': `export default {
    name: 'same', version: '1.2', packages: ['media-types'], profile: 'virtio',
    services: [{ name: 'web', entry: './server.ts', ports: [8080], groups: ['readers', 5] }],
    files: [{ from: './data', to: '/usr/share/data' }],
    users: [{ name: 'keeper', uid: 1000, groups: ['readers'], home: '/var/lib/keeper' }],
    groups: [{ name: 'readers', gid: 2000 }],
    certificates: { files: ['./ca.pem'] }, timeZone: 'Europe/Berlin',
  }`,
  'ca.pem': `An authority of our own:\n${authority.certificate}`,
  'server.ts': `import { getpid } from '@pkg/sys/process'\nconsole.log(getpid(), import.meta.url)`,
  'data/a': 'a',
  'data/b': 'b',
  'data/deep/c': 'c',
}

function makeAuthority(): { key: string; certificate: string } {
  const [key, certificate] = ['key.pem', 'certificate.pem'].map((name) => join(root.path, name)) as [
    string,
    string,
  ]
  const request = ['req', '-x509', '-newkey', 'ed25519', '-nodes', '-keyout', key, '-out', certificate]
  execFileSync('openssl', [...request, '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'], {
    stdio: 'ignore',
  })
  return { key: readFileSync(key, 'utf8'), certificate: readFileSync(certificate, 'utf8') }
}

function project(folder: string, names: readonly string[]): string {
  for (const name of names) {
    execFileSync('mkdir', ['-p', dirname(join(folder, name))])
    writeFileSync(join(folder, name), sources[name] ?? '')
  }
  return folder
}

beforeAll(async () => {
  built = await buildAppliance(project(join(root.path, 'here'), Object.keys(sources)), { format: 'disk' })
}, BUILD_MS)

afterAll(() => {
  root[Symbol.dispose]()
  rmSync(elsewhere, { recursive: true })
})

/** Builds with the command, under everything that must not matter; the packages of the cache are all that is shared. */
function buildElsewhere(): string {
  const folder = project(join(elsewhere, 'deep/er'), Object.keys(sources).toReversed())
  copyFileSync(join(root.path, 'here/solo.lock'), join(folder, 'solo.lock'))
  const cache = join(elsewhere, 'cache')
  execFileSync('mkdir', ['-p', join(cache, 'packages')])
  // Not what a test beside this one is downloading.
  execFileSync('sh', ['-c', 'cp "$0"/*.deb "$1"', join(cacheFolder(), 'packages'), join(cache, 'packages')])
  const main = fileURLToPath(new URL('../src/solo.ts', import.meta.url))
  const out = join(elsewhere, 'out')
  const solo = [process.execPath, main, 'build', folder, '--out', out].map((word) => `'${word}'`).join(' ')
  const user = ['--user', '--map-user=1234', '--map-group=1234']
  execFileSync(
    'unshare',
    [...user, 'faketime', '2031-02-03 04:05:06', 'sh', '-c', `umask 077; exec ${solo}`],
    {
      cwd: '/',
      stdio: 'ignore',
      env: {
        ...process.env,
        TZ: 'Pacific/Apia',
        LC_ALL: 'tr_TR.UTF-8',
        HOME: '/nowhere',
        SOLO_CACHE_DIR: cache,
      },
    },
  )
  return out
}

test(
  'buildAppliance() gives the same disk in another folder, order of files, user, umask, zone, locale and year',
  () => {
    const out = buildElsewhere()
    for (const name of ['disk.img', 'initramfs.img', 'sbom.spdx.json', 'appliance.json']) {
      // As a program of its own: a disk is too large to be held twice.
      execFileSync('cmp', [join(built.folder, name), join(out, name)])
    }
  },
  BUILD_MS,
)

interface Spdx {
  packages: {
    SPDXID: string
    name: string
    versionInfo?: string
    externalRefs?: { referenceLocator: string }[]
  }[]
  files: { SPDXID: string; fileName: string; checksums: { algorithm: string; checksumValue: string }[] }[]
  relationships: { spdxElementId: string; relationshipType: string; relatedSpdxElement: string }[]
}

/** What each file comes from, in words. */
function origins({ packages, files, relationships }: Spdx): Map<string, string[]> {
  const names = new Map(packages.map(({ SPDXID, name }) => [SPDXID, name]))
  return new Map(
    files.map(({ SPDXID, fileName }) => {
      const from = relationships.filter(({ spdxElementId }) => spdxElementId === SPDXID)
      return [fileName, from.map(({ relatedSpdxElement }) => names.get(relatedSpdxElement) ?? '?')]
    }),
  )
}

test('the bill of materials is valid, and names every file of the root with its digest and its origin', () => {
  expect(spdxProblems(built.sbom)).toBe('')
  const bill = JSON.parse(readFileSync(built.sbom, 'utf8')) as Spdx
  const from = origins(bill)
  const modules = [...from.keys()].filter((name) => name.startsWith('./lib/modules/') && name.endsWith('.ko'))
  expect(modules.length).toBeGreaterThan(30)
  expect(modules.filter((name) => !from.get(name)?.every((each) => each.startsWith('linux-image-')))).toEqual(
    [],
  )
  expect(from.get('./bin/bun')).toEqual(['@oven/bun-linux-x64'])
  expect(from.get('./lib/x86_64-linux-gnu/libc.so.6')).toEqual(['libc6'])
  expect(from.get('./sbin/e2fsck')).toEqual(['e2fsck-static'])
  expect(from.get('./etc/mime.types')).toEqual(['media-types'])
  expect(from.get('./usr/share/zoneinfo/Europe/Berlin')).toEqual(['tzdata'])
  expect(from.get('./etc/ssl/certs/ca-certificates.crt')).toEqual(['ca-certificates', 'same sources'])
  expect(from.get('./sbin/init.js')).toEqual(expect.arrayContaining(['@pkg/init', '@pkg/sys']))
  expect(from.get('./usr/lib/solo/web/index.js')).toEqual(['same sources', '@pkg/sys'])
  expect(from.get('./usr/share/data/deep/c')).toEqual(['same sources'])
  expect(from.get('./EFI/BOOT/BOOTX64.EFI')).toEqual(['systemd-boot-efi'])
  expect([...from].filter(([, origin]) => origin.length === 0)).toEqual([])

  const digest = bill.files.find(({ fileName }) => fileName === './usr/share/data/deep/c')?.checksums
  expect(digest?.find(({ algorithm }) => algorithm === 'SHA256')?.checksumValue).toBe(
    createHash('sha256').update('c').digest('hex'),
  )
  const libc = bill.packages.find(({ name }) => name === 'libc6')
  expect(libc?.externalRefs?.[0]?.referenceLocator).toMatch(
    /^pkg:deb\/debian\/libc6@[\d.]+.*\?arch=amd64&distro=/,
  )
  expect(built.manifest.sbom.sha256).toBe(createHash('sha256').update(readFileSync(built.sbom)).digest('hex'))
})

/** The root of slot a with its hash tree, as a file of its own. */
function rootImage(): string {
  const { partitions, root: sealed } = built.manifest.disk ?? { partitions: [], root: { sizeBytes: 0 } }
  const image = join(root.path, 'root-a')
  const skip = `skip=${partitions.find(({ name }) => name === 'root-a')?.startBytes ?? 0}`
  const flags = ['iflag=skip_bytes,count_bytes', 'bs=1M', 'status=none']
  execFileSync('dd', [`if=${built.disk}`, `of=${image}`, skip, `count=${sealed.sizeBytes}`, ...flags])
  return image
}

test('appliance.json tells how large everything is', () => {
  const { sizes, disk } = built.manifest
  const { rootBytes = 0, ukiBytes = 0, diskUsedBytes = 0, payloadBytes = 0, services } = sizes
  expect(services).toEqual([{ name: 'web', sizeBytes: expect.any(Number) }])
  expect(Math.min(...services.map(({ sizeBytes }) => sizeBytes), sizes.packagesBytes)).toBeGreaterThan(100)
  expect(rootBytes).toBe(disk?.root.sizeBytes)
  const contents =
    sizes.runtimeBytes + sizes.modulesBytes + sizes.packagesBytes + sizes.initBytes + sizes.otherBytes
  expect(rootBytes).toBeGreaterThan(contents)
  expect(rootBytes).toBeLessThan(contents * 1.05)
  expect(diskUsedBytes).toBeGreaterThan((rootBytes + ukiBytes) * 0.95)
  expect(diskUsedBytes).toBeLessThanOrEqual(statSync(built.disk ?? '').blocks * 512)
  const compress = `zstd -7 -c < "$0" | wc -c`
  const compressed = Number(execFileSync('sh', ['-c', compress, rootImage()]))
  // Most of the kernel image is compressed already: the kernel itself.
  expect(payloadBytes).toBeGreaterThan(compressed + ukiBytes * 0.6)
  expect(payloadBytes).toBeLessThan(compressed * 1.03 + ukiBytes)
})

/** The root of slot a as a folder. */
function rootFolder(): string {
  const folder = join(root.path, 'extracted')
  if (!existsSync(folder)) execFileSync('fsck.erofs', [`--extract=${folder}`, rootImage()])
  return folder
}

test('users, groups and the modules of the profile are in the root', () => {
  const folder = rootFolder()
  const uid = stableUid('web')
  expect(readFileSync(join(folder, 'etc/passwd'), 'utf8')).toBe(
    [
      'root:x:0:0:root:/root:/sbin/nologin',
      'keeper:x:1000:1000::/var/lib/keeper:/sbin/nologin',
      `web:x:${uid}:${uid}::/:/sbin/nologin`,
      '',
    ].join('\n'),
  )
  expect(readFileSync(join(folder, 'etc/group'), 'utf8')).toBe(
    ['root:x:0:', 'keeper:x:1000:', 'readers:x:2000:keeper,web', `web:x:${uid}:`, ''].join('\n'),
  )
  const plan = JSON.parse(readFileSync(join(folder, 'etc/solo/plan.json'), 'utf8')) as {
    services: { groups: number[]; environment: Record<string, string> }[]
  }
  expect(plan.services[0]).toMatchObject({
    groups: [2000, 5],
    environment: { PORT: '8080', NODE_EXTRA_CA_CERTS: '/etc/ssl/certs/ca-certificates.crt' },
  })
  expect(built.manifest.modules).toContain('virtio_net')
  expect(built.manifest.modules).not.toContain('hv_netvsc')
})

/** Runs a program of the root in it, with /proc mounted for its time. */
function inRoot(env: Record<string, string>, ...words: string[]): Promise<string> {
  const folder = rootFolder()
  const script = `mount -t proc proc "$0/proc" && exec chroot "$0" "$@"`
  return promisify(execFile)('unshare', ['--mount', 'sh', '-c', script, folder, ...words], { env }).then(
    ({ stdout }) => stdout.trim(),
  )
}

test('Bun of the root has the local time, and trusts the authorities of the configuration', async () => {
  const berlin = 'console.log(new Date(0).getHours(), new Intl.DateTimeFormat().resolvedOptions().timeZone)'
  expect(await inRoot({}, '/bin/bun', '-e', berlin)).toBe('1 Europe/Berlin')

  const folder = join(rootFolder(), 'etc/ssl/certs')
  const all = execFileSync('openssl', ['storeutl', '-noout', '-certs', join(folder, 'ca-certificates.crt')], {
    encoding: 'utf8',
  })
  expect(Number(/^Total found: (\d+)$/m.exec(all)?.[1])).toBeGreaterThan(100)
  const server = createServer({ key: authority.key, cert: authority.certificate }, (_, response) => {
    response.end('trusted')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const url = `https://localhost:${(server.address() as AddressInfo).port}/`
    const ask = `console.log(await fetch('${url}').then((r) => r.text(), (e) => e.code))`
    const environment = { NODE_EXTRA_CA_CERTS: '/etc/ssl/certs/ca-certificates.crt' }
    expect(await inRoot(environment, '/bin/bun', '-e', ask)).toBe('trusted')
    expect(await inRoot({}, '/bin/bun', '-e', ask)).toBe('DEPTH_ZERO_SELF_SIGNED_CERT')
  } finally {
    server.close()
  }
})

test('the bill of materials has all files of the root, and no others', () => {
  const extracted = rootFolder()
  const found = execFileSync('find', ['.', '-type', 'f'], { cwd: extracted, encoding: 'utf8' })
  const bill = JSON.parse(readFileSync(built.sbom, 'utf8')) as Spdx & {
    packages: { name: string; SPDXID: string }[]
  }
  const part = bill.packages.find(({ name }) => name === 'same root')?.SPDXID
  const members = new Set(
    bill.relationships
      .filter(
        ({ spdxElementId, relationshipType }) => spdxElementId === part && relationshipType === 'CONTAINS',
      )
      .map(({ relatedSpdxElement }) => relatedSpdxElement),
  )
  const named = bill.files.filter(({ SPDXID }) => members.has(SPDXID)).map(({ fileName }) => fileName)
  expect(named.toSorted()).toEqual(found.trim().split('\n').toSorted())
})
