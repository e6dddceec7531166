/**
 * The structures of a GPT: header and entries, as bytes.
 *
 * @see https://uefi.org/specs/UEFI/2.10/05_GUID_Partition_Table_Format.html
 */
import { crc32 } from '../checksum/crc32.ts'
import { formatGuid, parseGuid } from './guid.ts'

/** Room for so many partitions: the least that the specification allows is 16 384 bytes of entries. */
export const entryCount = 128

/** Bytes of one entry. */
export const entryBytes = 128

/** Units of UTF-16 in a name (UEFI 2.10, table 5.6). */
export const nameUnitsMax = 36

/** Bytes of the header that its checksum covers. */
const headerBytes = 92

const signature = 'EFI PART'
const revision = 0x0001_0000

/** What a header says. */
export interface Header {
  /** Where it lies. */
  readonly ownLba: number
  /** Where the other one lies. */
  readonly otherLba: number
  /** The first block that a partition may have. */
  readonly firstUsableLba: number
  /** The last one. */
  readonly lastUsableLba: number
  /** The disk's GUID. */
  readonly diskGuid: string
  /** Where its entries begin. */
  readonly entriesLba: number
  /** How many there are. */
  readonly entryCount: number
  /** How large each is. */
  readonly entryBytes: number
  /** Checksum of all of them. */
  readonly entriesCrc: number
}

/** One partition of a table. */
export interface GptPartition {
  /** Its number, from 1: its place in the table. */
  readonly number: number
  /** Its name, up to 36 UTF-16 units. */
  readonly name: string
  /** GUID of its type, see `partitionTypes`. */
  readonly type: string
  /** Its own GUID: what `PARTUUID=` means. */
  readonly guid: string
  /** Its first block. */
  readonly firstLba: number
  /** Its last block; it is part of it. */
  readonly lastLba: number
  /** Its attributes; the upper 16 bits belong to the type. */
  readonly attributes: bigint
}

/** The block of a header. */
export function encodeHeader(header: Header, sectorBytes: number): Uint8Array {
  const bytes = new Uint8Array(sectorBytes)
  const view = new DataView(bytes.buffer)
  bytes.set(new TextEncoder().encode(signature), 0)
  view.setUint32(8, revision, true)
  view.setUint32(12, headerBytes, true)
  view.setBigUint64(24, BigInt(header.ownLba), true)
  view.setBigUint64(32, BigInt(header.otherLba), true)
  view.setBigUint64(40, BigInt(header.firstUsableLba), true)
  view.setBigUint64(48, BigInt(header.lastUsableLba), true)
  bytes.set(parseGuid(header.diskGuid), 56)
  view.setBigUint64(72, BigInt(header.entriesLba), true)
  view.setUint32(80, header.entryCount, true)
  view.setUint32(84, header.entryBytes, true)
  view.setUint32(88, header.entriesCrc, true)
  // Taken while its own field is zero.
  view.setUint32(16, crc32(bytes.subarray(0, headerBytes)), true)
  return bytes
}

/** What a header says, or in words why it is none. `bytes` is one block. */
export function decodeHeader(bytes: Uint8Array, ownLba: number): Header | string {
  if (bytes.byteLength < headerBytes) return 'the disk ends before it'
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (new TextDecoder('latin1').decode(bytes.subarray(0, 8)) !== signature) return 'no GPT header'
  // Others could mean anything else by their fields; the lower half counts changes that old readers may ignore.
  if (view.getUint16(10, true) !== 1) return `a header of revision 0x${view.getUint32(8, true).toString(16)}`
  const sizeBytes = view.getUint32(12, true)
  if (sizeBytes < headerBytes || sizeBytes > bytes.byteLength) return `a header of ${sizeBytes} bytes`
  // Not slice(): that of a Buffer is a view.
  const covered = new Uint8Array(bytes.subarray(0, sizeBytes))
  covered.fill(0, 16, 20)
  if (crc32(covered) !== view.getUint32(16, true)) return 'a header with a wrong checksum'
  const header: Header = {
    ownLba: Number(view.getBigUint64(24, true)),
    otherLba: Number(view.getBigUint64(32, true)),
    firstUsableLba: Number(view.getBigUint64(40, true)),
    lastUsableLba: Number(view.getBigUint64(48, true)),
    diskGuid: formatGuid(bytes.subarray(56, 72)),
    entriesLba: Number(view.getBigUint64(72, true)),
    entryCount: view.getUint32(80, true),
    entryBytes: view.getUint32(84, true),
    entriesCrc: view.getUint32(88, true),
  }
  return header.ownLba === ownLba ? header : `a header that belongs to block ${header.ownLba}`
}

/** The bytes of all entries. */
export function encodeEntries(partitions: readonly GptPartition[]): Uint8Array {
  const bytes = new Uint8Array(entryCount * entryBytes)
  for (const partition of partitions) {
    const start = (partition.number - 1) * entryBytes
    const view = new DataView(bytes.buffer, start, entryBytes)
    bytes.set(parseGuid(partition.type), start)
    bytes.set(parseGuid(partition.guid), start + 16)
    view.setBigUint64(32, BigInt(partition.firstLba), true)
    view.setBigUint64(40, BigInt(partition.lastLba), true)
    view.setBigUint64(48, partition.attributes, true)
    for (let index = 0; index < partition.name.length; index++) {
      view.setUint16(56 + 2 * index, partition.name.charCodeAt(index), true)
    }
  }
  return bytes
}

/** The partitions of entries; those that are not used are left out. */
export function decodeEntries(bytes: Uint8Array, { entryBytes: each }: Header): GptPartition[] {
  const partitions: GptPartition[] = []
  for (let start = 0; start + each <= bytes.byteLength; start += each) {
    const view = new DataView(bytes.buffer, bytes.byteOffset + start, each)
    // Most are not used; to make text of 256 GUIDs takes half a second of a boot without KVM.
    if (view.getBigUint64(0, true) === 0n && view.getBigUint64(8, true) === 0n) continue
    const type = formatGuid(bytes.subarray(start, start + 16))
    partitions.push({
      number: start / each + 1,
      name: decodeName(bytes.subarray(start + 56, start + 56 + 2 * nameUnitsMax)),
      type,
      guid: formatGuid(bytes.subarray(start + 16, start + 32)),
      firstLba: Number(view.getBigUint64(32, true)),
      lastLba: Number(view.getBigUint64(40, true)),
      attributes: view.getBigUint64(48, true),
    })
  }
  return partitions
}

/** Ends at the first NUL. Half a surrogate pair, where a name was cut, becomes U+FFFD; a byte order mark stays. */
function decodeName(bytes: Uint8Array): string {
  const text = new TextDecoder('utf-16le', { ignoreBOM: true }).decode(bytes)
  return text.replace(/\0[^]*$/, '')
}

/** The block that tells old programs that the whole disk is taken (UEFI 2.10, 5.2.3). */
export function protectiveMbr(sectors: number, sectorBytes: number): Uint8Array {
  const bytes = new Uint8Array(sectorBytes)
  const view = new DataView(bytes.buffer)
  // First CHS 0/0/2, type 0xee, last CHS as large as it gets.
  bytes.set([0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff], 446)
  view.setUint32(454, 1, true)
  view.setUint32(458, Math.min(sectors - 1, 0xffff_ffff), true)
  view.setUint16(510, 0xaa55, true)
  return bytes
}

/** Whether a first block is one by which Linux looks for a GPT (block/partitions/efi.c, is_pmbr_valid). */
export function isProtectiveMbr(block: Uint8Array): boolean {
  if (block.byteLength < 512) return false
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength)
  if (view.getUint16(510, true) !== 0xaa55) return false
  return [446, 462, 478, 494].some(
    (start) => view.getUint8(start + 4) === 0xee && view.getUint32(start + 8, true) === 1,
  )
}
