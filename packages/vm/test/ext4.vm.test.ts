/** The kernel's judgement of `@pkg/image/ext4`: a real one mounts what was written, reads back every node, grows it. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { installExt4, prepareExt4, type PrepareExt4Options } from '@pkg/image/ext4'
import { FileTree, type NewNode } from '@pkg/image/tree'
import { fileCapabilities } from '@pkg/image/xattr'
import { boot, type Vm } from '../src/boot.ts'

const MiB = 1024 ** 2
const GiB = 1024 ** 3
const uuid = '5f6ad4a0-2c5d-4b8e-9f3a-3f0a3c0b6e11'

const text = (content: string): Uint8Array => new TextEncoder().encode(content)

/** Every type, and what needs more than the 16 or 32 bits that ext2 had for it. */
const kinds: NewNode[] = [
  { path: '/', type: 'directory', mode: 0o751, mtimeSeconds: 1 },
  { path: '/etc', type: 'directory', mode: 0o1750, uid: 3, gid: 4, mtimeSeconds: 1_600_000_000 },
  { path: '/etc/motd', type: 'file', uid: 1000, gid: 100, content: text('hello') },
  { path: '/etc/owner', type: 'file', uid: 65_536, gid: 0xffff_fffe, content: text('x') },
  { path: '/etc/late', type: 'file', mtimeSeconds: 2 ** 33, content: new Uint8Array() },
  { path: '/dev/console', type: 'char', major: 5, minor: 1 },
  { path: '/dev/vda', type: 'block', mode: 0o660, major: 4095, minor: 0xa_bcde },
  { path: '/run/pipe', type: 'fifo' },
  { path: '/su', type: 'file', mode: 0o4755, content: text('su'.repeat(9000)) },
  { path: '/a-link', type: 'hardlink', linkTo: '/su' },
  { path: '/bin', type: 'symlink', target: 'usr/bin' },
]

const attributes: NewNode = {
  path: '/attributes',
  type: 'file',
  content: text('content'),
  xattrs: {
    'user.a': text('in the inode'),
    'user.long': text('l'.repeat(500)),
    'security.capability': fileCapabilities({ permitted: ['cap_net_raw'] }),
  },
}

/** Around the bounds of blocks, and of symlinks that lie in their inodes. */
const sizes = [1, 59, 60, 61, 4095, 4096, 4097, 8192, 8193, 1_000_000]

const oddNames = ['!', '-', '.a', '..a', 'A', 'a', 'x'.repeat(255), 'é', '\u{ff5e}', '\u{1f600}']

const manyNames = Array.from({ length: 3000 }, (_, index) => `${'n'.repeat(index % 97)}${index}`)

function filledTree(): FileTree {
  const tree = new FileTree()
  for (const node of [...kinds, attributes]) tree.add(node)
  for (const size of sizes) {
    const content = Uint8Array.from({ length: size }, (_, index) => (index * 31 + (index >> 8) + size) & 0xff)
    tree.add({ path: `/sizes/${size}`, type: 'file', content })
    if (size < 4096) tree.add({ path: `/links/${size}`, type: 'symlink', target: 't'.repeat(size) })
  }
  for (const name of oddNames) tree.add({ path: `/odd/${name}`, type: 'file', content: text(name) })
  for (const name of manyNames) tree.add({ path: `/many/${name}`, type: 'file', content: text(name) })
  return tree
}

/** Makes a disk of `diskBytes` with the file system at its beginning; `dirt` is what all of it had before. */
async function makeDisk(
  path: string,
  tree: FileTree,
  { diskBytes, dirt, ...options }: PrepareExt4Options & { diskBytes: number; dirt?: number },
): Promise<void> {
  await using file = await open(path, 'w+')
  if (dirt !== undefined) {
    const block = new Uint8Array(MiB).fill(dirt)
    for (let at = 0; at < options.sizeBytes; at += MiB) await file.write(block, 0, MiB, at)
  }
  await file.truncate(diskBytes)
  await installExt4(prepareExt4(tree, options), {
    write: async (bytes, offsetBytes) => void (await file.write(bytes, 0, bytes.byteLength, offsetBytes)),
    flush: () => file.sync(),
  })
}

/** What e2fsck has against a file system: nothing when it ends with 0. */
function complaints(path: string): string {
  const { status, stdout, stderr } = spawnSync('e2fsck', ['-fn', path], { encoding: 'utf8' })
  return status === 0 ? '' : `exit status ${status}: ${stdout}${stderr}`
}

function featuresOf(path: string): string {
  const { stdout } = spawnSync('dumpe2fs', ['-h', path], { encoding: 'utf8' })
  return /^Filesystem features:.*/m.exec(stdout)?.[0] ?? ''
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** `find | sort | xargs sha256sum | sha256sum`, as the guest does it. */
function sumOf(tree: FileTree, folder: string): string {
  const lines = [...tree].flatMap((node) =>
    node.type === 'file' && node.path.startsWith(`/${folder}/`) && node.content instanceof Uint8Array
      ? [`${sha256(node.content)}  ${node.path.slice(1)}\n`]
      : [],
  )
  return sha256(text(lines.join('')))
}

async function shell(vm: Vm, script: string): Promise<string> {
  const { stdout } = await vm.exec('sh', ['-ec', `export LC_ALL=C; ${script}`])
  return stdout.trimEnd()
}

const folder = mkdtempSync(join(tmpdir(), 'solo-ext4-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const filled = join(folder, 'filled')
const dirty = join(folder, 'dirty')
const far = join(folder, 'far')
const cut = join(folder, 'cut')

describe('an ext4 file system of @pkg/image', () => {
  const tree = filledTree()
  let vm: Vm

  beforeAll(async () => {
    await makeDisk(filled, tree, { uuid, sizeBytes: 64 * MiB, diskBytes: 400 * MiB, zeroed: true })
    await makeDisk(dirty, new FileTree(), { uuid, sizeBytes: 40 * MiB, diskBytes: 10 * GiB, dirt: 0xff })
    const small = { growableBytes: 0, bytesPerInode: 65_536 }
    await makeDisk(far, new FileTree(), { uuid, sizeBytes: 40 * MiB, diskBytes: 18 * GiB, ...small })
    await makeDisk(cut, new FileTree(), { uuid, sizeBytes: 40 * MiB, diskBytes: 40 * MiB, dirt: 0x5a })
    const disks = [filled, dirty, far, cut].map((file) => ({ file, writable: true }))
    vm = await boot({ backend: 'uml', root: 'host', modules: ['ext4'], disks })
    return () => vm.kill()
  })

  test('is mounted', async () => {
    for (const name of ['disk0', 'disk1', 'disk2', 'disk3'])
      await shell(vm, `mkdir -p /mnt/${name}; mount -t ext4 ${await vm.device(name)} /mnt/${name}`)
    expect(await shell(vm, 'dmesg')).toMatch(/EXT4-fs \(\w+\): mounted filesystem/)
  })

  test('has all types of nodes with their modes, owners, links, times and device numbers', async () => {
    const paths = kinds.map(({ path }) => `.${path}`).join(' ')
    const stat = await shell(vm, `cd /mnt/disk0; stat -c '%n %f %u %g %h %Y %t:%T' ${paths}`)
    expect(stat.split('\n')).toEqual([
      './ 41e9 0 0 10 1 0:0',
      './etc 43e8 3 4 2 1600000000 0:0',
      './etc/motd 81a4 1000 100 1 0 0:0',
      './etc/owner 81a4 65536 4294967294 1 0 0:0',
      './etc/late 81a4 0 0 1 8589934592 0:0',
      './dev/console 2180 0 0 1 0 5:1',
      './dev/vda 61b0 0 0 1 0 fff:abcde',
      './run/pipe 11a4 0 0 1 0 0:0',
      './su 89ed 0 0 2 0 0:0',
      './a-link 89ed 0 0 2 0 0:0',
      './bin a1ff 0 0 1 0 0:0',
    ])
  })

  test.each(['sizes', 'odd', 'many'])('has the content of every file below /%s', async (name) => {
    const sum = await shell(vm, `cd /mnt/disk0; find ${name} -type f | sort | xargs sha256sum | sha256sum`)
    expect(sum).toBe(`${sumOf(tree, name)}  -`)
  })

  test('has symlinks of all lengths', async () => {
    const short = sizes.filter((size) => size < 4096)
    const links = await shell(vm, `cd /mnt/disk0/links; readlink ${short.join(' ')}`)
    expect(links.split('\n')).toEqual(short.map((size) => 't'.repeat(size)))
  })

  test('has extended attributes from inodes and from blocks', async () => {
    const get = (name: string): Promise<string> =>
      shell(vm, `getfattr --only-values -n ${name} /mnt/disk0/attributes 2>/dev/null`)
    expect(await get('user.a')).toBe('in the inode')
    expect(await get('user.long')).toBe('l'.repeat(500))
    expect(await shell(vm, 'getcap /mnt/disk0/attributes')).toBe('/mnt/disk0/attributes cap_net_raw=ep')
    await shell(vm, 'setfattr -n user.new -v "$(seq 500)" /mnt/disk0/attributes')
    expect(await get('user.long')).toBe('l'.repeat(500))
  })

  test('grows while it is mounted, within the room for descriptors and beyond it', async () => {
    for (const name of ['disk0', 'disk1', 'disk2']) await shell(vm, `resize2fs ${await vm.device(name)} 2>&1`)
    const sizesMiB = await shell(vm, 'df --output=size -BM /mnt/disk0 /mnt/disk1 /mnt/disk2 | tail -n +2')
    const [first = 0, second = 0, third = 0] = sizesMiB.split('\n').map((line) => Number.parseInt(line, 10))
    expect(first).toBeGreaterThan(350)
    expect(second).toBeGreaterThan(9 * 1024)
    expect(third).toBeGreaterThan(17 * 1024)
  })

  test('takes new files in old and new groups, in directories with an index too', async () => {
    await shell(
      vm,
      `cd /mnt/disk0; head -c 200M /dev/zero | tr '\\0' x >large
       for index in $(seq 2000); do echo $index >many/new$index; done; rm many/n*[05]
       cd /mnt/disk1; head -c 60M /dev/urandom >random; mkdir -p a/b/c; cp random a/b/c/copy; cmp random a/b/c/copy`,
    )
    expect(await shell(vm, 'dmesg | grep -i "ext4-fs.*error" || true')).toBe('')
  })

  test('is found without fault by e2fsck when it was unmounted', async () => {
    await shell(vm, 'umount /mnt/disk0 /mnt/disk1 /mnt/disk2')
    for (const path of [filled, dirty, far]) expect(complaints(path)).toBe('')
    expect(featuresOf(dirty)).toContain('resize_inode')
    expect(featuresOf(far)).toContain('meta_bg')
  })

  test('is recovered from its journal when the machine was stopped, over blocks that were not zeros', async () => {
    await shell(
      vm,
      'cd /mnt/disk3; for index in $(seq 200); do echo $index >$index; done; sync; echo lost >last',
    )
    await vm.kill()
    const { status, stdout } = spawnSync('e2fsck', ['-p', cut], { encoding: 'utf8' })
    expect(status).toBeLessThanOrEqual(1)
    expect(stdout).toContain('recovering journal')
    expect(complaints(cut)).toBe('')
    const kept = spawnSync('debugfs', ['-R', 'cat /200', cut], { encoding: 'utf8' })
    expect(kept.stdout).toBe('200\n')
  })
})
