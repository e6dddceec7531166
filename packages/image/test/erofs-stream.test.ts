import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { erofsImageId, prepareErofs, writeErofs } from '../src/erofs.ts'
import { hostFile } from '../src/file-source.ts'
import type { FileSource } from '../src/file-source.ts'
import { FileTree } from '../src/tree.ts'
import { checkedImage, extracted, noise, sample, sha256, text, treeOf } from './erofs-images.ts'
import { collect, runOk, temporaryFolder } from './run.ts'

// Some tests start many programs; other tests may have all processors.
const slow = { timeout: 240_000 }

describe('the uuid', () => {
  test('is the SHA-256 of the image without uuid and checksum', slow, async () => {
    const bytes = await collect(writeErofs(treeOf(sample)))
    const image = await prepareErofs(treeOf(sample))
    expect(image.sizeBytes).toBe(bytes.byteLength)
    const bare = bytes.slice()
    bare.fill(0, 1024 + 4, 1024 + 8)
    bare.fill(0, 1024 + 48, 1024 + 64)
    const digest = sha256(bare)
    expect(image.uuid.replaceAll('-', '')).toBe(digest.slice(0, 32))
    expect(Buffer.from(bytes.subarray(1024 + 48, 1024 + 64)).toString('hex')).toBe(digest.slice(0, 32))
    expect(runOk(['dump.erofs', '-s', await checkedImage(treeOf(sample))])).toContain(image.uuid)
    expect(await collect(image.open())).toEqual(bytes)
  })

  test('may be given, and does not change the id', async () => {
    const uuid = 'C0FFEE00-1234-5678-9abc-def012345678'
    const image = await prepareErofs(treeOf(sample), { uuid })
    expect(image.uuid).toBe(uuid.toLowerCase())
    const path = await checkedImage(treeOf(sample), { uuid })
    expect(runOk(['dump.erofs', '-s', path])).toContain(uuid.toLowerCase())
    expect(await erofsImageId(readFileSync(path))).toBe((await prepareErofs(treeOf(sample))).uuid)
  })

  test('erofsImageId() reads chunks of any size, and only what belongs to the image', async () => {
    const { uuid, open } = await prepareErofs(treeOf(sample))
    const bytes = await collect(open())
    const parts: Uint8Array[] = []
    for (let start = 0; start < bytes.byteLength; start += 1000)
      parts.push(bytes.subarray(start, start + 1000))
    expect(await erofsImageId([...parts, noise(10_000)])).toBe(uuid)
    expect(bytes).toEqual(await collect(open()))
    const cut = bytes.subarray(0, bytes.byteLength - 1)
    await expect(erofsImageId(cut)).rejects.toThrow(
      `${bytes.byteLength} bytes is cut off after ${cut.byteLength}`,
    )
    await expect(erofsImageId(noise(5000))).rejects.toThrow('not an EROFS image')
    await expect(erofsImageId(new Uint8Array(10))).rejects.toThrow(TypeError)
  })
})

describe('writeErofs() of streams', () => {
  test('reads a source only as fast as its own output is taken', async () => {
    let openedAhead = 0
    let taken = 0
    const source: FileSource = {
      sizeBytes: 64 * 1024 * 1024,
      async *open() {
        for (let given = 0; given < 64; given++) {
          openedAhead = Math.max(openedAhead, given * 1024 * 1024 - taken)
          yield new Uint8Array(1024 * 1024)
        }
      },
    }
    const tree = treeOf([{ path: '/f', type: 'file', content: source }])
    for await (const chunk of writeErofs(tree, { uuid: '0'.repeat(8) + '-0000-0000-0000-' + '0'.repeat(12) }))
      taken += chunk.byteLength
    expect(taken).toBe(64 * 1024 * 1024 + 4096)
    expect(openedAhead).toBeLessThanOrEqual(1024 * 1024)
  })

  test('opens sources once when the uuid is given, else twice', async () => {
    let opened = 0
    const source: FileSource = {
      sizeBytes: 5,
      async *open() {
        opened += 1
        yield text('hello')
      },
    }
    const tree = treeOf([{ path: '/f', type: 'file', content: source }])
    await collect(writeErofs(tree, { uuid: '00000000-0000-0000-0000-000000000000' }))
    expect(opened).toBe(1)
    await collect(writeErofs(tree))
    expect(opened).toBe(3)
  })

  test('writes host files, small and large', slow, async () => {
    const large = join(temporaryFolder(), 'large')
    writeFileSync(large, noise(1_000_000))
    const tree = treeOf([
      { path: '/small', type: 'file', content: await hostFile(import.meta.filename) },
      { path: '/large', type: 'file', content: await hostFile(large) },
    ])
    const folder = await extracted(tree)
    expect(sha256(readFileSync(join(folder, 'small')))).toBe(sha256(readFileSync(import.meta.filename)))
    expect(sha256(readFileSync(join(folder, 'large')))).toBe(sha256(readFileSync(large)))
  })

  test.each([
    [3, 4, 'gave only 3'],
    [5, 4, 'gave more'],
    [9999, 10_000, 'gave only 9999'],
    [10_001, 10_000, 'gave more'],
  ])('fails when a source gives %d of %d bytes', async (given, sizeBytes, message) => {
    const source: FileSource = {
      sizeBytes,
      async *open() {
        yield new Uint8Array(given)
      },
    }
    const writing = collect(writeErofs(treeOf([{ path: '/etc/x', type: 'file', content: source }])))
    await expect(writing).rejects.toThrow(`/etc/x: its source promised ${sizeBytes} bytes and ${message}`)
  })

  test('fails when content changes between the two passes', async () => {
    let pass = 0
    const source: FileSource = {
      sizeBytes: 1,
      async *open() {
        yield Uint8Array.of(pass++)
      },
    }
    const tree = treeOf([{ path: '/f', type: 'file', content: source }])
    await expect(collect(writeErofs(tree))).rejects.toThrow('a file changed while the image')
  })

  test('ends with the reason of the signal while a source hangs', async () => {
    const controller = new AbortController()
    const hanging: FileSource = {
      sizeBytes: 1,
      open: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) }),
    }
    const tree = treeOf([{ path: '/f', type: 'file', content: hanging }])
    const writing = collect(writeErofs(tree, { signal: controller.signal }))
    setTimeout(() => controller.abort(new Error('enough')), 5)
    await expect(writing).rejects.toThrow('enough')
    const aborted = AbortSignal.abort(new Error('before'))
    await expect(collect(writeErofs(new FileTree(), { signal: aborted }))).rejects.toThrow('before')
    await expect(prepareErofs(tree, { signal: aborted })).rejects.toThrow('before')
  })
})

describe('what cannot be written', () => {
  test('is refused before the first byte', async () => {
    const tree = new FileTree()
    expect(() => writeErofs(tree, { uuid: '0123' })).toThrow('uuid is "0123", expected 32 hexadecimal digits')
    expect(() => writeErofs(tree, { volumeName: 'sixteen bytes ok' })).toThrow('has 16 bytes of UTF-8')
    expect(() => writeErofs(tree, { volumeName: 'a\0' })).toThrow('expected text without NUL')
    expect(() => writeErofs({} as FileTree)).toThrow('made of a FileTree')
    await expect(prepareErofs(tree, { uuid: '' })).rejects.toThrow(TypeError)
    const huge: FileSource = { sizeBytes: 2 ** 44, open: () => emptyStream() }
    tree.add({ path: '/huge', type: 'file', content: huge })
    expect(() => writeErofs(tree)).toThrow(
      'the image would have 4294967297 blocks of 4 KiB, EROFS holds 4294967294 at most',
    )
  })
})

async function* emptyStream(): AsyncGenerator<Uint8Array> {}
