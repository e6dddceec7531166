/**
 * Structures of an image as numbers, each checked before it is believed: an image may come from a disk that has
 * failed, or from someone else.
 */
import { crc32c } from '../checksum/crc32c.ts'
import { typeBits, typeMask } from '../tree/mode.ts'
import { formatUuid } from '../uuid/uuid.ts'
import { ErofsError } from './error.ts'
import type { ErofsErrorCode } from './error.ts'
import {
  blockBytes,
  compactInodeBytes,
  entryBytes,
  extendedInodeBytes,
  magic,
  slotBytes,
  superblockBytes,
  superblockOffset,
  unsealChecksum,
} from './format.ts'
import type { ErofsType } from './format.ts'
import { xattrBytes } from './xattrs.ts'

/** EROFS_FEATURE_COMPAT_SB_CHKSUM. */
const hasChecksum = 0x1

/**
 * EROFS_FEATURE_INCOMPAT_ZERO_PADDING says where compressed data has its padding; mkfs.erofs sets it also where
 * nothing is compressed. All other incompatible features change how an image is read.
 */
const harmlessFeatures = 0x1

/** What a superblock says. */
export interface DecodedSuperblock {
  readonly uuid: string
  readonly volumeName: string
  readonly rootNid: number
  readonly inodes: number
  readonly blocks: number
  /** First block of inodes: a nid of 0 lies at its beginning. */
  readonly metaBlock: number
  /** First block of shared extended attributes. */
  readonly xattrBlock: number
  /** The time that compact inodes have. */
  readonly mtimeSeconds: number
}

/** An inode that was found. */
export interface DecodedInode {
  readonly nid: number
  readonly type: ErofsType
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly links: number
  readonly mtimeSeconds: number
  readonly sizeBytes: number
  /** Bytes of its extended attributes, and where they begin in the image. */
  readonly xattrBytes: number
  readonly xattrOffset: number
  /** First block of its data. */
  readonly address: number
  /** Where the last part of its data begins in the image when that follows the inode. */
  readonly inlineOffset: number | undefined
}

/** An entry that was found. */
export interface DecodedEntry {
  readonly name: string
  readonly nid: number
}

/**
 * Reads the superblock.
 *
 * @param block - the first block of the image
 * @param imageBytes - of what the image was read from
 */
export function decodeSuperblock(block: Uint8Array, imageBytes: number): DecodedSuperblock {
  const bad = (why: string, code?: ErofsErrorCode): ErofsError =>
    new ErofsError(`EROFS superblock at byte ${superblockOffset}: ${why}`, code)
  if (block.byteLength < superblockOffset + superblockBytes)
    throw bad(`the image of ${imageBytes} bytes ends before it`)
  const view = new DataView(
    block.buffer,
    block.byteOffset + superblockOffset,
    block.byteLength - superblockOffset,
  )
  if (view.getUint32(0, true) !== magic) throw bad('none is there')
  const blockBits = view.getUint8(12)
  if (blockBits !== Math.log2(blockBytes))
    throw bad(`blocks of 2^${blockBits} bytes, only 4096 are read`, 'unsupported')
  if (block.byteLength < blockBytes) throw bad(`the image of ${imageBytes} bytes ends in its first block`)
  if ((view.getUint32(8, true) & hasChecksum) !== 0) {
    const bare = unsealChecksum(block.subarray(0, blockBytes))
    const [found, said] = [crc32c(bare.subarray(superblockOffset)), view.getUint32(4, true)]
    if (found !== said) throw bad(`its checksum is ${found.toString(16)}, it says ${said.toString(16)}`)
  }
  const features = view.getUint32(80, true) & ~harmlessFeatures
  if (features !== 0) {
    throw bad(
      `features 0x${(features >>> 0).toString(16)}, of which none is read (compression, chunks, devices …)`,
      'unsupported',
    )
  }
  const extensions = view.getUint8(13)
  if (extensions !== 0) throw bad(`${extensions} extension slots, none are read`, 'unsupported')
  const blocks = view.getUint32(36, true)
  if (blocks * blockBytes > imageBytes) {
    throw bad(`the image has ${imageBytes} bytes of the ${blocks * blockBytes} that it tells of`)
  }
  const name = block.subarray(superblockOffset + 64, superblockOffset + 80)
  return {
    uuid: formatUuid(block.subarray(superblockOffset + 48, superblockOffset + 64)),
    volumeName: new TextDecoder().decode(name).replace(/\0.*$/s, ''),
    rootNid: view.getUint16(14, true),
    inodes: Number(view.getBigUint64(16, true)),
    blocks,
    metaBlock: view.getUint32(40, true),
    xattrBlock: view.getUint32(44, true),
    mtimeSeconds: Number(view.getBigUint64(24, true)),
  }
}

/** Bytes at an inode's offset that {@link decodeInode} may need. */
export const inodeBytesMax: number = extendedInodeBytes

/** Where an inode lies. @throws ErofsError when that is outside of the image */
export function inodeOffset(superblock: DecodedSuperblock, nid: number): number {
  const offset = superblock.metaBlock * blockBytes + nid * slotBytes
  if (!Number.isSafeInteger(offset) || offset + compactInodeBytes > superblock.blocks * blockBytes) {
    throw new ErofsError(`EROFS inode ${nid}: would lie at byte ${offset}, outside of the image`)
  }
  return offset
}

/** Reads an inode from the bytes at its offset. */
export function decodeInode(superblock: DecodedSuperblock, nid: number, bytes: Uint8Array): DecodedInode {
  const bad = (why: string, code?: ErofsErrorCode): ErofsError =>
    new ErofsError(`EROFS inode ${nid}: ${why}`, code)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.byteLength < compactInodeBytes) throw bad('is cut off')
  const format = view.getUint16(0, true)
  const extended = (format & 1) === 1
  const headBytes = extended ? extendedInodeBytes : compactInodeBytes
  if (bytes.byteLength < headBytes) throw bad('is cut off')
  const layout = (format >> 1) & 7
  if (layout !== 0 && layout !== 2)
    throw bad(`its data has the layout ${layout} (compressed or chunks), not read`, 'unsupported')
  const mode = view.getUint16(4, true)
  const type = typeOf(mode)
  if (!type) throw bad(`mode 0${mode.toString(8)} is of no type that is read`)
  const attributes = xattrBytes(view.getUint16(2, true))
  const sizeBytes = extended ? Number(view.getBigUint64(8, true)) : view.getUint32(8, true)
  const offset = inodeOffset(superblock, nid)
  const xattrOffset = offset + headBytes
  const common = { nid, type, mode: mode & 0o7777, xattrBytes: attributes, xattrOffset, sizeBytes }
  const address = view.getUint32(16, true)
  const inlineOffset = layout === 2 ? xattrOffset + attributes : undefined
  const imageBytes = superblock.blocks * blockBytes
  const tailBytes = layout === 2 ? sizeBytes % blockBytes : 0
  const blocks = Math.ceil((sizeBytes - tailBytes) / blockBytes)
  const holdsData = type === 'file' || type === 'directory' || type === 'symlink'
  if (holdsData && blocks > 0 && address + blocks > superblock.blocks) {
    throw bad(`its ${sizeBytes} bytes from block ${address} on end outside of the image`)
  }
  if (xattrOffset + attributes + tailBytes > imageBytes)
    throw bad('what follows it ends outside of the image')
  if (extended) {
    return {
      ...common,
      address,
      inlineOffset,
      uid: view.getUint32(24, true),
      gid: view.getUint32(28, true),
      mtimeSeconds: Number(view.getBigUint64(32, true)),
      links: view.getUint32(44, true),
    }
  }
  const [uid, gid, links] = [view.getUint16(24, true), view.getUint16(26, true), view.getUint16(6, true)]
  return { ...common, address, inlineOffset, uid, gid, mtimeSeconds: superblock.mtimeSeconds, links }
}

/** Reads one block of a directory, `.` and `..` included. */
export function decodeEntries(block: Uint8Array, what: string): DecodedEntry[] {
  const bad = (why: string): ErofsError => new ErofsError(`${what}: ${why}`)
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength)
  const firstName = block.byteLength < entryBytes ? 0 : view.getUint16(8, true)
  if (firstName === 0 || firstName % entryBytes !== 0 || firstName > block.byteLength) {
    throw bad(`names from byte ${firstName} on`)
  }
  const count = firstName / entryBytes
  const nameAt = (index: number): number =>
    index < count ? view.getUint16(index * entryBytes + 8, true) : block.byteLength
  return Array.from({ length: count }, (_, index) => {
    const [start, end] = [nameAt(index), nameAt(index + 1)]
    if (start < firstName || end <= start || end > block.byteLength) {
      throw bad(`the name of its entry ${index} lies from byte ${start} to ${end}`)
    }
    return {
      name: decodeName(block.subarray(start, end), index === count - 1, bad),
      nid: Number(view.getBigUint64(index * entryBytes, true)),
    }
  })
}

/** A device's number as it is stored (new_decode_dev in linux/kdev_t.h). */
export function decodeDevice(stored: number): { readonly major: number; readonly minor: number } {
  return { major: (stored >>> 8) & 0xfff, minor: (stored & 0xff) | ((stored >>> 12) & 0xf_ff00) }
}

function decodeName(bytes: Uint8Array, isLast: boolean, bad: (why: string) => ErofsError): string {
  // The last name of a block ends with the block, or with the first NUL.
  const end = isLast ? bytes.indexOf(0) : -1
  const name = end === -1 ? bytes : bytes.subarray(0, end)
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(name)
    if (text === '' || text.includes('/') || text.includes('\0'))
      throw bad(`the name ${JSON.stringify(text)}`)
    return text
  } catch (error) {
    if (error instanceof ErofsError) throw error
    throw bad('a name that is not UTF-8')
  }
}

function typeOf(mode: number): ErofsType | undefined {
  const types: readonly ErofsType[] = ['file', 'directory', 'symlink', 'char', 'block', 'fifo']
  return types.find((type) => typeBits[type] === (mode & typeMask))
}
