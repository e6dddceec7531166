// What builds keep for the next one: right when something has changed, and used when nothing has.
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { hostFile } from '@pkg/image/file-source'
import { frameBytes } from '@pkg/update/release'
import { afterAll, expect, test } from 'vitest'
import { cachedBundle } from '../src/build/bundle-cache.ts'
import { CompressionMeter, compressedSizeBytes } from '../src/build/compressed-size.ts'
import { digestsOf } from '../src/sbom/digests.ts'
import { testFolder } from './support/folder.ts'

const root = testFolder()
afterAll(() => root[Symbol.dispose]())
const MiB = 1024 * 1024

test('cachedBundle() bundles again when a file has changed or is gone, and only then', async () => {
  const [folder, cache] = [join(root.path, 'program'), join(root.path, 'bundle-cache')]
  mkdirSync(folder)
  const [entry, part] = [join(folder, 'entry.ts'), join(folder, 'part.ts')]
  writeFileSync(entry, "import { what } from './part.ts'\nconsole.log(what)\n")
  const text = async (): Promise<string> => {
    const { files, inputs } = await cachedBundle(entry, 'entry', {}, cache)
    expect(inputs).toEqual([entry, part])
    return new TextDecoder().decode(files.get('index.js'))
  }
  writeFileSync(part, "export const what = 'first'\n")
  expect(await text()).toContain('first')
  const bundles = (): string[] => readdirSync(join(cache, 'bundles')).filter((name) => !name.includes('.'))
  expect(bundles()).toHaveLength(1)
  // What lies there is what is taken: the bundler has not run again.
  const kept = join(cache, 'bundles', bundles()[0] ?? '', 'files/index.js')
  writeFileSync(kept, readFileSync(kept, 'utf8').replace('first', 'kept'))
  expect(await text()).toContain('kept')
  writeFileSync(part, "export const what = 'second'\n")
  expect(await text()).toContain('second')
  writeFileSync(part, "export const what = 'first'\n")
  expect(await text()).toContain('kept')
  rmSync(part)
  await expect(cachedBundle(entry, 'entry', {}, cache)).rejects.toThrow('./part.ts')
})

test('digestsOf() reads a large file again when its times have changed, though its size has not', async () => {
  const [path, cache] = [join(root.path, 'large'), join(root.path, 'digest-cache')]
  const bytes = randomBytes(5 * MiB)
  writeFileSync(path, bytes)
  const first = await digestsOf(await hostFile(path), path, cache)
  expect(await digestsOf(bytes, path, cache)).toEqual(first)
  expect(await digestsOf(await hostFile(path), path, cache)).toEqual(first)
  expect(readdirSync(join(cache, 'digests'))).toHaveLength(1)
  const { atime, mtime } = statSync(path)
  bytes[0] = (bytes[0] ?? 0) ^ 1
  writeFileSync(path, bytes)
  // The time of the last change of the inode tells, which nobody can set.
  utimesSync(path, atime, mtime)
  const second = await digestsOf(await hostFile(path), path, cache)
  expect(second).not.toEqual(first)
  expect(second).toEqual(await digestsOf(bytes, path, cache))
})

test('compressedSizeBytes() is the same from the cache, from other chunks, and by names of pieces', async () => {
  const cache = join(root.path, 'size-cache')
  const bytes = Buffer.concat([randomBytes(3 * MiB), Buffer.alloc(2 * frameBytes), randomBytes(100)])
  const source = (chunkBytes: number): { sizeBytes: number; open(): AsyncGenerator<Uint8Array> } => ({
    sizeBytes: bytes.length,
    async *open() {
      for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes)
    },
  })
  const size = await compressedSizeBytes(source(70_001), cache)
  expect(size).toBeGreaterThan(3 * MiB)
  expect(size).toBeLessThan(3 * MiB + 4096)
  expect(readdirSync(join(cache, 'zstd-sizes'))).toHaveLength(3)
  expect(await compressedSizeBytes(source(bytes.length), cache)).toBe(size)

  const named = async (name: string): Promise<number> => {
    const meter = new CompressionMeter(cache, (index) => (index === 0 ? name : undefined))
    for await (const chunk of source(MiB).open()) await meter.update(chunk)
    return await meter.finish()
  }
  expect(await named('one')).toBe(size)
  writeFileSync(join(cache, 'zstd-sizes', 'two-7'), '1')
  expect(await named('two')).toBe(size - keptSize(cache, 'one') + 1)
})

/** The size that is kept under a name. */
function keptSize(cache: string, name: string): number {
  return Number(readFileSync(join(cache, 'zstd-sizes', `${name}-7`), 'utf8'))
}
