// What stage 1 and dm-verity make of a partition, for the table that stands in the initramfs.
import { createHash } from 'node:crypto'
import type { RandomAccess } from '@pkg/image/random-access'

/** A device-mapper table of the target `verity`, as far as it is not constant. */
export interface VerityTable {
  /** Blocks of 4 KiB. */
  readonly dataBlocks: number
  /** The tree's first block. */
  readonly hashStartBlock: number
  /** 64 hexadecimal digits. */
  readonly rootHash: string
  /** Hashed before each block: hexadecimal digits, empty for none. */
  readonly salt: string
}

/**
 * `refused`: the device mapper or the file system refuses it, and stage 1 goes on to the next. `half`: its first block
 * is there and others are not: stage 1 would take it, and the machine fail later. `whole`: every block is right.
 */
export type RootState = 'refused' | 'half' | 'whole'

const BLOCK = 4096
const DIGEST = 32
const PER_BLOCK = BLOCK / DIGEST

/** How much is read at once. */
const RUN_BLOCKS = 256

/** Reads the table out of the program `/init` of an initramfs, where it stands as text, the devices left out. */
export function verityTableIn(init: Uint8Array): VerityTable {
  const text = Buffer.from(init.buffer, init.byteOffset, init.byteLength).toString('latin1')
  const found = [...text.matchAll(/ 4096 4096 (\d+) (\d+) sha256 ([0-9a-f]{64}) ([0-9a-f]+|-)/g)]
  const [, dataBlocks, hashStartBlock, rootHash = '', salt = ''] = found[0] ?? []
  if (found.length !== 1) throw new Error(`/init has ${found.length} dm-verity tables, expected one`)
  return {
    dataBlocks: Number(dataBlocks),
    hashStartBlock: Number(hashStartBlock),
    rootHash,
    salt: salt === '-' ? '' : salt,
  }
}

/** A level of the tree: its first block on the device, and how many it has. The leaves come first. */
interface Level {
  readonly start: number
  readonly blocks: number
}

/** Reads the tree's path to one block of data, and the block: whether mounting would get past the superblock. */
export async function holdsFirstBlock(root: RandomAccess, table: VerityTable): Promise<boolean> {
  let expected = table.rootHash
  for (const { start } of levelsOf(table).toReversed()) {
    const block = await root.read(start * BLOCK, BLOCK)
    if (digestOf(table, block) !== expected) return false
    expected = Buffer.from(block.subarray(0, DIGEST)).toString('hex')
  }
  return digestOf(table, await root.read(0, BLOCK)) === expected
}

/** Whether every block of data is what the root hash says. */
export async function isWhole(root: RandomAccess, table: VerityTable): Promise<boolean> {
  const levels = levelsOf(table)
  // Top-down: a level's digests are believed when they have been compared with those above.
  let digests: Buffer = Buffer.from(table.rootHash, 'hex')
  for (const level of levels.toReversed()) {
    const blocks = await checkedRun(root, table, level, digests)
    if (blocks === undefined) return false
    digests = blocks
  }
  for (let first = 0; first < table.dataBlocks; first += RUN_BLOCKS) {
    const run = { start: first, blocks: Math.min(RUN_BLOCKS, table.dataBlocks - first) }
    const expected = digests.subarray(first * DIGEST, (first + run.blocks) * DIGEST)
    if ((await checkedRun(root, table, run, expected)) === undefined) return false
  }
  return true
}

async function checkedRun(
  root: RandomAccess,
  table: VerityTable,
  { start, blocks }: Level,
  expected: Buffer,
): Promise<Buffer | undefined> {
  const bytes = Buffer.from(await root.read(start * BLOCK, blocks * BLOCK))
  if (bytes.length < blocks * BLOCK) return undefined
  for (let block = 0; block < blocks; block += 1) {
    const digest = digestOf(table, bytes.subarray(block * BLOCK, (block + 1) * BLOCK))
    if (digest !== expected.toString('hex', block * DIGEST, (block + 1) * DIGEST)) return undefined
  }
  return bytes
}

function levelsOf({ dataBlocks, hashStartBlock }: VerityTable): Level[] {
  const sizes: number[] = []
  for (let digests = dataBlocks; digests > 1; digests = sizes.at(-1) ?? 1)
    sizes.push(Math.ceil(digests / PER_BLOCK))
  // The top lies first.
  let start = hashStartBlock + sizes.reduce((sum, blocks) => sum + blocks, 0)
  return sizes.map((blocks) => ({ start: (start -= blocks), blocks }))
}

function digestOf({ salt }: VerityTable, block: Uint8Array): string {
  return createHash('sha256').update(salt, 'hex').update(block).digest('hex')
}
