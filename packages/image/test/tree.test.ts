import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FileTree, comparePaths } from '../src/tree.ts'
import type { NewNode } from '../src/tree.ts'

const file = (path: string): NewNode => ({ path, type: 'file', content: new Uint8Array(1) })
const pathsOf = (tree: FileTree): string[] => [...tree].map((node) => node.path)

/** A slash as the byte 0 ends a name before any longer name goes on. */
const bytes = (path: string): Buffer => Buffer.from(path.replaceAll('/', '\0'))

describe('FileTree', () => {
  test('makes missing parents as 0755 of root, before what they hold', () => {
    const tree = new FileTree().add(file('/usr/lib/x/a'))
    expect(pathsOf(tree)).toEqual(['/usr', '/usr/lib', '/usr/lib/x', '/usr/lib/x/a'])
    expect(tree.get('/usr/lib')).toEqual({
      path: '/usr/lib',
      type: 'directory',
      mode: 0o755,
      uid: 0,
      gid: 0,
      mtimeSeconds: 0,
    })
  })

  test('lets a directory be given after it was made as a parent, once', () => {
    const tree = new FileTree()
      .add(file('/root/.profile'))
      .add({ path: '/root', type: 'directory', mode: 0o700 })
    expect(tree.get('/root')).toMatchObject({ mode: 0o700 })
    expect(() => tree.add({ path: '/root', type: 'directory' })).toThrow(
      '/root: is in the tree already, as a directory',
    )
  })

  test('keeps what is below a directory together although - sorts before /', () => {
    const tree = new FileTree().add(file('/a/b')).add(file('/a-b')).add(file('/a/c'))
    expect(pathsOf(tree)).toEqual(['/a', '/a/b', '/a/c', '/a-b'])
  })

  test('gives default modes by type', () => {
    const tree = new FileTree()
      .add(file('/f'))
      .add({ path: '/l', type: 'symlink', target: 'f' })
      .add({ path: '/c', type: 'char', major: 1, minor: 3 })
      .add({ path: '/p', type: 'fifo' })
    const modes = [...tree].map((node) =>
      node.type === 'hardlink' ? '' : `${node.path} ${node.mode.toString(8)}`,
    )
    expect(modes).toEqual(['/c 600', '/f 644', '/l 777', '/p 644'])
  })

  test('resolves a hard link to a hard link to the first name', () => {
    const tree = new FileTree().add(file('/a'))
    tree
      .add({ path: '/b', type: 'hardlink', linkTo: '/a' })
      .add({ path: '/c', type: 'hardlink', linkTo: '/b' })
    expect(tree.get('/c')).toEqual({ path: '/c', type: 'hardlink', linkTo: '/a' })
  })

  test.each([
    ['a/b', 'must be absolute'],
    ['', 'must be absolute'],
    ['/a/../b', '.. is not allowed'],
    ['/./a', '. is not allowed'],
    ['/a//b', 'has // or a / at its end'],
    ['/a/', 'has // or a / at its end'],
    ['/a\0b', 'cannot hold a NUL'],
    ['/a\ud800', 'surrogate'],
    [`/${'ä'.repeat(128)}`, 'a name longer than 255 bytes'],
    [`/${'a/'.repeat(2100)}a`, 'path longer than 4095 bytes'],
    ['/', 'the root must be a directory'],
  ])('refuses the path %j', (path, message) => {
    expect(() => new FileTree().add(file(path))).toThrow(TypeError)
    expect(() => new FileTree().add(file(path))).toThrow(message)
  })

  test('refuses what cannot be: children of files, links to nothing or to directories, odd types', () => {
    const tree = new FileTree().add(file('/a/b')).add({ path: '/lib', type: 'symlink', target: 'usr/lib' })
    expect(() => tree.add(file('/a'))).toThrow('/a: is in the tree already, as a directory')
    expect(() => tree.add(file('/a/b/c'))).toThrow('/a/b/c: its parent /a/b is a file, not a directory')
    expect(() => tree.add(file('/lib/x/y'))).toThrow(
      'its parent /lib is a symlink to usr/lib, not a directory',
    )
    expect(() => tree.add({ path: '/c', type: 'hardlink', linkTo: '/d' })).toThrow('add it first')
    expect(() => tree.add({ path: '/c', type: 'hardlink', linkTo: '/a' })).toThrow('Linux has none')
    expect(() => tree.add({ path: '/c', type: 'socket' } as unknown as NewNode)).toThrow(
      'type "socket", expected file',
    )
    expect(() => tree.add({ path: '/c', type: 'symlink', target: '' })).toThrow(
      "a symlink's target must be text",
    )
    expect(() => tree.add({ path: '/c', type: 'file', content: 'text' as unknown as Uint8Array })).toThrow(
      'content must be',
    )
    expect(tree.size).toBe(3)
  })

  test.each([
    [{ mode: 0o10000 }, 'mode is 4096'],
    [{ uid: -1 }, 'uid is -1'],
    [{ gid: 2 ** 32 - 1 }, 'gid is 4294967295'],
    [{ mtimeSeconds: 1.5 }, 'mtimeSeconds is 1.5'],
    [{ major: 4096 }, 'major is 4096'],
    [{ minor: 2 ** 20 }, 'minor is 1048576'],
  ])('refuses numbers out of range: %j', (change, message) => {
    const node: NewNode = { path: '/n', type: 'char', major: 1, minor: 3, ...change }
    expect(() => new FileTree().add(node)).toThrow(RangeError)
    expect(() => new FileTree().add(node)).toThrow(message)
  })

  test('comparePaths() orders as the bytes of the names do', () => {
    const name = fc.string({
      unit: fc.constantFrom('a', '-', '/', 'ÿ', '\ue000', '\uffff', '😀', '0'),
      maxLength: 6,
    })
    fc.assert(
      fc.property(name, name, (left, right) => {
        expect(Math.sign(comparePaths(left, right))).toBe(Buffer.compare(bytes(left), bytes(right)))
      }),
    )
  })
})
