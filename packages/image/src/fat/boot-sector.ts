/** The first sector, which says how all others are divided, and FSInfo, where FAT32 counts what is free (3, 5). */
import { viewOf } from './format.ts'
import type { FatType } from './format.ts'
import { tables } from './geometry.ts'
import type { Geometry } from './geometry.ts'

/** Where FAT32 has FSInfo (3.3). */
export const infoSector = 1

/** Where FAT32 has a copy of its boot sector, and behind it one of FSInfo (3.3). */
export const backupSector = 6

/** Fixed disk (3.1, BPB_Media): also the lowest byte of the table's first entry. */
export const mediaByte = 0xf8

/** What is written in the boot sector besides the geometry. */
export interface Identity {
  readonly volumeId: number
  /** As it is in the root directory, without spaces at its end. */
  readonly volumeLabel: string | undefined
}

/** A jump over the parameters to code that asks the BIOS for the next device (INT 18h) and else stops. */
const jump: Record<FatType, readonly number[]> = { fat16: [0xeb, 0x3c, 0x90], fat32: [0xeb, 0x58, 0x90] }
const bootCode = [0xcd, 0x18, 0xf4, 0xeb, 0xfd]

/** The boot sector, one sector long (3.1 to 3.3). */
export function encodeBootSector(geometry: Geometry, identity: Identity): Uint8Array {
  const { type, sectors } = geometry
  const bytes = new Uint8Array(geometry.sectorBytes)
  const view = viewOf(bytes)
  bytes.set(jump[type], 0)
  // The name of the maker that the specification asks for: some readers look at it.
  bytes.set(ascii('MSWIN4.1', 8), 3)
  view.setUint16(11, geometry.sectorBytes, true)
  view.setUint8(13, geometry.sectorsPerCluster)
  view.setUint16(14, geometry.reservedSectors, true)
  view.setUint8(16, tables)
  view.setUint16(17, geometry.rootEntries, true)
  const isSmall = type === 'fat16' && sectors <= 0xffff
  view.setUint16(19, isSmall ? sectors : 0, true)
  view.setUint8(21, mediaByte)
  view.setUint16(22, type === 'fat16' ? geometry.tableSectors : 0, true)
  // Sectors per track and heads, as large as BIOS addresses get. Nothing has asked for them since 1996.
  view.setUint16(24, 63, true)
  view.setUint16(26, 255, true)
  view.setUint32(32, isSmall ? 0 : sectors, true)
  if (type === 'fat32') {
    view.setUint32(36, geometry.tableSectors, true)
    // The root's first cluster.
    view.setUint32(44, 2, true)
    view.setUint16(48, infoSector, true)
    view.setUint16(50, backupSector, true)
  }
  encodeIdentity(bytes, type === 'fat32' ? 64 : 36, type, identity)
  view.setUint16(510, 0xaa55, true)
  return bytes
}

function encodeIdentity(bytes: Uint8Array, start: number, type: FatType, identity: Identity): void {
  const view = viewOf(bytes)
  // The first hard disk, by the BIOS's numbers.
  view.setUint8(start, 0x80)
  // The next three fields are there.
  view.setUint8(start + 2, 0x29)
  view.setUint32(start + 3, identity.volumeId, true)
  bytes.set(ascii(identity.volumeLabel ?? 'NO NAME', 11), start + 7)
  bytes.set(ascii(type.toUpperCase(), 8), start + 18)
  bytes.set(bootCode, start + 26)
}

/** FSInfo, one sector long: how many clusters are free, and the last one that was taken (5). */
export function encodeInfoSector(sectorBytes: number, freeClusters: number, lastCluster: number): Uint8Array {
  const bytes = new Uint8Array(sectorBytes)
  const view = viewOf(bytes)
  view.setUint32(0, 0x4161_5252, true)
  view.setUint32(484, 0x6141_7272, true)
  view.setUint32(488, freeClusters, true)
  view.setUint32(492, lastCluster, true)
  view.setUint32(508, 0xaa55_0000, true)
  return bytes
}

function ascii(text: string, length: number): Uint8Array {
  return new TextEncoder().encode(text.padEnd(length))
}
