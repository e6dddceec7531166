// The first block of a root partition decides whether there is a root: stage 1 finds roots by the EROFS superblock in
// it. So it is the first that goes and the last that comes, and it never is half of one and half of another: what
// makes it a root lies in one sector, which a disk writes whole, and that sector changes alone.
//
// While a slot is being written its first block is a mark that tells which release is on its way. The mark is for
// people: nothing is decided by it.
import { z } from 'zod'
import type { Release } from '../release.ts'
import type { SlotTarget } from '../slot.ts'
import { blockBytes } from './sealed-image.ts'

/** Where an EROFS superblock lies (include/linux/erofs_fs.h, `EROFS_SUPER_OFFSET`), and its sector. */
const superblockOffset = 1024
const sectorBytes = 512

const erofsMagic = 0xe0f5e1e2
/** `struct erofs_super_block`: log2 of the block size, and how many blocks there are. */
const blockBitsOffset = superblockOffset + 12
const blocksOffset = superblockOffset + 36

/** What the mark tells. It lies before the superblock, so it is short: names and versions have limits. */
export interface PartialMark {
  /** Digest of the release's manifest. */
  readonly release: string
  readonly version: string
  readonly counter: number
  /** The root that is being written, to tell how far it is. */
  readonly hash: string
  readonly salt: string
  readonly dataBlocks: number
  /** How many blocks the root had that was here before: its tree still tells where its blocks are. */
  readonly formerDataBlocks: number
}

const markSchema: z.ZodType<{ soloPartial: PartialMark }> = z.object({
  soloPartial: z.object({
    release: z.string(),
    version: z.string(),
    counter: z.int(),
    hash: z.string().regex(/^[\da-f]{64}$/),
    salt: z.string().regex(/^([\da-f]{2})*$/),
    dataBlocks: z.int().min(1),
    formerDataBlocks: z.int().min(0),
  }),
})

/** What a root partition is by its first block; one that the medium has lost is as none. */
export type FirstBlock =
  | { readonly kind: 'root'; readonly dataBlocks: number }
  | { readonly kind: 'partial'; readonly mark: PartialMark }
  | { readonly kind: 'none' }

/** Reads what a first block says. */
export function readFirstBlock(block: Uint8Array | undefined): FirstBlock {
  if (block === undefined || block.length < blockBytes) return { kind: 'none' }
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength)
  if (view.getUint32(superblockOffset, true) === erofsMagic) {
    const dataBlocks = view.getUint32(blocksOffset, true)
    const isOurs = view.getUint8(blockBitsOffset) === Math.log2(blockBytes) && dataBlocks > 0
    return isOurs ? { kind: 'root', dataBlocks } : { kind: 'none' }
  }
  const mark = readMark(block)
  return mark === undefined ? { kind: 'none' } : { kind: 'partial', mark }
}

function readMark(block: Uint8Array): PartialMark | undefined {
  const text = new TextDecoder('latin1').decode(block.subarray(0, superblockOffset)).replace(/\0+$/, '')
  if (!text.startsWith('{')) return undefined
  try {
    return markSchema.safeParse(JSON.parse(text)).data?.soloPartial
  } catch {
    return undefined
  }
}

/** The block that says that a release is on its way. */
export function markBlock(release: Release, formerDataBlocks: number): Uint8Array {
  const soloPartial: PartialMark = {
    release: release.manifestDigest,
    version: release.version,
    counter: release.counter,
    hash: release.root.hash,
    salt: release.root.salt,
    dataBlocks: release.root.dataBlocks,
    formerDataBlocks,
  }
  const text = new TextEncoder().encode(JSON.stringify({ soloPartial }))
  const block = new Uint8Array(blockBytes)
  // A longer one would reach the superblock; salts of 256 bytes are possible, and then nobody is told.
  if (text.length <= superblockOffset) block.set(text)
  return block
}

/** Makes a partition have no root: the superblock's sector first, alone, and then the mark. */
export async function disarm(target: SlotTarget, before: Uint8Array, mark: Uint8Array): Promise<void> {
  if (readFirstBlock(before).kind !== 'partial') {
    await target.write(0, withoutSuperblock(before))
    await target.flush()
  }
  await target.write(0, mark)
  await target.flush()
}

/** Makes a partition a root: everything but the superblock's sector first, and then that. */
export async function arm(target: SlotTarget, block: Uint8Array): Promise<void> {
  await target.write(0, withoutSuperblock(block))
  await target.flush()
  await target.write(0, block)
  await target.flush()
}

function withoutSuperblock(block: Uint8Array): Uint8Array {
  return new Uint8Array(block).fill(0, superblockOffset, superblockOffset + sectorBytes)
}

/** A partition whose first block stays in memory, while everything else is read and written as it is. */
export class HeldFirstBlock implements SlotTarget {
  readonly sizeBytes: number
  readonly #target: SlotTarget
  readonly #block: Uint8Array

  /** @param block - what is there in its place */
  constructor(target: SlotTarget, block: Uint8Array) {
    this.#target = target
    this.sizeBytes = target.sizeBytes
    this.#block = new Uint8Array(block)
  }

  get name(): string {
    return this.#target.name ?? 'its partition'
  }

  /** The block as it was written here last. */
  get block(): Uint8Array {
    return this.#block
  }

  async read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    return this.#over(offset, await this.#target.read(offset, length, into))
  }

  async readDirect(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    return this.#over(offset, await this.#target.readDirect(offset, length, into))
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const held = offset < blockBytes ? Math.min(bytes.length, blockBytes - offset) : 0
    if (held > 0) this.#block.set(bytes.subarray(0, held), offset)
    if (held < bytes.length) await this.#target.write(offset + held, bytes.subarray(held))
  }

  async flush(): Promise<void> {
    await this.#target.flush()
  }

  #over(offset: number, bytes: Uint8Array): Uint8Array {
    if (offset >= blockBytes) return bytes
    const whole = new Uint8Array(bytes)
    whole.set(this.#block.subarray(offset, offset + bytes.length))
    return whole
  }
}
