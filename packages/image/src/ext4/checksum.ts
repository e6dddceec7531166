/** What the checksums of the feature metadata_csum begin with: each structure's tells whose it is. */
import { crc32c } from '../checksum/crc32c.ts'
import { viewOf } from './format.ts'

/** The beginning for everything of one file system (`s_csum_seed` in fs/ext4/super.c). */
export function filesystemSeed(uuid: Uint8Array): number {
  return crc32c(uuid)
}

/** The beginning for all that belongs to one inode, whose generation is always 0 (`i_csum_seed`). */
export function inodeSeed(seed: number, inodeNumber: number): number {
  return crc32c(new Uint8Array(4), crc32c(littleEndian(inodeNumber), seed))
}

/** A number's four bytes, lowest first. */
export function littleEndian(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  viewOf(bytes).setUint32(0, value, true)
  return bytes
}
