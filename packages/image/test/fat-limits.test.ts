import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { prepareFat } from '../src/fat.ts'
import type { FatOptions } from '../src/fat.ts'
import { geometryOf, sectorsFor } from '../src/fat/geometry.ts'
import { FileTree } from '../src/tree.ts'
import type { NewNode } from '../src/tree.ts'
import { treeOf } from './erofs-images.ts'

const mebibyte = 1024 * 1024

describe('the size of a file system', () => {
  test('is such that what is needed fits, and every sector has its place', () => {
    const anyShape = fc.record({
      type: fc.constantFrom('fat16' as const, 'fat32' as const),
      sectorBytes: fc.constantFrom(512, 1024, 2048, 4096),
      doublings: fc.nat(6),
      rootEntries: fc.constantFrom(512, 1024, 4096),
    })
    const property = fc.property(anyShape, fc.nat(3_000_000), (shape, clusters) => {
      const { type, sectorBytes, doublings } = shape
      const clusterBytes = Math.min(32_768, sectorBytes * 2 ** doublings)
      const rootEntries = type === 'fat16' ? shape.rootEntries : 0
      const sectors = sectorsFor({ type, sectorBytes, clusterBytes, rootEntries }, clusters)
      const geometry = geometryOf({ type, sectorBytes, clusterBytes, rootEntries }, sectors)
      if (type === 'fat16' && clusters > 65_508) {
        expect(geometry).toBeUndefined()
        return
      }
      if (!geometry) throw new Error('no geometry')
      expect(geometry.clusters).toBeGreaterThanOrEqual(clusters)
      const { reservedSectors, tableSectors, rootSectors, dataSector, sectorsPerCluster } = geometry
      expect(reservedSectors + 2 * tableSectors + rootSectors).toBe(dataSector)
      expect((dataSector * sectorBytes) % Math.max(4096, clusterBytes)).toBe(0)
      expect(dataSector + geometry.clusters * sectorsPerCluster).toBeLessThanOrEqual(sectors)
      const width = type === 'fat16' ? 2 : 4
      expect((geometry.clusters + 2) * width).toBeLessThanOrEqual(tableSectors * sectorBytes)
    })
    fc.assert(property, { numRuns: 2000 })
  })

  test.each<[number, FatOptions, object]>([
    [4 * mebibyte, {}, { type: 'fat16', clusterBytes: 512 }],
    [32 * mebibyte, {}, { type: 'fat16', clusterBytes: 512 }],
    [32.5 * mebibyte, {}, { type: 'fat16', clusterBytes: 1024 }],
    [33 * mebibyte, {}, { type: 'fat32', clusterBytes: 512 }],
    [260 * mebibyte, {}, { type: 'fat32', clusterBytes: 512 }],
    [261 * mebibyte, {}, { type: 'fat32', clusterBytes: 4096 }],
    [512 * mebibyte, { sectorBytes: 4096 }, { type: 'fat32', clusterBytes: 4096 }],
    [200 * mebibyte, { sectorBytes: 4096 }, { type: 'fat16', clusterBytes: 4096 }],
    [2000 * mebibyte, { type: 'fat16' }, { type: 'fat16', clusterBytes: 32_768 }],
    [2 ** 41 - 512, {}, { type: 'fat32', clusterBytes: 32_768 }],
  ])('of %d bytes with %j decides type and clusters', (sizeBytes, options, expected) => {
    expect(prepareFat(new FileTree(), { sizeBytes, ...options })).toMatchObject({ sizeBytes, ...expected })
  })

  test.each<[FatOptions, RegExp]>([
    [{ sizeBytes: mebibyte }, /sizeBytes is 1048576: FAT16 in sectors of 512 has 2136576 bytes at least/],
    [{ sizeBytes: 30 * mebibyte, type: 'fat32' }, /FAT32 in sectors of 512 has 34101760 bytes at least/],
    [{ sizeBytes: 100 * mebibyte, sectorBytes: 4096, type: 'fat32' }, /has 269119488 bytes at least/],
    [{ sizeBytes: 4096 * mebibyte, type: 'fat16' }, /FAT16 in sectors of 512 cannot be so large/],
    [{ sizeBytes: 2 ** 42 }, /FAT32 in sectors of 512 cannot be so large/],
    [{ sizeBytes: 64 * mebibyte, type: 'fat32', clusterBytes: 4096 }, /with clusters of 4096 bytes has/],
    [{ sizeBytes: 0 }, /at least/],
    [{ sizeBytes: -512 }, /at least/],
    [{ sizeBytes: 34_101_761 }, /expected a multiple of the sector/],
    [{ sectorBytes: 8192 }, /expected 512, 1024, 2048 or 4096/],
    [{ clusterBytes: 65_536 }, /expected one of 512, 1024/],
    [{ clusterBytes: 512, sectorBytes: 1024 }, /expected one of 1024, 2048/],
  ])('is refused when there is no such FAT: %j', (options, message) => {
    expect(() => prepareFat(new FileTree(), options)).toThrow(RangeError)
    expect(() => prepareFat(new FileTree(), options)).toThrow(message)
  })
})

describe('what FAT does not have', () => {
  const content = new Uint8Array()
  const file = (path: string, mtimeSeconds = 0): NewNode => ({ path, type: 'file', content, mtimeSeconds })
  const refusal = (nodes: NewNode[], options: FatOptions = {}): unknown => {
    try {
      return prepareFat(treeOf(nodes), options)
    } catch (error) {
      return error
    }
  }

  test.each<[NewNode[], string]>([
    [[file('/a/B.txt'), file('/a/b.TXT')], '/a/B.txt and /a/b.TXT: FAT takes them for the same name'],
    [[file('/É'), file('/é')], '/É and /é: FAT'],
    [[file('/EFI/x'), file('/efi/y')], '/EFI and /efi: FAT'],
    [[file('/a:b')], '/a:b: FAT allows no ":" in a name'],
    [[file('/d\\e/f')], '/d\\e: FAT allows no "\\\\"'],
    [[file('/a\nb')], 'FAT allows no "\\n"'],
    [[file('/end.')], '/end.: FAT allows no dot'],
    [[file('/end ')], '/end : FAT allows no dot and no space'],
    [[{ path: '/l', type: 'symlink', target: 'x' }], '/l: is a symlink'],
    [[file('/f'), { path: '/h', type: 'hardlink', linkTo: '/f' }], '/h: is a hardlink'],
    [[{ path: '/c', type: 'char', major: 1, minor: 3 }], '/c: is a char'],
  ])('is a TypeError: %j', (nodes, message) => {
    const error = refusal(nodes)
    expect(error).toBeInstanceOf(TypeError)
    expect(String(error)).toContain(message)
  })

  test.each<[NewNode[], string]>([
    [[file('/t', 4_354_819_200)], '/t: mtimeSeconds is 4354819200, FAT ends with 2107'],
    [
      [{ path: '/big', type: 'file', content: { sizeBytes: 2 ** 32, open: () => empty() } }],
      '/big: has 4294967296 bytes, FAT holds 4294967295 in a file',
    ],
  ])('is a RangeError: %j', (nodes, message) => {
    const error = refusal(nodes)
    expect(error).toBeInstanceOf(RangeError)
    expect(String(error)).toContain(message)
  })

  test.each<FatOptions>([
    { volumeLabel: 'small' },
    { volumeLabel: 'TWELVE CHARS' },
    { volumeLabel: '' },
    { volumeLabel: ' X' },
    { volumeLabel: 'X ' },
    { volumeLabel: 'Ä' },
    { volumeId: '1234ABCD' },
    { volumeId: '1234-ABCG' },
    { type: 'fat12' as 'fat16' },
  ])('is refused as an option: %j', (options) => {
    expect(refusal([], options)).toBeInstanceOf(TypeError)
  })
})

async function* empty(): AsyncGenerator<Uint8Array> {}
