import { mkdirSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { crc32c } from '../src/checksum/crc32c.ts'
import { ErofsError, readErofs, writeErofs } from '../src/erofs.ts'
import type { FileSource } from '../src/file-source.ts'
import { fileAccess } from '../src/file-access.ts'
import { bytesAccess } from '../src/random-access.ts'
import { FileTree } from '../src/tree.ts'
import { anyTreeWithXattrs } from './any-tree.ts'
import { complaints, expectedListing, listing, noise, sample, text, treeOf } from './erofs-images.ts'
import { collect, runOk, temporaryFolder } from './run.ts'

// Some tests start many programs; other tests may have all processors.
const slow = { timeout: 240_000 }

/** A tree's nodes with their contents, to be compared; whichever name of a file comes first is its own. */
async function nodesOf(tree: FileTree): Promise<unknown[]> {
  const names = new Map<string, string[]>()
  for (const node of tree) {
    const first = node.type === 'hardlink' ? node.linkTo : node.path
    names.set(first, [...(names.get(first) ?? []), node.path].toSorted())
  }
  const nodes: unknown[] = []
  for (const node of tree) {
    if (node.type === 'hardlink') continue
    const content = node.type === 'file' ? { content: Buffer.from(await bytesOf(node.content)) } : {}
    nodes.push([names.get(node.path), { ...node, ...content, path: '' }])
  }
  return nodes.toSorted((left, right) => (String(left) < String(right) ? -1 : 1))
}

async function bytesOf(content: Uint8Array | FileSource): Promise<Uint8Array> {
  return content instanceof Uint8Array ? content : await collect(content.open())
}

/** Makes the superblock's checksum right again, so that the next check is the one that must see the damage. */
function reseal(image: Uint8Array): Uint8Array {
  image.fill(0, 1028, 1032)
  new DataView(image.buffer, image.byteOffset).setUint32(1028, crc32c(image.subarray(1024, 4096)), true)
  return image
}

describe('readErofs()', () => {
  test('gives back any tree', slow, async () => {
    await fc.assert(
      fc.asyncProperty(anyTreeWithXattrs, async (tree) => {
        const image = await readErofs(bytesAccess(await collect(writeErofs(tree))))
        expect(await nodesOf(await image.tree())).toEqual(await nodesOf(tree))
      }),
      { numRuns: 100 },
    )
  })

  test('answers about paths: list, stat, readlink, file', async () => {
    const bytes = await collect(writeErofs(treeOf(sample), { volumeName: 'root' }))
    const image = await readErofs(bytesAccess(new Uint8Array(Buffer.concat([bytes, noise(5000)]))))
    expect([image.volumeName, image.sizeBytes]).toEqual(['root', bytes.byteLength])
    expect(await image.list('/etc')).toEqual(['far', 'large-owner', 'motd'])
    expect(await image.stat('/etc/motd')).toMatchObject({
      type: 'file',
      uid: 1000,
      mtimeSeconds: 1_600_000_000,
    })
    expect(await image.stat('/dev/vda')).toMatchObject({ device: { major: 4095, minor: 0xa_bcde } })
    expect((await image.stat('/a-link')).nid).toBe((await image.stat('/usr/bin/su')).nid)
    expect(await image.readlink('/bin')).toBe('usr/bin')
    expect(await collect((await image.file('/usr/bin/zz')).open())).toEqual(noise(10_000))
    expect(await image.stat('/')).toMatchObject({ type: 'directory', mode: 0o751 })
    await expect(image.stat('/etc/none')).rejects.toMatchObject({ code: 'not-found' })
    await expect(image.stat('/etc/motd/x')).rejects.toMatchObject({ code: 'not-found' })
    await expect(image.file('/etc')).rejects.toThrow('/etc: is a directory, not a file')
    await expect(image.list('/bin')).rejects.toMatchObject({ code: 'wrong-type' })
    await expect(image.list('etc')).rejects.toThrow(TypeError)
  })

  test('reads what mkfs.erofs writes, with its shared extended attributes', slow, async () => {
    const folder = join(temporaryFolder(), 'tree')
    mkdirSync(join(folder, 'sub'), { recursive: true })
    for (const size of [0, 1, 2000, 4095, 4096, 10_000])
      writeFileSync(join(folder, 'sub', `${size}`), noise(size))
    for (let index = 0; index < 500; index++)
      writeFileSync(join(folder, `many-${'x'.repeat(index % 50)}${index}`), '')
    runOk(['ln', '-s', 'sub/1', join(folder, 'link')])
    runOk(['ln', join(folder, 'sub/10000'), join(folder, 'hard')])
    runOk(['mkfifo', join(folder, 'pipe')])
    // Common to more files than two, so mkfs.erofs shares it; the other is of one file only.
    for (const name of ['0', '1', '2000', '4096']) {
      runOk(['setfattr', '-n', 'user.shared', '-v', 'common', join(folder, 'sub', name)])
    }
    runOk(['setfattr', '-n', 'user.own', '-v', 'only here', join(folder, 'sub/1')])
    const path = join(temporaryFolder(), 'image')
    runOk(['mkfs.erofs', path, folder])
    await using access = await fileAccess(path)
    const image = await readErofs(access)
    const tree = await image.tree()
    const inMemory = new FileTree()
    for (const node of tree) {
      inMemory.add(node.type === 'file' ? { ...node, content: await bytesOf(node.content) } : node)
    }
    expect(expectedListing(inMemory)).toEqual(listing(folder))
    expect(await image.xattrs('/sub/1')).toEqual({
      'user.own': text('only here'),
      'user.shared': text('common'),
    })
    expect(await image.xattrs('/sub/4096')).toEqual({ 'user.shared': text('common') })
    expect(await image.xattrs('/sub/10000')).toEqual({})
  })

  test('says that it does not read compression and chunks', slow, async () => {
    const folder = temporaryFolder()
    writeFileSync(join(folder, 'file'), 'a'.repeat(100_000))
    for (const option of ['-zlz4', '--chunksize=4096']) {
      const path = join(temporaryFolder(), 'image')
      runOk(['mkfs.erofs', option, path, folder])
      await using access = await fileAccess(path)
      const reading = readErofs(access).then((image) => image.tree())
      await expect(reading, option).rejects.toMatchObject({ name: 'ErofsError', code: 'unsupported' })
    }
  })

  test('sees a wrong superblock', async () => {
    const bytes = await collect(writeErofs(treeOf(sample)))
    const changed = async (offset: number, byte: number, sealed = true): Promise<unknown> => {
      const copy = bytes.slice()
      copy[offset] = byte
      return await readErofs(bytesAccess(sealed ? reseal(copy) : copy))
    }
    await expect(changed(1200, 1, false)).rejects.toThrow('EROFS superblock at byte 1024: its checksum is')
    await expect(changed(1024, 0)).rejects.toThrow('none is there')
    await expect(changed(1036, 9)).rejects.toThrow('blocks of 2^9 bytes')
    await expect(changed(1024 + 80, 2)).rejects.toThrow('features 0x2')
    await expect(changed(1037, 1)).rejects.toThrow('1 extension slots')
    await expect(changed(1024 + 38, 1)).rejects.toThrow('that it tells of')
    await expect(readErofs(bytesAccess(bytes.subarray(0, 1100)))).rejects.toThrow('ends before it')
    await expect(readErofs(bytesAccess(bytes.subarray(0, 4096)))).rejects.toThrow(ErofsError)
  })

  test('ends with an ErofsError in a directory that holds itself', async () => {
    const bytes = await collect(writeErofs(treeOf([{ path: '/a/b', type: 'directory' }])))
    const image = await readErofs(bytesAccess(bytes))
    const [root, a] = [(await image.stat('/')).nid, (await image.stat('/a')).nid]
    const view = new DataView(bytes.buffer)
    for (let offset = 1152; offset < bytes.byteLength - 8; offset += 4) {
      if (view.getBigUint64(offset, true) === BigInt(a)) view.setBigUint64(offset, BigInt(root), true)
    }
    const circular = await readErofs(bytesAccess(reseal(bytes)))
    await expect(circular.tree()).rejects.toThrow('/a: the directory / has a second name')
  })

  test('gives up where names and attributes take more than it was told', async () => {
    const image = await readErofs(bytesAccess(await collect(writeErofs(treeOf(sample)))))
    await expect(image.tree({ heldBytesMax: 500 })).rejects.toThrow('see heldBytesMax')
    expect((await image.tree({ heldBytesMax: 10_000 })).size).toBeGreaterThan(10)
  })

  test('ends with an ErofsError in a directory of nothing but dots', async () => {
    const bytes = await collect(
      writeErofs(
        treeOf([
          { path: '/aa', type: 'fifo' },
          { path: '/b', type: 'fifo' },
        ]),
      ),
    )
    const at = Buffer.from(bytes).indexOf('...aab')
    bytes.set(text('.....b'), at)
    const image = await readErofs(bytesAccess(reseal(bytes)))
    await expect(image.list('/')).rejects.toThrow('a third entry . or ..')
  })

  test('ends in a tree or an ErofsError, whatever bytes are changed', slow, async () => {
    const nodes = [
      ...sample,
      { path: '/big', type: 'file' as const, content: noise(9000), xattrs: { 'user.a': noise(50) } },
    ]
    for (let index = 0; index < 300; index++) nodes.push({ path: `/d/${index}`, type: 'fifo' as const })
    const bytes = await collect(writeErofs(treeOf(nodes)))
    let damagedTrees = 0
    const change = fc.tuple(fc.nat(bytes.byteLength - 1025), fc.nat(255))
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 30 }), fc.nat(), async (changes, cut) => {
        const copy = bytes.slice()
        for (const [offset, byte] of changes) copy[1024 + offset] = byte
        reseal(copy)
        const length = cut % 4 === 0 ? copy.byteLength - (cut % 5000) : copy.byteLength
        try {
          const image = await readErofs(bytesAccess(copy.subarray(0, length)))
          for (const node of await image.tree()) if (node.type === 'file') await bytesOf(node.content)
        } catch (error) {
          damagedTrees += 1
          expect(error).toBeInstanceOf(ErofsError)
        }
      }),
      { numRuns: 500 },
    )
    // Most of what is changed lies where it matters.
    expect(damagedTrees).toBeGreaterThan(50)
  })

  test(
    'reads a file of more than 4 GiB out of an image that was streamed',
    { timeout: 240_000 },
    async () => {
      const chunk = new Uint8Array(4 * 1024 * 1024)
      const chunks = 1024
      const last = text('the end')
      const huge: FileSource = {
        sizeBytes: chunks * chunk.byteLength + last.byteLength,
        async *open() {
          for (let index = 0; index < chunks; index++) yield chunk
          yield last
        },
      }
      const path = join(temporaryFolder(), 'huge.erofs')
      const tree = treeOf([
        { path: '/huge', type: 'file', content: huge },
        { path: '/small', type: 'file', content: noise(5000) },
      ])
      const progress: number[] = []
      const writing = writeErofs(tree, {
        uuid: '01234567-89ab-cdef-0123-456789abcdef',
        onProgress: (doneBytes) => progress.push(doneBytes),
      })
      const file = await open(path, 'w')
      let offset = 0
      for await (const bytes of writing) {
        // Holes keep the disk free.
        if (bytes !== chunk) await file.write(bytes, 0, bytes.byteLength, offset)
        offset += bytes.byteLength
      }
      await file.close()
      expect(progress.at(-1)).toBe(offset)
      expect(complaints(path)).toBe('')
      await using access = await fileAccess(path)
      const image = await readErofs(access)
      expect((await image.stat('/huge')).sizeBytes).toBe(2 ** 32 + 7)
      const end = 4096 + 2 ** 32
      expect(readText(await access.read(end, 7))).toBe('the end')
      expect(await collect((await image.file('/small')).open())).toEqual(noise(5000))
    },
  )
})

function readText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}
