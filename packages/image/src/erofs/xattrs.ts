/**
 * Extended attributes behind an inode: a header, the numbers of shared ones (only read here), then entries, each from
 * a multiple of 4 bytes on, with the prefix of its name as a number.
 *
 * @see https://erofs.docs.kernel.org/en/latest/core_ondisk.html#extended-attributes
 */
import type { Xattrs } from '../tree.ts'
import { ErofsError } from './error.ts'
import { blockBytes, extendedInodeBytes } from './format.ts'

/** Bytes of the header (struct erofs_xattr_ibody_header) and of an entry without name and value. */
const headerBytes = 12
const entryBytes = 4

/** EROFS_XATTR_INDEX_…: the whole names, and the prefixes that something must follow. */
const wholeNames: ReadonlyMap<number, string> = new Map([
  [2, 'system.posix_acl_access'],
  [3, 'system.posix_acl_default'],
])
const prefixes: ReadonlyMap<number, string> = new Map([
  [1, 'user.'],
  [4, 'trusted.'],
  [6, 'security.'],
])

/** Inode and attributes lie in one block, as all that is behind an inode does here. */
export const xattrBytesMax: number = blockBytes - extendedInodeBytes

/**
 * The bytes of `xattrs` behind an inode, a multiple of 4; none for none.
 *
 * @throws TypeError for a prefix that EROFS has no number for; RangeError when they take more than
 *   {@link xattrBytesMax}
 */
export function encodeXattrs(path: string, xattrs: Xattrs | undefined): Uint8Array {
  // Not the order of the object's keys: equal attributes give equal bytes.
  const entries = Object.entries(xattrs ?? {}).toSorted(([left], [right]) => (left < right ? -1 : 1))
  if (entries.length === 0) return new Uint8Array()
  const encoded = entries.map(([name, value]) => encodeEntry(path, name, value))
  const sizeBytes = encoded.reduce((sum, { byteLength }) => sum + byteLength, headerBytes)
  if (sizeBytes > xattrBytesMax) {
    throw new RangeError(
      `${path}: its extended attributes take ${sizeBytes} bytes, ${xattrBytesMax} lie in a block with an inode`,
    )
  }
  const bytes = new Uint8Array(sizeBytes)
  let offset = headerBytes
  for (const entry of encoded) {
    bytes.set(entry, offset)
    offset += entry.byteLength
  }
  return bytes
}

/** How an inode tells of so many bytes: 0 for none, else the header as one and the rest in units of 4. */
export function xattrCount(bytes: number): number {
  return bytes === 0 ? 0 : 1 + (bytes - headerBytes) / entryBytes
}

/** The bytes that such a count stands for. */
export function xattrBytes(count: number): number {
  return count === 0 ? 0 : headerBytes + (count - 1) * entryBytes
}

/**
 * Reads what {@link encodeXattrs} wrote, or mkfs.erofs.
 *
 * @param shared - gives an entry outside of inodes by its number: bytes from its beginning on, as many as there are
 * @throws ErofsError when an entry ends outside, or has an unknown prefix
 */
export async function decodeXattrs(
  bytes: Uint8Array,
  what: string,
  shared: (id: number) => Promise<Uint8Array>,
): Promise<Xattrs> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const found: [string, Uint8Array][] = []
  const sharedCount = view.getUint8(4)
  let offset = headerBytes + sharedCount * 4
  if (offset > bytes.byteLength)
    throw new ErofsError(`${what}: its extended attributes end before they begin`)
  for (let index = 0; index < sharedCount; index++) {
    const entry = await shared(view.getUint32(headerBytes + index * 4, true))
    found.push(decodeEntry(entry, 0, what).entry)
  }
  while (bytes.byteLength - offset >= entryBytes) {
    const { entry, sizeBytes } = decodeEntry(bytes, offset, what)
    found.push(entry)
    offset += sizeBytes
  }
  return Object.fromEntries(found)
}

/** The most bytes that an entry takes: a name of 255 bytes and a value of 64 KiB. */
export const xattrEntryBytesMax: number = entryBytes + 255 + 65_535

function encodeEntry(path: string, name: string, value: Uint8Array): Uint8Array {
  const [index, rest] = indexOf(path, name)
  const suffix = new TextEncoder().encode(rest)
  const bytes = new Uint8Array(Math.ceil((entryBytes + suffix.byteLength + value.byteLength) / 4) * 4)
  bytes[0] = suffix.byteLength
  bytes[1] = index
  new DataView(bytes.buffer).setUint16(2, value.byteLength, true)
  bytes.set(suffix, entryBytes)
  bytes.set(value, entryBytes + suffix.byteLength)
  return bytes
}

function indexOf(path: string, name: string): [number, string] {
  for (const [index, whole] of wholeNames) if (name === whole) return [index, '']
  for (const [index, prefix] of prefixes) {
    if (name.startsWith(prefix) && name.length > prefix.length) return [index, name.slice(prefix.length)]
  }
  throw new TypeError(
    `${path}: EROFS cannot hold the extended attribute ${JSON.stringify(name)}, expected user.*, trusted.*, security.* or system.posix_acl_*`,
  )
}

function decodeEntry(
  bytes: Uint8Array,
  offset: number,
  what: string,
): { readonly entry: [string, Uint8Array]; readonly sizeBytes: number } {
  const bad = (why: string): ErofsError => new ErofsError(`${what}: an extended attribute ${why}`)
  if (offset + entryBytes > bytes.byteLength) throw bad('begins outside')
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset)
  const nameBytes = view.getUint8(0)
  const valueBytes = view.getUint16(2, true)
  const usedBytes = entryBytes + nameBytes + valueBytes
  if (offset + usedBytes > bytes.byteLength) throw bad('ends outside')
  const index = view.getUint8(1)
  const prefix = wholeNames.get(index) ?? prefixes.get(index)
  if (prefix === undefined) throw bad(`has the unknown prefix ${index}`)
  const nameStart = offset + entryBytes
  const name = prefix + decodeName(bytes.subarray(nameStart, nameStart + nameBytes), bad)
  const value = new Uint8Array(bytes.subarray(nameStart + nameBytes, offset + usedBytes))
  return { entry: [name, value], sizeBytes: Math.ceil(usedBytes / 4) * 4 }
}

function decodeName(bytes: Uint8Array, bad: (why: string) => ErofsError): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw bad('has a name that is not UTF-8')
  }
}
