/** All files of an image as a tree. A damaged image may hold circles and any number of names: both end in an error. */
import { FileTree } from '../tree.ts'
import type { NewNode } from '../tree.ts'
import { decodeDevice } from './decode.ts'
import type { DecodedInode } from './decode.ts'
import { ErofsError } from './error.ts'
import type { InodeReader } from './inode-reader.ts'

/** What a node takes besides its texts and attributes, roughly. */
const nodeBytes = 128

/** Walks from the root, directory by directory. */
export async function treeFrom(image: InodeReader, heldBytesMax: number): Promise<FileTree> {
  const tree = new FileTree()
  const firstNames = new Map<number, string>()
  const waiting: [path: string, directory: DecodedInode][] = []
  let heldBytes = 0
  const add = async (path: string, nid: number): Promise<void> => {
    const inode = await image.inode(nid)
    const firstName = firstNames.get(nid)
    if (firstName !== undefined && inode.type === 'directory') {
      throw new ErofsError(`${path}: the directory ${firstName} has a second name`)
    }
    const node: NewNode =
      firstName === undefined
        ? await nodeOf(image, path, inode)
        : { path, type: 'hardlink', linkTo: firstName }
    heldBytes += heldBytesOf(node)
    if (heldBytes > heldBytesMax) {
      throw new ErofsError(
        `${path}: names and attributes up to here take ${heldBytes} bytes: see heldBytesMax`,
      )
    }
    addTo(tree, node)
    if (firstName !== undefined) return
    firstNames.set(nid, path)
    if (inode.type === 'directory') waiting.push([path, inode])
  }
  await add('/', image.superblock.rootNid)
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const [path, directory] = next
    for await (const { name, nid } of image.entries(directory)) {
      await add(`${path === '/' ? '' : path}/${name}`, nid)
    }
  }
  return tree
}

function heldBytesOf(node: NewNode): number {
  const target = node.type === 'symlink' ? node.target.length : 0
  const xattrs = node.type === 'hardlink' ? {} : (node.xattrs ?? {})
  const attributes = Object.entries(xattrs).map(([name, value]) => name.length + value.byteLength)
  return attributes.reduce((sum, bytes) => sum + bytes, nodeBytes + node.path.length + target)
}

/** A name that no tree can have is the image's fault. */
function addTo(tree: FileTree, node: NewNode): void {
  try {
    tree.add(node)
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) throw new ErofsError(error.message)
    throw error
  }
}

async function nodeOf(image: InodeReader, path: string, inode: DecodedInode): Promise<NewNode> {
  const { type, mode, uid, gid, mtimeSeconds } = inode
  const common = { path, mode, uid, gid, mtimeSeconds, xattrs: await image.attributes(inode) }
  switch (type) {
    case 'file':
      return { type, ...common, content: image.content(inode) }
    case 'symlink':
      return { type, ...common, target: await image.target(inode) }
    case 'char':
    case 'block':
      return { type, ...common, ...decodeDevice(inode.address) }
    case 'directory':
    case 'fifo':
      return { type, ...common }
  }
}
