import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { encodeTree, treeBlockCount } from '../src/ext4/extent-tree.ts'
import { installExt4, prepareExt4, writeExt4 } from '../src/ext4.ts'
import type { Ext4Options } from '../src/ext4.ts'
import { hostFile } from '../src/file-source.ts'
import type { FileSource } from '../src/file-source.ts'
import { FileTree } from '../src/tree.ts'
import { noise, sample, sha256, text, treeOf } from './erofs-images.ts'
import { checkedImage, debugfs, extracted, GiB, MiB, uuid } from './ext4-images.ts'
import { collect, runOk, temporaryFolder } from './run.ts'

// Some tests start many programs; other tests may have all processors.
const slow = { timeout: 240_000 }

const small = { sizeBytes: 16 * MiB, uuid }

function treeWith(content: FileSource): FileTree {
  return new FileTree().add({ path: '/etc/x', type: 'file', content })
}

describe('installExt4()', () => {
  test('writes the first block last, after all others were flushed', async () => {
    const image = prepareExt4(treeOf(sample), small)
    const calls: string[] = []
    let endBytes = 4096
    await installExt4(image, {
      write: (bytes, offsetBytes) => {
        calls.push(offsetBytes === 0 ? 'first' : 'rest')
        expect(bytes.byteLength % 4096).toBe(0)
        expect(bytes.byteLength).toBeLessThanOrEqual(256 * 1024)
        if (offsetBytes === 0) return
        expect(offsetBytes).toBeGreaterThanOrEqual(endBytes)
        endBytes = offsetBytes + bytes.byteLength
      },
      flush: () => void calls.push('flush'),
    })
    expect(calls.filter((call, index) => call !== calls[index - 1])).toEqual([
      'rest',
      'flush',
      'first',
      'flush',
    ])
  })

  test('leaves a disk unmountable that it did not finish, and whole the next time', slow, async () => {
    const image = prepareExt4(treeOf(sample), { ...small, zeroed: true })
    const writes: { bytes: Uint8Array; offsetBytes: number }[] = []
    const record = {
      write: (bytes: Uint8Array, offsetBytes: number) => void writes.push({ bytes, offsetBytes }),
    }
    await installExt4(image, { ...record, flush: () => undefined })
    const disk = new Uint8Array(image.sizeBytes).fill(0x77)
    for (const { bytes, offsetBytes } of writes) {
      // dumpe2fs -o would use the copies; a mount does not.
      expect(disk.subarray(1080, 1082)).toEqual(Uint8Array.of(0x77, 0x77))
      disk.set(bytes, offsetBytes)
    }
    const path = join(temporaryFolder(), 'disk')
    writeFileSync(path, disk)
    runOk(['e2fsck', '-fn', path])
  })

  test('does not write the first block when something fails before', async () => {
    const offsets: number[] = []
    const failing = installExt4(prepareExt4(treeOf(sample), small), {
      write: (_, offsetBytes) => void offsets.push(offsetBytes),
      flush: () => Promise.reject(new Error('EIO')),
    })
    await expect(failing).rejects.toThrow('EIO')
    expect(offsets).not.toContain(0)
    expect(offsets.length).toBeGreaterThan(0)
  })

  test('tells of its progress up to the end', async () => {
    const image = prepareExt4(treeOf(sample), small)
    const told: number[] = []
    await installExt4(
      image,
      { write: () => undefined, flush: () => undefined },
      { onProgress: (doneBytes) => void told.push(doneBytes) },
    )
    expect(told).toEqual(told.toSorted((left, right) => left - right))
    expect(told.at(-1)).toBe(image.sizeBytes)
    expect(told.length).toBeGreaterThan(2)
    told.length = 0
    let seenBytes = 0
    for await (const chunk of image.open({ onProgress: (doneBytes) => void told.push(doneBytes) })) {
      expect(told.at(-1) ?? 0).toBe(seenBytes)
      seenBytes += chunk.byteLength
    }
    expect(told.at(-1)).toBe(image.sizeBytes)
  })
})

describe('prepareExt4()', () => {
  test('gives few extents of an empty file system, and knows its superblock before', async () => {
    const image = prepareExt4(new FileTree(), { sizeBytes: 8 * GiB, uuid: uuid.toUpperCase() })
    expect(image.uuid).toBe(uuid)
    expect(image.sizeBytes).toBe(8 * GiB)
    let writtenBytes = 0
    for await (const { bytes } of image.extents()) writtenBytes += bytes.byteLength
    expect(writtenBytes).toBeLessThan(5 * MiB)
    expect(image.superblock.offsetBytes).toBe(0)
    expect([...image.superblock.bytes.subarray(1080, 1082)]).toEqual([0x53, 0xef])
  })

  test('needs less room in the extents when it need not grow far', async () => {
    const image = prepareExt4(new FileTree(), { sizeBytes: 8 * GiB, uuid, growableBytes: 64 * GiB })
    let writtenBytes = 0
    for await (const { bytes } of image.extents()) writtenBytes += bytes.byteLength
    expect(writtenBytes).toBeLessThan(200_000)
  })

  test('can be written any number of times', async () => {
    const image = prepareExt4(treeOf(sample), small)
    const first = await collect(image.open())
    expect(Buffer.compare(first, await collect(image.open()))).toBe(0)
    expect(first.byteLength).toBe(image.sizeBytes)
  })
})

describe('files', () => {
  test('of 5 GiB are streamed into many extents', { timeout: 240_000 }, async () => {
    const chunk = new Uint8Array(MiB)
    const content: FileSource = {
      sizeBytes: 5 * GiB + 5,
      async *open() {
        for (let index = 0; index < 5 * 1024; index++) {
          const marked = index % 512 === 511
          yield marked ? text(`mark ${index}`.padEnd(MiB, '\0')) : chunk
        }
        yield text('final')
      },
    }
    const path = await checkedImage(treeWith(content), { sizeBytes: 6 * GiB })
    expect(debugfs(path, 'stat /etc/x')).toContain(`Size: ${5 * GiB + 5}\n`)
    expect(debugfs(path, 'stat /etc/x')).toContain('(ETB0)')
    const image = path
    for (const index of [511, 1023, 5119]) {
      const block = Number(debugfs(image, `bmap /etc/x ${index * 256}`))
      expect(runOk(['debugfs', '-R', `block_dump ${block}`, image])).toContain(`mark ${index}`)
    }
    const last = Number(debugfs(image, `bmap /etc/x ${5 * 1024 * 256}`))
    expect(debugfs(image, `block_dump ${last}`)).toContain('final')
  })

  test('of the host are written, small and large', slow, async () => {
    const large = join(temporaryFolder(), 'large')
    writeFileSync(large, noise(1_000_000))
    const tree = treeOf([
      { path: '/small', type: 'file', content: await hostFile(import.meta.filename) },
      { path: '/large', type: 'file', content: await hostFile(large) },
    ])
    const folder = await extracted(tree, { sizeBytes: 16 * MiB })
    expect(sha256(readFileSync(join(folder, 'small')))).toBe(sha256(readFileSync(import.meta.filename)))
    expect(sha256(readFileSync(join(folder, 'large')))).toBe(sha256(readFileSync(large)))
  })

  test('are read only as fast as the output is taken', async () => {
    let aheadBytes = 0
    let takenBytes = 0
    const source: FileSource = {
      sizeBytes: 64 * MiB,
      async *open() {
        for (let given = 0; given < 64; given++) {
          aheadBytes = Math.max(aheadBytes, given * MiB - takenBytes)
          yield new Uint8Array(MiB)
        }
      },
    }
    for await (const chunk of writeExt4(treeWith(source), { sizeBytes: 128 * MiB, uuid }))
      takenBytes += chunk.byteLength
    expect(takenBytes).toBe(128 * MiB)
    expect(aheadBytes).toBeLessThanOrEqual(MiB)
  })

  test.each([
    [3, 4, 'gave only 3'],
    [5, 4, 'gave more'],
    [9999, 10_000, 'gave only 9999'],
    [10_001, 10_000, 'gave more'],
  ])('of which %d of %d bytes come are an error', async (given, sizeBytes, message) => {
    const source: FileSource = {
      sizeBytes,
      async *open() {
        yield new Uint8Array(given)
      },
    }
    const writing = collect(writeExt4(treeWith(source), small))
    await expect(writing).rejects.toThrow(`/etc/x: its source promised ${sizeBytes} bytes and ${message}`)
  })

  test('that hang are ended by the signal', async () => {
    const controller = new AbortController()
    const hanging: FileSource = {
      sizeBytes: 1,
      open: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) }),
    }
    const writing = collect(writeExt4(treeWith(hanging), { ...small, signal: controller.signal }))
    setTimeout(() => controller.abort(new Error('enough')), 5)
    await expect(writing).rejects.toThrow('enough')
    const signal = AbortSignal.abort(new Error('before'))
    await expect(collect(writeExt4(new FileTree(), { ...small, signal }))).rejects.toThrow('before')
    const target = { write: () => undefined, flush: () => undefined }
    await expect(installExt4(prepareExt4(new FileTree(), small), target, { signal })).rejects.toThrow(
      'before',
    )
  })
})

describe('encodeTree()', () => {
  /** The extents that a tree tells of, read from its root down. */
  function extentsBelow(node: Uint8Array, blocks: ReadonlyMap<number, Uint8Array>): number[][] {
    const view = new DataView(node.buffer, node.byteOffset, node.byteLength)
    const offsets = Array.from({ length: view.getUint16(2, true) }, (_, index) => 12 + 12 * index)
    if (view.getUint16(6, true) === 0) {
      return offsets.map((at) => [
        view.getUint32(at, true),
        view.getUint16(at + 4, true),
        view.getUint32(at + 8, true) + view.getUint16(at + 6, true) * 2 ** 32,
      ])
    }
    return offsets.flatMap((at) => {
      const below = blocks.get(view.getUint32(at + 4, true))
      if (!below) throw new Error('an index of a block that is not there')
      expect(view.getUint32(at, true)).toBe(new DataView(below.buffer).getUint32(12, true))
      return extentsBelow(below, blocks)
    })
  }

  test.each([
    [1, 0],
    [4, 0],
    [5, 1],
    [340, 1],
    [341, 2],
    [1360, 4],
    [1361, 6],
    [3000, 10],
  ])('puts %d runs into %d blocks', (count, blockCount) => {
    const runs = Array.from({ length: count }, (_, index) => ({
      start: 2 ** 32 - 1000 + 3 * index,
      blocks: 2,
    }))
    expect(treeBlockCount(runs)).toBe(blockCount)
    const numbers = Array.from({ length: blockCount }, (_, index) => 7 + index)
    const { root, blocks } = encodeTree(runs, numbers, 1)
    const byNumber = new Map(blocks.map((block, index) => [7 + index, block]))
    const expected = runs.map(({ start, blocks: length }, index) => [2 * index, length, start])
    expect(extentsBelow(root, byNumber)).toEqual(expected)
  })
})

describe('what cannot be written', () => {
  /** The number that an error says is needed. */
  function neededBy(tree: FileTree, options: Ext4Options): number {
    try {
      prepareExt4(tree, options)
    } catch (error) {
      if (error instanceof RangeError) return Number(/need at least (\d+)$/.exec(error.message)?.[1])
      throw error
    }
    throw new Error('it fits')
  }

  test.each([0, 10, 100, 125, 126, 127, 200, 900])(
    'for want of space is told with the size that would do: a file of %d MiB',
    async (sizeMiB) => {
      const tree = treeWith({ sizeBytes: sizeMiB * MiB, open: () => emptyStream() })
      const needed = neededBy(tree, { sizeBytes: MiB, uuid })
      expect(prepareExt4(tree, { sizeBytes: needed, uuid }).sizeBytes).toBe(needed)
      expect(neededBy(tree, { sizeBytes: needed - 1, uuid })).toBe(needed)
    },
  )

  test('for want of inodes is told with the number that would do', () => {
    const tree = treeOf(sample)
    const options = { ...small, inodes: 12 }
    const needed = neededBy(tree, options)
    expect(needed).toBe(25)
    expect(() => prepareExt4(tree, { ...options, inodes: needed })).not.toThrow()
    expect(() => prepareExt4(tree, { ...options, inodes: needed - 1 })).toThrow('need at least 25')
    expect(() => prepareExt4(tree, { ...small, inodes: 40_000 })).toThrow(
      '40000 inodes in 16777216 bytes: it can have 32768 at most',
    )
  })

  test('is refused before the first byte', () => {
    const tree = new FileTree()
    expect(() => prepareExt4({} as FileTree, small)).toThrow('made of a FileTree')
    expect(() => prepareExt4(tree, { ...small, uuid: '0123' })).toThrow('expected 32 hexadecimal digits')
    expect(() => prepareExt4(tree, { ...small, hashSeed: 'x' })).toThrow(TypeError)
    expect(() => prepareExt4(tree, { ...small, volumeName: 'seventeen bytes..' })).toThrow('has 17 bytes')
    expect(() => prepareExt4(tree, { ...small, volumeName: 'a\0' })).toThrow('expected text without NUL')
    expect(() => prepareExt4(tree, { ...small, sizeBytes: 17 * 1024 ** 4 })).toThrow('16 TiB')
    expect(() => prepareExt4(tree, { ...small, sizeBytes: 1.5 })).toThrow('sizeBytes is 1.5')
    expect(() => prepareExt4(tree, { ...small, reservedPercent: 51 })).toThrow('from 0 to 50')
    expect(() => prepareExt4(tree, { ...small, journalBytes: 4 * MiB + 1 })).toThrow('a multiple of 4096')
    expect(() => prepareExt4(tree, { ...small, journalBytes: MiB })).toThrow('from 4194304 to')
    expect(() => prepareExt4(tree, { ...small, timeSeconds: 2 ** 32 })).toThrow('timeSeconds is 4294967296')
    tree.add({ path: '/lost+found', type: 'symlink', target: 'x' })
    expect(() => prepareExt4(tree, small)).toThrow('/lost+found: must be a directory')
  })

  test('for what ext4 does not have is told by path', () => {
    const late = new FileTree().add({ path: '/late', type: 'fifo', mtimeSeconds: 15_032_385_536 })
    expect(() => prepareExt4(late, small)).toThrow('/late: mtimeSeconds is 15032385536')
    const linked = new FileTree().add({ path: '/f', type: 'fifo' })
    for (let index = 0; index < 65_000; index++)
      linked.add({ path: `/l${index}`, type: 'hardlink', linkTo: '/f' })
    expect(() => prepareExt4(linked, { ...small, sizeBytes: GiB })).toThrow('/f: has 65001 names')
  })
})

async function* emptyStream(): AsyncGenerator<Uint8Array> {}
