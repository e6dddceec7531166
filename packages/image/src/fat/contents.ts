/** A tree as FAT sees it: directories with their entries, and files, before anything has a place. */
import { createHash } from 'node:crypto'
import { contentSizeBytes } from '../stream/content.ts'
import type { FileTree, FileNode, TreeNode } from '../tree.ts'
import { entryCountOf } from './directory-entry.ts'
import { entriesMax, fileBytesMax } from './format.ts'
import { fatNames } from './names.ts'
import type { FatName } from './names.ts'
import { encodeTime } from './time.ts'
import type { FatTime } from './time.ts'

/** A file that is to be written. */
export interface ContentFile {
  readonly type: 'file'
  readonly node: FileNode
  readonly time: FatTime
  readonly sizeBytes: number
}

/** A directory that is to be written. */
export interface ContentDirectory {
  readonly type: 'directory'
  readonly path: string
  readonly parent: ContentDirectory | undefined
  readonly time: FatTime
  readonly children: { readonly name: FatName; readonly node: ContentFile | ContentDirectory }[]
  /** How many entries of 32 bytes it takes, with label or `.` and `..`. */
  entries: number
}

/** All that there is to write. */
export interface Contents {
  readonly root: ContentDirectory
  /** Each after its parent; the root first. */
  readonly directories: readonly ContentDirectory[]
  /** In the order of their paths. */
  readonly files: readonly ContentFile[]
}

/**
 * Takes a tree apart.
 *
 * @throws TypeError or RangeError naming the path of what FAT does not have
 */
export function contentsOf(tree: FileTree, hasLabel: boolean): Contents {
  const rootNode = tree.get('/')
  const rootSeconds = rootNode?.type === 'directory' ? rootNode.mtimeSeconds : 0
  const root = newDirectory('/', undefined, rootSeconds)
  const byPath = new Map([['/', root]])
  const namesOf = new Map<ContentDirectory, string[]>()
  const nodesOf = new Map<ContentDirectory, (ContentFile | ContentDirectory)[]>()
  const files: ContentFile[] = []
  for (const node of tree) {
    if (node.path === '/') continue
    const slash = node.path.lastIndexOf('/')
    const parent = byPath.get(node.path.slice(0, slash) || '/')
    if (!parent) throw new Error(`${node.path}: a tree without its parent`)
    const child =
      node.type === 'directory' ? newDirectory(node.path, parent, node.mtimeSeconds) : fileOf(node)
    if (child.type === 'directory') byPath.set(node.path, child)
    else files.push(child)
    listIn(namesOf, parent).push(node.path.slice(slash + 1))
    listIn(nodesOf, parent).push(child)
  }
  for (const directory of byPath.values()) {
    const nodes = listIn(nodesOf, directory)
    const names = fatNames(directory.path, listIn(namesOf, directory))
    const ownEntries = directory === root ? Number(hasLabel) : 2
    directory.entries = names.reduce((sum, name) => sum + entryCountOf(name), ownEntries)
    if (directory.entries > entriesMax) {
      throw new RangeError(
        `${directory.path}: its names take ${directory.entries} entries, FAT holds ${entriesMax} in a directory`,
      )
    }
    for (const [index, node] of nodes.entries()) {
      const name = names[index]
      if (name) directory.children.push({ name, node })
    }
  }
  return { root, directories: [...byPath.values()], files }
}

function newDirectory(
  path: string,
  parent: ContentDirectory | undefined,
  mtimeSeconds: number,
): ContentDirectory {
  return { type: 'directory', path, parent, time: encodeTime(path, mtimeSeconds), children: [], entries: 0 }
}

function fileOf(node: Exclude<TreeNode, { type: 'directory' }>): ContentFile {
  const { path, type } = node
  if (type !== 'file') throw new TypeError(`${path}: is a ${type}, and FAT has only files and directories`)
  const sizeBytes = contentSizeBytes(node.content)
  if (sizeBytes > fileBytesMax) {
    throw new RangeError(`${path}: has ${sizeBytes} bytes, FAT holds ${fileBytesMax} in a file`)
  }
  return { type, node, time: encodeTime(path, node.mtimeSeconds), sizeBytes }
}

function listIn<Key, Value>(lists: Map<Key, Value[]>, key: Key): Value[] {
  const list = lists.get(key) ?? []
  if (list.length === 0) lists.set(key, list)
  return list
}

/** 32 bits that differ for other names, sizes or times: one file system is not to be taken for another one. */
export function volumeIdOf({ directories, files }: Contents, volumeLabel: string | undefined): number {
  const hash = createHash('sha256').update(JSON.stringify([volumeLabel ?? '']))
  for (const { path, time } of directories) hash.update(JSON.stringify([path, time.date, time.time]))
  for (const { node, time, sizeBytes } of files) {
    hash.update(JSON.stringify([node.path, time.date, time.time, sizeBytes]))
  }
  return hash.digest().readUInt32BE(0)
}
