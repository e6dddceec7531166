import { lstatSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { hashName } from '../src/ext4/name-hash.ts'
import { writeExt4 } from '../src/ext4.ts'
import { FileTree } from '../src/tree.ts'
import type { NewNode } from '../src/tree.ts'
import { anyName, anyTree } from './any-tree.ts'
import { expectedListing, listing, noise, sample, sha256, text, treeOf } from './erofs-images.ts'
import { checkedImage, debugfs, extracted, GiB, MiB, uuid } from './ext4-images.ts'
import type { TestOptions } from './ext4-images.ts'
import { collect, runOk, temporaryFolder } from './run.ts'

// Some tests start many programs; other tests may have all processors.
const slow = { timeout: 240_000 }

/** Expects debugfs to extract the tree as it is: all but fifos and devices, which it leaves out. */
async function expectKept(tree: FileTree, options: TestOptions): Promise<void> {
  const isOurs = (line: string): boolean => !tree.has('/lost+found') && line.startsWith('/lost+found ')
  const found = listing(await extracted(tree, options)).filter((line) => !isOurs(line))
  const expected = expectedListing(tree).filter((line) => !/ (fifo|char|block)$/.test(line))
  // Of thousands of lines only those that differ are worth showing.
  const [missing, added] = [
    new Set(expected).difference(new Set(found)),
    new Set(found).difference(new Set(expected)),
  ]
  expect({ missing: [...missing], added: [...added] }).toEqual({ missing: [], added: [] })
  expect(found).toHaveLength(expected.length)
}

/** The lines that dumpe2fs prints of the superblock, by their names. */
function superblockOf(path: string): Record<string, string> {
  const lines = runOk(['dumpe2fs', '-h', path]).split('\n')
  return Object.fromEntries(lines.map((line) => line.split(/:\s+/, 2)))
}

describe('writeExt4()', () => {
  test('gives a stream of all bytes, which e2fsck finds clean and blkid knows', slow, async () => {
    const path = join(temporaryFolder(), 'image.ext4')
    const options = { sizeBytes: 24 * MiB + 5000, uuid, volumeName: 'a volume of data' }
    const bytes = await collect(writeExt4(treeOf(sample), options))
    expect(bytes.byteLength).toBe(24 * MiB + 4096)
    writeFileSync(path, bytes)
    const { sizeBytes: _, uuid: __, ...same } = options
    const installed = await checkedImage(treeOf(sample), { ...same, sizeBytes: options.sizeBytes })
    expect(Buffer.compare(readFileSync(installed), bytes)).toBe(0)
    const tags = runOk(['blkid', '-p', path])
    expect(tags).toContain('LABEL="a volume of data"')
    expect(tags).toContain(`UUID="${uuid}"`)
    expect(tags).toContain('TYPE="ext4"')
  })

  test('gives the same bytes whatever the order of adding', slow, async () => {
    // A link can only be added after its file.
    const shuffled = [...sample.slice(0, 11).toReversed(), ...sample.slice(11).toReversed()]
    const options = { sizeBytes: 16 * MiB, uuid }
    const bytes = await collect(writeExt4(treeOf(sample), options))
    expect(Buffer.compare(await collect(writeExt4(treeOf(shuffled), options)), bytes)).toBe(0)
  })
})

describe('a file system', () => {
  test('has the features, sizes and times that it says', slow, async () => {
    const path = await checkedImage(new FileTree(), {
      sizeBytes: GiB,
      volumeName: 'data',
      hashSeed: '00112233-4455-6677-8899-aabbccddeeff',
      bytesPerInode: 65_536,
      reservedPercent: 1.5,
      journalBytes: 20 * MiB,
      growableBytes: 100 * GiB,
      timeSeconds: 1_600_000_000,
    })
    expect(superblockOf(path)).toMatchObject({
      'Filesystem volume name': 'data',
      'Filesystem UUID': uuid,
      'Filesystem features':
        'has_journal ext_attr resize_inode dir_index filetype extent 64bit flex_bg sparse_super large_file huge_file dir_nlink extra_isize metadata_csum',
      'Filesystem flags': 'unsigned_directory_hash ',
      'Filesystem state': 'clean',
      'Filesystem created': 'Sun Sep 13 12:26:40 2020',
      'Inode count': '16384',
      'Block count': '262144',
      'Reserved block count': '3932',
      'Reserved GDT blocks': '12',
      'Flex block group size': '16',
      'Inode size': '256',
      'Directory Hash Seed': '00112233-4455-6677-8899-aabbccddeeff',
      'Journal features': 'journal_64bit journal_checksum_v3',
      'Total journal size': '20M',
      'Journal backup': 'inode blocks',
    })
    expect(debugfs(path, 'stat /lost+found')).toMatch(/Mode: {2}0700 [^]*Size: 16384\n[^]*ctime: 0x5f5e1000:/)
  })

  test('has the sizes that mke2fs chooses when none is given', slow, async () => {
    for (const sizeBytes of [16 * MiB, 200 * MiB, 3 * GiB, 9 * GiB]) {
      const theirs = join(temporaryFolder(), 'theirs.ext4')
      writeFileSync(theirs, '')
      // Without its own defaults for small ones.
      const options = ['-T', 'default', '-O', '64bit,metadata_csum', '-b', '4096', '-I', '256', '-i', '16384']
      runOk(['mke2fs', '-q', '-t', 'ext4', ...options, theirs, `${sizeBytes / 1024}k`])
      const ours = superblockOf(await checkedImage(new FileTree(), { sizeBytes }))
      const { 'Inode count': inodes, 'Reserved block count': reserved, ...their } = superblockOf(theirs)
      expect(ours).toMatchObject({ 'Inode count': inodes, 'Reserved block count': reserved })
      for (const name of ['Total journal size', 'Inodes per group', 'Block count', 'Inode blocks per group'])
        expect(ours[name], `${name} of ${sizeBytes}`).toBe(their[name])
    }
  })

  test('is shown by debugfs with types, modes, owners, links, sizes and times', slow, async () => {
    const path = await checkedImage(treeOf(sample), { sizeBytes: 16 * MiB })
    const stat = (of: string): string => debugfs(path, `stat ${of}`).replaceAll(/ +/g, ' ')
    expect(stat('/')).toMatch(
      /Inode: 2 Type: directory Mode: 0751 [^]*Size: 4096\n[^]*Links: 7 Blockcount: 8\n/,
    )
    expect(stat('/etc')).toMatch(/directory Mode: 0750 [^]*User: 3 Group: 4 [^]*Links: 3 /)
    expect(stat('/etc/motd')).toMatch(/regular Mode: 0644 [^]*User: 1000 Group: 100 .*Size: 5\n/)
    expect(stat('/etc/motd')).toMatch(/ctime: .* 2020\n atime: .* 2020\n mtime: .* 2020\ncrtime: .* 2020\n/)
    expect(stat('/etc/large-owner')).toMatch(/User: 65536 Group: -2 /)
    expect(stat('/etc/far')).toMatch(/mtime: 0x00000000:00000002 -- Wed Mar 16 12:56:32 2242/)
    expect(stat('/usr/bin/su')).toMatch(/Mode: 04755 [^]*Size: 10000\n[^]*Links: 3 Blockcount: 24\n/)
    expect(stat('/dev/console')).toMatch(/character special [^]*\nDevice major\/minor number: 05:01 /)
    expect(stat('/dev/vda')).toMatch(/block special Mode: 0660 [^]*\(New-style\) Device .*4095:703710/)
    expect(stat('/run/pipe')).toMatch(/FIFO Mode: 0644 /)
    expect(stat('/bin')).toMatch(/symlink Mode: 0777 [^]*Fast link dest: "usr\/bin"/)
    const numbers = ['/usr/bin/su', '/usr/bin/zz', '/a-link'].map(
      (name) => /^Inode: \d+/.exec(stat(name))?.[0],
    )
    expect(new Set(numbers).size).toBe(1)
  })

  test('keeps files and symlinks of all sizes around the bounds of inodes and blocks', slow, async () => {
    const tree = new FileTree()
    for (const size of [0, 1, 58, 59, 60, 61, 4094, 4095, 4096, 4097, 8191, 8192, 8193, 500_000]) {
      tree.add({ path: `/plain/${size}`, type: 'file', content: noise(size) })
      if (size > 0 && size < 4096)
        tree.add({ path: `/links/${size}`, type: 'symlink', target: 't'.repeat(size) })
    }
    await expectKept(tree, { sizeBytes: 16 * MiB })
  })

  test('takes a lost+found of the tree as it is, also with an index', slow, async () => {
    const tree = new FileTree().add({ path: '/lost+found', type: 'directory', mode: 0o750 })
    await expectKept(tree, { sizeBytes: 8 * MiB })
    for (let index = 0; index < 30; index++)
      tree.add({ path: `/lost+found/${'x'.repeat(200)}${index}`, type: 'file', content: text('kept') })
    await expectKept(tree, { sizeBytes: 8 * MiB })
  })

  test('counts its free blocks and inodes in every size around the end of a group', slow, async () => {
    const tree = treeOf(sample)
    for (const more of [-1, 0, 1, 500, 571, 572, 573, 600, 3000])
      await checkedImage(tree, { sizeBytes: 128 * MiB + more * 4096 })
    for (const groups of [2, 16, 17, 26, 65]) await checkedImage(tree, { sizeBytes: groups * 128 * MiB })
  })

  test(
    'has inodes in many groups, and structures of fewer groups together when they are many',
    slow,
    async () => {
      const tree = new FileTree()
      for (let index = 0; index < 300; index++) tree.add({ path: `/d${index}/sub`, type: 'directory' })
      await checkedImage(tree, { sizeBytes: 4 * GiB, inodes: 700 })
      const dense = await checkedImage(tree, { sizeBytes: 640 * MiB, bytesPerInode: 4096 })
      expect(superblockOf(dense)).toMatchObject({ 'Flex block group size': '8', 'Inodes per group': '32768' })
    },
  )

  test('is clean over any bytes where nothing is written', slow, async () => {
    await checkedImage(treeOf(sample), { sizeBytes: 200 * MiB, dirt: 0xff })
    const path = await checkedImage(treeOf(sample), { sizeBytes: 20 * MiB, dirt: 0x01 })
    expect(runOk(['dumpe2fs', path])).not.toContain('ITABLE_ZEROED')
  })

  test('gives the bytes that it gave when e2fsck and Linux 6.1 judged them', async () => {
    const bytes = await collect(
      writeExt4(treeOf(sample), { sizeBytes: 16 * MiB, uuid, volumeName: 'golden' }),
    )
    // A change of these is a change of every image: it must be meant, and told in the changelog.
    expect(sha256(bytes)).toBe('381cbf09e506dcdeb0f209b871adccd365a27751aadc738d29ab012f64ee611d')
  })
})

describe('a directory', () => {
  test('of many names has an index by their hashes', slow, async () => {
    const tree = new FileTree()
    const names = ['!', '-', '...', '.a', '..a', '\u{ff5e}', '\u{1f600}', 'é', 'A', 'a', 'x'.repeat(255)]
    for (const name of names) tree.add({ path: `/odd/${name}`, type: 'file', content: text(name) })
    for (let index = 0; index < 4000; index++) {
      const name = (index % 2 ? 'é' : 'n').repeat(index % 97) + String(index)
      tree.add({ path: `/many/${name}`, type: 'file', content: new Uint8Array() })
    }
    // Last blocks of all lengths: . and .. take 24 bytes of 4084, each of these names 12.
    for (let count = 310; count < 350; count++) {
      for (let index = 0; index < count; index++)
        tree.add({ path: `/counts/${count}/${String.fromCodePoint(0x4e00 + index)}`, type: 'directory' })
    }
    const path = await checkedImage(tree, { sizeBytes: 128 * MiB })
    expect(debugfs(path, 'stat /many')).toContain('Flags: 0x81000')
    expect(debugfs(path, 'stat /counts/338')).toContain('Flags: 0x80000')
    expect(debugfs(path, 'stat /counts/339')).toContain('Flags: 0x81000')
    const listed = debugfs(path, 'ls -p /many')
      .split('\n')
      .filter((line) => line !== '')
    expect(listed).toHaveLength(4002)
  })

  test('of very many names has an index of two levels', slow, async () => {
    const tree = new FileTree()
    tree.add({ path: '/file', type: 'file', content: text('x') })
    for (let index = 0; index < 9000; index++) {
      const path = `/wide/${String(index).padStart(250, 'w')}`
      tree.add({ path, type: 'hardlink', linkTo: '/file' })
    }
    const path = await checkedImage(tree, { sizeBytes: 64 * MiB })
    expect(debugfs(path, 'htree /wide')).toContain('Indirect levels: 1')
  })

  test('has names of one hash in two blocks', slow, async () => {
    const seed = Uint8Array.from(Buffer.from(uuid.replaceAll('-', ''), 'hex'))
    const byHash = new Map<number, string>()
    let pair: [hash: number, left: string, right: string] | undefined
    for (let index = 10_000_000; !pair; index++) {
      const name = String(index)
      const { major } = hashName(text(name), seed)
      const other = byHash.get(major)
      if (other !== undefined) pair = [major, other, name]
      byHash.set(major, name)
    }
    const [hash, left, right] = pair
    // A block holds 255 entries of 16 bytes, so one of the two is its last.
    const lower = [...byHash].filter(([major]) => major < hash).slice(0, 254)
    const higher = [...byHash].filter(([major]) => major > hash).slice(0, 100)
    expect(lower).toHaveLength(254)
    const names = [left, right, ...lower.map(([, name]) => name), ...higher.map(([, name]) => name)]
    const path = await checkedImage(treeOf(names.map((name) => ({ path: `/d/${name}`, type: 'fifo' }))), {
      sizeBytes: 16 * MiB,
    })
    expect(debugfs(path, 'htree /d')).toContain(
      `Entry #1: Hash 0x${(hash + 1).toString(16).padStart(8, '0')} `,
    )
  })

  test('of more subdirectories than can be counted has one link', slow, async () => {
    const tree = new FileTree()
    for (let index = 0; index < 65_010; index++) tree.add({ path: `/d/${index}`, type: 'directory' })
    const path = await checkedImage(tree, { sizeBytes: 400 * MiB })
    expect(debugfs(path, 'stat /d')).toMatch(/Links: 1 /)
  })

  test('is ordered by the hash that debugfs computes', slow, () => {
    const seed = Uint8Array.from(Buffer.from(uuid.replaceAll('-', ''), 'hex'))
    const path = join(temporaryFolder(), 'any')
    writeFileSync(path, '')
    const names = Array.from({ length: 255 }, (_, index) => 'abcdefghijk'.repeat(24).slice(0, index + 1))
    const requests = join(temporaryFolder(), 'requests')
    const request = (name: string): string => `dx_hash -h half_md4 -s ${uuid} ${name}\n`
    writeFileSync(requests, names.map(request).join(''))
    const told = runOk(['debugfs', '-f', requests]).matchAll(/is 0x(\w+) \(minor 0x(\w+)\)/g)
    const ours = names.map((name) => hashName(text(name), seed))
    expect([...told].map(([, major, minor]) => [`${major}`, `${minor}`])).toEqual(
      ours.map(({ major, minor }) => [major.toString(16), minor.toString(16)]),
    )
  })
})

describe('any tree', () => {
  test('is kept, in a file system of any size', { timeout: 240_000 }, async () => {
    const anyOptions = fc.record({
      sizeBytes: fc.oneof(
        fc.integer({ min: 12 * MiB, max: 32 * MiB }),
        fc.integer({ min: 12 * MiB, max: 3 * GiB }),
      ),
      bytesPerInode: fc.constantFrom(4096, 8192, 16_384, 1_000_000),
      reservedPercent: fc.constantFrom(0, 5, 33.3),
      journalBytes: fc.constantFrom(4 * MiB, 4 * MiB + 4096),
      growableBytes: fc.constantFrom(0, GiB, 100_000 * GiB),
      hashSeed: fc.uuid(),
    })
    await fc.assert(
      fc.asyncProperty(anyTree, anyOptions, async (tree, options) => {
        await expectKept(tree, options)
      }),
      { numRuns: 150 },
    )
  })

  test('is kept when it is deep', slow, async () => {
    const tree = new FileTree()
    const deepest = `/${Array.from({ length: 300 }, (_, index) => `d${index % 10}`).join('/')}`
    tree.add({ path: `${deepest}/file`, type: 'file', content: text('at the end') })
    await expectKept(tree, { sizeBytes: 16 * MiB })
  })

  test('is kept when it is wide', { timeout: 240_000 }, async () => {
    const anyWide = fc.array(anyName, { minLength: 1000, maxLength: 2500 }).map((names) => {
      const nodes = [...new Set(names)].map((name): NewNode => ({ path: `/w/${name}`, type: 'directory' }))
      return treeOf(nodes)
    })
    await fc.assert(
      fc.asyncProperty(anyWide, fc.uuid(), async (tree, hashSeed) => {
        await expectKept(tree, { sizeBytes: 64 * MiB, hashSeed })
      }),
      // Without smaller examples: each of thousands of names would be tried.
      { numRuns: 5, endOnFailure: true },
    )
  })
})

test('the file of a test takes no room for what is not written', slow, async () => {
  const path = await checkedImage(new FileTree(), { sizeBytes: 8 * GiB })
  expect(lstatSync(path).size).toBe(8 * GiB)
  expect(lstatSync(path).blocks * 512).toBeLessThan(6 * MiB)
})
