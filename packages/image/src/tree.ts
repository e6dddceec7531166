/**
 * The contents of an image before it has a format: nodes by absolute path, validated when they are added, and
 * walked in an order that depends on nothing but the paths, so that equal trees give equal bytes.
 */
import type { FileContent } from './stream/content.ts'
import { completeXattrs } from './tree/xattrs.ts'
import type { Xattrs } from './tree/xattrs.ts'

export type { Xattrs } from './tree/xattrs.ts'

/** What every node but a hard link has. */
export interface NodeAttributes {
  /** Permission bits with set-uid, set-gid and sticky: 0 to 0o7777. */
  readonly mode: number
  /** Owner, 0 to 2³² − 2. */
  readonly uid: number
  /** Group, 0 to 2³² − 2. */
  readonly gid: number
  /** Time of last change in whole seconds since 1970. */
  readonly mtimeSeconds: number
  /** Extended attributes, at least one; absent without. */
  readonly xattrs?: Xattrs
}

/** A regular file. */
export interface FileNode extends NodeAttributes {
  readonly type: 'file'
  /** Absolute path in the image. */
  readonly path: string
  /** Its bytes. */
  readonly content: FileContent
}

/** A directory. */
export interface DirectoryNode extends NodeAttributes {
  readonly type: 'directory'
  /** Absolute path in the image; `/` is the root. */
  readonly path: string
}

/** A symbolic link. */
export interface SymlinkNode extends NodeAttributes {
  readonly type: 'symlink'
  /** Absolute path in the image. */
  readonly path: string
  /** What the link says, 1 to 4095 bytes; need not exist. */
  readonly target: string
}

/** A character or block device. */
export interface DeviceNode extends NodeAttributes {
  readonly type: 'char' | 'block'
  /** Absolute path in the image. */
  readonly path: string
  /** Major number, 0 to 4095 (12 bits: linux/kdev_t.h). */
  readonly major: number
  /** Minor number, 0 to 1048575 (20 bits: linux/kdev_t.h). */
  readonly minor: number
}

/** A named pipe. */
export interface FifoNode extends NodeAttributes {
  readonly type: 'fifo'
  /** Absolute path in the image. */
  readonly path: string
}

/** One more name of a node that is no directory; owner, mode and content are those of `linkTo`. */
export interface HardLinkNode {
  readonly type: 'hardlink'
  /** Absolute path in the image. */
  readonly path: string
  /** Path of the node whose name this is; the tree stores the first name, also when a link to a link is added. */
  readonly linkTo: string
}

/** A node as a {@link FileTree} gives it. */
export type TreeNode = FileNode | DirectoryNode | SymlinkNode | DeviceNode | FifoNode | HardLinkNode

type WithDefaults<Node> = Node extends NodeAttributes
  ? Omit<Node, keyof NodeAttributes> & Partial<NodeAttributes>
  : Node

/** A node as it is added: owner 0:0, time 0, and mode by type (0644, directories 0755, symlinks 0777, devices 0600) when not given. */
export type NewNode = WithDefaults<TreeNode>

const defaultModes = { file: 0o644, directory: 0o755, symlink: 0o777, char: 0o600, block: 0o600, fifo: 0o644 }

/** NAME_MAX and PATH_MAX with its NUL (linux/limits.h). */
const nameBytesMax = 255
const pathBytesMax = 4095

/**
 * An image's files by absolute path.
 *
 * - Missing parents are made: 0755, owner 0:0, time 0. A directory added later replaces a parent made so.
 * - Walking gives each directory before what is in it, siblings in the order of their names' UTF-8 bytes,
 *   whatever the order in which they were added.
 *
 * @example
 * ```ts
 * import { FileTree } from '@pkg/image/tree'
 *
 * const tree = new FileTree()
 *   .add({ path: '/etc/hostname', type: 'file', content: new TextEncoder().encode('solo\n') })
 *   .add({ path: '/dev/console', type: 'char', major: 5, minor: 1 })
 *   .add({ path: '/bin', type: 'symlink', target: 'usr/bin' })
 * console.log([...tree].map((node) => node.path).join(' '))
 * // /bin /dev /dev/console /etc /etc/hostname
 * ```
 */
export class FileTree implements Iterable<TreeNode> {
  readonly #nodes = new Map<string, TreeNode>()
  readonly #implied = new Set<string>()

  /** How many nodes there are, parents that were made included; the root only if it was added. */
  get size(): number {
    return this.#nodes.size
  }

  /**
   * Adds a node.
   *
   * @throws TypeError for a path that is relative, is there already, has `.`, `..` or empty parts, or lies below
   *   something that is no directory; for a hard link to nothing or to a directory; for content or extended
   *   attributes of a wrong type. RangeError for numbers out of range.
   */
  add(node: NewNode): this {
    checkPath(node.path)
    const path = node.path
    const existing = this.#nodes.get(path)
    if (existing && !(node.type === 'directory' && this.#implied.has(path))) {
      throw new TypeError(`${path}: is in the tree already, as ${describe(existing)}`)
    }
    if (path === '/' && node.type !== 'directory') throw new TypeError(`/: the root must be a directory`)
    const complete = node.type === 'hardlink' ? this.#completeLink(node) : completeNode(node)
    this.#addParents(path)
    this.#nodes.set(path, complete)
    this.#implied.delete(path)
    return this
  }

  /** The node at `path`, or undefined. */
  get(path: string): TreeNode | undefined {
    return this.#nodes.get(path)
  }

  /** Whether there is a node at `path`. */
  has(path: string): boolean {
    return this.#nodes.has(path)
  }

  /** All nodes: directories before what they hold, siblings by their names' bytes. */
  *[Symbol.iterator](): Generator<TreeNode, void, undefined> {
    const paths = [...this.#nodes.keys()].toSorted(comparePaths)
    for (const path of paths) {
      const node = this.#nodes.get(path)
      if (node) yield node
    }
  }

  #completeLink(node: HardLinkNode): HardLinkNode {
    checkPath(node.linkTo)
    const target = this.#nodes.get(node.linkTo)
    if (!target)
      throw new TypeError(`${node.path}: hard link to ${node.linkTo}, which is not in the tree: add it first`)
    if (target.type === 'directory') {
      throw new TypeError(
        `${node.path}: hard link to the directory ${node.linkTo}: Linux has none, use a symlink`,
      )
    }
    return {
      type: 'hardlink',
      path: node.path,
      linkTo: target.type === 'hardlink' ? target.linkTo : node.linkTo,
    }
  }

  #addParents(path: string): void {
    const missing: string[] = []
    for (let parent = parentOf(path); parent !== '/'; parent = parentOf(parent)) {
      const node = this.#nodes.get(parent)
      if (node?.type === 'directory') break
      if (node) throw new TypeError(`${path}: its parent ${parent} is ${describe(node)}, not a directory`)
      missing.push(parent)
    }
    for (const parent of missing) {
      this.#nodes.set(parent, completeNode({ type: 'directory', path: parent }))
      this.#implied.add(parent)
    }
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')))
}

function describe(node: TreeNode): string {
  switch (node.type) {
    case 'symlink':
      return `a symlink to ${node.target}`
    case 'hardlink':
      return `a hard link to ${node.linkTo}`
    case 'char':
    case 'block':
      return `a ${node.type} device`
    default:
      return `a ${node.type}`
  }
}

function checkPath(path: string): void {
  if (typeof path !== 'string' || !path.startsWith('/')) {
    throw new TypeError(`${JSON.stringify(path)}: a path in an image must be absolute, beginning with /`)
  }
  if (path.includes('\0')) throw new TypeError(`${JSON.stringify(path)}: a path cannot hold a NUL`)
  if (!path.isWellFormed()) throw new TypeError(`${JSON.stringify(path)}: half a surrogate pair has no UTF-8`)
  if (path === '/') return
  if (utf8Length(path) > pathBytesMax)
    throw new TypeError(`${path.slice(0, 80)}…: path longer than ${pathBytesMax} bytes`)
  for (const name of path.slice(1).split('/')) {
    if (name === '') throw new TypeError(`${path}: has // or a / at its end`)
    if (name === '.' || name === '..')
      throw new TypeError(`${path}: ${name} is not allowed in an image's path`)
    if (utf8Length(name) > nameBytesMax)
      throw new TypeError(`${path}: a name longer than ${nameBytesMax} bytes`)
  }
}

function completeNode(node: Exclude<NewNode, HardLinkNode>): Exclude<TreeNode, HardLinkNode> {
  const { path } = node
  if (!Object.hasOwn(defaultModes, node.type)) {
    throw new TypeError(
      `${path}: type ${JSON.stringify(node.type)}, expected ${Object.keys(defaultModes).join(', ')} or hardlink`,
    )
  }
  const attributes: NodeAttributes = {
    mode: integer(path, 'mode', node.mode ?? defaultModes[node.type], 0o7777),
    uid: integer(path, 'uid', node.uid ?? 0, 0xffff_fffe),
    gid: integer(path, 'gid', node.gid ?? 0, 0xffff_fffe),
    mtimeSeconds: integer(path, 'mtimeSeconds', node.mtimeSeconds ?? 0, Number.MAX_SAFE_INTEGER),
    ...completeXattrs(path, node.xattrs),
  }
  switch (node.type) {
    case 'file':
      checkContent(path, node.content)
      return { type: 'file', path, content: node.content, ...attributes }
    case 'symlink':
      checkTarget(path, node.target)
      return { type: 'symlink', path, target: node.target, ...attributes }
    case 'char':
    case 'block': {
      const major = integer(path, 'major', node.major, 0xfff)
      const minor = integer(path, 'minor', node.minor, 0xf_ffff)
      return { type: node.type, path, major, minor, ...attributes }
    }
    case 'directory':
    case 'fifo':
      return { type: node.type, path, ...attributes }
  }
}

function checkContent(path: string, content: FileContent): void {
  if (content instanceof Uint8Array) return
  if (typeof content !== 'object' || content === null || typeof content.open !== 'function') {
    throw new TypeError(`${path}: content must be a Uint8Array or { sizeBytes, open() }`)
  }
  integer(path, 'content.sizeBytes', content.sizeBytes, Number.MAX_SAFE_INTEGER)
}

function checkTarget(path: string, target: string): void {
  if (typeof target !== 'string' || target === '' || target.includes('\0') || !target.isWellFormed()) {
    throw new TypeError(`${path}: a symlink's target must be text of at least one character, without NUL`)
  }
  if (utf8Length(target) > pathBytesMax)
    throw new TypeError(`${path}: symlink target longer than ${pathBytesMax} bytes`)
}

function integer(path: string, field: string, value: number, max: number): number {
  if (!Number.isSafeInteger(value) || value < 0 || value > max) {
    throw new RangeError(`${path}: ${field} is ${String(value)}, expected a whole number from 0 to ${max}`)
  }
  return value
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).byteLength
}

/**
 * Orders paths so that a directory comes before what it holds and siblings follow their UTF-8 bytes: `/` ranks
 * lowest, and surrogates rank above U+E000…U+FFFF, as their four-byte forms do.
 */
export function comparePaths(left: string, right: string): number {
  const length = Math.min(left.length, right.length)
  for (let index = 0; index < length; index++) {
    const difference = rank(left.charCodeAt(index)) - rank(right.charCodeAt(index))
    if (difference !== 0) return difference
  }
  return left.length - right.length
}

function rank(unit: number): number {
  if (unit === 0x2f) return 0
  if (unit >= 0xe000) return unit - 0x800
  return unit >= 0xd800 ? unit + 0x2000 : unit
}
