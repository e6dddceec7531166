/** One newc archive from nodes that are already in order. */
import { contentSizeBytes, readContent } from '../stream/content.ts'
import type { FileContent } from '../stream/content.ts'
import { typeBits } from '../tree/mode.ts'
import type { HardLinkNode, TreeNode } from '../tree.ts'
import { headerBytes, headerFields, paddingBytes, trailerName } from './format.ts'
import type { CpioHeader } from './format.ts'

type InodeNode = Exclude<TreeNode, HardLinkNode>

/** Names of one inode: how many there are, and how many are still to be written. */
interface Inode {
  readonly ino: number
  readonly node: InodeNode
  nlink: number
  namesLeft: number
}

const encoder = new TextEncoder()
const uint32Max = 0xffff_ffff

/**
 * Refuses nodes whose numbers do not fit in the eight hexadecimal digits of a newc header.
 *
 * @param dropsXattrs - whether extended attributes, for which newc has no place, may be lost
 * @throws RangeError naming the node; TypeError naming one with extended attributes
 */
export function checkLimits(nodes: readonly TreeNode[], dropsXattrs: boolean): void {
  for (const node of nodes) {
    if (node.type === 'hardlink') continue
    if (node.xattrs && !dropsXattrs) {
      throw new TypeError(
        `${node.path}: newc cpio cannot hold its extended attributes (${Object.keys(node.xattrs).join(', ')}): the option xattrs: 'drop' leaves them out`,
      )
    }
    if (node.mtimeSeconds > uint32Max) {
      throw new RangeError(
        `${node.path}: mtimeSeconds ${node.mtimeSeconds} is after 2106, the last year of newc`,
      )
    }
    if (node.type === 'file' && contentSizeBytes(node.content) > uint32Max) {
      throw new RangeError(
        `${node.path}: ${contentSizeBytes(node.content)} bytes, but newc cpio holds files below 4 GiB only`,
      )
    }
  }
}

/** The pieces of one archive: entries in the order of `nodes`, the trailer, zeros up to `alignmentBytes`. */
export async function* cpioSegment(
  nodes: readonly TreeNode[],
  alignmentBytes: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const inodes = countLinks(nodes)
  let writtenBytes = 0
  for (const node of nodes) {
    signal?.throwIfAborted()
    const inode = inodes.get(node.type === 'hardlink' ? node.linkTo : node.path)
    if (!inode) throw new Error(`${node.path}: links to a path outside the archive`)
    inode.namesLeft -= 1
    const body = bodyOf(inode)
    const sizeBytes = body ? contentSizeBytes(body) : 0
    const head = encodeEntry(node.path === '/' ? '.' : node.path.slice(1), headerOf(inode, sizeBytes))
    yield head
    if (body) {
      yield* readContent(body, node.path, signal)
      yield new Uint8Array(paddingBytes(sizeBytes, 4))
    }
    writtenBytes += head.byteLength + sizeBytes + paddingBytes(sizeBytes, 4)
  }
  const trailer = encodeEntry(trailerName, { ...emptyHeader, nlink: 1 })
  yield trailer
  yield new Uint8Array(paddingBytes(writtenBytes + trailer.byteLength, alignmentBytes))
}

function countLinks(nodes: readonly TreeNode[]): Map<string, Inode> {
  const inodes = new Map<string, Inode>()
  for (const node of nodes) {
    if (node.type === 'hardlink') continue
    // gen_init_cpio of the kernel writes 2 for directories; nobody reads it.
    const nlink = node.type === 'directory' ? 2 : 1
    inodes.set(node.path, { ino: inodes.size + 1, node, nlink, namesLeft: 1 })
  }
  for (const node of nodes) {
    const inode = node.type === 'hardlink' ? inodes.get(node.linkTo) : undefined
    if (!inode) continue
    inode.nlink += 1
    inode.namesLeft += 1
  }
  return inodes
}

/** The bytes after the entry's name. A symlink has them with every name: readers link regular files only. */
function bodyOf({ node, namesLeft }: Inode): FileContent | undefined {
  if (node.type === 'symlink') return encoder.encode(node.target)
  return node.type === 'file' && namesLeft === 0 ? node.content : undefined
}

const emptyHeader: CpioHeader = {
  ino: 0,
  mode: 0,
  uid: 0,
  gid: 0,
  nlink: 0,
  mtime: 0,
  filesize: 0,
  devmajor: 0,
  devminor: 0,
  rdevmajor: 0,
  rdevminor: 0,
  namesize: 0,
  check: 0,
}

function headerOf({ ino, nlink, node }: Inode, filesize: number): CpioHeader {
  const isDevice = node.type === 'char' || node.type === 'block'
  return {
    ...emptyHeader,
    ino,
    mode: typeBits[node.type] | node.mode,
    uid: node.uid,
    gid: node.gid,
    nlink,
    mtime: node.mtimeSeconds,
    filesize,
    rdevmajor: isDevice ? node.major : 0,
    rdevminor: isDevice ? node.minor : 0,
  }
}

function encodeEntry(name: string, header: CpioHeader): Uint8Array {
  const nameBytes = encoder.encode(name)
  const numbers = { ...header, namesize: nameBytes.byteLength + 1 }
  const digits = headerFields.map((field) => numbers[field].toString(16).padStart(8, '0'))
  const lengthBytes = headerBytes + numbers.namesize
  const bytes = new Uint8Array(lengthBytes + paddingBytes(lengthBytes, 4))
  encoder.encodeInto(`070701${digits.join('')}`, bytes)
  bytes.set(nameBytes, headerBytes)
  return bytes
}
