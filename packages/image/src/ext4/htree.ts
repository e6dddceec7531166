/**
 * The index of a large directory: its entries lie in blocks (leaves) in the order of their names' hashes, and a root,
 * with one level of nodes below it when there are many leaves, tells at which hash each begins.
 *
 * @see https://docs.kernel.org/filesystems/ext4/dynamic.html#hash-tree-directories
 */
import { crc32c } from '../checksum/crc32c.ts'
import {
  encodeEntry,
  entriesBytesMax,
  entryBytes,
  entryTypes,
  ownName,
  parentName,
} from './directory-entry.ts'
import type { Entry } from './directory-entry.ts'
import { blockBytes, viewOf } from './format.ts'
import { hashName } from './name-hash.ts'
import type { NameHash } from './name-hash.ts'

/** A block of entries. */
export interface Leaf {
  /** What the index says of it: its first name's hash, odd when the leaf before ends with names of the same hash. */
  readonly hash: number
  readonly entries: readonly Entry[]
}

/** Whose index it is. */
export interface IndexOwner {
  /** Of the checksums of the directory's inode. */
  readonly seed: number
  /** Inode numbers of the directory and of the one above it. */
  readonly own: number
  readonly parent: number
}

/** The algorithm as roots name it; that bytes have no sign is said in the superblock (`DX_HASH_HALF_MD4`). */
export const halfMd4 = 1

/** Where the entries of a root begin, after `.`, `..` and what kind of index it is; and those of a node. */
const rootEntriesOffset = 32
const nodeEntriesOffset = 8

const indexEntryBytes = 8

/** Bytes at the end of a root or node with its checksum. */
const tailBytes = 8

const rootEntriesMax = (blockBytes - tailBytes - rootEntriesOffset) / indexEntryBytes
const nodeEntriesMax = (blockBytes - tailBytes - nodeEntriesOffset) / indexEntryBytes

/** Distributes entries over leaves, each filled as far as whole entries go. */
export function hashedLeaves(entries: readonly Entry[], hashSeed: Uint8Array): Leaf[] {
  const hashed = entries
    .map((entry) => ({ entry, hash: hashName(entry.name, hashSeed) }))
    .toSorted((left, right) => compareHashes(left.hash, right.hash))
  const leaves: { hash: number; entries: Entry[] }[] = []
  let usedBytes = Infinity
  let last: number | undefined
  for (const { entry, hash } of hashed) {
    const neededBytes = entryBytes(entry.name)
    if (usedBytes + neededBytes > entriesBytesMax) {
      leaves.push({ hash: hash.major === last ? hash.major + 1 : hash.major, entries: [] })
      usedBytes = 0
    }
    leaves.at(-1)?.entries.push(entry)
    usedBytes += neededBytes
    last = hash.major
  }
  return leaves
}

/**
 * How many blocks the index over so many leaves has.
 *
 * @throws RangeError naming `path` when a second level of nodes would be needed (large_dir)
 */
export function indexBlockCount(leaves: number, path: string): number {
  if (leaves <= rootEntriesMax) return 1
  const nodes = Math.ceil(leaves / nodeEntriesMax)
  if (nodes <= rootEntriesMax) return 1 + nodes
  throw new RangeError(
    `${path}: its names fill ${leaves} blocks, a directory has ${rootEntriesMax * nodeEntriesMax} at most: use several`,
  )
}

/** The blocks of the index, the directory's first ones: the root, then nodes if there are any. */
export function encodeIndex(leaves: readonly Leaf[], path: string, owner: IndexOwner): Uint8Array[] {
  const count = indexBlockCount(leaves.length, path)
  const targets = leaves.map(({ hash }, index) => ({ hash, block: count + index }))
  if (count === 1) return [encodeRoot(targets, 0, owner)]
  const nodes: Uint8Array[] = []
  const nodeTargets: Target[] = []
  for (let start = 0; start < targets.length; start += nodeEntriesMax) {
    const below = targets.slice(start, start + nodeEntriesMax)
    nodeTargets.push({ hash: below[0]?.hash ?? 0, block: 1 + nodes.length })
    nodes.push(encodeNode(below, owner))
  }
  return [encodeRoot(nodeTargets, 1, owner), ...nodes]
}

/** A block of the directory, and the hash at which it begins. */
interface Target {
  readonly hash: number
  readonly block: number
}

function encodeRoot(
  targets: readonly Target[],
  levels: number,
  { seed, own, parent }: IndexOwner,
): Uint8Array {
  const block = new Uint8Array(blockBytes)
  const view = viewOf(block)
  // Who does not know of indexes reads two entries, the second of which reaches to the end of the block.
  const type = entryTypes.directory
  const ownBytes = entryBytes(ownName)
  encodeEntry(block, 0, { inodeNumber: own, lengthBytes: ownBytes, name: ownName, type })
  encodeEntry(block, ownBytes, {
    inodeNumber: parent,
    lengthBytes: blockBytes - ownBytes,
    name: parentName,
    type,
  })
  view.setUint8(28, halfMd4)
  view.setUint8(29, 8) // Bytes of this part of the root.
  view.setUint8(30, levels)
  encodeTargets(block, rootEntriesOffset, rootEntriesMax, targets, seed)
  return block
}

function encodeNode(targets: readonly Target[], { seed }: IndexOwner): Uint8Array {
  const block = new Uint8Array(blockBytes)
  // Who does not know of indexes reads one entry without inode.
  viewOf(block).setUint16(4, blockBytes, true)
  encodeTargets(block, nodeEntriesOffset, nodeEntriesMax, targets, seed)
  return block
}

/** The first entry has no hash (it begins at 0) but the numbers of entries that fit and that there are. */
function encodeTargets(
  block: Uint8Array,
  offset: number,
  entriesMax: number,
  targets: readonly Target[],
  seed: number,
): void {
  const view = viewOf(block)
  for (const [index, { hash, block: number }] of targets.entries()) {
    view.setUint32(offset + index * indexEntryBytes, hash, true)
    view.setUint32(offset + index * indexEntryBytes + 4, number, true)
  }
  view.setUint16(offset, entriesMax, true)
  view.setUint16(offset + 2, targets.length, true)
  // ext4_dx_csum(): the entries in use, then the tail with the checksum as 0, whatever lies between.
  const used = crc32c(block.subarray(0, offset + targets.length * indexEntryBytes), seed)
  view.setUint32(blockBytes - 4, crc32c(new Uint8Array(tailBytes), used), true)
}

function compareHashes(left: NameHash, right: NameHash): number {
  return left.major - right.major || left.minor - right.minor
}
