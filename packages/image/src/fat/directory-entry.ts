/** Entries of directories as bytes: a file's own, and before it the pieces of its long name. */
import { attribute, entryBytes, viewOf } from './format.ts'
import { unitsPerEntry } from './names.ts'
import type { FatName } from './names.ts'
import type { FatTime } from './time.ts'

/** What an entry says. */
export interface EntryFields {
  /** 11 bytes. */
  readonly short: Uint8Array
  readonly attributes: number
  readonly time: FatTime
  /** 0 for nothing: an empty file, or the root as the parent of a directory. */
  readonly cluster: number
  /** 0 for directories. */
  readonly sizeBytes: number
}

/** Where the 13 units of a long name's piece lie in its entry (7.1). */
export const unitOffsets: readonly number[] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30]

/** Marks the piece that comes first in the directory and last in the name. */
export const lastPiece = 0x40

/** How many entries a name takes: one, and one for each 13 units of its long form. */
export function entryCountOf({ long, needsLong }: FatName): number {
  return 1 + (needsLong ? Math.ceil(long.length / unitsPerEntry) : 0)
}

/** Writes one entry of 32 bytes at `offset` (6). */
export function encodeEntry(into: Uint8Array, offset: number, fields: EntryFields): void {
  const { date, time, hundredths } = fields.time
  const view = viewOf(into.subarray(offset, offset + entryBytes))
  into.set(fields.short, offset)
  view.setUint8(11, fields.attributes)
  view.setUint8(13, hundredths)
  view.setUint16(14, time, true)
  view.setUint16(16, date, true)
  view.setUint16(18, date, true)
  view.setUint16(20, fields.cluster >>> 16, true)
  view.setUint16(22, time, true)
  view.setUint16(24, date, true)
  view.setUint16(26, fields.cluster & 0xffff, true)
  view.setUint32(28, fields.sizeBytes, true)
}

/** Writes the pieces of a long name at `offset`, the last one first, and gives the offset behind them (7.1). */
export function encodeLongName(into: Uint8Array, offset: number, { long, short }: FatName): number {
  const pieces = Math.ceil(long.length / unitsPerEntry)
  const sum = shortChecksum(short)
  for (let piece = pieces; piece >= 1; piece--) {
    const start = offset + (pieces - piece) * entryBytes
    const view = viewOf(into.subarray(start, start + entryBytes))
    view.setUint8(0, piece === pieces ? piece | lastPiece : piece)
    view.setUint8(11, attribute.longName)
    view.setUint8(13, sum)
    for (const [index, unitOffset] of unitOffsets.entries()) {
      view.setUint16(unitOffset, longNameUnit(long, (piece - 1) * unitsPerEntry + index), true)
    }
  }
  return offset + pieces * entryBytes
}

/** A name that does not fill its last piece ends with a zero and is filled up with ones. */
function longNameUnit(name: string, index: number): number {
  if (index < name.length) return name.charCodeAt(index)
  return index === name.length ? 0 : 0xffff
}

/** Tells that pieces belong to the short name that follows them: rotated to the right and added (7.2). */
export function shortChecksum(short: Uint8Array): number {
  let sum = 0
  for (const byte of short) sum = (((sum & 1) << 7) + (sum >> 1) + byte) & 0xff
  return sum
}
