import { lstatSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { writeErofs } from '../src/erofs.ts'
import { FileTree } from '../src/tree.ts'
import type { NewNode } from '../src/tree.ts'
import { anyTree } from './any-tree.ts'
import { checkedImage, complaints, expectedListing, extracted, listing, noise } from './erofs-images.ts'
import { sample, sha256, text, treeOf } from './erofs-images.ts'
import { collect, runOk, temporaryFolder } from './run.ts'

// Some tests start many programs; other tests may have all processors.
const slow = { timeout: 240_000 }

/** What dump.erofs says of one path, `Key: value` by key. */
function dump(image: string, path: string): string {
  return runOk(['dump.erofs', `--path=${path}`, image]).replaceAll(/ +/g, ' ')
}

describe('writeErofs()', () => {
  test('is shown by dump.erofs with types, modes, owners, links, sizes and times', slow, async () => {
    const image = await checkedImage(treeOf(sample), { volumeName: 'solo-root' })
    const superblock = runOk(['dump.erofs', '-s', image]).replaceAll(/ +/g, ' ')
    expect(superblock).toContain('Filesystem inode count: 15\n')
    expect(superblock).toContain('Filesystem created: Thu Jan 1 00:00:00 1970\n')
    expect(superblock).toContain('Filesystem features: sb_csum mtime')
    expect(runOk(['blkid', '-p', image])).toMatch(/LABEL="solo-root" UUID=".*TYPE="erofs"/)
    expect(superblock).toContain(`Filesystem blocks: ${lstatSync(image).size / 4096}\n`)
    expect(dump(image, '/')).toMatch(/directory\nNID: 36 Links: 6 .*\nInode size: 32 .*\n.*Access: 0751/)
    expect(dump(image, '/etc')).toMatch(
      /Links: 3 .*\nInode size: 32 .*\nUid: 3 Gid: 4 Access: 0750\/rwxr-x---/,
    )
    expect(dump(image, '/etc/motd')).toMatch(
      /Size: 5 .*regular file\n.*Links: 1 Layout: 2 .*\nInode size: 64 .*\nUid: 1000 Gid: 100 Access: 0644.*\nTimestamp: 2020-09-13 12:26:40/,
    )
    expect(dump(image, '/etc/large-owner')).toMatch(/Inode size: 64 .*\nUid: 65536 Gid: 4294967294 /)
    expect(dump(image, '/etc/far')).toMatch(/Timestamp: 2242-03-16 12:56:32/)
    expect(dump(image, '/usr/bin/su')).toMatch(/Size: 10000 .*\n.*Links: 3 Layout: 0 .*\n.*\n.*Access: 0755/)
    expect(dump(image, '/usr/bin/empty')).toMatch(/Size: 0 .*regular file\n.*Links: 1 Layout: 0 /)
    const nids = ['/usr/bin/su', '/usr/bin/zz', '/a-link'].map(
      (path) => /NID: \d+/.exec(dump(image, path))?.[0],
    )
    expect(new Set(nids).size).toBe(1)
  })

  test('is extracted by fsck.erofs as it was', slow, async () => {
    // Only root can make devices, and only 64-bit times of the host's file system go beyond 2106.
    const nodes = sample.filter(({ path }) => !path.startsWith('/dev/') && path !== '/etc/far')
    const tree = treeOf(nodes)
    expect(listing(await extracted(tree))).toEqual(expectedListing(tree))
  })

  test(
    'keeps files and symlinks of all sizes around the bounds of inline data and blocks',
    slow,
    async () => {
      const tree = new FileTree()
      const sizes = [
        1, 31, 32, 33, 2047, 2048, 2049, 4031, 4032, 4033, 4064, 4095, 4096, 4097, 8191, 8192, 8193,
      ]
      for (const size of sizes) {
        tree.add({ path: `/plain/${size}`, type: 'file', content: noise(size) })
        tree.add({ path: `/dated/${size}`, type: 'file', mtimeSeconds: 1, content: noise(size) })
        if (size < 4096) tree.add({ path: `/links/${size}`, type: 'symlink', target: 't'.repeat(size) })
      }
      expect(listing(await extracted(tree))).toEqual(expectedListing(tree))
    },
  )

  test('keeps directories of many blocks, whose names are not in the order of UTF-16', slow, async () => {
    const tree = new FileTree()
    const names = ['!', '-', '...', '.a', '..a', '\u{ff5e}', '\u{1f600}', 'é', 'A', 'a', 'x'.repeat(255)]
    for (const name of names) tree.add({ path: `/odd/${name}`, type: 'file', content: text(name) })
    for (let index = 0; index < 3000; index++) {
      const name = `${'n'.repeat(index % 97)}${index}`
      tree.add({ path: `/many/${name}`, type: 'file', content: new Uint8Array() })
    }
    // Last blocks of all lengths: . and .. take 27 bytes, each of these names 15.
    for (let count = 0; count < 320; count += 3) {
      for (let index = 0; index < count; index++) {
        tree.add({ path: `/counts/${count}/${String.fromCodePoint(0x4e00 + index)}`, type: 'fifo' })
      }
    }
    expect(listing(await extracted(tree))).toEqual(expectedListing(tree))
  })

  test('gives the same bytes whatever the order of adding', async () => {
    // A link can only be added after its file.
    const shuffled = [...sample.slice(0, 11).toReversed(), ...sample.slice(11).toReversed()]
    const bytes = await collect(writeErofs(treeOf(sample)))
    expect(await collect(writeErofs(treeOf(shuffled)))).toEqual(bytes)
  })

  test('gives the bytes that it gave when fsck.erofs and Linux 6.1 judged them', async () => {
    const bytes = await collect(writeErofs(treeOf(sample), { volumeName: 'golden' }))
    // A change of these is a change of every image's id: it must be meant, and told in the changelog.
    expect(sha256(bytes)).toBe('262200a08a03d0390cb71f7882eacccf1062c773693b79f5a58d4f0f88739f74')
  })

  test('writes a tree of nothing', async () => {
    const tree = new FileTree()
    expect(listing(await extracted(tree))).toEqual(['/ 755 0 directory'])
    expect((await collect(writeErofs(tree))).byteLength).toBe(4096)
  })

  test('puts the files of lower rank first', async () => {
    const nodes: NewNode[] = ['a', 'b', 'c', 'd'].map((name) => ({
      path: `/${name}`,
      type: 'file',
      content: text(name.repeat(4096)),
    }))
    const ranks: Record<string, number> = { '/b': Infinity, '/c': -1, '/d': -Infinity }
    const bytes = await collect(writeErofs(treeOf(nodes), { rank: ({ path }) => ranks[path] ?? 0 }))
    const order = [1, 2, 3, 4].map((block) => String.fromCharCode(bytes[block * 4096] ?? 0))
    expect(order.join('')).toBe('dcab')
    expect(() => writeErofs(treeOf(nodes), { rank: () => Number.NaN })).toThrow('/a: its rank is NaN')
  })

  test('leaves the blocks of other files as they were when one changes', async () => {
    const image = async (bundle: Uint8Array): Promise<Set<string>> => {
      const nodes: NewNode[] = [
        { path: '/bin/bun', type: 'file', content: noise(1_000_000) },
        { path: '/app.js', type: 'file', content: bundle },
      ]
      const bytes = await collect(
        writeErofs(treeOf(nodes), { rank: ({ path }) => (path === '/app.js' ? 1 : 0) }),
      )
      const blocks = Array.from({ length: bytes.byteLength / 4096 }, (_, index) => index * 4096)
      return new Set(blocks.map((start) => sha256(bytes.subarray(start, start + 4096))))
    }
    const before = await image(text('console.log(1)\n'.repeat(1000)))
    const after = await image(text('console.log(12)\n'.repeat(1000)))
    // The superblock with its inodes, and the four blocks of the bundle.
    expect(after.difference(before).size).toBeLessThanOrEqual(5)
  })

  test('has a checksum by which fsck.erofs sees damage of the first block', slow, async () => {
    const image = await checkedImage(treeOf(sample))
    const bytes = readFileSync(image)
    const damaged = join(temporaryFolder(), 'damaged.erofs')
    for (const offset of [1024 + 64, 1152 + 4, 3000]) {
      const copy = Buffer.from(bytes)
      copy[offset] = (copy[offset] ?? 0) ^ 1
      writeFileSync(damaged, copy)
      expect(complaints(damaged), `byte ${offset}`).toContain('superblock chksum')
    }
  })

  test('keeps any tree', { timeout: 240_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(anyTree, async (tree) => {
        expect(listing(await extracted(tree))).toEqual(expectedListing(tree))
      }),
      { numRuns: 60 },
    )
  })
})
