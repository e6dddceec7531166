/** Trees by chance, for the writers' property tests. */
import fc from 'fast-check'
import { FileTree } from '../src/tree.ts'
import { noise } from './erofs-images.ts'

/** A name that any of Linux's file systems can hold, of up to 60 characters. */
export const anyName: fc.Arbitrary<string> = fc
  .oneof(
    fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme' }),
    fc.string({ minLength: 1, maxLength: 60 }),
  )
  .filter((name) => !/[/\0]/.test(name) && name !== '.' && name !== '..' && name.isWellFormed())

// The host must be able to read what is extracted, also for a user who is not root.
const anyAttributes = fc.record({
  mode: fc.nat(0o777).map((mode) => mode | 0o700),
  uid: fc.oneof(fc.nat(0xffff), fc.nat(0xffff_fffe)),
  mtimeSeconds: fc.oneof(fc.constant(0), fc.nat(0x7fff_ffff)),
})

const anyNode = fc.oneof(
  fc.record({
    type: fc.constant('file' as const),
    content: fc.oneof(fc.nat(5000), fc.nat(20_000)).map(noise),
  }),
  fc.record({ type: fc.constant('directory' as const) }),
  fc.record({
    type: fc.constant('symlink' as const),
    target: fc.oneof(
      anyName,
      fc.nat(3000).map((size) => 's'.repeat(size + 1)),
    ),
  }),
  fc.record({ type: fc.constant('fifo' as const) }),
  fc.record({ type: fc.constant('hardlink' as const), of: fc.nat() }),
)

/** Up to 80 nodes of all types but devices, which only root can extract, in directories up to three deep. */
export const anyTree: fc.Arbitrary<FileTree> = fc
  .array(fc.tuple(fc.array(anyName, { minLength: 1, maxLength: 4 }), anyNode, anyAttributes), {
    maxLength: 80,
  })
  .map((nodes) => {
    const tree = new FileTree()
    for (const [names, node, attributes] of nodes) {
      const path = `/${names.join('/')}`
      try {
        if (node.type !== 'hardlink') tree.add({ path, ...node, ...attributes })
        else tree.add({ path, type: 'hardlink', linkTo: [...tree][node.of % tree.size]?.path ?? '/' })
      } catch (error) {
        // Two of the same path, or one below a file: another test's matter.
        if (!(error instanceof TypeError)) throw error
      }
    }
    return tree
  })

/** Any tree with its root in it, some of whose nodes have extended attributes as EROFS can hold them. */
export const anyTreeWithXattrs: fc.Arbitrary<FileTree> = fc
  .tuple(anyTree, fc.array(fc.option(anyXattrs(), { nil: {} }), { minLength: 1, maxLength: 7 }))
  .map(([tree, xattrs]) => {
    const copy = new FileTree().add({ path: '/', type: 'directory', mode: 0o711 })
    for (const [index, node] of [...tree].entries()) {
      if (node.type !== 'hardlink') copy.add({ ...node, xattrs: xattrs[index % xattrs.length] ?? {} })
    }
    for (const node of tree) if (node.type === 'hardlink') copy.add(node)
    return copy
  })

/** user::rw-, user:1000:r--, group::r--, mask::r--, other::--- (struct posix_acl_xattr_entry). */
export const accessList: Uint8Array = new Uint8Array(
  Buffer.from(
    '0200000001000600ffffffff02000400e803000004000400ffffffff10000400ffffffff20000000ffffffff',
    'hex',
  ),
)

function anyXattrs(): fc.Arbitrary<Record<string, Uint8Array>> {
  const name = fc
    .tuple(fc.constantFrom('user.', 'trusted.', 'security.'), anyName)
    .map(([prefix, rest]) => prefix + rest)
  const bounds = { maxKeys: 6, noNullPrototype: true }
  // Not any bytes as an access list: the kernel would let nobody read the file.
  return fc
    .tuple(fc.dictionary(name, fc.uint8Array({ maxLength: 300 }), bounds), fc.boolean())
    .map(([xattrs, hasList]) =>
      Object.assign(xattrs, hasList ? { 'system.posix_acl_access': accessList } : {}),
    )
}
