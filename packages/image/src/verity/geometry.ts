/** How many digests and blocks a hash tree has, level by level. Blocks of data and of hashes are 4 KiB here. */

/** Bytes of a block, of data and of the tree. */
export const blockBytes = 4096

/** Bytes of a SHA-256 digest. */
export const digestBytes = 32

/** How many digests one hash block holds. */
export const digestsPerBlock: number = blockBytes / digestBytes

/** The most data blocks: 2⁴¹, 8 PiB, so that offsets of bytes stay whole numbers. */
const dataBlocksMax = 2 ** 41

/** One level of a hash tree. */
export interface VerityLevel {
  /** 0 for the leaves, which are the digests of the data blocks; each level above has the digests of the one below. */
  readonly level: number
  /** How many digests it has; the rest of its last block is zeros. */
  readonly digests: number
  /** How many blocks these take. */
  readonly blocks: number
  /** Where they begin, in blocks from the tree's first: the top level lies first, the leaves last. */
  readonly startBlock: number
}

/**
 * The levels of the tree over `dataBlocks` blocks, leaves first. A single block of data has no tree: its digest is
 * the root hash (drivers/md/dm-verity-target.c, `verity_ctr`: no level while `data_blocks - 1` is 0).
 *
 * @throws RangeError when `dataBlocks` is no whole number from 1 to 2⁴¹
 *
 * @example
 * ```ts
 * import { verityLevels } from '@pkg/image/verity'
 *
 * console.log(verityLevels(129).map(({ digests, startBlock }) => `${digests} from ${startBlock}`))
 * // [ "129 from 1", "2 from 0" ]
 * ```
 */
export function verityLevels(dataBlocks: number): VerityLevel[] {
  if (!Number.isSafeInteger(dataBlocks) || dataBlocks < 1 || dataBlocks > dataBlocksMax) {
    throw new RangeError(`dataBlocks is ${String(dataBlocks)}, expected a whole number from 1 to 2^41`)
  }
  const sizes: { readonly digests: number; readonly blocks: number }[] = []
  for (let digests = dataBlocks; digests > 1;) {
    const blocks = Math.ceil(digests / digestsPerBlock)
    sizes.push({ digests, blocks })
    digests = blocks
  }
  let startBlock = sizes.reduce((sum, { blocks }) => sum + blocks, 0)
  return sizes.map(({ digests, blocks }, level) => {
    startBlock -= blocks
    return { level, digests, blocks, startBlock }
  })
}
