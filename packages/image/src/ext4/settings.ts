/** The options of a file system, checked, with their defaults. */
import { parseUuid } from '../uuid/uuid.ts'
import { blockBytes } from './format.ts'
import { journalBlocksMax, journalBlocksMin } from './journal.ts'

/** What a layout and the structures depend on besides the tree. */
export interface Settings {
  readonly sizeBytes: number
  readonly uuid: Uint8Array
  readonly volumeName: Uint8Array
  readonly hashSeed: Uint8Array
  /** Undefined: as many as {@link bytesPerInode} gives, or the tree needs. */
  readonly inodes: number | undefined
  readonly bytesPerInode: number
  readonly reservedPercent: number
  /** Undefined: by the size. */
  readonly journalBlocks: number | undefined
  /** Undefined: by the size. */
  readonly growableBytes: number | undefined
  readonly timeSeconds: number
  readonly zeroed: boolean
}

/** The options that become {@link Settings}; see `Ext4Options` for what they mean. */
export interface RawSettings {
  readonly sizeBytes: number
  readonly uuid: string
  readonly volumeName?: string
  readonly hashSeed?: string
  readonly inodes?: number
  readonly bytesPerInode?: number
  readonly reservedPercent?: number
  readonly journalBytes?: number
  readonly growableBytes?: number
  readonly timeSeconds?: number
  readonly zeroed?: boolean
}

/** The superblock's field has 16 bytes, and a NUL is not needed at its end. */
const volumeNameBytesMax = 16

const sizeBytesMax = Number.MAX_SAFE_INTEGER

/**
 * Checks options and fills in defaults.
 *
 * @throws TypeError for texts that are none, RangeError for numbers out of range
 */
export function settingsOf(options: RawSettings): Settings {
  const journalBytes = optionalInteger('journalBytes', options.journalBytes, [
    journalBlocksMin * blockBytes,
    journalBlocksMax * blockBytes,
  ])
  if (journalBytes !== undefined && journalBytes % blockBytes !== 0) {
    throw new RangeError(`journalBytes is ${journalBytes}, expected a multiple of ${blockBytes}`)
  }
  const reservedPercent = options.reservedPercent ?? 5
  if (typeof reservedPercent !== 'number' || !(reservedPercent >= 0 && reservedPercent <= 50)) {
    throw new RangeError(`reservedPercent is ${String(reservedPercent)}, expected a number from 0 to 50`)
  }
  const uuid = parseUuid(options.uuid)
  return {
    sizeBytes: integer('sizeBytes', options.sizeBytes, [blockBytes, sizeBytesMax]),
    uuid,
    volumeName: encodeVolumeName(options.volumeName ?? ''),
    hashSeed: options.hashSeed === undefined ? uuid : parseUuid(options.hashSeed),
    inodes: optionalInteger('inodes', options.inodes, [1, 2 ** 32 - 1]),
    // mke2fs's default and its range for this size of blocks.
    bytesPerInode: integer('bytesPerInode', options.bytesPerInode ?? 16_384, [blockBytes, 64 * 1024 * 1024]),
    reservedPercent,
    journalBlocks: journalBytes === undefined ? undefined : journalBytes / blockBytes,
    growableBytes: optionalInteger('growableBytes', options.growableBytes, [0, sizeBytesMax]),
    timeSeconds: integer('timeSeconds', options.timeSeconds ?? 0, [0, 2 ** 32 - 1]),
    zeroed: options.zeroed ?? false,
  }
}

type Range = readonly [min: number, max: number]

function optionalInteger(name: string, value: number | undefined, range: Range): number | undefined {
  return value === undefined ? undefined : integer(name, value, range)
}

function integer(name: string, value: number, [min, max]: Range): number {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw new RangeError(`${name} is ${String(value)}, expected a whole number from ${min} to ${max}`)
  }
  return value
}

function encodeVolumeName(text: string): Uint8Array {
  if (typeof text !== 'string' || text.includes('\0') || !text.isWellFormed()) {
    throw new TypeError(`volumeName is ${JSON.stringify(text)}, expected text without NUL`)
  }
  const bytes = new TextEncoder().encode(text)
  if (bytes.byteLength > volumeNameBytesMax) {
    throw new RangeError(
      `volumeName ${JSON.stringify(text)} has ${bytes.byteLength} bytes of UTF-8, expected at most ${volumeNameBytesMax}`,
    )
  }
  return bytes
}
