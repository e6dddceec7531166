import { lstatSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { prepareFat, readFat, writeFat } from '../src/fat.ts'
import type { FatOptions } from '../src/fat.ts'
import type { FileSource } from '../src/file-source.ts'
import { fileAccess } from '../src/file-access.ts'
import { FileTree } from '../src/tree.ts'
import type { NewNode } from '../src/tree.ts'
import { anyFatTree } from './any-fat-tree.ts'
import { noise, sha256, text, treeOf } from './erofs-images.ts'
import { checkedImage, complaints, extract, lines, mdir, writeImage } from './fat-images.ts'
import { collect, runOk } from './run.ts'

// Some tests start many programs; other tests may have all processors.
const slow = { timeout: 240_000 }
const mebibyte = 1024 * 1024

/** A boot partition, and what is odd. */
const sample: NewNode[] = [
  { path: '/', type: 'directory', mtimeSeconds: 1_500_000_000 },
  { path: '/EFI/BOOT/BOOTX64.EFI', type: 'file', content: noise(100_000), mtimeSeconds: 1_600_000_001 },
  { path: '/EFI/Linux/solo_1.2.3+3-0.efi', type: 'file', content: noise(1_000_000) },
  { path: '/EFI/Linux', type: 'directory', mtimeSeconds: 4_354_819_199 },
  { path: '/loader/loader.conf', type: 'file', content: text('timeout 0\n') },
  { path: '/loader/empty', type: 'file', content: new Uint8Array() },
  { path: '/nothing/in/here', type: 'directory' },
  { path: '/Grüße an 世界.txt', type: 'file', content: text('hello') },
  { path: '/.profile', type: 'file', content: noise(513) },
  { path: '/x'.padEnd(255, 'y'), type: 'file', content: noise(512) },
]

/** Of the host's file system, as {@link lines} gives a tree. */
function hostLines(folder: string, path = ''): string[] {
  const found: string[] = []
  for (const name of readdirSync(join(folder, path))) {
    const child = `${path}/${name}`
    if (lstatSync(join(folder, child)).isDirectory()) {
      found.push(`${child} directory`, ...hostLines(folder, child))
    } else found.push(`${child} ${sha256(readFileSync(join(folder, child)))}`)
  }
  return found.toSorted()
}

/** What {@link readFat} finds, in the same form. */
async function readLines(path: string): Promise<string[]> {
  await using access = await fileAccess(path)
  const volume = await readFat(access)
  const found: string[] = []
  for await (const entry of volume.walk()) {
    const content = entry.type === 'directory' ? 'directory' : sha256(await volume.read(entry))
    found.push(`${entry.path} ${content}`)
  }
  return found.toSorted()
}

/** Every kind of file system that there is. */
const kinds: FatOptions[] = [
  { type: 'fat32' },
  { type: 'fat16' },
  { type: 'fat16', sizeBytes: 33 * mebibyte },
  { type: 'fat16', clusterBytes: 32_768 },
  { type: 'fat32', clusterBytes: 2048, sizeBytes: 200 * mebibyte },
  { type: 'fat32', sectorBytes: 4096 },
  { type: 'fat16', sectorBytes: 4096 },
  { type: 'fat16', sectorBytes: 1024 },
  { type: 'fat16', sectorBytes: 2048, clusterBytes: 8192, volumeLabel: 'A' },
]

describe('writeFat()', () => {
  test.each(kinds)(
    'is found right by fsck.fat, and read by mtools and readFat(): %j',
    slow,
    async (options) => {
      const tree = treeOf(sample)
      const { path, image } = await checkedImage(tree, options)
      expect(lstatSync(path).size).toBe(image.sizeBytes)
      expect(image).toMatchObject(options.volumeLabel === undefined ? options : { type: 'fat16' })
      expect(hostLines(extract(path))).toEqual(lines(tree))
      expect(await readLines(path)).toEqual(lines(tree))
    },
  )

  test('has label, id and times that blkid, mdir and mcopy tell', slow, async () => {
    const options = { volumeLabel: 'MY ESP-1', volumeId: '12ab-CD34', sizeBytes: 64 * mebibyte }
    const { path, image } = await checkedImage(treeOf(sample), options)
    expect(image).toMatchObject({ type: 'fat32', clusterBytes: 512, volumeId: '12AB-CD34' })
    const told = runOk(['blkid', '-p', path])
    expect(told).toContain(' LABEL="MY ESP-1" UUID="12AB-CD34" VERSION="FAT32" ')
    expect(told).toContain(' LABEL_FATBOOT="MY ESP-1" ')
    const listed = runOk(['mdir', '-i', path, '::/EFI'])
    expect(listed).toMatch(/^LINUX +<DIR> +2107-12-31 +23:59 +Linux$/m)
    expect(listed).toMatch(/^BOOT +<DIR> +1980-01-01 +0:00 *$/m)
    const stats = lstatSync(join(extract(path), 'EFI/BOOT/BOOTX64.EFI'))
    expect(stats.mtimeMs / 1000).toBe(1_600_000_000)
    expect(runOk(['mlabel', '-s', '-i', path, '::'])).toContain('Volume label is MY ESP-1')
    await using access = await fileAccess(path)
    expect(await readFat(access)).toMatchObject({ volumeLabel: 'MY ESP-1', volumeId: '12AB-CD34' })
  })

  test('counts what is free as mdir does', slow, async () => {
    for (const type of ['fat16', 'fat32'] as const) {
      const { path, image } = await checkedImage(treeOf(sample), { type })
      const free = /([\d ]+) bytes free/.exec(runOk(['mdir', '-i', path, '::/']))?.[1]
      expect(Number(free?.replaceAll(' ', ''))).toBe(image.freeBytes)
    }
  })

  test('fills a file system to its last cluster', slow, async () => {
    for (const options of [{ type: 'fat16' }, { type: 'fat16', sectorBytes: 4096 }] as const) {
      const { freeBytes, clusterBytes } = prepareFat(new FileTree(), options)
      const content = noise(freeBytes)
      const { path, image } = await checkedImage(treeOf([{ path: '/all', type: 'file', content }]), options)
      expect(image.freeBytes).toBe(0)
      expect(hostLines(extract(path))).toEqual([`/all ${sha256(content)}`])
      const sizeBytes = image.sizeBytes
      const more = treeOf([{ path: '/all', type: 'file', content: noise(freeBytes + 1) }])
      expect(() => prepareFat(more, { ...options, sizeBytes })).toThrow(
        `sizeBytes must be ${sizeBytes + clusterBytes} at least`,
      )
      expect(prepareFat(more, { ...options, sizeBytes: sizeBytes + clusterBytes }).freeBytes).toBe(0)
    }
  })

  test('writes an empty tree', slow, async () => {
    for (const type of ['fat16', 'fat32'] as const) {
      const { path } = await checkedImage(new FileTree(), { type })
      expect(mdir(path)).toEqual([])
      expect(await readLines(path)).toEqual([])
    }
  })

  test('gives every long name a short one of its own', slow, async () => {
    const tree = new FileTree()
    const names = [
      'LONGNA~1.TXT',
      'longna~3.txt',
      'a.b.c',
      'a b',
      '+.é',
      '..x',
      '~1',
      'X.Y',
      'x.y z',
      'a.htmlx',
    ]
    for (const name of names) tree.add({ path: `/${name}`, type: 'file', content: text(name) })
    for (let index = 0; index < 1200; index++) {
      tree.add({ path: `/long name ${index}.txt`, type: 'file', content: text(String(index)) })
    }
    const { path } = await checkedImage(tree, { type: 'fat16' })
    expect(hostLines(extract(path))).toEqual(lines(tree))
    await using access = await fileAccess(path)
    const entries = await (await readFat(access)).list('/')
    const shorts = entries.map(({ shortName }) => shortName)
    expect(new Set(shorts).size).toBe(entries.length)
    for (const short of shorts) expect(short).toMatch(/^[A-Z0-9_~]{1,8}(\.[A-Z0-9_~]{1,3})?$/)
    const shortOf = (name: string): string | undefined =>
      entries.find((entry) => entry.name === name)?.shortName
    expect(names.map(shortOf)).toEqual([
      'LONGNA~1.TXT',
      'LONGNA~3.TXT',
      'AB~1.C',
      'AB~1',
      '_~1._',
      'X~1',
      '~1',
      'X.Y',
      'X~1.YZ',
      'A~1.HTM',
    ])
    expect(shortOf('long name 0.txt')).toBe('LONGNA~2.TXT')
    // By its short name mtools finds the file of the long one.
    const short = shortOf('long name 1000.txt')
    expect(runOk(['mtype', '-i', path, `::/${short}`])).toBe('1000')
  })

  test('writes deep directories, and as many names as a directory holds', { timeout: 240_000 }, async () => {
    const deep = new FileTree().add({ path: '/d'.repeat(300), type: 'file', content: text('deep') })
    const { path: deepPath } = await checkedImage(deep, { type: 'fat16' })
    expect(await readLines(deepPath)).toEqual(lines(deep))
    const wide = new FileTree()
    // `.` and `..` take two entries.
    for (let index = 0; index < 65_534; index++) {
      wide.add({ path: `/w/${index.toString(36).toUpperCase()}`, type: 'file', content: new Uint8Array() })
    }
    const { path } = await checkedImage(wide, { type: 'fat16', clusterBytes: 4096 })
    expect(mdir(path)).toHaveLength(65_535)
    await using access = await fileAccess(path)
    expect(await (await readFat(access)).list('/W')).toHaveLength(65_534)
    wide.add({ path: '/w/ONE.MOR', type: 'directory' })
    expect(() => prepareFat(wide)).toThrow('/w: its names take 65537 entries, FAT holds 65536')
  })

  test('gives FAT16 a larger root when it must', slow, async () => {
    const tree = new FileTree()
    for (let index = 0; index < 700; index++) {
      tree.add({ path: `/file number ${index}`, type: 'file', content: text(String(index)) })
    }
    const { path } = await checkedImage(tree, { type: 'fat16', volumeLabel: 'MANY' })
    expect(mdir(path)).toHaveLength(700)
    expect(await readLines(path)).toEqual(lines(tree))
    for (let index = 700; index < 21_845; index++)
      tree.add({ path: `/file number ${index}`, type: 'directory' })
    expect(() => prepareFat(tree, { type: 'fat16' })).toThrow('FAT16 holds 65520 in the root')
  })

  test('gives the same bytes whatever the order of adding, and other ids to other trees', async () => {
    const options = { type: 'fat16' } as const
    const bytes = await collect(writeFat(treeOf(sample), options))
    expect(await collect(writeFat(treeOf(sample.toReversed()), options))).toEqual(bytes)
    const idOf = (nodes: NewNode[], more: FatOptions = {}): string => prepareFat(treeOf(nodes), more).volumeId
    const other: NewNode = { path: '/more', type: 'file', content: new Uint8Array() }
    const ids = [
      idOf(sample),
      idOf([...sample, other]),
      idOf([...sample, { ...other, mtimeSeconds: 1_000_000_000 }]),
      idOf([...sample, { ...other, content: new Uint8Array(1) }]),
      idOf(sample, { volumeLabel: 'X' }),
    ]
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('gives the bytes that it gave when fsck.fat, mtools and Linux judged them', async () => {
    const bytes = await collect(writeFat(treeOf(sample), { type: 'fat16', volumeLabel: 'GOLDEN' }))
    expect(sha256(bytes)).toBe('94df84b981fd7663f6da0a64a4083cbb8b230af281d847cfe9b97eb6d94f0c7f')
  })

  test('is found right and read back whatever the tree', { timeout: 240_000 }, async () => {
    const property = fc.asyncProperty(
      anyFatTree,
      fc.constantFrom(...kinds.slice(0, 4)),
      async (tree, options) => {
        const { path } = await checkedImage(tree, options)
        expect(await readLines(path)).toEqual(lines(tree))
        // mtools has no characters beyond 16 bits: those trees are read by us only.
        if (!/[\ud800-\udfff]/.test([...tree].map((node) => node.path).join())) {
          expect(hostLines(extract(path))).toEqual(lines(tree))
        }
      },
    )
    await fc.assert(property, { numRuns: 60 })
  })
})

describe('writeFat() of streams', () => {
  test(
    'has a file of 4 GiB less a byte in a few MB of memory, and tells how far it is',
    { timeout: 240_000 },
    async () => {
      const chunk = noise(4 * mebibyte)
      const source: FileSource = {
        sizeBytes: 2 ** 32 - 1,
        async *open() {
          for (let index = 0; index < 1023; index++) yield chunk
          yield chunk.subarray(1)
        },
      }
      const image = prepareFat(treeOf([{ path: '/big', type: 'file', content: source }]))
      expect(image).toMatchObject({ type: 'fat32', clusterBytes: 4096 })
      const before = process.memoryUsage().rss
      let [seenBytes, toldBytes, rssMax] = [0, 0, 0]
      const stream = image.open({ onProgress: (doneBytes) => (toldBytes = doneBytes) })
      for await (const { byteLength } of stream) {
        expect(toldBytes).toBe(seenBytes)
        seenBytes += byteLength
        if (seenBytes % (256 * mebibyte) < byteLength) rssMax = Math.max(rssMax, process.memoryUsage().rss)
      }
      expect([seenBytes, toldBytes]).toEqual([image.sizeBytes, image.sizeBytes])
      expect(rssMax - before).toBeLessThan(150 * mebibyte)
    },
  )

  test.each([
    [3, 'gave only 3'],
    [5, 'gave more'],
  ])('fails when a source gives %d of 4 bytes', async (given, message) => {
    const source: FileSource = {
      sizeBytes: 4,
      async *open() {
        yield new Uint8Array(given)
      },
    }
    const writing = collect(
      writeFat(treeOf([{ path: '/x', type: 'file', content: source }]), { type: 'fat16' }),
    )
    await expect(writing).rejects.toThrow(`/x: its source promised 4 bytes and ${message}`)
  })

  test('ends with the reason of the signal, before it begins and while a source hangs', async () => {
    const signal = AbortSignal.abort(new Error('before'))
    await expect(collect(writeFat(new FileTree(), { signal }))).rejects.toThrow('before')
    const hanging: FileSource = {
      sizeBytes: 1,
      open: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) }),
    }
    const controller = new AbortController()
    const tree = treeOf([{ path: '/f', type: 'file', content: hanging }])
    const writing = collect(writeFat(tree, { type: 'fat16', signal: controller.signal }))
    setTimeout(() => controller.abort(new Error('enough')), 5)
    await expect(writing).rejects.toThrow('enough')
  })

  test('fsck.fat sees it when a chain of ours is broken', slow, async () => {
    const bytes = await collect(writeFat(treeOf(sample), { type: 'fat16' }))
    const volume = await readFat(bytes)
    const entry = await volume.find('/EFI/BOOT/BOOTX64.EFI')
    const reserved = new DataView(bytes.buffer).getUint16(14, true)
    new DataView(bytes.buffer).setUint16(reserved * 512 + 2 * ((entry?.cluster ?? 0) + 3), 0, true)
    async function* once(): AsyncGenerator<Uint8Array> {
      yield bytes
    }
    expect(complaints(await writeImage(once()))).not.toBe('')
  })
})
