/** Options as they are checked, before the tree is looked at. */
import type { FatType } from './format.ts'
import { clusterSizes } from './geometry.ts'

/** How a file system is made. */
export interface FatOptions {
  /**
   * The whole file system, a multiple of the sector. Default: the smallest that holds the tree. FAT32 has about 34 MB at
   * least, eight times as many in sectors of 4096 bytes; FAT16 about 2 MB.
   */
  readonly sizeBytes?: number
  /** Default: `'fat32'`, unless `sizeBytes` is too small for it. */
  readonly type?: FatType
  /**
   * A power of two from the sector to 32 KiB. Default: for FAT32 512 bytes up to 260 MiB, 4 KiB up to 8 GiB, then more, as
   * Microsoft's table has it; for FAT16 the smallest that does; at least a sector.
   */
  readonly clusterBytes?: number
  /** 512, 1024, 2048 or 4096: firmware reads only what has its disk's sectors. Default 512. */
  readonly sectorBytes?: number
  /** 1 to 11 capitals, digits, spaces or ``$%'-_@~`!(){}^#&``, no space at the ends. Default: none. */
  readonly volumeLabel?: string
  /** 32 bits as `blkid` shows them (UUID): `1234-ABCD`. Default: made from the tree's names, sizes and times. */
  readonly volumeId?: string
}

/** Options, checked. */
export interface Settings {
  readonly sizeBytes: number | undefined
  readonly type: FatType | undefined
  readonly clusterBytes: number | undefined
  readonly sectorBytes: number
  readonly volumeLabel: string | undefined
  readonly volumeId: number | undefined
}

/**
 * Checks options.
 *
 * @throws TypeError or RangeError naming the option
 */
export function settingsOf(options: FatOptions): Settings {
  const { sizeBytes, type, clusterBytes, sectorBytes = 512, volumeLabel, volumeId } = options
  if (![512, 1024, 2048, 4096].includes(sectorBytes)) {
    throw new RangeError(`sectorBytes is ${String(sectorBytes)}, expected 512, 1024, 2048 or 4096`)
  }
  if (sizeBytes !== undefined && (!Number.isSafeInteger(sizeBytes) || sizeBytes % sectorBytes !== 0)) {
    throw new RangeError(`sizeBytes is ${sizeBytes}, expected a multiple of the sector, ${sectorBytes} bytes`)
  }
  if (type !== undefined && type !== 'fat16' && type !== 'fat32') {
    throw new TypeError(`type is ${JSON.stringify(type)}, expected fat16 or fat32`)
  }
  const sizes = clusterSizes(sectorBytes)
  if (clusterBytes !== undefined && !sizes.includes(clusterBytes)) {
    throw new RangeError(`clusterBytes is ${clusterBytes}, expected one of ${sizes.join(', ')}`)
  }
  if (volumeLabel !== undefined) checkLabel(volumeLabel)
  return {
    sizeBytes,
    type,
    clusterBytes,
    sectorBytes,
    volumeLabel,
    volumeId: volumeId === undefined ? undefined : parseVolumeId(volumeId),
  }
}

function checkLabel(label: string): void {
  if (typeof label !== 'string' || !/^[A-Z0-9$%'\-_@~`!(){}^#& ]{1,11}$/.test(label) || /^ | $/.test(label)) {
    throw new TypeError(
      `volumeLabel is ${JSON.stringify(label)}, expected 1 to 11 capitals, digits or $%'-_@~\`!(){}^#&`,
    )
  }
}

function parseVolumeId(text: string): number {
  if (typeof text !== 'string' || !/^[\da-f]{4}-[\da-f]{4}$/i.test(text)) {
    throw new TypeError(`volumeId is ${JSON.stringify(text)}, expected 8 hexadecimal digits as 1234-ABCD`)
  }
  return Number.parseInt(text.replace('-', ''), 16)
}

/** As `blkid` shows it. */
export function formatVolumeId(volumeId: number): string {
  const digits = volumeId.toString(16).toUpperCase().padStart(8, '0')
  return `${digits.slice(0, 4)}-${digits.slice(4)}`
}
