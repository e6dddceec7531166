// How the slots stand: by what lies on them, not by what was once noted.
import type { RandomAccess } from '@pkg/image/random-access'
import { readUki, readUkiText } from '@pkg/image/uki'
import { parseEntryName } from '@pkg/init/disk-marks'
import type { ReleaseIdentity } from '@pkg/init/boot-state'
import { verityLevels } from '@pkg/image/verity'
import { readBootFiles } from '../install/boot-files.ts'
import { type PartialMark, readFirstBlock } from '../install/first-block.ts'
import { childrenPerBlock, digestBytes, isBlock } from '../install/hash-tree.ts'
import { readBlock, readBlocks } from '../install/medium.ts'
import { blockBytes } from '../install/sealed-image.ts'
import type { Release } from '../release.ts'
import type { BootPartition } from '../slot.ts'
import type { SlotState } from '../updater-protocol.ts'

/** The slot that runs. */
export function runningState(
  slot: string,
  entry: string | null,
  { version, counter }: ReleaseIdentity,
): SlotState {
  return { ...nothing, slot, running: true, condition: 'whole', version, counter, triesLeft: triesOf(entry) }
}

/** The other slot while it is being written. */
export function installingState(slot: string, { version, counter, root }: Release): SlotState {
  return {
    ...nothing,
    slot,
    condition: 'partial',
    version,
    counter,
    totalBytes: root.dataBlocks * blockBytes,
  }
}

/** What the boot partition has of a slot. */
interface SlotEntry {
  /** Name of its entry. */
  readonly entry: string | undefined
  /** What its kernel image says, or the one that is being written. */
  readonly told: Pick<SlotState, 'version' | 'counter'>
}

/** Looks for a slot on the boot partition, which PID 1 may want to write to at any time: this is soon done. */
export async function slotEntryOf(slot: string, boot: BootPartition): Promise<SlotEntry> {
  const { entries, temporary } = await readBootFiles(boot, slot)
  const entry = entries[0]?.name
  return { entry, told: await releaseOf(boot, entry ?? temporary?.name) }
}

/** The other slot. May take as long as reading all of it. */
export async function freeState(
  slot: string,
  { entry, told }: SlotEntry,
  root: RandomAccess,
): Promise<SlotState> {
  const block = await readBlock(root, 0)
  const first = readFirstBlock(block)
  if (first.kind === 'partial') {
    const { version, counter, dataBlocks } = first.mark
    const doneBytes = (await countRight(root, first.mark)) * blockBytes
    const totalBytes = dataBlocks * blockBytes
    return { ...nothing, slot, condition: 'partial', version, counter, doneBytes, totalBytes }
  }
  // What cannot be read is not empty: it was being written, or the disk is failing or gone.
  const isEmpty = block !== undefined && first.kind === 'none' && entry === undefined
  if (isEmpty) return { ...nothing, slot, condition: 'empty' }
  // Either half alone: something stopped an installation near its beginning or its end.
  if (first.kind === 'none' || entry === undefined) return { ...nothing, ...told, slot, condition: 'partial' }
  return { ...nothing, ...told, slot, condition: 'whole', triesLeft: triesOf(entry) }
}

const nothing: SlotState = {
  slot: '',
  running: false,
  condition: 'empty',
  version: null,
  counter: null,
  triesLeft: null,
  doneBytes: null,
  totalBytes: null,
}

function triesOf(name: string | null): number | null {
  return name === null ? null : (parseEntryName(name)?.left ?? null)
}

/** What a kernel image says of its release; nothing when it is damaged. */
async function releaseOf(
  boot: BootPartition,
  name: string | undefined,
): Promise<Pick<SlotState, 'version' | 'counter'>> {
  if (name === undefined) return { version: null, counter: null }
  try {
    await using file = await boot.read(name)
    const text = (await readUkiText(file, await readUki(file), '.osrel')) ?? ''
    const value = (key: string): string | null =>
      new RegExp(`^${key}="?([^"\n]+)`, 'm').exec(text)?.[1] ?? null
    const counter = Number(value('IMAGE_VERSION') ?? NaN)
    return { version: value('VERSION_ID'), counter: Number.isSafeInteger(counter) ? counter : null }
  } catch {
    return { version: null, counter: null }
  }
}

/**
 * How many blocks of a root that is being written are there and right, by as much of its tree as is there. What the
 * mark says is not signed: it is asked for people's sake alone.
 */
async function countRight(root: RandomAccess, mark: PartialMark): Promise<number> {
  const levels = verityLevels(mark.dataBlocks)
  const salt = Buffer.from(mark.salt, 'hex')
  /** Of the blocks from `first` of a level (-1: data) on, whose digests are these, and all below them. */
  const count = async (level: number, first: number, digests: Uint8Array): Promise<number> => {
    const place = levels[level]
    const blocks = Math.min((place?.blocks ?? mark.dataBlocks) - first, digests.length / digestBytes)
    const startBlock = place === undefined ? first : mark.dataBlocks + 1 + place.startBlock + first
    const there = await readBlocks(root, { first: startBlock, count: blocks })
    let right = 0
    for (const [index, block] of there.entries()) {
      const digest = digests.subarray(index * digestBytes, (index + 1) * digestBytes)
      if (block === undefined || !isBlock(salt, block, digest)) continue
      right += place === undefined ? 1 : await count(level - 1, (first + index) * childrenPerBlock, block)
    }
    return right
  }
  return await count(levels.length - 1, 0, Buffer.from(mark.hash, 'hex'))
}
