/** Trees to write as EROFS images, and what fsck.erofs makes of the images. */
import { createHash } from 'node:crypto'
import { lstatSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { writeErofs } from '../src/erofs.ts'
import type { ErofsOptions } from '../src/erofs.ts'
import { FileTree } from '../src/tree.ts'
import type { NewNode } from '../src/tree.ts'
import { collect, run, temporaryFolder } from './run.ts'

/** UTF-8. */
export const text = (content: string): Uint8Array => new TextEncoder().encode(content)

/** Bytes that are not all alike, and not those of another size. */
export function noise(sizeBytes: number): Uint8Array {
  return Uint8Array.from({ length: sizeBytes }, (_, index) => (index * 31 + (index >> 8) + sizeBytes) & 0xff)
}

/** Every type, and what needs the long form of an inode. */
export const sample: NewNode[] = [
  { path: '/', type: 'directory', mode: 0o751 },
  { path: '/etc', type: 'directory', mode: 0o750, uid: 3, gid: 4 },
  {
    path: '/etc/motd',
    type: 'file',
    uid: 1000,
    gid: 100,
    mtimeSeconds: 1_600_000_000,
    content: text('hello'),
  },
  { path: '/etc/large-owner', type: 'file', uid: 65_536, gid: 0xffff_fffe, content: text('x') },
  { path: '/etc/far', type: 'directory', mtimeSeconds: 2 ** 33 },
  { path: '/bin', type: 'symlink', target: 'usr/bin' },
  { path: '/dev/console', type: 'char', major: 5, minor: 1 },
  { path: '/dev/vda', type: 'block', mode: 0o660, major: 4095, minor: 0xa_bcde },
  { path: '/run/pipe', type: 'fifo' },
  { path: '/usr/bin/empty', type: 'file', content: new Uint8Array() },
  { path: '/usr/bin/su', type: 'file', mode: 0o4755, content: noise(10_000) },
  { path: '/usr/bin/zz', type: 'hardlink', linkTo: '/usr/bin/su' },
  { path: '/a-link', type: 'hardlink', linkTo: '/usr/bin/su' },
]

/** A tree of these nodes, added in this order. */
export function treeOf(nodes: readonly NewNode[]): FileTree {
  const tree = new FileTree()
  for (const node of nodes) tree.add(node)
  return tree
}

/** What fsck.erofs has against an image. Version 1.5 ends with 0 after a wrong checksum, having told of it. */
export function complaints(image: string, ...options: string[]): string {
  const { status, stdout, stderr } = run(['fsck.erofs', ...options, image])
  const told = `${stdout}${stderr}`
  return status === 0 && !told.includes('<E>') ? '' : `exit status ${status}: ${told}`
}

/** Writes an image file that `fsck.erofs` accepts, and gives its path. */
export async function checkedImage(tree: FileTree, options: ErofsOptions = {}): Promise<string> {
  const image = join(temporaryFolder(), 'image.erofs')
  writeFileSync(image, await collect(writeErofs(tree, options)))
  expect(complaints(image)).toBe('')
  return image
}

/** What fsck.erofs extracts from the image of `tree`: without owners, which only root can give. */
export async function extracted(tree: FileTree, options: ErofsOptions = {}): Promise<string> {
  const image = await checkedImage(tree, options)
  const folder = join(temporaryFolder(), 'extracted')
  expect(complaints(image, `--extract=${folder}`, '--preserve-perms', '--no-preserve-owner')).toBe('')
  return folder
}

/** A folder on the host's disk as lines that can be compared. */
export function listing(folder: string, path = ''): string[] {
  const stats = lstatSync(join(folder, path))
  const mode = (stats.mode & 0o7777).toString(8)
  const line = `${path || '/'} ${mode} ${Math.floor(stats.mtimeMs / 1000)}`
  if (stats.isSymbolicLink()) return [`${path} -> ${readlinkSync(join(folder, path))}`]
  if (stats.isFIFO()) return [`${line} fifo`]
  if (stats.isFile()) return [`${line} ${sha256(readFileSync(join(folder, path)))}`]
  const names = readdirSync(join(folder, path)).toSorted((left, right) =>
    Buffer.compare(Buffer.from(left), Buffer.from(right)),
  )
  return [`${line} directory`, ...names.flatMap((name) => listing(folder, `${path}/${name}`))]
}

/** What {@link listing} gives of an extracted `tree`. */
export function expectedListing(tree: FileTree): string[] {
  const lines = tree.has('/') ? [] : ['/ 755 0 directory']
  const nodes = [...tree].map((node) => {
    const inode = node.type === 'hardlink' ? tree.get(node.linkTo) : node
    if (!inode || inode.type === 'hardlink') throw new Error(`${node.path}: links to nothing`)
    const line = `${node.path} ${inode.mode.toString(8)} ${inode.mtimeSeconds}`
    if (inode.type === 'symlink') return `${node.path} -> ${inode.target}`
    if (inode.type === 'file' && inode.content instanceof Uint8Array)
      return `${line} ${sha256(inode.content)}`
    return `${line} ${inode.type}`
  })
  return [...lines, ...nodes]
}

/** In hexadecimal digits. */
export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
