import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { fileAccess } from '../src/file-access.ts'
import { bytesAccess } from '../src/random-access.ts'

const folder = mkdtempSync(join(tmpdir(), 'solo-access-'))
afterAll(() => rmSync(folder, { recursive: true }))
const bytes = new Uint8Array([1, 2, 3, 4, 5])

test('bytesAccess() and fileAccess() read the same, and fewer bytes only at the end', async () => {
  const path = join(folder, 'five')
  writeFileSync(path, bytes)
  await using file = await fileAccess(path)
  for (const access of [bytesAccess(bytes), file]) {
    expect(access.sizeBytes).toBe(5)
    expect([...(await access.read(1, 3))]).toEqual([2, 3, 4])
    expect([...(await access.read(3, 9))]).toEqual([4, 5])
    expect([...(await access.read(5, 1))]).toEqual([])
    expect([...(await access.read(99, 1))]).toEqual([])
  }
})

test('fileAccess() names a file that is not there', async () => {
  await expect(fileAccess(join(folder, 'nowhere'))).rejects.toThrow(/ENOENT.*nowhere/)
})
