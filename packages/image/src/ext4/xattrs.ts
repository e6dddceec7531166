/**
 * Extended attributes: in the inode behind its fields as far as there is room, the others in one block.
 *
 * Entries grow from the front and end with four zeros, values from the end backwards.
 *
 * @see https://docs.kernel.org/filesystems/ext4/dynamic.html#extended-attributes
 */
import { crc32c } from '../checksum/crc32c.ts'
import type { Xattrs } from '../tree.ts'
import { blockBytes, inodeBytes, setLow32High32, viewOf } from './format.ts'
import { extraBytes } from './inode.ts'

/** An attribute as it is written. */
export interface Attribute {
  /** The number of its name's prefix. */
  readonly prefix: number
  /** The rest of its name. */
  readonly name: Uint8Array
  readonly value: Uint8Array
}

/** A node's attributes by where they lie. */
export interface SplitAttributes {
  readonly inInode: readonly Attribute[]
  readonly inBlock: readonly Attribute[]
}

/** Numbers of prefixes (`EXT4_XATTR_INDEX_USER` and so on in fs/ext4/xattr.h). */
const prefixes = { 'user.': 1, 'trusted.': 4, 'security.': 6 } as const

const magic = 0xea02_0000
const entryBytes = 16

/** Bytes before the entries of an inode, and of a block; and of what ends the entries. */
const inodeHeaderBytes = 4
const blockHeaderBytes = 32
const endBytes = 4

const checksumOffset = 16

/** Where an inode's attributes begin, and how many bytes are left for them. */
export const inodeXattrsOffset: number = 128 + extraBytes
const inodeRoomBytes = inodeBytes - inodeXattrsOffset - inodeHeaderBytes - endBytes
const blockRoomBytes = blockBytes - blockHeaderBytes - endBytes

const nothing: SplitAttributes = { inInode: [], inBlock: [] }

/**
 * Where a node's attributes lie.
 *
 * @throws TypeError for a prefix that ext4 has no number for; RangeError when they do not fit into inode and block
 */
export function splitXattrs(path: string, xattrs: Xattrs | undefined): SplitAttributes {
  if (!xattrs) return nothing
  const inInode: Attribute[] = []
  const inBlock: Attribute[] = []
  let inodeUsedBytes = 0
  let blockUsedBytes = 0
  const attributes = Object.entries(xattrs).map(([name, value]) => attributeOf(path, name, value))
  for (const attribute of attributes.toSorted(compareAttributes)) {
    const neededBytes = sizeOf(attribute)
    if (inodeUsedBytes + neededBytes <= inodeRoomBytes) {
      inInode.push(attribute)
      inodeUsedBytes += neededBytes
    } else {
      inBlock.push(attribute)
      blockUsedBytes += neededBytes
    }
  }
  if (blockUsedBytes > blockRoomBytes) {
    throw new RangeError(
      `${path}: its extended attributes take ${blockUsedBytes} bytes beside its inode, ${blockRoomBytes} lie in a block`,
    )
  }
  return { inInode, inBlock }
}

/** What follows an inode's fields; nothing when there are no attributes. */
export function encodeInodeXattrs(attributes: readonly Attribute[]): Uint8Array {
  if (attributes.length === 0) return new Uint8Array()
  const bytes = new Uint8Array(inodeBytes - inodeXattrsOffset)
  viewOf(bytes).setUint32(0, magic, true)
  // As the kernel does: values count from the first entry, and there are no hashes.
  encodeAttributes(bytes.subarray(inodeHeaderBytes), attributes, 0, () => 0)
  return bytes
}

/** The block `number`, which no other inode shares. */
export function encodeXattrBlock(attributes: readonly Attribute[], number: number, seed: number): Uint8Array {
  const block = new Uint8Array(blockBytes)
  const view = viewOf(block)
  view.setUint32(0, magic, true)
  view.setUint32(4, 1, true) // One inode has it.
  view.setUint32(8, 1, true) // One block.
  view.setUint32(12, blockHash(attributes), true)
  encodeAttributes(block, attributes, blockHeaderBytes, attributeHash)
  const place = new Uint8Array(8)
  setLow32High32(viewOf(place), 0, 4, number)
  view.setUint32(checksumOffset, crc32c(block, crc32c(place, seed)), true)
  return block
}

function attributeOf(path: string, fullName: string, value: Uint8Array): Attribute {
  for (const [text, prefix] of Object.entries(prefixes)) {
    if (fullName.startsWith(text) && fullName.length > text.length)
      return { prefix, name: new TextEncoder().encode(fullName.slice(text.length)), value }
  }
  throw new TypeError(
    `${path}: the extended attribute ${JSON.stringify(fullName)} cannot be written to ext4, expected user.*, trusted.* or security.*`,
  )
}

function encodeAttributes(
  bytes: Uint8Array,
  attributes: readonly Attribute[],
  entriesOffset: number,
  hashOf: (attribute: Attribute) => number,
): void {
  const view = viewOf(bytes)
  let at = entriesOffset
  let valueOffset = bytes.byteLength
  for (const attribute of attributes) {
    const { prefix, name, value } = attribute
    valueOffset -= roundUp(value.byteLength)
    view.setUint8(at, name.byteLength)
    view.setUint8(at + 1, prefix)
    if (value.byteLength > 0) view.setUint16(at + 2, valueOffset, true)
    view.setUint32(at + 8, value.byteLength, true)
    view.setUint32(at + 12, hashOf(attribute), true)
    bytes.set(name, at + entryBytes)
    bytes.set(value, valueOffset)
    at += entryBytes + roundUp(name.byteLength)
  }
}

/** The order in which the kernel looks for attributes in a block (`ext4_xattr_find_entry`). */
function compareAttributes(left: Attribute, right: Attribute): number {
  const byPrefixAndLength = left.prefix - right.prefix || left.name.byteLength - right.name.byteLength
  if (byPrefixAndLength !== 0) return byPrefixAndLength
  for (let index = 0; index < left.name.byteLength; index++) {
    const difference = (left.name[index] ?? 0) - (right.name[index] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

/** `ext4_xattr_hash_entry` in fs/ext4/xattr.c. */
function attributeHash({ name, value }: Attribute): number {
  let hash = 0
  for (const byte of name) hash = rotate(hash, 5) ^ byte
  const padded = new Uint8Array(roundUp(value.byteLength))
  padded.set(value)
  const view = viewOf(padded)
  for (let at = 0; at < padded.byteLength; at += 4) hash = rotate(hash, 16) ^ view.getUint32(at, true)
  return hash >>> 0
}

/** `ext4_xattr_rehash`: 0, for a block that is never shared, when one of the hashes is. */
function blockHash(attributes: readonly Attribute[]): number {
  let hash = 0
  for (const attribute of attributes) {
    const own = attributeHash(attribute)
    if (own === 0) return 0
    hash = rotate(hash, 16) ^ own
  }
  return hash >>> 0
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits))
}

function sizeOf({ name, value }: Attribute): number {
  return entryBytes + roundUp(name.byteLength) + roundUp(value.byteLength)
}

function roundUp(bytes: number): number {
  return (bytes + 3) & ~3
}
