/**
 * dm-verity hash trees: what lets the kernel check each block of a read-only root when it is read.
 *
 * What is written and read: superblock version 1, hash type 1 (salt first), SHA-256, blocks of 4 KiB for data and
 * hashes, no forward error correction; byte for byte what `veritysetup format` writes.
 *
 * @see https://docs.kernel.org/admin-guide/device-mapper/verity.html
 * @see https://gitlab.com/cryptsetup/cryptsetup/-/wikis/DMVerity
 */
import { checkSalt, hex, parseRootHash } from './verity/digest.ts'
import { blockBytes, verityLevels } from './verity/geometry.ts'
import type { VerityParameters } from './verity/tree.ts'

export { digestOf } from './verity/digest.ts'
export { verityLevels } from './verity/geometry.ts'
export type { VerityLevel } from './verity/geometry.ts'
export { VerityHasher } from './verity/hasher.ts'
export type { VerityOptions } from './verity/hasher.ts'
export { VeritySuperblockError, encodeSuperblock, readVeritySuperblock } from './verity/superblock.ts'
export type { VeritySuperblock } from './verity/superblock.ts'
export { VerityTree } from './verity/tree.ts'
export type { VerityParameters } from './verity/tree.ts'
export { verifyVerity } from './verity/verify.ts'
export type { BadBlock, VerifyVerityOptions } from './verity/verify.ts'

/** Where data and tree lie. */
export interface VerityDevices {
  /** A path as `/dev/vda2`, or `major:minor`. */
  readonly dataDevice: string
  /** The same, of what holds the tree. */
  readonly hashDevice: string
  /** The tree's first block on it. Default: behind data and superblock, `dataBlocks + 1`. */
  readonly hashStartBlock?: number
}

/**
 * The parameters of a device-mapper target `verity`: `1 DATA HASH 4096 4096 NBLOCKS HASHSTART sha256 ROOT SALT`. The
 * target itself is `dataBlocks * 8` sectors long.
 *
 * @throws TypeError or RangeError for a device's name that is empty or has spaces, or for wrong parameters
 * @see https://docs.kernel.org/admin-guide/device-mapper/verity.html#construction-parameters
 *
 * @example
 * ```ts
 * import { verityTable } from '@pkg/image/verity'
 *
 * const parameters = { dataBlocks: 8, salt: new Uint8Array(2), rootHash: 'ab'.repeat(32) }
 * console.log(verityTable(parameters, { dataDevice: '254:2', hashDevice: '254:2' }))
 * // 1 254:2 254:2 4096 4096 8 9 sha256 abab…ab 0000
 * ```
 */
export function verityTable(parameters: VerityParameters, devices: VerityDevices): string {
  const { dataBlocks } = parameters
  verityLevels(dataBlocks)
  const hashStartBlock = devices.hashStartBlock ?? dataBlocks + 1
  if (!Number.isSafeInteger(hashStartBlock) || hashStartBlock < 0) {
    throw new RangeError(`hashStartBlock is ${String(hashStartBlock)}, expected a whole number`)
  }
  const salt = hex(checkSalt(parameters.salt))
  return [
    1,
    checkDevice('dataDevice', devices.dataDevice),
    checkDevice('hashDevice', devices.hashDevice),
    blockBytes,
    blockBytes,
    dataBlocks,
    hashStartBlock,
    'sha256',
    hex(parseRootHash(parameters.rootHash)),
    // `-` stands for no salt (drivers/md/dm-verity-target.c, verity_ctr).
    salt === '' ? '-' : salt,
  ].join(' ')
}

/** The table is split at spaces, and a backslash would quote what follows (drivers/md/dm-table.c, `dm_split_args`). */
function checkDevice(field: string, device: string): string {
  if (typeof device !== 'string' || !/^[^\s\\\0]+$/.test(device)) {
    throw new TypeError(
      `${field} is ${JSON.stringify(device)}, expected a path or major:minor without spaces`,
    )
  }
  return device
}
