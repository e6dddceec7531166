import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Gpt, gptDisk, partitionTypes, readGpt } from '@pkg/image/gpt'
import { expect, test } from 'vitest'
import { contentOf, HEAD_BYTES, NEVER_FORMATTED } from '../src/storage/ext4-head.ts'
import { machineId, ownHostname, renewRandomSeed } from '../src/storage/identity.ts'
import { hasFile } from '../src/storage/own-disk.ts'
import { wanted } from '../src/storage/partition-table.ts'

function scratchFolder(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'solo-storage-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) }
}

/** The first bytes of an ext4 file system that mke2fs made, after what debugfs was told. */
function ext4Head(folder: string, ...requests: string[]): Uint8Array {
  const image = join(folder, 'ext4.img')
  execFileSync('mke2fs', ['-q', '-t', 'ext4', image, '2M'])
  for (const request of requests) execFileSync('debugfs', ['-w', '-R', request, image], { stdio: 'pipe' })
  return readFileSync(image).subarray(0, HEAD_BYTES)
}

test('contentOf() knows the mark of a build, and takes nothing else for it', () => {
  const head = new Uint8Array(HEAD_BYTES)
  head.set(new TextEncoder().encode(NEVER_FORMATTED))
  expect(contentOf(head)).toEqual({ kind: 'never-formatted' })
  head[3] = 0
  expect(contentOf(head)).toEqual({ kind: 'unknown' })
  expect(contentOf(new Uint8Array(HEAD_BYTES))).toEqual({ kind: 'unknown' })
  expect(contentOf(new Uint8Array())).toEqual({ kind: 'unknown' })
})

test('contentOf() tells an ext4 file system that was unmounted from one that was not', () => {
  using folder = scratchFolder()
  const sizeBytes = 2 * 1024 * 1024
  expect(contentOf(ext4Head(folder.path))).toEqual({ kind: 'ext4', clean: true, sizeBytes })
  expect(contentOf(ext4Head(folder.path, 'ssv state 0'))).toEqual({ kind: 'ext4', clean: false, sizeBytes })
  expect(contentOf(ext4Head(folder.path, 'ssv state 3'))).toEqual({ kind: 'ext4', clean: false, sizeBytes })
  const recover = ext4Head(folder.path, 'feature needs_recovery')
  expect(contentOf(recover)).toEqual({ kind: 'ext4', clean: false, sizeBytes })
})

test('machineId() makes an id once, and a new one where the file was torn', () => {
  using folder = scratchFolder()
  const id = machineId(folder.path)
  expect(id).toMatch(/^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$/)
  expect(machineId(folder.path)).toBe(id)
  const file = join(folder.path, 'lib/solo/machine-id')
  expect(readFileSync(file, 'utf8')).toBe(`${id}\n`)
  rmSync(file)
  writeFileSync(file, id.slice(0, 7))
  expect(machineId(folder.path)).not.toBe(id)
  expect(readdirSync(join(folder.path, 'lib/solo'))).toEqual(['machine-id'])
})

test('renewRandomSeed() gives the old seed to the kernel, and never keeps it', () => {
  using folder = scratchFolder()
  const device = join(folder.path, 'urandom')
  writeFileSync(device, '')
  expect(renewRandomSeed(folder.path, device)).toBe('made')
  expect(readFileSync(device)).toHaveLength(0)
  const file = join(folder.path, 'lib/solo/random-seed')
  const first = readFileSync(file)
  expect(first).toHaveLength(512)
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(renewRandomSeed(folder.path, device)).toBe('stirred in')
  expect(readFileSync(device)).toEqual(first)
  expect(readFileSync(file)).not.toEqual(first)
})

test('ownHostname() is what the machine was called, if it was', () => {
  using folder = scratchFolder()
  expect(ownHostname(folder.path)).toBeUndefined()
  writeFileSync(join(folder.path, 'lib/solo/hostname'), 'kitchen\n')
  expect(ownHostname(folder.path)).toBe('kitchen')
})

const guid = (digit: string): string => `${digit.repeat(8)}-0000-4000-8000-000000000000`

/** A table of two partitions as it is read from a disk of 64 MiB. */
async function tableOf(diskGuid: string): Promise<Gpt> {
  const sizeBytes = 64 * 1024 * 1024
  const { primary, backup, backupOffsetBytes } = gptDisk({
    ...{ sizeBytes, diskGuid },
    partitions: [
      { name: 'esp', type: partitionTypes.esp, guid: guid('1'), sizeBytes: 16 * 1024 * 1024 },
      { name: 'data', type: partitionTypes.var, guid: guid('2') },
    ],
  })
  const disk = new Uint8Array(sizeBytes)
  disk.set(primary)
  disk.set(backup, backupOffsetBytes)
  return await readGpt(disk)
}

test.each([
  { built: guid('a'), hasTwin: false, changes: ['GUIDs of its own'] },
  { built: guid('b'), hasTwin: false, changes: [] },
  { built: guid('b'), hasTwin: true, changes: ['GUIDs of its own, which a twin in this machine had too'] },
])('wanted() gives new GUIDs to a disk that has those of a build or of a twin: $changes', async (row) => {
  const table = await tableOf(guid('a'))
  const wishes = { builtDiskGuid: row.built, hasTwin: row.hasTwin, growing: 'data' }
  const { changes, diskGuid, partitions } = wanted(table, 64 * 1024 * 1024, wishes)
  expect(changes).toEqual(row.changes)
  const before = [table.diskGuid, ...table.partitions.map((each) => each.guid)]
  const after = [diskGuid, ...partitions.map((each) => each.guid)]
  expect(new Set([...before, ...after]).size).toBe(row.changes.length === 0 ? 3 : 6)
  expect(partitions.map(({ name, firstLba, lastLba }) => ({ name, firstLba, lastLba }))).toEqual(
    table.partitions.map(({ name, firstLba, lastLba }) => ({ name, firstLba, lastLba })),
  )
})

test('hasFile() finds the entry that a loader has counted, changes nothing, and finds nothing in a damaged partition', async () => {
  using folder = scratchFolder()
  const image = join(folder.path, 'esp')
  execFileSync('mkfs.fat', ['-C', '-F', '32', image, '40000'], { stdio: 'pipe' })
  writeFileSync(join(folder.path, 'file'), 'x')
  execFileSync('mmd', ['-i', image, '::/EFI', '::/EFI/Linux'])
  execFileSync('mcopy', ['-i', image, join(folder.path, 'file'), '::/EFI/Linux/soloa+2-1.efi'])
  const before = readFileSync(image)
  expect(await hasFile(image, '/EFI/Linux/soloa+2-1.efi')).toBe(true)
  expect(await hasFile(image, '/EFI/Linux/soloa+3-0.efi')).toBe(false)
  expect(await hasFile(image, '/EFI/none/soloa+3-0.efi')).toBe(false)
  expect(readFileSync(image).equals(before)).toBe(true)
  writeFileSync(image, before.fill(0, 0, 512))
  expect(await hasFile(image, '/EFI/Linux/soloa+2-1.efi')).toBe(false)
  expect(await hasFile(join(folder.path, 'none'), '/a')).toBe(false)
})
