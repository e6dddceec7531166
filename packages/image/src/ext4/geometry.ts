/**
 * How a file system falls into groups, and where each group's own structures lie.
 *
 * Some groups begin with a copy of the superblock and of all descriptors, and room for more descriptors. Groups are
 * taken together by 16 (flex_bg): the bitmaps and inode tables of all lie in the first of them, so that the others
 * are nearly free of structures and nothing has to be written there.
 */
import { addressesPerBlock, blockBytes, descriptorsPerBlock, groupBlocks, inodeBytes } from './format.ts'

/** The numbers from which every place follows. */
export interface Geometry {
  readonly blocks: number
  readonly groups: number
  readonly inodesPerGroup: number
  /** Blocks of one group's inode table. */
  readonly tableBlocks: number
  /** Blocks of all group descriptors. */
  readonly descriptorBlocks: number
  /** Blocks after these, kept for the descriptors of groups that are added when the file system grows. */
  readonly reservedBlocks: number
  /** How many groups have their structures in one place, as a power of two. */
  readonly flexGroupsLog2: number
}

/** What a geometry is made from. */
export interface GeometryRequest {
  /** A multiple of a block is used of it. */
  readonly sizeBytes: number
  /** At least so many, rounded up. */
  readonly inodes: number
  /** To which size descriptors can be added in the room that is kept. */
  readonly growableBytes: number
}

/** Where a group's structures lie, as block numbers. */
export interface GroupPlaces {
  readonly blockBitmap: number
  readonly inodeBitmap: number
  readonly inodeTable: number
}

/** The most groups are 2¹⁷: their 2³² blocks are the largest file system that is written. */
export const blocksMax: number = 2 ** 32

/** As many inodes as one block of bits can tell of. */
export const inodesPerGroupMax: number = 8 * blockBytes

/** Inodes of one block of a table. */
export const inodesPerBlock: number = blockBytes / inodeBytes

/** mke2fs's choice (`flexbg_size` in its mke2fs.conf(5)). */
const flexGroupsLog2Max = 4

/** A last group must have so many blocks besides its own structures, as mke2fs demands it. */
const lastGroupFreeBlocksMin = 50

/**
 * The geometry of a file system.
 *
 * @throws RangeError when it cannot have as many inodes, or is larger than 16 TiB
 */
export function geometryOf({ sizeBytes, inodes, growableBytes }: GeometryRequest): Geometry {
  const blocks = Math.floor(sizeBytes / blockBytes)
  if (blocks > blocksMax) {
    throw new RangeError(`sizeBytes is ${sizeBytes}, expected at most ${blocksMax * blockBytes} (16 TiB)`)
  }
  const groups = Math.max(1, Math.ceil(blocks / groupBlocks))
  const geometry = withGroups(blocks, groups, inodes, growableBytes)
  const last = groups - 1
  const lastGroupBlocks = blocks - last * groupBlocks
  if (last === 0 || lastGroupBlocks >= lastGroupBlocksMin(geometry, last)) return geometry
  // A last group with room for little more than its structures is left out: what is left of the space stays unused.
  return withGroups(last * groupBlocks, last, inodes, growableBytes)
}

/** The fewest blocks that a last group may have to be used at all. */
export function lastGroupBlocksMin(geometry: Geometry, group: number): number {
  return superblockBlocks(geometry, group) + 2 + geometry.tableBlocks + lastGroupFreeBlocksMin
}

function withGroups(blocks: number, groups: number, inodes: number, growableBytes: number): Geometry {
  const inodesPerGroup = roundUp(Math.ceil(inodes / groups), inodesPerBlock)
  if (inodesPerGroup > inodesPerGroupMax || inodesPerGroup * groups >= 2 ** 32) {
    const most = Math.min(groups * inodesPerGroupMax, 2 ** 32 - inodesPerBlock * groups)
    throw new RangeError(
      `${inodes} inodes in ${blocks * blockBytes} bytes: it can have ${most} at most, ${inodesPerGroupMax} in each 128 MiB`,
    )
  }
  const descriptorBlocks = Math.ceil(groups / descriptorsPerBlock)
  const grownBlocks = Math.min(Math.floor(growableBytes / blockBytes), blocksMax)
  const grownDescriptorBlocks = Math.ceil(grownBlocks / groupBlocks / descriptorsPerBlock)
  const base = {
    blocks,
    groups,
    inodesPerGroup,
    tableBlocks: inodesPerGroup / inodesPerBlock,
    descriptorBlocks,
    // The kernel refuses more than one block of addresses (ext4_fill_super); one keeps the resize inode there.
    reservedBlocks: Math.min(Math.max(grownDescriptorBlocks - descriptorBlocks, 1), addressesPerBlock),
  }
  return { ...base, flexGroupsLog2: flexGroupsLog2Of(base) }
}

/** The most groups whose structures fit into one group beside the descriptors. */
function flexGroupsLog2Of(base: Omit<Geometry, 'flexGroupsLog2'>): number {
  const room = groupBlocks - superblockBlocks(base, 0)
  for (let log2 = flexGroupsLog2Max; log2 > 0; log2--) {
    if (2 ** log2 * (2 + base.tableBlocks) <= room) return log2
  }
  return 0
}

/** Whether a group has a copy of superblock and descriptors: 0, 1 and the powers of 3, 5 and 7 (sparse_super). */
export function hasSuperblock(group: number): boolean {
  return group <= 1 || [3, 5, 7].some((base) => isPowerOf(group, base))
}

function isPowerOf(value: number, base: number): boolean {
  let power = base
  while (power < value) power *= base
  return power === value
}

/** The groups after the first that have a copy of superblock and descriptors. */
export function backupGroups({ groups }: Geometry): number[] {
  const all = new Set([1])
  for (const base of [3, 5, 7]) for (let power = base; power < groups; power *= base) all.add(power)
  return [...all].filter((group) => group < groups).toSorted((left, right) => left - right)
}

/** The first block of a group. */
export function groupStart(group: number): number {
  return group * groupBlocks
}

/** How many blocks a group has: all but the last are full. */
export function blocksOfGroup({ blocks }: Geometry, group: number): number {
  return Math.min(groupBlocks, blocks - groupStart(group))
}

/** Blocks at a group's beginning for superblock, descriptors and those to come. */
export function superblockBlocks(
  { descriptorBlocks, reservedBlocks }: Pick<Geometry, 'descriptorBlocks' | 'reservedBlocks'>,
  group: number,
): number {
  return hasSuperblock(group) ? 1 + descriptorBlocks + reservedBlocks : 0
}

/** Blocks at a group's beginning for structures of any kind, its own and those of the groups after it. */
export function structureBlocks(geometry: Geometry, group: number): number {
  const flexGroups = isFlexStart(geometry, group) ? flexGroupsFrom(geometry, group) : 0
  return superblockBlocks(geometry, group) + flexGroups * (2 + geometry.tableBlocks)
}

/** Where the structures of a group lie. */
export function placesOf(geometry: Geometry, group: number): GroupPlaces {
  const index = group % 2 ** geometry.flexGroupsLog2
  const first = group - index
  const count = flexGroupsFrom(geometry, first)
  const start = groupStart(first) + superblockBlocks(geometry, first)
  return {
    blockBitmap: start + index,
    inodeBitmap: start + count + index,
    inodeTable: start + 2 * count + index * geometry.tableBlocks,
  }
}

/** Whether a group holds the structures of those after it. */
export function isFlexStart({ flexGroupsLog2 }: Geometry, group: number): boolean {
  return group % 2 ** flexGroupsLog2 === 0
}

/** How many groups there are from `first` on that have their structures in it. */
export function flexGroupsFrom({ groups, flexGroupsLog2 }: Geometry, first: number): number {
  return Math.min(2 ** flexGroupsLog2, groups - first)
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple
}
