import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { prepareExt4 } from '../src/ext4.ts'
import { FileTree } from '../src/tree.ts'
import type { Xattrs } from '../src/tree.ts'
import { noise, text } from './erofs-images.ts'
import { checkedImage, debugfs, MiB, uuid } from './ext4-images.ts'
import { temporaryFolder } from './run.ts'

// Some tests start many programs; other tests may have all processors.
const slow = { timeout: 240_000 }

const sizeBytes = 16 * MiB

/** A file with attributes, beside which other content must stay what it is. */
function treeWith(xattrs: Xattrs): FileTree {
  return new FileTree()
    .add({ path: '/f', type: 'file', content: noise(10_000), xattrs })
    .add({ path: '/after', type: 'file', content: text('after') })
}

/** A value as debugfs reads it. */
function valueOf(path: string, file: string, name: string): Uint8Array {
  const output = join(temporaryFolder(), 'value')
  debugfs(path, `ea_get -f ${output} ${file} ${name}`)
  return new Uint8Array(readFileSync(output))
}

test(
  'prepareExt4() puts extended attributes into inodes, and into a block what has no room there',
  slow,
  async () => {
    const tree = treeWith({ 'security.capability': noise(20), 'user.a': text('short') })
      .add({ path: '/d', type: 'directory', xattrs: { 'user.long': noise(3000), 'trusted.é': text('é') } })
      .add({ path: '/s', type: 'symlink', target: 'f', xattrs: { 'trusted.overlay': noise(200) } })
      .add({ path: '/p', type: 'fifo', xattrs: { 'user.empty': new Uint8Array() } })
    const path = await checkedImage(tree, { sizeBytes })
    expect(valueOf(path, '/f', 'security.capability')).toEqual(noise(20))
    expect(valueOf(path, '/f', 'user.a')).toEqual(text('short'))
    expect(valueOf(path, '/d', 'user.long')).toEqual(noise(3000))
    expect(valueOf(path, '/d', 'trusted.é')).toEqual(text('é'))
    expect(valueOf(path, '/s', 'trusted.overlay')).toEqual(noise(200))
    expect(debugfs(path, 'ea_list /p')).toContain('user.empty (0)')
    expect(debugfs(path, 'stat /f')).toContain('File ACL: 0\n')
    expect(debugfs(path, 'stat /d')).toMatch(/File ACL: [1-9]\d*\nLinks: 2 +Blockcount: 16\n/)
    expect(debugfs(path, 'stat /s')).toContain('Fast link dest: "f"')
    expect(debugfs(path, 'cat /after')).toBe('after')
  },
)

test('prepareExt4() keeps any extended attributes', { timeout: 240_000 }, async () => {
  const anyName = fc
    .tuple(fc.constantFrom('user.', 'trusted.', 'security.'), fc.stringMatching(/^[\w.é-]{1,40}$/))
    .map(([prefix, rest]) => prefix + rest)
  const anyValue = fc.oneof(fc.uint8Array({ maxLength: 12 }), fc.uint8Array({ maxLength: 300 }))
  await fc.assert(
    fc.asyncProperty(fc.dictionary(anyName, anyValue, { maxKeys: 8 }), async (xattrs) => {
      const path = await checkedImage(treeWith(xattrs), { sizeBytes })
      for (const [name, value] of Object.entries(xattrs))
        expect(valueOf(path, '/f', name), name).toEqual(new Uint8Array(value))
    }),
    { numRuns: 30 },
  )
})

test('prepareExt4() refuses extended attributes that ext4 does not have', () => {
  const prepare = (xattrs: Xattrs): unknown => prepareExt4(treeWith(xattrs), { sizeBytes, uuid })
  expect(() => prepare({ 'system.posix_acl_access': noise(4) })).toThrow(
    '/f: the extended attribute "system.posix_acl_access" cannot be written to ext4',
  )
  expect(() => prepare({ 'user.a': noise(4060) })).toThrow(
    'take 4080 bytes beside its inode, 4060 lie in a block',
  )
  expect(() => prepare({ 'user.a': noise(4040) })).not.toThrow()
})
