import { lstatSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { writeCpio, writeMicrocode } from '../src/cpio.ts'
import { hostFile } from '../src/file-source.ts'
import type { FileSource } from '../src/file-source.ts'
import { FileTree } from '../src/tree.ts'
import type { NewNode } from '../src/tree.ts'
import { collect, runOk, temporaryFolder } from './run.ts'

const text = (content: string): Uint8Array => new TextEncoder().encode(content)

const sample: NewNode[] = [
  { path: '/init', type: 'file', mode: 0o755, content: text('#!/bin/sh\n') },
  { path: '/etc', type: 'directory', mode: 0o750, uid: 3, gid: 4 },
  {
    path: '/etc/motd',
    type: 'file',
    uid: 1000,
    gid: 100,
    mtimeSeconds: 1_600_000_000,
    content: text('hello'),
  },
  { path: '/bin', type: 'symlink', target: 'usr/bin' },
  { path: '/dev/console', type: 'char', major: 5, minor: 1 },
  { path: '/dev/vda', type: 'block', mode: 0o660, major: 253, minor: 0 },
  { path: '/run/pipe', type: 'fifo' },
  { path: '/usr/bin/empty', type: 'file', content: new Uint8Array() },
  { path: '/usr/bin/su', type: 'file', mode: 0o4755, content: text('su') },
  { path: '/usr/bin/zz', type: 'hardlink', linkTo: '/usr/bin/su' },
  { path: '/a-link', type: 'hardlink', linkTo: '/usr/bin/su' },
]

async function* emptyStream(): AsyncGenerator<Uint8Array> {}

function treeOf(nodes: readonly NewNode[]): FileTree {
  const tree = new FileTree()
  for (const node of nodes) tree.add(node)
  return tree
}

describe('writeCpio()', () => {
  test('is listed by GNU cpio with types, modes, owners, links, devices and times', async () => {
    const listing = runOk(['cpio', '-itvn'], { input: await collect(writeCpio(treeOf(sample))) })
    const lines = listing
      .trim()
      .split('\n')
      .map((line) => line.replaceAll(/ +/g, ' '))
    expect(lines).toEqual([
      '-rwsr-xr-x 3 0 0 0 Jan 1 1970 a-link',
      'lrwxrwxrwx 1 0 0 7 Jan 1 1970 bin -> usr/bin',
      'drwxr-xr-x 2 0 0 0 Jan 1 1970 dev',
      'crw------- 1 0 0 5, 1 Jan 1 1970 dev/console',
      'brw-rw---- 1 0 0 253, 0 Jan 1 1970 dev/vda',
      'drwxr-x--- 2 3 4 0 Jan 1 1970 etc',
      '-rw-r--r-- 1 1000 100 5 Sep 13 2020 etc/motd',
      '-rwxr-xr-x 1 0 0 10 Jan 1 1970 init',
      'drwxr-xr-x 2 0 0 0 Jan 1 1970 run',
      'prw-r--r-- 1 0 0 0 Jan 1 1970 run/pipe',
      'drwxr-xr-x 2 0 0 0 Jan 1 1970 usr',
      'drwxr-xr-x 2 0 0 0 Jan 1 1970 usr/bin',
      '-rw-r--r-- 1 0 0 0 Jan 1 1970 usr/bin/empty',
      '-rwsr-xr-x 3 0 0 0 Jan 1 1970 usr/bin/su',
      '-rwsr-xr-x 3 0 0 2 Jan 1 1970 usr/bin/zz',
    ])
  })

  test.each([
    ['cpio', '--no-preserve-owner'],
    ['busybox', 'cpio'],
  ])('is unpacked by %s, hard links as one file', async (...tool) => {
    const folder = temporaryFolder()
    const withoutDevices = sample.filter(
      (node) => node.type !== 'char' && node.type !== 'block' && node.path !== '/etc',
    )
    const [file, argument] = tool
    const tree = treeOf(withoutDevices).add({ path: '/üñï', type: 'file', content: text('utf-8') })
    runOk([file, argument, '-idm'], { input: await collect(writeCpio(tree)), cwd: folder })
    const at = (path: string): string => join(folder, path)
    expect(readFileSync(at('üñï'), 'utf8')).toBe('utf-8')
    expect(readFileSync(at('etc/motd'), 'utf8')).toBe('hello')
    expect(readlinkSync(at('bin'))).toBe('usr/bin')
    expect(lstatSync(at('run/pipe')).isFIFO()).toBe(true)
    expect(lstatSync(at('init')).mode & 0o7777).toBe(0o755)
    expect(lstatSync(at('etc/motd')).mtimeMs).toBe(1_600_000_000_000)
    for (const name of ['a-link', 'usr/bin/su', 'usr/bin/zz']) {
      expect(readFileSync(at(name), 'utf8')).toBe('su')
      expect(lstatSync(at(name)).ino).toBe(lstatSync(at('a-link')).ino)
    }
  })

  test('gives the same bytes whatever the order of adding', async () => {
    // A link can only be added after its file.
    const shuffled = [...sample.slice(0, 9).toReversed(), ...sample.slice(9).toReversed()]
    expect(await collect(writeCpio(treeOf(shuffled)))).toEqual(await collect(writeCpio(treeOf(sample))))
  })

  test('writes the root when it was added, as the name .', async () => {
    const tree = new FileTree().add({ path: '/', type: 'directory', mode: 0o711 })
    expect(runOk(['cpio', '-itvn'], { input: await collect(writeCpio(tree)) })).toMatch(
      /^drwx--x--x .* \.\n$/,
    )
  })

  test('fills up to the alignment, with zeros only', async () => {
    for (const alignmentBytes of [4, 512, 4096]) {
      const bytes = await collect(writeCpio(new FileTree(), { alignmentBytes }))
      // 110 bytes of header, 11 of TRAILER!!! with its NUL, up to 124.
      expect(bytes.byteLength).toBe(Math.ceil(124 / alignmentBytes) * alignmentBytes)
      expect(bytes.subarray(121).every((byte) => byte === 0)).toBe(true)
    }
  })

  test('puts microcode into a first segment that readers of the second pass over', async () => {
    const microcode = { intel: text('intel!'), amd: text('amd!') }
    const bytes = await collect(writeCpio(treeOf(sample), { microcode }))
    const alone = await collect(writeMicrocode(microcode))
    expect(bytes.subarray(0, alone.byteLength)).toEqual(alone)
    expect(alone.byteLength % 512).toBe(0)
    const names = ['kernel', 'kernel/x86', 'kernel/x86/microcode']
    const files = ['kernel/x86/microcode/AuthenticAMD.bin', 'kernel/x86/microcode/GenuineIntel.bin']
    // GNU cpio stops at the first trailer: this is what the kernel's early search sees.
    expect(runOk(['cpio', '-it'], { input: bytes }).trim().split('\n')).toEqual([...names, ...files])
    expect(runOk(['cpio', '-it'], { input: bytes.subarray(alone.byteLength) })).toContain('etc/motd')
  })

  test('refuses options and nodes before the first byte', () => {
    const tree = new FileTree()
    expect(() => writeCpio(tree, { alignmentBytes: 6 })).toThrow(RangeError)
    expect(() => writeCpio(tree, { alignmentBytes: 2 })).toThrow('a power of two from 4')
    expect(() => writeCpio(tree, { microcode: {} })).toThrow('give intel, amd or both')
    expect(() => writeMicrocode({})).toThrow(TypeError)
    const large: FileSource = { sizeBytes: 2 ** 32, open: () => emptyStream() }
    tree.add({ path: '/large', type: 'file', content: large })
    expect(() => writeCpio(tree)).toThrow(
      '/large: 4294967296 bytes, but newc cpio holds files below 4 GiB only',
    )
    expect(() => writeCpio(treeOf([{ path: '/d', type: 'directory', mtimeSeconds: 2 ** 32 }]))).toThrow(
      'after 2106',
    )
  })
})

describe('writeCpio() of streams', () => {
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
    for await (const chunk of writeCpio(treeOf([{ path: '/f', type: 'file', content: source }])))
      taken += chunk.byteLength
    expect(taken).toBe(64 * 1024 * 1024 + 512)
    expect(openedAhead).toBeLessThanOrEqual(1024 * 1024)
  })

  test('writes host files', async () => {
    const tree = treeOf([{ path: '/f', type: 'file', content: await hostFile(import.meta.filename) }])
    const folder = temporaryFolder()
    runOk(['cpio', '-id', '--no-preserve-owner'], { input: await collect(writeCpio(tree)), cwd: folder })
    expect(readFileSync(join(folder, 'f'))).toEqual(readFileSync(import.meta.filename))
    await expect(hostFile('/')).rejects.toThrow('not a regular file')
  })

  test.each([
    [3, 'gave only 3'],
    [5, 'gave more'],
  ])('fails when a source of 4 bytes gives %d', async (given, message) => {
    const source: FileSource = {
      sizeBytes: 4,
      async *open() {
        yield new Uint8Array(given)
      },
    }
    const writing = collect(writeCpio(treeOf([{ path: '/etc/x', type: 'file', content: source }])))
    await expect(writing).rejects.toThrow(`/etc/x: its source promised 4 bytes and ${message}`)
  })

  test('ends with the reason of the signal while a source hangs, and lets the source go', async () => {
    const controller = new AbortController()
    let seenSignal: AbortSignal | undefined
    const hanging: FileSource = {
      sizeBytes: 1,
      open: ({ signal } = {}) => {
        seenSignal = signal
        return { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) }
      },
    }
    const tree = treeOf([{ path: '/f', type: 'file', content: hanging }])
    const writing = collect(writeCpio(tree, { signal: controller.signal }))
    setTimeout(() => controller.abort(new Error('enough')), 5)
    await expect(writing).rejects.toThrow('enough')
    expect(seenSignal).toBe(controller.signal)
    await expect(
      collect(writeCpio(tree, { signal: AbortSignal.abort(new Error('before')) })),
    ).rejects.toThrow('before')
  })
})
