/** The kernel's judgement of `@pkg/image/erofs`: a real one mounts what was written, and reads back every node. */
import { createHash } from 'node:crypto'
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeErofs } from '@pkg/image/erofs'
import { FileTree, type NewNode } from '@pkg/image/tree'
import { startQemu } from '../src/qemu.ts'
import { linuxGuest } from './linux-guest.ts'

const text = (content: string): Uint8Array => new TextEncoder().encode(content)

/** Every type, and what needs the long form of an inode. */
const kinds: NewNode[] = [
  { path: '/', type: 'directory', mode: 0o751 },
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

/** Around the bounds of inline data and of blocks. */
const sizes = [1, 31, 2047, 2048, 2049, 4032, 4033, 4064, 4065, 4095, 4096, 4097, 8192, 8193, 1_000_000]

/** Names in the order of their bytes, which is not that of UTF-16, some of them before `.` and between `.` and `..`. */
const oddNames = ['!', '-', '.!', '..a', '.a', 'A', 'a', 'x'.repeat(255), 'é', '\u{ff5e}', '\u{1f600}']

const manyNames = Array.from({ length: 2000 }, (_, index) => `${'n'.repeat(index % 97)}${index}`)

function image(): FileTree {
  const tree = new FileTree()
  for (const node of kinds) tree.add(node)
  for (const size of sizes) {
    const content = Uint8Array.from({ length: size }, (_, index) => (index * 31 + (index >> 8) + size) & 0xff)
    tree.add({ path: `/sizes/${size}`, type: 'file', content })
    tree.add({ path: `/dated/${size}`, type: 'file', mtimeSeconds: 1, content })
    if (size < 4096) tree.add({ path: `/links/${size}`, type: 'symlink', target: 't'.repeat(size) })
  }
  for (const name of oddNames) tree.add({ path: `/odd/${name}`, type: 'file', content: text(name) })
  for (const name of manyNames) tree.add({ path: `/many/${name}`, type: 'file', content: text(name) })
  return tree
}

const folders = ['sizes', 'dated', 'odd', 'many']

/** Reads everything by its name: what a directory lists and what a lookup finds in it are two paths in the kernel. */
const SCRIPT = `
mount -t erofs -o ro /dev/vda /mnt || poweroff -f
cd /mnt
for path in . etc etc/motd etc/owner etc/late dev/console dev/vda run/pipe su a-link bin; do
  stat -c 'stat %n %f %u %g %h %Y %t:%T' $path
done
for folder in ${folders.join(' ')}; do
  echo "sums $folder $(find $folder -type f | sort | xargs sha256sum | sha256sum)"
done
echo "links $(for size in ${sizes.filter((size) => size < 4096).join(' ')}; do readlink links/$size; done | sha256sum)"
[ etc/nothing -ef etc/motd ] || echo "absent is absent"
echo "guest: done"
poweroff -f
`

/** `find | sort | xargs sha256sum | sha256sum`, as the guest does it. */
function sumOf(tree: FileTree, folder: string): string {
  const lines = [...tree].flatMap((node) =>
    node.type === 'file' && node.path.startsWith(`/${folder}/`) && node.content instanceof Uint8Array
      ? [`${sha256(node.content)}  ${node.path.slice(1)}\n`]
      : [],
  )
  return sha256(text(lines.join('')))
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

describe('an EROFS image of @pkg/image', () => {
  const tree = image()
  let folder = ''
  let said = ''

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'solo-erofs-'))
    const rootImage = join(folder, 'root.erofs')
    await pipeline(writeErofs(tree), createWriteStream(rootImage))
    using guest = await linuxGuest(`mkdir /mnt\n${SCRIPT}`, ['virtio_pci', 'virtio_blk', 'erofs'])
    const { kernel, initrd } = guest
    await using vm = await startQemu({
      kernel,
      initrd,
      // Not quiet: what the kernel says of the image is looked at.
      append: 'mitigations=off',
      rootImage,
      memoryMiB: 128,
      networks: [],
      timeoutMs: 240_000,
    })
    await vm.waitForPoweroff()
    said = vm.console.text
  })

  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test('is mounted, with its checksum right, and read to its end', () => {
    expect(said).toMatch(/erofs: \(device vda\): mounted with root inode @ nid 36/)
    expect(said).toContain('guest: done')
    expect(said).toContain('absent is absent')
  })

  test('has all types of nodes with their modes, owners, links, times and device numbers', () => {
    const lines = said.split(/\r?\n/).filter((line) => line.startsWith('stat '))
    expect(lines.map((line) => line.slice('stat '.length))).toEqual([
      '. 41e9 0 0 10 0 0:0',
      'etc 43e8 3 4 2 1600000000 0:0',
      'etc/motd 81a4 1000 100 1 0 0:0',
      'etc/owner 81a4 65536 4294967294 1 0 0:0',
      'etc/late 81a4 0 0 1 8589934592 0:0',
      'dev/console 2180 0 0 1 0 5:1',
      'dev/vda 61b0 0 0 1 0 fff:abcde',
      'run/pipe 11a4 0 0 1 0 0:0',
      'su 89ed 0 0 2 0 0:0',
      'a-link 89ed 0 0 2 0 0:0',
      'bin a1ff 0 0 1 0 0:0',
    ])
  })

  test.each(folders)('has the content of every file below /%s', (name) => {
    expect(said).toContain(`sums ${name} ${sumOf(tree, name)}`)
  })

  test('has symlinks of all lengths', () => {
    const targets = sizes.filter((size) => size < 4096).map((size) => `${'t'.repeat(size)}\n`)
    expect(said).toContain(`links ${sha256(text(targets.join('')))}`)
  })
})
