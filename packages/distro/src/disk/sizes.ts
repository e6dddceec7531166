// How large the partitions of a disk are: as the configuration says, else by what has to go into them.
import type { DiskConfig } from '../config.ts'
import { SoloError } from '../error.ts'

/** Sizes in bytes, each a whole number of mebibytes. */
export interface PartitionSizes {
  /** The partition that firmware reads. */
  readonly esp: number
  /** Each of the two roots. */
  readonly root: number
  /** The data partition as it is in the image; it grows with the disk. */
  readonly data: number
}

/** What has to go into them, in bytes. */
export interface Contents {
  /** One unified kernel image. */
  readonly uki: number
  /** The boot loader. */
  readonly loader: number
  /** One root with its hash tree. */
  readonly root: number
}

const MEBIBYTE = 1024 * 1024

/** Less is FAT16, which some firmware does not take on a disk: 65 525 clusters of 512 bytes, and the tables. */
const ESP_MIN = 34 * MEBIBYTE

/** For the tables of FAT, folders, and the loader's small files. */
const ESP_SLACK = 2 * MEBIBYTE

/** An update is written beside both slots' images before it gets its name. */
const IMAGES_ON_ESP = 3

/** Slots keep their size for the life of a disk, so they begin with room to grow. */
const GROWTH = 1.5

/** Sizes are rounded up, so that a little more content does not make another disk. */
const STEP = 16 * MEBIBYTE

/** The least that ext4 with a journal is of use with. */
const DATA_MIN = 16 * MEBIBYTE
const DATA_DEFAULT = 64 * MEBIBYTE

/**
 * The sizes, checked against what goes in.
 *
 * @throws SoloError the configuration asks for less than it takes, with the number that would do
 */
export function partitionSizes(config: DiskConfig, contents: Contents): PartitionSizes {
  const images = (each: number): number => IMAGES_ON_ESP * each + contents.loader + ESP_SLACK
  return {
    esp: choose('disk.espMiB', config.espMiB, {
      least: Math.max(ESP_MIN, images(contents.uki)),
      usual: images(contents.uki * GROWTH),
    }),
    root: choose('disk.rootMiB', config.rootMiB, { least: contents.root, usual: contents.root * GROWTH }),
    data: choose('disk.dataMiB', config.dataMiB, { least: DATA_MIN, usual: DATA_DEFAULT }),
  }
}

function choose(key: string, askedMiB: number | undefined, bytes: { least: number; usual: number }): number {
  if (askedMiB === undefined) return Math.ceil(Math.max(bytes.least, bytes.usual) / STEP) * STEP
  const leastMiB = Math.ceil(bytes.least / MEBIBYTE)
  if (askedMiB >= leastMiB) return askedMiB * MEBIBYTE
  throw new SoloError(
    `solo.config.ts: ${key}: expected at least ${leastMiB} for what goes in, got ${askedMiB}`,
  )
}
