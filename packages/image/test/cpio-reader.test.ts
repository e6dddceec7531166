import { linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CpioError, readCpio, writeCpio } from '../src/cpio.ts'
import { FileTree } from '../src/tree.ts'
import { collect, run, runOk, temporaryFolder } from './run.ts'

// Each test starts many other programs, on machines that may be busy.

const text = (content: string): Uint8Array => new TextEncoder().encode(content)

/** One line an entry: what matters of it. */
async function summary(input: Parameters<typeof readCpio>[0]): Promise<string[]> {
  const lines: string[] = []
  for await (const entry of readCpio(input)) {
    const body = new TextDecoder().decode(await entry.bytes())
    const link = entry.linkTo === undefined ? '' : ` = ${entry.linkTo}`
    lines.push(
      `${entry.archive} ${entry.type} ${entry.path}${entry.target ? ` -> ${entry.target}` : ''}${link} ${body}`.trim(),
    )
  }
  return lines
}

async function failure(input: Parameters<typeof readCpio>[0]): Promise<CpioError> {
  try {
    for await (const entry of readCpio(input)) await entry.bytes()
  } catch (error) {
    if (error instanceof CpioError) return error
    throw error
  }
  throw new Error('the archive was read without an error')
}

/** Yields `bytes` in pieces of `size`. */
async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.byteLength; start += size) yield bytes.subarray(start, start + size)
}

function gnuArchive(format: 'newc' | 'crc' | 'odc' | 'bin'): Uint8Array {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'etc'))
  writeFileSync(join(folder, 'etc/a'), 'content of a')
  linkSync(join(folder, 'etc/a'), join(folder, 'etc/b'))
  symlinkSync('etc/a', join(folder, 'link'))
  runOk(['sh', '-c', `printf '%s\\n' . ./etc ./etc/a ./etc/b ./link | cpio -o -H ${format} -O out.cpio`], {
    cwd: folder,
  })
  return new Uint8Array(Buffer.from(runOk(['base64', '-w0', 'out.cpio'], { cwd: folder }), 'base64'))
}

describe('readCpio()', () => {
  test.each(['newc', 'crc'] as const)(
    "reads GNU cpio's %s with hard links, in pieces of any size",
    async (format) => {
      const archive = gnuArchive(format)
      const expected = [
        '0 directory /',
        '0 directory /etc',
        '0 file /etc/a',
        '0 file /etc/b = /etc/a content of a',
        '0 symlink /link -> etc/a',
      ]
      expect(await summary(archive)).toEqual(expected)
      for (const size of [1, 3, 110, 111]) expect(await summary(pieces(archive, size))).toEqual(expected)
    },
  )

  test('reads archives one after another; hard links end at the trailer', async () => {
    const tree = new FileTree().add({ path: '/a', type: 'file', content: text('1') })
    tree.add({ path: '/b', type: 'hardlink', linkTo: '/a' })
    const one = await collect(writeCpio(tree, { alignmentBytes: 4 }))
    const both = Buffer.concat([new Uint8Array(8), one, new Uint8Array(1024), one])
    expect(await summary(both)).toEqual(['0 file /a', '0 file /b = /a 1', '1 file /a', '1 file /b = /a 1'])
  })

  test('passes content that was not read, and refuses to read it late or twice', async () => {
    const tree = new FileTree().add({ path: '/a', type: 'file', content: text('aaaaa') })
    tree.add({ path: '/b', type: 'file', content: text('b') })
    const entries = await Array.fromAsync(readCpio(writeCpio(tree)))
    expect(entries.map((entry) => [entry.path, entry.sizeBytes])).toEqual([
      ['/a', 5],
      ['/b', 1],
    ])
    await expect(entries[0]?.bytes()).rejects.toThrow('/a: its content has been read or passed already')
    for await (const entry of readCpio(writeCpio(tree))) {
      await entry.bytes()
      await expect(entry.bytes()).rejects.toThrow('read or passed already')
    }
  })

  test('lets its input go when the caller stops early', async () => {
    let closed = false
    async function* input(): AsyncGenerator<Uint8Array> {
      try {
        yield* writeCpio(new FileTree().add({ path: '/a/b', type: 'directory' }))
        yield new Uint8Array(4)
      } finally {
        closed = true
      }
    }
    // oxlint-disable-next-line no-unreachable-loop
    for await (const entry of readCpio(input())) {
      expect(entry.path).toBe('/a')
      break
    }
    expect(closed).toBe(true)
  })

  test('ends with the reason of the signal', async () => {
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(Array.fromAsync(readCpio(new Uint8Array(512), { signal }))).rejects.toThrow('enough')
  })
})

describe('readCpio() of damaged input', () => {
  const tree = new FileTree()
    .add({ path: '/a', type: 'file', content: text('content') })
    .add({ path: '/b', type: 'symlink', target: 'a' })

  test('says at which byte an archive is cut off, at every length', async () => {
    const whole = await collect(writeCpio(tree, { alignmentBytes: 4 }))
    const shortest = new Map<string, number>()
    for (let length = 0; length < whole.byteLength; length++) {
      const error = await failure(whole.subarray(0, length))
      expect(error.offset).toBeLessThanOrEqual(length)
      shortest.set(error.message, length)
    }
    expect(
      [...shortest.keys()].some((message) => message.includes('/a: its 7 bytes are cut off after 3')),
    ).toBe(true)
    expect([...shortest.keys()]).toContain('cpio: at byte 0: the input is empty, expected a newc archive')
    expect([...shortest.keys()]).toContain(
      'cpio: at byte 120: the input ends without the entry TRAILER!!! that ends an archive',
    )
  })

  test.each([
    [0, 'X', 0, 'expected the magic 070701 of an entry, found the bytes 58 37 30 37 30 31'],
    [14, 'zz', 14, 'mode is "zz0081a4", expected 8 hexadecimal digits'],
    [14, '0000F000', 0, 'is of no known file type'],
    [94, 'FFFFFFFF', 110, 'a name of 4294967295 bytes'],
    [94, '00000000', 110, 'a name of 0 bytes'],
    [94, '00000003', 110, 'must have its only NUL at its end'],
    [110, '\0', 110, 'must have its only NUL at its end'],
    [54, 'FFFFFFFF', 112, '/a: its 4294967295 bytes are cut off after'],
    [14, '000041ed', 0, '/a: a directory with 7 bytes of content'],
    [0, '070707', 0, 'old portable format'],
    [0, '\x1f\x8b', 0, 'compressed with gzip: decompress it first'],
  ])('at byte %d with %j says so at byte %d: %s', async (at, change, offset, message) => {
    const archive = await collect(writeCpio(tree))
    archive.set(Buffer.from(change, 'latin1'), at)
    const error = await failure(archive)
    expect([error.message.includes(message) || error.message, error.offset]).toEqual([true, offset])
  })

  test.each(['odc', 'bin'] as const)("names GNU cpio's old format %s", async (format) => {
    expect((await failure(gnuArchive(format))).message).toContain('format')
  })

  test('names a compressed segment after the first archive and where it begins', async () => {
    const first = await collect(writeCpio(tree))
    const zstd = runOk(['sh', '-c', 'echo x | zstd -q | base64 -w0'])
    const error = await failure(Buffer.concat([first, Buffer.from(zstd, 'base64')]))
    expect(error).toMatchObject({ offset: first.byteLength })
    expect(error.message).toContain('zstd')
    const shifted = Buffer.concat([first, new Uint8Array(1), first])
    expect((await failure(shifted)).message).toContain('must begin at a multiple of 4')
  })

  test('refuses a name that leaves the folder', async () => {
    const archive = await collect(writeCpio(new FileTree().add({ path: '/aa/b', type: 'directory' })))
    archive.set(text('..'), 110)
    expect((await failure(archive)).message).toContain('the name ".." has .. in it')
  })

  test('finds a wrong sum in the crc format', async () => {
    const archive = gnuArchive('crc')
    archive[Buffer.from(archive).indexOf('content of a')] = 0x43
    expect((await failure(archive)).message).toMatch(
      /\/etc\/b: the sum of its bytes is \d+, its header says \d+/,
    )
  })

  test('never fails with anything but a CpioError, whatever bytes are changed', async () => {
    const whole = await collect(writeCpio(tree, { alignmentBytes: 4 }))
    const change = fc.record({ at: fc.nat(whole.byteLength - 1), byte: fc.nat(255) })
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
        const damaged = whole.slice()
        for (const { at, byte } of changes) damaged[at] = byte
        try {
          await summary(damaged)
        } catch (error) {
          expect(error).toBeInstanceOf(CpioError)
        }
      }),
      { numRuns: 500 },
    )
  })
})

const nodeName = fc.string({
  unit: fc.constantFrom('a', 'b', 'ü', '😀', '-', ' '),
  minLength: 1,
  maxLength: 5,
})
const attributes = fc.record({
  mode: fc.nat(0o7777),
  uid: fc.nat(70_000),
  gid: fc.nat(70_000),
  mtimeSeconds: fc.nat(2 ** 32 - 1),
})
const newNode = fc.oneof(
  fc.record({ type: fc.constant('file' as const), content: fc.uint8Array({ maxLength: 40 }) }),
  fc.record({ type: fc.constant('symlink' as const), target: nodeName }),
  fc.record({
    type: fc.constantFrom('char' as const, 'block' as const),
    major: fc.nat(4095),
    minor: fc.nat(255),
  }),
  fc.record({ type: fc.constantFrom('directory' as const, 'fifo' as const) }),
  fc.record({ type: fc.constant('hardlink' as const) }),
)
const randomTree = fc
  .array(fc.tuple(fc.array(nodeName, { minLength: 1, maxLength: 3 }), newNode, attributes), { maxLength: 12 })
  .map((nodes) => {
    const tree = new FileTree()
    for (const [names, node, some] of nodes) {
      const path = `/${names.join('/')}`
      const target = [...tree].find((other) => other.type !== 'directory' && other.type !== 'hardlink')
      try {
        if (node.type === 'hardlink') tree.add({ path, type: 'hardlink', linkTo: target?.path ?? '/' })
        else tree.add({ path, ...node, ...some })
      } catch (error) {
        // Taken paths and links to nothing: the tree does without them.
        if (!(error instanceof TypeError)) throw error
      }
    }
    return tree
  })

describe('writeCpio() and its readers agree on random trees', () => {
  test('readCpio() gives back every node', async () => {
    await fc.assert(
      fc.asyncProperty(randomTree, async (tree) => {
        const contents = new Map<string, Uint8Array>()
        const found = new Map<string, unknown>()
        for await (const entry of readCpio(writeCpio(tree))) {
          const { path, type, mode, uid, gid, mtimeSeconds, major, minor, target, linkTo } = entry
          const first = linkTo ?? path
          if (entry.sizeBytes > 0) contents.set(first, await entry.bytes())
          found.set(path, { type, mode, uid, gid, mtimeSeconds, major, minor, target, first })
        }
        const groups = new Map<string, string>()
        const expected = new Map<string, unknown>()
        for (const node of tree) {
          const original = node.type === 'hardlink' ? tree.get(node.linkTo) : node
          if (!original || original.type === 'hardlink') throw new Error('unresolved link')
          const { type, mode, uid, gid, mtimeSeconds } = original
          const isDevice = type === 'char' || type === 'block'
          const target = type === 'symlink' ? original.target : undefined
          // Symlinks are not linked: each name has the target.
          const first = type === 'symlink' ? node.path : (groups.get(original.path) ?? node.path)
          groups.set(original.path, first)
          const [major, minor] = isDevice ? [original.major, original.minor] : [0, 0]
          expected.set(node.path, { type, mode, uid, gid, mtimeSeconds, major, minor, target, first })
          if (type === 'file' && original.content instanceof Uint8Array && original.content.byteLength > 0) {
            expect(contents.get(first)).toEqual(original.content)
          }
        }
        expect([...found]).toEqual([...expected])
      }),
      { numRuns: 200 },
    )
  })

  test('GNU cpio lists and checks what was written', async () => {
    await fc.assert(
      fc.asyncProperty(randomTree, async (tree) => {
        const result = run(['cpio', '-t', '--quiet'], { input: await collect(writeCpio(tree)) })
        expect(result).toMatchObject({ status: 0, stderr: '' })
        expect(result.stdout.split('\n').length - 1).toBe(tree.size)
      }),
      { numRuns: 40 },
    )
  })

  test('GNU cpio unpacks the bytes of every file', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 9000 }), { minLength: 1, maxLength: 5 }),
        async (files) => {
          const tree = new FileTree()
          for (const [index, content] of files.entries())
            tree.add({ path: `/f${index}`, type: 'file', content })
          const archive = await collect(writeCpio(tree))
          const unpacked = runOk(
            ['sh', '-c', 'cpio -i --quiet --to-stdout | od -An -v -tx1 -w1 | tr -d " \\n"'],
            { input: archive },
          )
          expect(unpacked).toBe(Buffer.concat(files).toString('hex'))
        },
      ),
      { numRuns: 20 },
    )
  })
})
