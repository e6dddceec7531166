import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readFat, writeFat, type FatOptions } from '../src/fat.ts'
import { planFatRename } from '../src/fat-rename.ts'
import { bytesAccess } from '../src/random-access.ts'
import { FileTree } from '../src/tree.ts'

let folder = ''
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'solo-fat-rename-'))))
afterEach(() => rmSync(folder, { recursive: true }))

async function image(names: readonly string[], options: FatOptions): Promise<Uint8Array> {
  const tree = new FileTree()
  for (const [index, name] of names.entries()) {
    tree.add({ path: `/EFI/Linux/${name}`, type: 'file', content: new Uint8Array(9000).fill(index + 1) })
  }
  return new Uint8Array(Buffer.concat(await Array.fromAsync(writeFat(tree, options))))
}

async function rename(bytes: Uint8Array, path: string, name: string): Promise<void> {
  const { offset, sector, begin, end } = await planFatRename(bytesAccess(bytes), path, name)
  expect([offset % 512, sector.byteLength]).toEqual([0, 512])
  bytes.set(sector.subarray(begin, end), offset + begin)
  expect(Buffer.compare(bytes.subarray(offset, offset + 512), sector)).toBe(0)
}

/** What mtools and fsck.fat say, who have nothing of ours. */
function judged(bytes: Uint8Array): string[] {
  const file = join(folder, 'fat.img')
  writeFileSync(file, bytes)
  execFileSync('fsck.fat', ['-n', file], { stdio: 'pipe' })
  const env = { ...process.env, MTOOLS_SKIP_CHECK: '1' }
  const listed = execFileSync('mdir', ['-b', '-i', file, '::/EFI/Linux'], { encoding: 'utf8', env })
  return listed.trim().split('\n').toSorted()
}

const sizes: [string, FatOptions][] = [
  ['FAT16', { sizeBytes: 8 * 1024 ** 2 }],
  ['FAT32', { sizeBytes: 40 * 1024 ** 2 }],
]

test.each(sizes)(
  'planFatRename() changes a name on %s so that mtools and fsck.fat agree',
  async (_type, options) => {
    const bytes = await image(['soloa+2-1.efi', 'solob+3-0.efi'], options)
    await rename(bytes, '/EFI/Linux/soloa+2-1.efi', 'soloa+3-0.efi')
    await rename(bytes, '/EFI/Linux/solob+3-0.efi', 'solob+0-3.efi')
    expect(judged(bytes)).toEqual(['::/EFI/Linux/soloa+3-0.efi', '::/EFI/Linux/solob+0-3.efi'])
    const volume = await readFat(bytes)
    expect([...(await volume.read('/EFI/Linux/solob+0-3.efi'))]).toEqual([...new Uint8Array(9000).fill(2)])
  },
)

test('planFatRename() changes names that mtools wrote and removed before, and the last of many', async () => {
  const file = join(folder, 'other.img')
  execFileSync('mkfs.fat', ['-C', '-F', '16', file, '16384'], { stdio: 'pipe' })
  const env = { ...process.env, MTOOLS_SKIP_CHECK: '1' }
  const mtools = (program: string, ...args: string[]): Buffer =>
    execFileSync(program, ['-i', file, ...args], { env, stdio: 'pipe' })
  mtools('mmd', '::/EFI', '::/EFI/Linux')
  writeFileSync(join(folder, 'x'), 'kernel')
  for (let index = 0; index < 70; index++) {
    mtools('mcopy', join(folder, 'x'), `::/EFI/Linux/long name of file ${String(index).padStart(2, '0')}.efi`)
  }
  mtools('mdel', '::/EFI/Linux/long name of file 03.efi')
  const bytes = new Uint8Array(readFileSync(file))
  await rename(bytes, '/EFI/Linux/long name of file 69.efi', 'long name of file 7x.efi')
  const names = judged(bytes)
  expect(names).toHaveLength(69)
  expect(names).toContain('::/EFI/Linux/long name of file 7x.efi')
  expect(names).not.toContain('::/EFI/Linux/long name of file 69.efi')
})

test('planFatRename() tells which bytes are of this name alone', async () => {
  const bytes = await image(['soloa+2-1.efi', 'solob+3-0.efi'], { sizeBytes: 8 * 1024 ** 2 })
  const { offset, sector, begin, end } = await planFatRename(
    bytesAccess(bytes),
    '/EFI/Linux/soloa+2-1.efi',
    'soloa+3-0.efi',
  )
  // Somebody renames the other one meanwhile.
  await rename(bytes, '/EFI/Linux/solob+3-0.efi', 'solob+0-3.efi')
  bytes.set(sector.subarray(begin, end), offset + begin)
  expect(judged(bytes)).toEqual(['::/EFI/Linux/soloa+3-0.efi', '::/EFI/Linux/solob+0-3.efi'])
  const same = await planFatRename(bytesAccess(bytes), '/EFI/Linux/soloa+3-0.efi', 'soloa+3-0.efi')
  expect([same.begin, same.end]).toEqual([0, 0])
})

test('planFatRename() refuses what would take more than one write, or another name', async () => {
  const names = [
    'soloa+2-1.efi',
    'soloa+3-0.efi',
    'SHORT.EFI',
    ...Array.from({ length: 30 }, (_, n) => `${n} ${'x'.repeat(30)}`),
  ]
  const bytes = await image(names, { sizeBytes: 8 * 1024 ** 2 })
  const plan = async (file: string, name: string) =>
    await planFatRename(bytesAccess(bytes), `/EFI/Linux/${file}`, name)
  await expect(plan('soloa+2-1.efi', 'soloa+3-0.efi')).rejects.toThrow('there is one already')
  await expect(plan('soloa+2-1.efi', 'solo.efi')).rejects.toThrow('is not of the same length')
  await expect(plan('nobody.efi', 'anyone.efi')).rejects.toThrow('no file with this long name')
  await expect(plan('SHORT.EFI', 'OTHER.EFI')).rejects.toThrow('no file with this long name')
  // Of thirty names of three pieces and a short entry some lie across the end of a sector.
  const across = await Promise.allSettled(
    names.slice(3).map(async (name) => await plan(name, 'y'.repeat(name.length))),
  )
  const reasons = across.flatMap((each) => (each.status === 'rejected' ? [String(each.reason)] : []))
  expect(reasons.length).toBeGreaterThan(0)
  for (const reason of reasons) expect(reason).toContain('what changes lies in 2 sectors')
})
