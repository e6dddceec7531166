/**
 * Puts a release into the free slot.
 *
 * What happens, in this order, so that a power cut at any write leaves a machine that boots a whole slot:
 *
 * 1. what is missing of the hash trees is fetched, and the slot's root is compared with the one that comes;
 * 2. blocks that cannot be read, where the slot's old root is not, are written and read back: nothing else has been
 *    written yet, so a disk that is failing or gone ends the installation while the old slot is what it was;
 * 3. the slot's boot entry goes: no loader tries it any more;
 * 4. the root's first block goes: no stage 1 finds it any more;
 * 5. the root's blocks are copied and fetched, each checked before it is written, then all are read back from the medium;
 * 6. the root's first block comes;
 * 7. the kernel image is brought to its state under a name that is no boot entry, and read back;
 * 8. it gets the name of a boot entry with all its tries.
 *
 * Between these steps the medium's caches are flushed. There is no journal: what an interrupted installation has
 * written is found again by its digests. A block that cannot be read is not there: writing it is what mends it.
 */
import { freshEntryName } from '@pkg/init/disk-marks'
import { encodeSuperblock, verityLevels } from '@pkg/image/verity'
import {
  checkRoom,
  openBootDonors,
  readBootFiles,
  removeEntry,
  temporaryName,
  type BootFiles,
} from './install/boot-files.ts'
import { type Compared, compareBytes, compareData } from './install/compare.ts'
import { type Donor, Donors } from './install/donors.ts'
import { fill } from './install/fill.ts'
import { Fetcher } from './install/fetcher.ts'
import { arm, disarm, HeldFirstBlock, markBlock, readFirstBlock } from './install/first-block.ts'
import { type HashTree, isBlock } from './install/hash-tree.ts'
import { MediumError, mend, placeOf, readBack, readBlock } from './install/medium.ts'
import { blockBytes, bootImage, rootImage, type SealedImage, treeBlocksOf } from './install/sealed-image.ts'
import { countGarbage } from './install/memory.ts'
import { collectTree, runsOf } from './install/tree.ts'
import { UpdateRefused } from './refused.ts'
import type { Release } from './release.ts'
import type { BlockReader, BootPartition, SlotTarget } from './slot.ts'
import type { BlobSource } from './source.ts'
import type { InstallPhase, InstallProgress } from './updater-protocol.ts'

export { MediumError } from './install/medium.ts'

/** What is installed from where to where. */
export interface InstallOptions {
  /** The release; its documents have been verified. */
  readonly release: Release
  /** Where its blobs come from. */
  readonly source: BlobSource
  /** The slot that it goes to: `solo-b`. Never the one that runs. */
  readonly slot: string
  /** The slot's root partition. */
  readonly target: SlotTarget
  /** Root partitions that blocks may be copied from: the one that runs. */
  readonly donors?: readonly BlockReader[]
  /** The boot partition. */
  readonly boot: BootPartition
  /** Told of each step. */
  readonly onProgress?: (progress: InstallProgress) => void
  /** So long may the source give nothing, in milliseconds. Default: 120,000. */
  readonly stallTimeoutMs?: number
  /** Ends the installation, at the next chance; it rejects with the signal's reason. */
  readonly signal?: AbortSignal
}

/** What an installation took. */
export interface Installed {
  /** How many bytes the source gave. */
  readonly fetchedBytes: number
}

/**
 * Installs a release, or goes on with an installation that was interrupted.
 *
 * Blocks: between awaits for as long as one read or write takes. Memory: 1/127 of the root, and some megabytes.
 *
 * @throws UpdateRefused `space` before anything is written; `digest`, `size` when the source gives something else than
 *   was signed
 * @throws SourceError when the source does not give what it should; {@link MediumError}; what target and boot partition
 *   reject with. Another call goes on where this one stopped
 *
 * @example
 * ```ts no-run
 * import { installRelease, type InstallOptions } from '@pkg/update/install'
 *
 * export async function install(options: InstallOptions): Promise<void> {
 *   const onProgress = ({ phase, doneBytes, totalBytes }: { phase: string; doneBytes: number; totalBytes: number }) =>
 *     process.stderr.write(`${phase} ${doneBytes} of ${totalBytes}\n`)
 *   const { fetchedBytes } = await installRelease({ ...options, onProgress })
 *   process.stderr.write(`${fetchedBytes} bytes fetched\n`)
 * }
 * ```
 */
export async function installRelease(options: InstallOptions): Promise<Installed> {
  const { release, slot, target, boot } = options
  checkPartition(release, target)
  const files = await readBootFiles(boot, slot)
  await checkRoom(boot, files, release.uki.sizeBytes)
  const work = new Work(options)
  const root = await work.prepareRoot()
  await using kernel = await work.prepareKernel(files)
  await work.mendTarget(root)
  await removeEntry(boot, slot, files, kernel.damaged)
  await work.writeRoot(root)
  await work.writeKernel(kernel)
  await boot.rename(temporaryName(slot), freshEntryName(slot))
  await boot.sync()
  return { fetchedBytes: work.fetchedBytes }
}

function checkPartition({ root }: Release, target: SlotTarget): void {
  if (root.sizeBytes <= target.sizeBytes) return
  throw new UpdateRefused(
    'space',
    `the root has ${root.sizeBytes} bytes, the slot's partition has ${target.sizeBytes}`,
  )
}

/** An image with its tree and what it can be copied from. */
interface Prepared {
  readonly image: SealedImage
  readonly tree: HashTree
  readonly donors: Donors
}

interface PreparedRoot extends Prepared {
  /** What is at the first block's place now. */
  readonly firstBlock: Uint8Array
  /** How many blocks the root had that was there before; 0 for none. */
  readonly formerDataBlocks: number
  /** What follows the data: verity's superblock and the tree. */
  readonly tail: Uint8Array
  readonly data: Compared
  readonly rest: Compared
}

interface PreparedKernel extends Prepared, AsyncDisposable {
  /** Names of files of the boot partition that cannot be read. */
  readonly damaged: ReadonlySet<string>
}

/** So much is written at a time. */
const runBlocksMax = 64

/** One installation. */
class Work {
  readonly #options: InstallOptions
  readonly #fetcher: Fetcher
  readonly #signal: AbortSignal

  constructor(options: InstallOptions) {
    this.#options = options
    this.#signal = options.signal ?? new AbortController().signal
    this.#fetcher = new Fetcher({
      source: options.source,
      stallTimeoutMs: options.stallTimeoutMs ?? 120_000,
      signal: this.#signal,
    })
  }

  get fetchedBytes(): number {
    return this.#fetcher.fetchedBytes
  }

  async prepareRoot(): Promise<PreparedRoot> {
    const { release, target, donors = [] } = this.#options
    const image = rootImage(release)
    const firstBlock = new Uint8Array((await readBlock(target, 0)) ?? new Uint8Array(blockBytes))
    const formerDataBlocks = formerBlocks(firstBlock)
    const former = donorOf(target, formerDataBlocks)
    const others = await Promise.all(
      donors.map(async (access) => donorOf(access, formerBlocks(await readBlock(access, 0)))),
    )
    const all = await Donors.read(
      image.salt,
      [...others, former].filter((donor) => donor !== undefined),
    )
    const treeStart = image.dataBlocks + 1
    const inPlace = (treeBlock: number): Promise<Uint8Array | undefined> =>
      readBlock(target, treeStart + treeBlock)
    const tree = await collectTree(image, { donors: all, fetcher: this.#fetcher, inPlace })
    const imageId = Buffer.from(release.root.imageId.replaceAll('-', ''), 'hex')
    const tail = Buffer.concat([encodeSuperblock(imageId, image.dataBlocks, image.salt), tree.bytes])
    const data = await this.#compare(image, tree, target)
    const rest = await compareBytes(target, image.dataBlocks, tail)
    return { image, tree, donors: all, firstBlock, formerDataBlocks, tail, data, rest }
  }

  async prepareKernel(files: BootFiles): Promise<PreparedKernel> {
    const { release, boot } = this.#options
    const image = bootImage(release)
    await using opened = new AsyncDisposableStack()
    const open = opened.use(await openBootDonors(boot, files, image.salt))
    const donors = await Donors.read(image.salt, open.donors)
    const tree = await collectTree(image, { donors, fetcher: this.#fetcher })
    const kept = opened.move()
    const { damaged } = open
    return { image, tree, donors, damaged, [Symbol.asyncDispose]: () => kept.disposeAsync() }
  }

  /** Step 2. */
  async mendTarget({ firstBlock, data, rest }: PreparedRoot): Promise<void> {
    const { slot, target } = this.#options
    const lost = [...data.lost, ...rest.lost]
    if (lost.length === 0) return
    // The old root may still be of use with a block that cannot be read, so nothing is written to it.
    const end = endOfRoot(firstBlock, target.sizeBytes)
    await mend(
      target,
      slot,
      lost.filter((block) => block >= end),
    )
    // From a disk that is gone nothing can be read, and the kernel has no other word for that.
    await readBack(target, slot, { first: 0, count: 1 })
  }

  /** Steps 4 to 6. */
  async writeRoot(root: PreparedRoot): Promise<void> {
    const { image, tail, rest, firstBlock, formerDataBlocks } = root
    const { release, slot, target } = this.#options
    await disarm(target, firstBlock, markBlock(release, formerDataBlocks))
    const held = new HeldFirstBlock(target, firstBlock)
    // The tree goes first: it is what the next time begins with.
    for (const { first, count } of runsOf(rest.missing, runBlocksMax)) {
      const start = (first - image.dataBlocks) * blockBytes
      await held.write(first * blockBytes, tail.subarray(start, start + count * blockBytes))
    }
    await this.#fill(root, root.data, held)
    await held.flush()
    await this.#verify(root, held, 'verify')
    const tailPlace = { first: image.dataBlocks, count: tail.length / blockBytes }
    if (Buffer.compare(await readBack(held, slot, tailPlace), tail) !== 0)
      throw this.#notAsWritten(held, image.dataBlocks)
    await arm(target, held.block)
    if (Buffer.compare(await readBack(target, slot, { first: 0, count: 1 }), held.block) !== 0)
      throw this.#notAsWritten(target, 0)
  }

  /** Step 7. */
  async writeKernel(kernel: Prepared): Promise<void> {
    const { release, boot, slot } = this.#options
    const { image, tree } = kernel
    await using file = await boot.write(temporaryName(slot))
    const paddedBytes = image.dataBlocks * blockBytes
    if (file.sizeBytes !== paddedBytes) {
      await file.resize(paddedBytes)
      await file.flush()
    }
    await this.#fill(kernel, await this.#compare(image, tree, file), file)
    await file.flush()
    await this.#verify(kernel, file, 'boot-image')
    if (paddedBytes !== release.uki.sizeBytes) {
      await file.resize(release.uki.sizeBytes)
      await file.flush()
    }
  }

  // Each block is looked at twice, where it will lie and elsewhere: the first half of the phase, and the second.

  async #compare(image: SealedImage, tree: HashTree, target: SlotTarget): Promise<Compared> {
    const bytes = image.dataBlocks * blockBytes
    const onCompared = (doneBytes: number): void => this.#tell('compare', doneBytes, 2 * bytes)
    return await compareData({ image, tree, target, signal: this.#signal, onCompared })
  }

  async #fill(prepared: Prepared, { missing }: Compared, target: SlotTarget): Promise<void> {
    const { image, tree, donors } = prepared
    const bytes = image.dataBlocks * blockBytes
    await fill({
      image,
      tree,
      donors,
      missing,
      target,
      fetcher: this.#fetcher,
      signal: this.#signal,
      onCopied: (doneBytes) => this.#tell('compare', bytes + doneBytes, 2 * bytes),
      onFetched: (doneBytes, totalBytes) => this.#tell('fetch', doneBytes, totalBytes),
    })
  }

  /** Reads the data back from the medium. */
  async #verify(prepared: Prepared, target: SlotTarget, phase: InstallPhase): Promise<void> {
    const { image, tree } = prepared
    const memory = new Uint8Array(runBlocksMax * blockBytes)
    for (let first = 0; first < image.dataBlocks; first += runBlocksMax) {
      this.#signal.throwIfAborted()
      const count = Math.min(runBlocksMax, image.dataBlocks - first)
      const bytes = await readBack(target, this.#options.slot, { first, count }, memory)
      for (let index = 0; index < count; index++) {
        const block = bytes.subarray(index * blockBytes, (index + 1) * blockBytes)
        if (!isBlock(image.salt, block, tree.leaf(first + index)))
          throw this.#notAsWritten(target, first + index)
      }
      countGarbage(memory.length / 8)
      this.#tell(phase, (first + count) * blockBytes, image.dataBlocks * blockBytes)
    }
  }

  #notAsWritten(target: SlotTarget, block: number): MediumError {
    return new MediumError(
      `${placeOf(target, this.#options.slot, block)} does not read back as it was written: the disk is failing, or somebody else writes to it`,
    )
  }

  #tell(phase: InstallPhase, doneBytes: number, totalBytes: number): void {
    const { fetchedBytes } = this.#fetcher
    this.#options.onProgress?.({ phase, doneBytes, totalBytes, fetchedBytes })
  }
}

/** How many blocks the root has that is there, or was before an installation that was interrupted; 0 for none. */
function formerBlocks(firstBlock: Uint8Array | undefined): number {
  const found = readFirstBlock(firstBlock)
  if (found.kind === 'root') return found.dataBlocks
  return found.kind === 'partial' ? found.mark.formerDataBlocks : 0
}

/** A root partition as a donor, when what it says of itself can be. */
function donorOf(access: BlockReader, dataBlocks: number): Donor | undefined {
  if (dataBlocks < 2 || dataBlocks * blockBytes >= access.sizeBytes) return undefined
  return { access, dataBlocks, tree: access, treeStartBlock: dataBlocks + 1 }
}

/** Where the root that is there ends, with its tree; 0 when there is none that could be whole. */
function endOfRoot(firstBlock: Uint8Array, sizeBytes: number): number {
  const found = readFirstBlock(firstBlock)
  if (found.kind !== 'root' || found.dataBlocks * blockBytes >= sizeBytes) return 0
  return found.dataBlocks + 1 + treeBlocksOf(verityLevels(found.dataBlocks))
}
