import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fileAccess } from '../src/file-access.ts'
import { bytesAccess } from '../src/random-access.ts'
import {
  VerityHasher,
  VeritySuperblockError,
  readVeritySuperblock,
  verifyVerity,
  verityLevels,
  verityTable,
} from '../src/verity.ts'
import type { VerityTree } from '../src/verity.ts'
import { collect, run, runOk } from './run.ts'

// Each size starts two programs; other tests may have all processors.
const slow = { timeout: 240_000 }
const uuid = '01234567-89ab-cdef-0123-456789abcdef'
const salt = Uint8Array.from({ length: 32 }, (_, index) => index * 7)
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** Blocks of 4 KiB of which no two are alike. */
function blocksOfData(blocks: number): Uint8Array {
  const bytes = new Uint8Array(blocks * 4096)
  const view = new DataView(bytes.buffer)
  for (let block = 0; block < blocks; block++) view.setUint32(block * 4096 + 100, block + 1, true)
  return bytes
}

async function sealed(data: Uint8Array, chunkBytes = data.byteLength): Promise<[Uint8Array, VerityTree]> {
  const hasher = new VerityHasher({ salt, uuid })
  const chunks: Uint8Array[] = []
  for (let start = 0; start < data.byteLength; start += chunkBytes) {
    chunks.push(data.subarray(start, start + chunkBytes))
  }
  const image = await collect(hasher.append(chunks))
  return [image, hasher.finish()]
}

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'solo-verity-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What `veritysetup format` writes behind `data`, and the root hash that it tells. */
function judged(data: Uint8Array, saltText: string): { readonly tree: Buffer; readonly rootHash: string } {
  const [dataPath, treePath] = [join(folder, 'data'), join(folder, 'tree')]
  writeFileSync(dataPath, data)
  writeFileSync(treePath, '')
  const said = runOk(['veritysetup', 'format', dataPath, treePath, `--salt=${saltText}`, `--uuid=${uuid}`])
  return { tree: readFileSync(treePath), rootHash: /Root hash:\s*(\w+)/.exec(said)?.[1] ?? said }
}

describe('VerityHasher', () => {
  test.each([1, 2, 127, 128, 129, 255, 256, 257, 128 * 128 - 1, 128 * 128, 128 * 128 + 1])(
    'writes for %d blocks what veritysetup format writes',
    slow,
    async (blocks) => {
      const data = blocksOfData(blocks)
      const [image, tree] = await sealed(data, 1_000_000)
      const { tree: expected, rootHash } = judged(data, hex(salt))
      expect(tree.rootHash).toBe(rootHash)
      expect(Buffer.compare(image.subarray(data.byteLength), expected)).toBe(0)
      expect(tree.sizeBytes).toBe(expected.byteLength)
      expect(Buffer.compare(image.subarray(0, data.byteLength), data)).toBe(0)
    },
  )

  test('writes for three levels what veritysetup format writes, and it verifies', slow, async () => {
    const data = blocksOfData(128 * 128 + 300)
    const [image, tree] = await sealed(data)
    expect(tree.levels.map(({ blocks }) => blocks)).toEqual([131, 2, 1])
    const path = join(folder, 'image')
    writeFileSync(path, image)
    const offset = `--hash-offset=${data.byteLength}`
    expect(runOk(['veritysetup', 'dump', path, offset])).toMatch(new RegExp(`UUID:\\s+${uuid}`))
    expect(runOk(['veritysetup', 'dump', path, offset])).toMatch(/Data blocks:\s+16684\n/)
    runOk(['veritysetup', 'verify', path, path, tree.rootHash, offset])
    // The judge does see one bit, so that its silence means something.
    image[5000 * 4096] = 0xff
    writeFileSync(path, image)
    expect(run(['veritysetup', 'verify', path, path, tree.rootHash, offset]).status).not.toBe(0)
    expect(await verifyVerity(bytesAccess(image), tree)).toEqual({
      area: 'data',
      level: undefined,
      block: 5000,
    })
  })

  test('writes for any data, salt and size of chunks what veritysetup format writes', slow, async () => {
    const anySalt = fc.uint8Array({ minLength: 0, maxLength: 256 })
    const anyBlocks = fc.oneof(fc.integer({ min: 1, max: 400 }), fc.constant(16_385))
    await fc.assert(
      fc.asyncProperty(anyBlocks, anySalt, fc.nat(10_000), async (blocks, someSalt, chunkBytes) => {
        const data = blocksOfData(blocks)
        const hasher = new VerityHasher({ salt: someSalt, uuid })
        // The more data, the larger the chunks: many millions of single bytes show nothing that some thousands do not.
        const step = Math.max(chunkBytes, blocks) + 1
        for (let start = 0; start < data.byteLength; start += step) {
          hasher.update(data.subarray(start, start + step))
        }
        const tree = hasher.finish()
        const expected = judged(data, hex(someSalt) || '-')
        expect(tree.rootHash).toBe(expected.rootHash)
        expect(Buffer.compare(Buffer.concat([...tree.bytes()]), expected.tree)).toBe(0)
      }),
      { numRuns: 15 },
    )
  })

  test('gives leaves and hash blocks by level', async () => {
    const data = blocksOfData(130)
    const [image, tree] = await sealed(data)
    const leaves = tree.levels[0]
    const at = (tree.hashStartBlock + (leaves?.startBlock ?? 0)) * 4096
    for (const block of [0, 127, 128, 129]) {
      expect(hex(tree.leaf(block))).toBe(hex(image.subarray(at + block * 32, at + block * 32 + 32)))
    }
    expect(tree.hashBlock(1, 0)).toEqual(image.subarray(131 * 4096, 132 * 4096))
    expect(() => tree.leaf(130)).toThrow('there is no block 130')
    expect(() => tree.hashBlock(2, 0)).toThrow(RangeError)
    const [, single] = await sealed(blocksOfData(1))
    expect([single.levels, hex(single.leaf(0))]).toEqual([[], single.rootHash])
  })

  test('gives equal blocks equal digests, whatever is beside them', async () => {
    const before = blocksOfData(300)
    const after = before.slice()
    after[77 * 4096] = 1
    const [[, first], [, second]] = [await sealed(before), await sealed(after)]
    const changed = Array.from({ length: 300 }, (_, block) => block).filter(
      (block) => hex(first.leaf(block)) !== hex(second.leaf(block)),
    )
    expect(changed).toEqual([77])
    expect(hex(first.hashBlock(0, 1))).toBe(hex(second.hashBlock(0, 1)))
    expect(first.rootHash).not.toBe(second.rootHash)
  })

  test('refuses data of no block or a part of one, wrong salts and uuids, bytes after the end', () => {
    const hasher = new VerityHasher({ salt, uuid })
    expect(() => hasher.finish()).toThrow('the data has 0 bytes')
    hasher.update(new Uint8Array(5000))
    expect(() => hasher.finish()).toThrow('the data has 5000 bytes, dm-verity needs a whole number')
    hasher.update(new Uint8Array(8192 - 5000))
    expect(hasher.finish()).toBe(hasher.finish())
    expect(() => hasher.update(new Uint8Array(1))).toThrow('is finished')
    expect(() => new VerityHasher({ salt: new Uint8Array(257), uuid })).toThrow('257 bytes')
    expect(() => new VerityHasher({ salt, uuid: 'x' })).toThrow('expected 32 hexadecimal digits')
  })

  test('append() tells its progress and ends with the reason of the signal', async () => {
    const seen: number[] = []
    const controller = new AbortController()
    const hasher = new VerityHasher({
      salt,
      uuid,
      signal: controller.signal,
      onProgress: (doneBytes) => seen.push(doneBytes),
    })
    const chunks = [new Uint8Array(5000), new Uint8Array(7288), new Uint8Array(4096)]
    const passing = (async () => {
      for await (const _chunk of hasher.append(chunks)) {
        if (seen.length === 2) controller.abort(new Error('enough'))
      }
    })()
    await expect(passing).rejects.toThrow('enough')
    expect(seen).toEqual([5000, 12_288])
  })
})

describe('verifyVerity()', () => {
  test('finds any flipped bit, in the block where it is', slow, async () => {
    const data = blocksOfData(3 * 128 + 5)
    const [image, tree] = await sealed(data)
    expect(await verifyVerity(bytesAccess(image), tree)).toBeUndefined()
    const superblock = tree.dataBlocks
    await fc.assert(
      fc.asyncProperty(fc.nat(image.byteLength - 1), fc.nat(7), async (offset, bit) => {
        const block = Math.floor(offset / 4096)
        fc.pre(block !== superblock)
        const damaged = image.slice()
        damaged[offset] = (damaged[offset] ?? 0) ^ (1 << bit)
        const bad = await verifyVerity(bytesAccess(damaged), tree)
        expect(bad).toMatchObject({ area: block < superblock ? 'data' : 'hash', block })
      }),
      { numRuns: 60 },
    )
  })

  test('takes what is cut off for bad, and a wrong root hash for a bad top', async () => {
    const [image, tree] = await sealed(blocksOfData(200))
    const cut = image.subarray(0, image.byteLength - 1)
    expect(await verifyVerity(bytesAccess(cut), tree)).toEqual({ area: 'hash', level: 0, block: 203 })
    expect(await verifyVerity(bytesAccess(new Uint8Array()), tree)).toEqual({
      area: 'hash',
      level: 1,
      block: 201,
    })
    const other = { dataBlocks: 200, salt, rootHash: '0'.repeat(64) }
    expect(await verifyVerity(bytesAccess(image), other)).toMatchObject({ area: 'hash', level: 1 })
    const unsalted = { ...other, rootHash: tree.rootHash, salt: salt.subarray(1) }
    expect(await verifyVerity(bytesAccess(image), unsalted)).toMatchObject({ area: 'hash', level: 1 })
  })

  test('reads data and tree of two files, also as veritysetup formats them', async () => {
    const data = blocksOfData(150)
    const { rootHash } = judged(data, hex(salt))
    await using dataAccess = await fileAccess(join(folder, 'data'))
    await using hashAccess = await fileAccess(join(folder, 'tree'))
    const superblock = await readVeritySuperblock(hashAccess, 0)
    expect(superblock).toEqual({ uuid, dataBlocks: 150, salt })
    const seen: number[] = []
    const options = { hashAccess, hashStartBlock: 1, onProgress: (doneBytes: number) => seen.push(doneBytes) }
    expect(await verifyVerity(dataAccess, { ...superblock, rootHash }, options)).toBeUndefined()
    expect(seen).toEqual([128 * 4096, 150 * 4096])
    const aborted = { ...options, signal: AbortSignal.abort(new Error('before')) }
    await expect(verifyVerity(dataAccess, { ...superblock, rootHash }, aborted)).rejects.toThrow('before')
  })
})

describe('readVeritySuperblock()', () => {
  test('says which field is not as written here', async () => {
    const [image, tree] = await sealed(blocksOfData(3))
    const at = tree.dataBlocks * 4096
    const changed = (offset: number, byte: number): Promise<unknown> => {
      const copy = image.slice()
      copy[at + offset] = byte
      return readVeritySuperblock(bytesAccess(copy), at)
    }
    await expect(changed(0, 0)).rejects.toThrow(`superblock at byte ${at}: none is there`)
    await expect(changed(8, 2)).rejects.toThrow('version is 2, expected 1')
    await expect(changed(12, 0)).rejects.toThrow('hash type is 0, expected 1')
    await expect(changed(32, 0x74)).rejects.toThrow('algorithm is "tha256", expected sha256')
    await expect(changed(69, 2)).rejects.toThrow('hash block size is 512')
    await expect(changed(72, 0)).rejects.toThrow('0 data blocks')
    await expect(changed(79, 1)).rejects.toThrow('data blocks')
    await expect(changed(81, 2)).rejects.toThrow('salt of 544 bytes')
    await expect(readVeritySuperblock(bytesAccess(image.subarray(0, at + 511)), at)).rejects.toThrow(
      VeritySuperblockError,
    )
  })
})

describe('verityTable()', () => {
  test('is the line of the kernel’s documentation', async () => {
    const [, tree] = await sealed(blocksOfData(3))
    const table = verityTable(tree, { dataDevice: '/dev/vda2', hashDevice: '254:3' })
    expect(table).toBe(`1 /dev/vda2 254:3 4096 4096 3 4 sha256 ${tree.rootHash} ${hex(salt)}`)
    const bare = { dataBlocks: 3, salt: new Uint8Array(), rootHash: 'AB'.repeat(32) }
    const devices = { dataDevice: '1:2', hashDevice: '1:3', hashStartBlock: 1 }
    expect(verityTable(bare, devices)).toBe(`1 1:2 1:3 4096 4096 3 1 sha256 ${'ab'.repeat(32)} -`)
  })

  test('refuses what would be another line', () => {
    const parameters = { dataBlocks: 3, salt, rootHash: 'ab'.repeat(32) }
    const devices = { dataDevice: '1:2', hashDevice: '1:3' }
    expect(() => verityTable(parameters, { ...devices, dataDevice: '/dev/a b' })).toThrow('without spaces')
    expect(() => verityTable(parameters, { ...devices, hashDevice: '' })).toThrow(TypeError)
    expect(() => verityTable(parameters, { ...devices, hashStartBlock: -1 })).toThrow(RangeError)
    expect(() => verityTable({ ...parameters, rootHash: 'ab' }, devices)).toThrow('expected the 64')
    expect(() => verityTable({ ...parameters, dataBlocks: 0 }, devices)).toThrow('dataBlocks is 0')
    expect(() => verityLevels(1.5)).toThrow('dataBlocks is 1.5')
  })
})
