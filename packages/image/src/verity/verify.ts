/**
 * Checks data and tree against a root hash, top-down: a hash block is believed only after its own digest was found
 * in a block that is believed. Goes down to the data before it goes on, so that memory is one run of blocks a level.
 */
import type { RandomAccess } from '../random-access.ts'
import { checkSalt, digestOf, parseRootHash } from './digest.ts'
import { blockBytes, digestBytes, digestsPerBlock, verityLevels } from './geometry.ts'
import type { VerityLevel } from './geometry.ts'
import type { VerityParameters } from './tree.ts'

/** Where things lie, and how the check is watched. */
export interface VerifyVerityOptions {
  /** The tree's first block. Default: behind data and superblock, `dataBlocks + 1`. */
  readonly hashStartBlock?: number
  /** Where the tree lies. Default: where the data lies. */
  readonly hashAccess?: RandomAccess
  /** Ends the check: it rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** Called now and then with how many bytes of data have been found right. */
  readonly onProgress?: (doneBytes: number) => void
}

/** A block whose digest is not the expected one, or that is not there as a whole. */
export interface BadBlock {
  /** Whether it is one of data or of the tree. */
  readonly area: 'data' | 'hash'
  /** Level of a hash block, 0 for one of leaves; undefined for data. */
  readonly level: number | undefined
  /** Its number, in blocks of 4 KiB from the beginning of what it was read from. */
  readonly block: number
}

/**
 * Checks an image against its root hash, as `veritysetup verify` does.
 *
 * Size and salt must come with the root hash, not from the image's superblock, which nothing protects: a smaller
 * size of as many levels would leave the last blocks unchecked.
 *
 * Blocks: no (awaited). Memory: up to 512 KiB a level.
 *
 * @returns the first bad block in the order of the data, a hash block before what lies below it; undefined when all
 *   is right
 * @throws TypeError or RangeError for wrong parameters; what `access.read` rejects with
 *
 * @example
 * ```ts
 * import { bytesAccess } from '@pkg/image/random-access'
 * import { VerityHasher, verifyVerity } from '@pkg/image/verity'
 *
 * const hasher = new VerityHasher({ salt: new Uint8Array(32), uuid: '01234567-89ab-cdef-0123-456789abcdef' })
 * const image = Buffer.concat(await Array.fromAsync(hasher.append([new Uint8Array(5 * 4096)])))
 * image[3 * 4096] = 1
 * console.log(await verifyVerity(bytesAccess(image), hasher.finish()))
 * // { area: "data", level: undefined, block: 3 }
 * ```
 */
export async function verifyVerity(
  access: RandomAccess,
  parameters: VerityParameters,
  options: VerifyVerityOptions = {},
): Promise<BadBlock | undefined> {
  const levels = verityLevels(parameters.dataBlocks)
  const check: Check = {
    data: access,
    hash: options.hashAccess ?? access,
    hashStartBlock: options.hashStartBlock ?? parameters.dataBlocks + 1,
    dataBlocks: parameters.dataBlocks,
    salt: checkSalt(parameters.salt),
    levels,
    options,
  }
  return await checkRun(check, levels.length - 1, 0, parseRootHash(parameters.rootHash))
}

interface Check {
  readonly data: RandomAccess
  readonly hash: RandomAccess
  readonly hashStartBlock: number
  readonly dataBlocks: number
  readonly salt: Uint8Array
  readonly levels: readonly VerityLevel[]
  readonly options: VerifyVerityOptions
}

/** Checks the blocks from `first` of a level (-1: data) that one block of digests covers, and all below them. */
async function checkRun(
  check: Check,
  level: number,
  first: number,
  digests: Uint8Array,
): Promise<BadBlock | undefined> {
  check.options.signal?.throwIfAborted()
  const place = check.levels[level]
  const blocks = Math.min((place?.blocks ?? check.dataBlocks) - first, digests.byteLength / digestBytes)
  const startBlock = place ? check.hashStartBlock + place.startBlock + first : first
  const bytes = await (place ? check.hash : check.data).read(startBlock * blockBytes, blocks * blockBytes)
  for (let index = 0; index < blocks; index++) {
    const block = bytes.subarray(index * blockBytes, (index + 1) * blockBytes)
    const expected = digests.subarray(index * digestBytes, (index + 1) * digestBytes)
    if (block.byteLength < blockBytes || Buffer.compare(digestOf(check.salt, block), expected) !== 0) {
      return { area: place ? 'hash' : 'data', level: place?.level, block: startBlock + index }
    }
    if (!place) continue
    const bad = await checkRun(check, level - 1, (first + index) * digestsPerBlock, block)
    if (bad) return bad
  }
  if (!place) check.options.onProgress?.((first + blocks) * blockBytes)
  return undefined
}
