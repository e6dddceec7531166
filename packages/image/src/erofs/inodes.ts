/** A tree as file systems see it: inodes with their link counts, and directories that name them. */
import { contentSizeBytes } from '../stream/content.ts'
import type { DirectoryNode, FileTree, HardLinkNode, TreeNode } from '../tree.ts'

/** A name in a directory. */
export interface Entry {
  readonly name: string
  readonly inode: Inode
}

/** One file of any type, whatever the number of its names. */
export interface Inode {
  readonly node: Exclude<TreeNode, HardLinkNode>
  /** Counted from 1, in the order of the tree. */
  readonly number: number
  /** Its names; of a directory also its `.` and its subdirectories' `..`. */
  links: number
  /** What a directory names, without `.` and `..`, in the order of the names' bytes; empty for other types. */
  readonly entries: Entry[]
  /** The directory of its first name; undefined for the root. */
  readonly parent: Inode | undefined
}

const root: DirectoryNode = { type: 'directory', path: '/', mode: 0o755, uid: 0, gid: 0, mtimeSeconds: 0 }

/** All inodes of `tree`, the root first, each directory before what it holds. */
export function inodesOf(tree: FileTree): Inode[] {
  const inodes = new Map<string, Inode>()
  const add = (node: Inode['node'], parent: Inode | undefined): void => {
    const links = node.type === 'directory' ? 2 : 1
    inodes.set(node.path, { node, number: inodes.size + 1, links, entries: [], parent })
  }
  const nodes = [...tree]
  if (!tree.has('/')) add(root, undefined)
  // A hard link may come before the node that it is a name of.
  for (const node of nodes) {
    if (node.type === 'hardlink') continue
    const parent = node.path === '/' ? undefined : find(inodes, parentOf(node.path))
    if (parent && node.type === 'directory') parent.links += 1
    add(node, parent)
  }
  for (const node of nodes) {
    if (node.path === '/') continue
    const inode = find(inodes, node.type === 'hardlink' ? node.linkTo : node.path)
    if (node.type === 'hardlink') inode.links += 1
    find(inodes, parentOf(node.path)).entries.push({ name: nameOf(node.path), inode })
  }
  return [...inodes.values()]
}

/** Bytes of what an inode holds; a directory's depend on how its names fall into blocks. */
export function contentBytes({ node }: Inode): number {
  switch (node.type) {
    case 'file':
      return contentSizeBytes(node.content)
    case 'symlink':
      return new TextEncoder().encode(node.target).byteLength
    default:
      return 0
  }
}

function find(inodes: ReadonlyMap<string, Inode>, path: string): Inode {
  const inode = inodes.get(path)
  // A FileTree adds parents and refuses links to nothing.
  if (!inode) throw new Error(`${path}: not in the tree`)
  return inode
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')))
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
