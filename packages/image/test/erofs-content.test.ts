/** What more than names, owners and bytes an EROFS image may hold: extended attributes, and blocks that files share. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { writeCpio } from '../src/cpio.ts'
import { erofsImageId, prepareErofs, readErofs, writeErofs } from '../src/erofs.ts'
import type { FileSource } from '../src/file-source.ts'
import { bytesAccess } from '../src/random-access.ts'
import type { NewNode } from '../src/tree.ts'
import { FileTree } from '../src/tree.ts'
import { fileCapabilities } from '../src/xattr.ts'
import type { CapabilityName } from '../src/xattr.ts'
import { checkedImage, expectedListing, extracted, listing, noise, text, treeOf } from './erofs-images.ts'
import { collect, runOk, temporaryFolder } from './run.ts'

// Some tests start many programs; other tests may have all processors.
const slow = { timeout: 240_000 }

/** The value that the host's kernel keeps of `security.capability` after setcap. */
function setcap(capabilities: string): string {
  const path = join(temporaryFolder(), 'program')
  writeFileSync(path, '')
  runOk(['setcap', capabilities, path])
  const said = runOk(['getfattr', '-n', 'security.capability', '-e', 'hex', '--absolute-names', path])
  return /=0x(\w+)/.exec(said)?.[1] ?? said
}

describe('fileCapabilities()', () => {
  test.each<[string, Parameters<typeof fileCapabilities>[0]]>([
    ['cap_net_raw=ep', { permitted: ['cap_net_raw'] }],
    [
      'cap_net_bind_service,cap_checkpoint_restore=p',
      { permitted: ['cap_net_bind_service', 'cap_checkpoint_restore'], effective: false },
    ],
    ['cap_chown,cap_bpf=eip', { permitted: ['cap_chown', 'cap_bpf'], inheritable: ['cap_bpf', 'cap_chown'] }],
    ['cap_syslog=i', { inheritable: ['cap_syslog'], effective: false }],
  ])('is what setcap %s writes', (given, capabilities) => {
    expect(Buffer.from(fileCapabilities(capabilities)).toString('hex')).toBe(setcap(given))
  })

  test('refuses what is no capability', () => {
    const unknown = 'cap_fly' as CapabilityName
    expect(() => fileCapabilities({ permitted: [unknown] })).toThrow('"cap_fly" is no capability')
  })
})

describe('extended attributes', () => {
  const xattrs = {
    'user.mime_type': text('text/plain'),
    'security.capability': fileCapabilities({ permitted: ['cap_net_raw'] }),
    'trusted.empty': new Uint8Array(),
  }

  test(
    'are accepted by fsck.erofs behind inodes of all types, with inline data and without',
    slow,
    async () => {
      const nodes: NewNode[] = [
        { path: '/', type: 'directory', xattrs },
        { path: '/small', type: 'file', content: text('small'), xattrs },
        { path: '/large', type: 'file', content: noise(9000), mtimeSeconds: 7, xattrs },
        { path: '/link', type: 'symlink', target: 'small', xattrs: { 'trusted.a': noise(3) } },
        { path: '/pipe', type: 'fifo', xattrs: { 'trusted.a': noise(5) } },
        // Its data would lie behind the inode, and cannot beside so much.
        { path: '/full', type: 'file', content: noise(1000), xattrs: { 'user.a': noise(4000) } },
        { path: '/plain', type: 'file', content: text('plain') },
      ]
      const folder = await extracted(treeOf(nodes))
      expect(listing(folder)).toEqual(expectedListing(treeOf(nodes)))
      const image = await checkedImage(treeOf(nodes))
      const sizes = ['/small', '/full', '/plain'].map(
        (path) =>
          /Xattr size: (\d+)/.exec(
            runOk(['dump.erofs', `--path=${path}`, image]).replaceAll(/ +/g, ' '),
          )?.[1],
      )
      // 12 bytes of header; 4 and name and value of each, up to a multiple of 4.
      expect(sizes).toEqual(['84', '4020', '0'])
      const reader = await readErofs(bytesAccess(readFileSync(image)))
      expect(await reader.xattrs('/large')).toEqual(xattrs)
      expect(await reader.xattrs('/full')).toEqual({ 'user.a': noise(4000) })
    },
  )

  test('have the same bytes whatever the order in which they are given', async () => {
    const written = async (given: Record<string, Uint8Array>): Promise<Uint8Array> =>
      await collect(writeErofs(treeOf([{ path: '/f', type: 'fifo', xattrs: given }])))
    const reversed = Object.fromEntries(Object.entries(xattrs).toReversed())
    expect(await written(reversed)).toEqual(await written(xattrs))
  })

  test('are refused where EROFS or Linux cannot hold them, before the first byte', () => {
    const tree = (given: Record<string, Uint8Array>): FileTree =>
      treeOf([{ path: '/f', type: 'file', content: text('x'), xattrs: given }])
    expect(() => writeErofs(tree({ 'btrfs.compression': text('zstd') }))).toThrow(
      '/f: EROFS cannot hold the extended attribute "btrfs.compression"',
    )
    expect(() => writeErofs(tree({ 'user.a': noise(4030) }))).toThrow(
      '/f: its extended attributes take 4048 bytes, 4032 lie in a block with an inode',
    )
    expect(() => tree({ capability: text('') })).toThrow('a name must be text with a prefix')
    expect(() => tree({ 'user.': text('') })).toThrow(TypeError)
    expect(() => tree({ [`user.${'x'.repeat(251)}`]: text('') })).toThrow('a name longer than 255 bytes')
    expect(() => tree({ 'user.a': new Uint8Array(65_537) })).toThrow('a value of 65537 bytes')
    expect(() => tree({ 'user.a': 'text' as unknown as Uint8Array })).toThrow('must be a Uint8Array')
  })

  test('are refused by writeCpio() unless they may be dropped', async () => {
    const tree = treeOf([{ path: '/bin/ping', type: 'file', content: text('x'), xattrs }])
    expect(() => writeCpio(tree)).toThrow(TypeError)
    expect(() => writeCpio(tree)).toThrow(
      '/bin/ping: newc cpio cannot hold its extended attributes (security.capability, trusted.empty, user.mime_type)',
    )
    const bare = treeOf([{ path: '/bin/ping', type: 'file', content: text('x') }])
    expect(await collect(writeCpio(tree, { xattrs: 'drop' }))).toEqual(await collect(writeCpio(bare)))
  })
})

describe('files of equal content', () => {
  const equal = noise(50_000)
  const other = equal.slice()
  other[49_999] = (other[49_999] ?? 0) ^ 1
  const nodes: NewNode[] = [
    { path: '/a', type: 'file', content: equal },
    { path: '/b', type: 'file', mode: 0o600, uid: 7, content: equal.slice() },
    { path: '/c', type: 'file', content: other },
    { path: '/d', type: 'file', content: source(equal) },
    { path: '/long', type: 'symlink', target: 't'.repeat(3000) },
    { path: '/target', type: 'file', content: text('t'.repeat(3000)) },
  ]

  test('share their blocks, and are read as before', slow, async () => {
    const image = await prepareErofs(treeOf(nodes))
    const apart = await prepareErofs(treeOf(nodes), { shareEqualFiles: false })
    // Twice the 13 blocks that a file takes.
    expect(apart.sizeBytes - image.sizeBytes).toBe(26 * 4096)
    const inMemory = nodes.map((node) =>
      node.path === '/d' ? { ...node, content: equal } : node,
    ) as NewNode[]
    expect(listing(await extracted(treeOf(nodes)))).toEqual(expectedListing(treeOf(inMemory)))
    const bytes = await collect(image.open())
    expect(await erofsImageId(bytes)).toBe(image.uuid)
    const reader = await readErofs(bytesAccess(bytes))
    expect((await reader.stat('/b')).nid).not.toBe((await reader.stat('/a')).nid)
    expect(await collect((await reader.file('/d')).open())).toEqual(equal)
    expect(await collect((await reader.file('/c')).open())).toEqual(other)
  })

  test('have their blocks where the first by rank would have them', async () => {
    const rank = ({ path }: { readonly path: string }): number => (path === '/b' ? -1 : path === '/c' ? 0 : 1)
    const image = await collect(writeErofs(treeOf(nodes), { rank }))
    const block = (index: number): Uint8Array => image.subarray(index * 4096, (index + 1) * 4096)
    // After one block of inodes: /b's, then those of /c and the long symlink; /a's are /b's.
    expect(Buffer.compare(block(1), equal.subarray(0, 4096))).toBe(0)
    expect(Buffer.compare(image.subarray(14 * 4096, 14 * 4096 + 50_000), other)).toBe(0)
  })

  test('are looked for among files of equal size only', async () => {
    let opened = 0
    const counted = (sizeBytes: number): FileSource => ({
      sizeBytes,
      async *open() {
        opened += 1
        yield new Uint8Array(sizeBytes)
      },
    })
    const uuid = '00000000-0000-0000-0000-000000000000'
    const tree = treeOf(
      [5000, 6000, 7000].map((size) => ({ path: `/${size}`, type: 'file', content: counted(size) })),
    )
    await collect(writeErofs(tree, { uuid }))
    expect(opened).toBe(3)
    tree.add({ path: '/again', type: 'file', content: counted(6000) })
    opened = 0
    await collect(writeErofs(tree, { uuid }))
    // Two of equal size are compared; then one of each content is written.
    expect(opened).toBe(2 + 3)
  })
})

describe('onProgress', () => {
  test('counts up to all bytes of an image, in each pass', async () => {
    const tree = treeOf([{ path: '/f', type: 'file', content: noise(300_000) }])
    const [read, written, archived]: number[][] = [[], [], []]
    const image = await prepareErofs(tree, { onProgress: (doneBytes) => read?.push(doneBytes) })
    await collect(image.open({ onProgress: (doneBytes) => written?.push(doneBytes) }))
    expect([read?.at(-1), written?.at(-1)]).toEqual([image.sizeBytes, image.sizeBytes])
    const archive = await collect(writeCpio(tree, { onProgress: (doneBytes) => archived?.push(doneBytes) }))
    expect(archived?.at(-1)).toBe(archive.byteLength)
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(collect(image.open({ signal }))).rejects.toThrow('enough')
  })
})

function source(bytes: Uint8Array): FileSource {
  return {
    sizeBytes: bytes.byteLength,
    async *open() {
      for (let start = 0; start < bytes.byteLength; start += 7000) yield bytes.subarray(start, start + 7000)
    },
  }
}
