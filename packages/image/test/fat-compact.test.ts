import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readFat, writeFat, type FatOptions } from '../src/fat.ts'
import { planFatCompaction } from '../src/fat-compact.ts'
import { bytesAccess } from '../src/random-access.ts'
import { FileTree } from '../src/tree.ts'

const FOLDER = '/EFI/Linux'

let folder = ''
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'solo-fat-compact-'))))
afterEach(() => rmSync(folder, { recursive: true }))

async function image(names: readonly string[], options: FatOptions): Promise<Uint8Array> {
  const tree = new FileTree()
  for (const [index, name] of names.entries())
    tree.add({ path: `${FOLDER}/${name}`, type: 'file', content: new Uint8Array(9000).fill(index + 1) })
  return new Uint8Array(Buffer.concat(await Array.fromAsync(writeFat(tree, options))))
}

/** Carries it out, as far as `count` writes, and gives how many there were. */
async function compact(bytes: Uint8Array, count = Number.POSITIVE_INFINITY): Promise<number> {
  const writes = await planFatCompaction(bytesAccess(bytes), FOLDER)
  for (const { offset, bytes: sector } of writes.slice(0, count)) {
    expect([offset % 512, sector.byteLength]).toEqual([0, 512])
    bytes.set(sector, offset)
  }
  return writes.length
}

/** What mtools and fsck.fat say, who have nothing of ours. */
function judged(bytes: Uint8Array): string[] {
  const file = join(folder, 'fat.img')
  writeFileSync(file, bytes)
  execFileSync('fsck.fat', ['-n', file], { stdio: 'pipe' })
  const env = { ...process.env, MTOOLS_SKIP_CHECK: '1' }
  const listed = execFileSync('mdir', ['-b', '-i', file, `::${FOLDER}`], { encoding: 'utf8', env })
  return listed.trim().split('\n').toSorted()
}

async function contents(bytes: Uint8Array): Promise<string[]> {
  const volume = await readFat(bytes)
  const files = await volume.list(FOLDER)
  return await Promise.all(
    files.map(async ({ name }) => `${name} ${(await volume.read(`${FOLDER}/${name}`))[0]}`),
  )
}

const sizes: [string, FatOptions][] = [
  ['FAT16', { sizeBytes: 8 * 1024 ** 2 }],
  ['FAT32', { sizeBytes: 40 * 1024 ** 2 }],
]

/** Where the directory's first entry (`.`) lies; its parent's looks the same but for the dots. */
function startOf(bytes: Uint8Array): number {
  const found: number[] = []
  const dots = Buffer.from('.          ')
  for (let at = 0; (at = Buffer.from(bytes.buffer).indexOf(dots, at)) >= 0; at += 1)
    if (at % 512 === 0) found.push(at)
  return found.at(-1) ?? 0
}

test.each(sizes)(
  'planFatCompaction() on %s closes gaps as firmware leaves them, by one write',
  async (_type, options) => {
    const names = ['soloa+3-0.efi', 'solob+3-0.efi']
    const bytes = await image(names, options)
    const before = await contents(bytes)
    expect(await compact(bytes)).toBe(0)
    // As EDK2 renames: removed where it was, appended behind the last.
    const start = startOf(bytes)
    const entry = bytes.slice(start + 64, start + 64 + 64)
    for (let index = 0; index < 2; index += 1) bytes[start + 64 + index * 32] = 0xe5
    bytes.set(entry, start + 6 * 32)
    expect(await contents(bytes)).toEqual(before.toReversed())
    expect(await compact(bytes)).toBe(1)
    expect(await contents(bytes)).toEqual(before.toReversed())
    expect(judged(bytes)).toEqual(names.map((name) => `::${FOLDER}/${name}`))
    // 2 dots and twice 2: the end of the directory follows.
    expect([...bytes.subarray(start + 6 * 32, start + 512)].every((byte) => byte === 0)).toBe(true)
    expect(await compact(bytes)).toBe(0)
  },
)

test('planFatCompaction() takes entries back from behind the first sector, at no moment without one of them', async () => {
  const names = ['solo-a+3-0.efi', 'b', 'c', 'd', 'e', 'f', 'g', 'solo-b+3-0.efi']
  const bytes = await image(names, { sizeBytes: 40 * 1024 ** 2 })
  const before = await contents(bytes)
  // b, c and d are removed, so that what remains fits: solo-b lies behind the first sector, solo-a in part.
  const start = startOf(bytes)
  for (const index of [2, 3, 4, 5, 6, 7]) bytes[start + index * 32] = 0xe5
  const left = before.filter((line) => !/^[bcd] /.test(line))
  expect(await contents(bytes)).toEqual(left)
  const cut = Uint8Array.from(bytes)
  const writes = await compact(cut, 1)
  expect(writes).toBeGreaterThan(1)
  // Readers that go on behind the end see a name twice until the second write; never one less.
  expect(await contents(cut)).toEqual(left)
  await compact(cut)
  expect(await contents(cut)).toEqual(left)
  expect(await compact(cut)).toBe(0)
})

test('planFatCompaction() refuses what does not fit into a sector, and what is no directory', async () => {
  const bytes = await image(
    Array.from({ length: 8 }, (_, index) => `solo-${index}+3-0.efi`),
    { sizeBytes: 8 * 1024 ** 2 },
  )
  await expect(planFatCompaction(bytesAccess(bytes), FOLDER)).rejects.toThrow(
    'has 26 entries, one sector holds 15',
  )
  await expect(planFatCompaction(bytesAccess(bytes), '/EFI/None')).rejects.toThrow('no such directory')
})
