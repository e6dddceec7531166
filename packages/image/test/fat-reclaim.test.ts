import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type FatOptions, readFat, writeFat } from '../src/fat.ts'
import { planFatReclaim } from '../src/fat-reclaim.ts'
import { bytesAccess } from '../src/random-access.ts'
import { FileTree } from '../src/tree.ts'

let folder = ''
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'solo-fat-reclaim-'))))
afterEach(() => rmSync(folder, { recursive: true }))

const names = ['EFI/BOOT/BOOTX64.EFI', 'EFI/Linux/soloa+3-0.efi', 'EFI/Linux/solob+3-0.efi', 'loader.conf']

async function image(options: FatOptions): Promise<Uint8Array> {
  const tree = new FileTree()
  for (const [index, name] of names.entries())
    tree.add({ path: `/${name}`, type: 'file', content: new Uint8Array(70_000 + index).fill(index + 1) })
  return new Uint8Array(Buffer.concat(await Array.fromAsync(writeFat(tree, options))))
}

const sizes: [string, FatOptions][] = [
  ['FAT16', { sizeBytes: 8 * 1024 ** 2 }],
  ['FAT32', { sizeBytes: 40 * 1024 ** 2 }],
]

/** Carries it out, as far as `count` writes. */
async function reclaim(bytes: Uint8Array, count = Number.POSITIVE_INFINITY): Promise<number> {
  const { clusters, writes } = await planFatReclaim(bytesAccess(bytes))
  for (const { offset, bytes: sector } of writes.slice(0, count)) {
    expect([offset % 512, sector.byteLength]).toEqual([0, 512])
    bytes.set(sector, offset)
  }
  return clusters
}

/** What fsck.fat says, without its word on the number of free clusters, which the kernel counts anew. */
function complaints(bytes: Uint8Array): string[] {
  const file = join(folder, 'fat.img')
  writeFileSync(file, bytes)
  const { stdout } = spawnSync('fsck.fat', ['-n', '-v', file], { encoding: 'utf8' })
  return stdout.split('\n').filter((line) => /Reclaimed|Orphan|differ|corrupt|share/.test(line))
}

/** Loses a file as a power cut does: its entry is not there, its clusters are taken. */
function lose(bytes: Uint8Array, shortName: string): void {
  const at = Buffer.from(bytes.buffer).indexOf(Buffer.from(shortName, 'latin1'))
  if (at < 0) throw new Error(`no entry ${shortName}`)
  // And the piece of its long name before it.
  bytes[at] = bytes[at - 32] = 0xe5
}

async function contents(bytes: Uint8Array): Promise<Map<string, string>> {
  const volume = await readFat(bytes)
  const found = new Map<string, string>()
  for await (const entry of volume.walk())
    if (entry.type === 'file')
      found.set(entry.path, await volume.read(entry).then((read) => `${read.length} of ${read[0]}`, String))
  return found
}

describe.each(sizes)('planFatReclaim() on %s', (type, options) => {
  test('finds nothing where each cluster has its file', async () => {
    const bytes = await image(options)
    const { clusters, writes } = await planFatReclaim(bytesAccess(bytes))
    expect([clusters, writes]).toEqual([0, []])
  })

  test('frees what a lost file had, all of it and nothing else', async () => {
    const bytes = await image(options)
    lose(bytes, shortNameOf(bytes, 'solob'))
    const before = await contents(bytes)
    expect(before.size).toBe(names.length - 1)
    expect(complaints(bytes).join('\n')).toMatch(/Reclaimed \d+ unused clusters/)
    const clusters = await reclaim(bytes)
    const { clusterBytes } = await readFat(bytes)
    expect(clusters).toBe(Math.ceil(70_002 / clusterBytes))
    expect(await contents(bytes)).toEqual(before)
    expect(complaints(bytes)).toEqual([])
    expect(await reclaim(bytes)).toBe(0)
    // Whoever writes next finds the room: mtools has nothing of ours.
    const file = join(folder, 'new')
    writeFileSync(file, new Uint8Array(70_000))
    const disk = join(folder, 'fat.img')
    writeFileSync(disk, bytes)
    const env = { ...process.env, MTOOLS_SKIP_CHECK: '1' }
    execFileSync('mcopy', ['-i', disk, file, '::/EFI/Linux/new'], { env })
  })

  test('leaves each file as it was when the power fails between its writes', async () => {
    const lost = await image(options)
    lose(lost, shortNameOf(lost, 'solob'))
    const before = await contents(lost)
    const { writes } = await planFatReclaim(bytesAccess(lost))
    expect(writes.length).toBeGreaterThan(1)
    for (let count = 0; count <= writes.length; count += 1) {
      const bytes = Uint8Array.from(lost)
      await reclaim(bytes, count)
      expect(await contents(bytes)).toEqual(before)
      await reclaim(bytes)
      expect(await contents(bytes)).toEqual(before)
      expect((await planFatReclaim(bytesAccess(bytes))).clusters).toBe(0)
    }
  })

  test('leaves what one table alone still knows to be of a file', async () => {
    const whole = await image(options)
    const view = new DataView(whole.buffer)
    const tableBytes = view.getUint16(22, true) * 512 || view.getUint32(36, true) * 512
    const [first, wide] = [view.getUint16(14, true) * 512, type === 'FAT32']
    for (const table of [first, first + tableBytes]) {
      const bytes = Uint8Array.from(whole)
      // The end of a chain, in the midst of the first file's.
      bytes.fill(0xff, table + 40 * (wide ? 4 : 2), table + 41 * (wide ? 4 : 2))
      if (table === first) expect(complaints(bytes).join('\n')).toMatch(/FATs differ/)
      const before = Uint8Array.from(bytes)
      expect(await reclaim(bytes)).toBe(0)
      expect(Buffer.compare(bytes, before)).toBe(0)
    }
  })

  test('changes nothing of any file, whatever the table says', async () => {
    const whole = await image(options)
    const tableAt = new DataView(whole.buffer).getUint16(14, true) * 512
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(600), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        async (changes) => {
          const bytes = Uint8Array.from(whole)
          // Behind the two numbers that are no clusters'.
          for (const [at, value] of changes) bytes[tableAt + 8 + at] = value
          const before = await contents(bytes).catch(String)
          const done = await reclaim(bytes).catch(() => 0)
          expect(await contents(bytes).catch(String)).toEqual(before)
          if (done > 0) expect((await planFatReclaim(bytesAccess(bytes))).clusters).toBe(0)
        },
      ),
      { numRuns: 50 },
    )
  })
})

/** The short name of the entry whose long name begins so, as it is stored: in that of ours a hash. */
function shortNameOf(bytes: Uint8Array, stem: string): string {
  const long = Buffer.from(stem, 'utf16le')
  const piece = Buffer.from(bytes.buffer).indexOf(long.subarray(0, 10)) - 1
  return Buffer.from(bytes.buffer).toString('latin1', piece + 32, piece + 43)
}
