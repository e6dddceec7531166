// What lies on a medium that somebody brought, and is no regular file, is not read.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { folderSource } from '@pkg/update/folder-source'
import { afterEach, beforeEach, expect, test } from 'vitest'

const DIGEST = `sha256:${'0'.repeat(64)}`

let folder = ''
let blob = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'solo-folder-source-'))
  mkdirSync(join(folder, 'blobs/sha256'), { recursive: true })
  blob = join(folder, 'blobs/sha256', '0'.repeat(64))
})
afterEach(() => rmSync(folder, { recursive: true }))

async function read(): Promise<string> {
  let text = ''
  for await (const chunk of folderSource(folder).open(DIGEST, 0, 4)) text += Buffer.from(chunk).toString()
  return text
}

test('folderSource() reads a part of a regular file', async () => {
  writeFileSync(blob, 'blob of a release')
  expect(await read()).toBe('blob')
})

test.each([
  ['a symbolic link', () => symlinkSync('/etc/passwd', blob), /cannot be opened/],
  ['a link to a device without an end', () => symlinkSync('/dev/zero', blob), /cannot be opened/],
  ['a pipe that nobody writes to', () => execFileSync('mkfifo', [blob]), /no regular file/],
  ['a folder', () => mkdirSync(blob), /no regular file/],
] as const)('folderSource() does not read %s', async (_, make, reason) => {
  make()
  await expect(read()).rejects.toThrow(reason)
})

test('folderSource() does not read a device', async () => {
  const [command, ...rest] = process.getuid?.() === 0 ? ['mknod'] : ['sudo', '-n', 'mknod']
  execFileSync(command ?? 'mknod', [...rest, blob, 'c', '1', '5'])
  // Root's: whoever runs the tests could not open it by its mode.
  await expect(read()).rejects.toThrow(/no regular file|cannot be opened/)
})
