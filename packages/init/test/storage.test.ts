import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { contentOf, HEAD_BYTES, NEVER_FORMATTED } from '../src/storage/ext4-head.ts'
import { machineId, ownHostname, renewRandomSeed } from '../src/storage/identity.ts'

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
