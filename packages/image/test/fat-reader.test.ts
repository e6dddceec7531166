import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FatError, readFat, writeFat } from '../src/fat.ts'
import type { FatVolume } from '../src/fat.ts'
import { fileAccess } from '../src/file-access.ts'
import { bytesAccess } from '../src/random-access.ts'
import type { RandomAccess } from '../src/random-access.ts'
import { noise, text, treeOf } from './erofs-images.ts'
import { collect, runOk, temporaryFolder } from './run.ts'

const slow = { timeout: 240_000 }
const env = { LC_ALL: 'C.UTF-8' }
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

/** A file system by mkfs.fat, with what mtools put into it. */
function foreign(kib: number, ...options: string[]): string {
  const path = join(temporaryFolder(), 'foreign.fat')
  runOk(['mkfs.fat', '-i', 'cafe1234', ...options, '-C', path, String(kib)])
  return path
}

function put(image: string, target: string, content: Uint8Array): void {
  const source = join(temporaryFolder(), 'source')
  writeFileSync(source, content)
  runOk(['mcopy', '-n', '-i', image, source, `::${target}`], { env })
}

/** Everything in a volume, by path. */
async function contents(volume: FatVolume): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for await (const entry of volume.walk()) {
    found.set(entry.path, entry.type === 'directory' ? 'directory' : decode(await volume.read(entry)))
  }
  return found
}

describe('readFat() of what others wrote', () => {
  test.each([
    [16 * 1024, 'fat16', ['-F', '16']],
    [64 * 1024, 'fat32', ['-F', '32']],
    [300 * 1024, 'fat32', ['-F', '32', '-S', '4096', '-s', '1']],
    [16 * 1024, 'fat16', ['-F', '16', '-f', '1', '-R', '5', '-r', '1024', '-s', '2']],
  ])('reads %d KiB of %s by mkfs.fat %j and mtools', slow, async (kib, type, options) => {
    const image = foreign(kib, '-n', 'FOREIGN', ...options)
    runOk(['mmd', '-i', image, '::/EFI', '::/EFI/lower', '::/EFI/Mixed Case é'], { env })
    put(image, '/EFI/lower/small.txt', text('small'))
    put(image, '/EFI/A name that is long.txt', text('long'))
    put(image, '/EFI/lower/big', text('0123456789'.repeat(20_000)))
    put(image, '/gone', text('gone'))
    put(image, '/empty', text(''))
    runOk(['mdel', '-i', image, '::/gone'])
    runOk(['mattrib', '-i', image, '+r', '+h', '+s', '::/empty'])
    await using access = await fileAccess(image)
    const volume = await readFat(access)
    expect(volume).toMatchObject({ type, volumeLabel: 'FOREIGN', volumeId: 'CAFE-1234' })
    expect(await contents(volume)).toEqual(
      new Map([
        ['/EFI', 'directory'],
        ['/EFI/lower', 'directory'],
        ['/EFI/lower/small.txt', 'small'],
        ['/EFI/lower/big', '0123456789'.repeat(20_000)],
        ['/EFI/Mixed Case é', 'directory'],
        ['/EFI/A name that is long.txt', 'long'],
        ['/empty', ''],
      ]),
    )
    expect(await volume.find('/empty')).toMatchObject({
      readOnly: true,
      hidden: true,
      system: true,
      sizeBytes: 0,
    })
    expect(await volume.find('/efi/LOWER/Small.TXT')).toMatchObject({
      path: '/EFI/lower/small.txt',
      readOnly: false,
    })
  })

  test('goes by the place of the table, as Linux does: FAT32 with few clusters', slow, async () => {
    const image = foreign(8 * 1024, '-n', 'FEW', '-F', '32', '-s', '8')
    const volume = await readFat(new Uint8Array(readFileSync(image)))
    expect(volume).toMatchObject({ type: 'fat32', volumeLabel: 'FEW', clusterBytes: 4096 })
    expect(volume.clusters).toBeLessThan(4085)
    expect((await contents(volume)).size).toBe(0)
  })

  test('finds files by their short names, and says what is not there', slow, async () => {
    const image = foreign(16 * 1024, '-F', '16')
    put(image, '/long name.text', text('x'))
    const volume = await readFat(new Uint8Array(readFileSync(image)))
    expect(volume.volumeLabel).toBeUndefined()
    const entry = await volume.find('/LONGNA~1.TEX')
    expect(entry).toMatchObject({ name: 'long name.text', shortName: 'LONGNA~1.TEX' })
    expect(await volume.find('/nothing')).toBeUndefined()
    expect(await volume.find('/long name.text/below')).toBeUndefined()
    expect(await volume.list('/')).toHaveLength(1)
    await expect(volume.list('/long name.text')).rejects.toThrow('there is no such directory')
    await expect(volume.read('/nothing')).rejects.toThrow('/nothing: there is no such file')
    await expect(volume.read('/')).rejects.toThrow(TypeError)
    await expect(volume.find('relative')).rejects.toThrow('expected an absolute path')
  })

  test('reads fragmented files', slow, async () => {
    const image = foreign(16 * 1024, '-F', '16', '-s', '1')
    for (let index = 0; index < 40; index++) put(image, `/f${index}`, noise(3000))
    for (let index = 0; index < 40; index += 2) runOk(['mdel', '-i', image, `::/f${index}`])
    put(image, '/large', noise(50_000))
    const volume = await readFat(new Uint8Array(readFileSync(image)))
    expect(Buffer.compare(await volume.read('/large'), noise(50_000))).toBe(0)
    expect(Buffer.compare(await volume.read('/f39'), noise(3000))).toBe(0)
  })

  test('takes the table that counts, by the flags of FAT32', slow, async () => {
    const image = foreign(64 * 1024, '-F', '32')
    put(image, '/two', noise(3000))
    const bytes = new Uint8Array(readFileSync(image))
    const view = new DataView(bytes.buffer)
    view.setUint16(40, 0x81, true)
    const [reserved, tableSectors] = [view.getUint16(14, true), view.getUint32(36, true)]
    bytes.fill(0, reserved * 512, (reserved + tableSectors) * 512)
    expect(Buffer.compare(await (await readFat(bytes)).read('/two'), noise(3000))).toBe(0)
    view.setUint16(40, 0x82, true)
    await expect(readFat(bytes)).rejects.toThrow('table 2 is said to count, of 2')
  })
})

describe('readFat() of what is no file system that it reads', () => {
  test('refuses FAT12, other file systems, nothing, and what is cut off', slow, async () => {
    const bytesOf = (path: string): Uint8Array => new Uint8Array(readFileSync(path))
    await expect(readFat(bytesOf(foreign(1440, '-F', '12')))).rejects.toThrow(/FAT12 \(\d+ clusters\)/)
    await expect(readFat(new Uint8Array(4096))).rejects.toThrow('no boot sector')
    await expect(readFat(new Uint8Array())).rejects.toThrow('0 bytes hold no file system')
    const whole = bytesOf(foreign(16 * 1024, '-F', '16'))
    await expect(readFat(whole.subarray(0, -1))).rejects.toThrow('cut off: of 32768 sectors')
    await expect(readFat(whole.subarray(0, -1))).rejects.toThrow(FatError)
  })

  test.each<[number, number, string]>([
    [11, 0, 'sectors of 0 bytes'],
    [11, 1, 'sectors of 1 bytes'],
    [13, 0, 'clusters of 0 sectors'],
    [13, 3, 'clusters of 3 sectors'],
    [16, 0, '0 tables'],
    [14, 0, '0 reserved sectors'],
    [22, 0, 'tables of 304676992 sectors'],
    [22, 0xffff, 'tables of 65535 sectors'],
    [17, 0xffff, '33480'],
  ])('refuses a boot sector with %d: %d', async (offset, value, message) => {
    const bytes = await collect(writeFat(treeOf([]), { type: 'fat16' }))
    if (offset === 13 || offset === 16) bytes[offset] = value
    else new DataView(bytes.buffer).setUint16(offset, value, true)
    if (offset === 17) await expect(readFat(bytes)).rejects.toThrow(FatError)
    else await expect(readFat(bytes)).rejects.toThrow(message)
  })
})

/** A FAT16 in sectors and clusters of 512 bytes, whose bytes can be damaged. */
async function damageable(): Promise<{
  readonly bytes: Uint8Array
  readonly link: (cluster: number, next: number) => void
  readonly volume: () => Promise<FatVolume>
  readonly clusterOf: (path: string) => Promise<number>
  /** Where its bytes, or its entries, begin. */
  readonly offsetOf: (path: string) => Promise<number>
  /** Where the entry with its short name is. */
  readonly entryOffset: (path: string) => Promise<number>
}> {
  const tree = treeOf([
    { path: '/dir/sub/file', type: 'file', content: text('in sub') },
    { path: '/dir/a long name of a file', type: 'file', content: text('long') },
    { path: '/file', type: 'file', content: noise(10 * 512) },
  ])
  const bytes = await collect(writeFat(tree, { type: 'fat16' }))
  const view = new DataView(bytes.buffer)
  const table = view.getUint16(14, true) * 512
  const data = table + 2 * view.getUint16(22, true) * 512 + 512 * 32
  const volume = async (): Promise<FatVolume> => await readFat(bytes)
  const original = await readFat(bytes.slice())
  const clusterOf = async (path: string): Promise<number> => (await original.find(path))?.cluster ?? 0
  const offsetOf = async (path: string): Promise<number> => data + ((await clusterOf(path)) - 2) * 512
  return {
    bytes,
    link: (cluster, next) => view.setUint16(table + 2 * cluster, next, true),
    volume,
    clusterOf,
    offsetOf,
    entryOffset: async (path) => {
      const entry = await original.find(path)
      const short = Buffer.from((entry?.shortName ?? '').padEnd(11))
      const start = await offsetOf(path.slice(0, path.lastIndexOf('/')))
      return Buffer.from(bytes.buffer).indexOf(short, start)
    },
  }
}

describe('readFat() of damaged file systems', () => {
  test('ends with an error where a chain comes back to itself', async () => {
    const { link, volume, clusterOf } = await damageable()
    const first = await clusterOf('/file')
    for (const [from, to] of [
      [first + 5, first + 2],
      [first, first],
      [first + 8, first],
    ] as const) {
      link(from, to)
      await expect((await volume()).read('/file')).rejects.toThrow(
        /\/file: its chain of clusters comes back to/,
      )
      link(from, from + 1)
    }
    await expect((await volume()).read('/file')).resolves.toHaveLength(5120)
    // Behind the file's end it does no harm: Linux may have put clusters there.
    link(first + 9, first)
    await expect((await volume()).read('/file')).resolves.toHaveLength(5120)
  })

  test('ends with an error where a chain leads nowhere or ends early', async () => {
    const { link, volume, clusterOf } = await damageable()
    const first = await clusterOf('/file')
    for (const next of [0, 1, 4103, 0xfff7]) {
      link(first + 3, next)
      await expect((await volume()).read('/file')).rejects.toThrow(
        `/file: its chain leads to ${next}, which is`,
      )
    }
    link(first + 3, 0xffff)
    await expect((await volume()).read('/file')).rejects.toThrow(
      '/file: its chain ends after 4 of 10 clusters',
    )
    link(first + 3, 0xfff8)
    await expect((await volume()).read('/file')).rejects.toThrow(FatError)
  })

  test('ends with an error where a directory is in itself, in two places, or in a loop', async () => {
    const { bytes, link, volume, clusterOf, offsetOf, entryOffset } = await damageable()
    const view = new DataView(bytes.buffer)
    const pointer = (await entryOffset('/dir/sub')) + 26
    const original = view.getUint16(pointer, true)
    const walk = async (): Promise<unknown> => await contents(await volume())
    view.setUint16(pointer, await clusterOf('/dir'), true)
    await expect(walk()).rejects.toThrow("/dir/sub: its cluster 2 is another directory's as well")
    view.setUint16(pointer, 0, true)
    await expect(walk()).rejects.toThrow('/dir/sub')
    view.setUint16(pointer, original, true)
    // A directory whose clusters come back, full of names, so that it never ends by itself.
    const [directory, start, entry] = [await clusterOf('/dir'), await offsetOf('/dir'), pointer - 26]
    for (let offset = start + 64; offset < start + 512; offset += 32)
      bytes.copyWithin(offset, entry, entry + 32)
    link(directory, directory)
    await expect((await volume()).list('/dir')).rejects.toThrow('/dir: its chain of clusters comes back to 2')
  })

  test('takes a name for damage that could be a path of its own, or no name at all', async () => {
    const { bytes, volume, entryOffset } = await damageable()
    const offset = await entryOffset('/dir/sub')
    const name = bytes.slice(offset, offset + 11)
    for (const wrong of ['SUB/X      ', '/          ', '           ', 'A\nB        ']) {
      // Its long name, before it, does not belong to it any more.
      bytes.set(text(wrong), offset)
      await expect(contents(await volume())).rejects.toThrow(/^FAT: \/dir: has an entry with the name/)
    }
    bytes.set(name, offset)
    await expect(contents(await volume())).resolves.toHaveLength(5)
  })

  test('falls back to the short name where the long one is not whole', async () => {
    const { bytes, volume, entryOffset } = await damageable()
    const path = '/dir/a long name of a file'
    const offset = await entryOffset(path)
    for (const at of [offset - 64, offset - 32, offset - 32 + 13]) {
      bytes[at] = (bytes[at] ?? 0) ^ 0x15
      const found = await contents(await volume())
      expect(found.get('/dir/ALONGN~1')).toBe('long')
      expect(found.has(path)).toBe(false)
      bytes[at] = (bytes[at] ?? 0) ^ 0x15
    }
    expect((await contents(await volume())).get(path)).toBe('long')
  })

  test('does not take the upper half of a cluster number for one on FAT16', async () => {
    const { bytes, volume, entryOffset } = await damageable()
    new DataView(bytes.buffer).setUint16((await entryOffset('/dir/sub/file')) + 20, 0xbeef, true)
    await expect((await volume()).read('/dir/sub/file')).resolves.toEqual(text('in sub'))
  })

  test('says where an image ends while it is read', async () => {
    const { bytes } = await damageable()
    const lying: RandomAccess = { ...bytesAccess(bytes.subarray(0, 40_000)), sizeBytes: bytes.byteLength }
    await expect((await readFat(lying)).read('/file')).rejects.toThrow('/file: cut off at byte 40000')
  })

  test('gives everything or an error, whatever is damaged, and ends', { timeout: 240_000 }, async () => {
    const { bytes } = await damageable()
    // Boot sector, tables and directories, and a little of the data: where damage leads astray.
    const anyDamage = fc.array(fc.tuple(fc.nat(40_000), fc.nat(255)), { minLength: 1, maxLength: 40 })
    const property = fc.asyncProperty(anyDamage, async (damage) => {
      const copy = bytes.slice()
      for (const [offset, value] of damage) copy[offset] = value
      try {
        await contents(await readFat(copy))
      } catch (error) {
        expect(error).toBeInstanceOf(FatError)
      }
    })
    await fc.assert(property, { numRuns: 2000 })
  })

  test('gives everything or an error where a directory is noise', { timeout: 240_000 }, async () => {
    const { bytes, offsetOf } = await damageable()
    const start = await offsetOf('/dir/sub')
    const property = fc.asyncProperty(fc.uint8Array({ minLength: 512, maxLength: 512 }), async (garbage) => {
      const copy = bytes.slice()
      copy.set(garbage, start)
      try {
        await contents(await readFat(copy))
      } catch (error) {
        expect(error).toBeInstanceOf(FatError)
      }
    })
    await fc.assert(property, { numRuns: 500 })
  })

  test('open() ends by its signal between two chunks', async () => {
    const controller = new AbortController()
    const big = await collect(
      writeFat(treeOf([{ path: '/big', type: 'file', content: noise(1_000_000) }]), { type: 'fat16' }),
    )
    const reading = async (): Promise<void> => {
      for await (const _ of (await readFat(big)).open('/big', { signal: controller.signal })) {
        controller.abort(new Error('enough'))
      }
    }
    await expect(reading()).rejects.toThrow('enough')
  })
})
