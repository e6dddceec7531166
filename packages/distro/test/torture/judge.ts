// The judge: what a machine would do with a disk, from the partition table to the root, by a model that shares no
// code with what is judged. Readers of formats are the exception: they are held against sgdisk, fsck.fat, mtools and
// veritysetup on samples.
import { FatError } from '@pkg/image/fat'
import { GptError, type GptPartition, readGpt } from '@pkg/image/gpt'
import type { RandomAccess } from '@pkg/image/random-access'
import { type DiskView, Memo, partOf } from './disk-view.ts'
import { type BootPartition, BootPartitionReader, type ListedEntry } from './kernel-images.ts'
import { compareEntries, countedName } from './systemd-boot.ts'
import { holdsFirstBlock, isWhole, type RootState, type VerityTable } from './verity-model.ts'

/** A release as it may stand on the disk. */
export interface KnownRelease {
  /** What it is called in verdicts. */
  readonly version: string
  /** The higher, the newer. */
  readonly counter: number
  /** SHA-256 of its kernel image. */
  readonly ukiDigest: string
  /** The table in its kernel image. */
  readonly verity: VerityTable
}

/** What the judge knows beforehand. */
export interface JudgeOptions {
  /** The releases that were signed: nothing else may be started. */
  readonly releases: readonly KnownRelease[]
  /** SHA-256 of the files that firmware and loader need, by path. */
  readonly loaderFiles: ReadonlyMap<string, string>
}

/** A start of an entry that did not end in a running system, or that should not have been made. */
export interface Hazard {
  /** Name of the entry's file. */
  readonly file: string
  /** What is wrong. */
  readonly what: string
}

/** What would become of the machine. */
export interface Verdict {
  /** The version that runs at last; undefined when none does. */
  readonly version: string | undefined
  /** Its counter. */
  readonly counter: number | undefined
  /** File of the entry that was started last, as it was called before its try was counted. */
  readonly entry: string | undefined
  /** Name of the partition with the root. */
  readonly root: string | undefined
  /** How many starts it took. */
  readonly tries: number
  /** What went wrong on the way: a slot that cannot be started is tried until its tries are used up. */
  readonly failures: readonly Hazard[]
  /** What must not happen even though the machine may survive it: something damaged was started. */
  readonly hazards: readonly Hazard[]
  /** Why nothing runs. */
  readonly problem: string | undefined
}

/** Whether a verdict is what is promised: a whole version runs, and nothing damaged was started on the way. */
export function isGood({ version, hazards }: Verdict): boolean {
  return version !== undefined && hazards.length === 0
}

/** In a line, for people. */
export function verdictText({ version, entry, root, tries, failures, hazards, problem }: Verdict): string {
  const list = (found: readonly Hazard[]): string =>
    [...new Set(found.map(({ file, what }) => `${file.replace(/\+.*/, '')} ${what}`))].join(', ')
  const words = version === undefined ? [`nothing boots: ${problem}`] : [`${version} by ${entry} on ${root}`]
  words.push(`${tries} ${tries === 1 ? 'start' : 'starts'}`)
  if (failures.length > 0) words.push(`failed: ${list(failures)}`)
  if (hazards.length > 0) words.push(`damaged: ${list(hazards)}`)
  return words.join('; ')
}

/** More starts than the counters of two slots allow: then it goes round in circles. */
const STARTS_MAX = 16

/** Judges the states of one disk; what it found out about one it knows of all that are alike. */
export class Judge {
  readonly #releases: readonly KnownRelease[]
  readonly #loaderFiles: ReadonlyMap<string, string>
  readonly #tables = new Memo<readonly GptPartition[] | string>()
  readonly #boot: BootPartitionReader
  readonly #firstBlocks = new Map<string, Memo<boolean>>()
  readonly #wholes = new Map<string, boolean>()

  constructor({ releases, loaderFiles }: JudgeOptions) {
    this.#releases = releases
    this.#loaderFiles = loaderFiles
    this.#boot = new BootPartitionReader([...loaderFiles.keys()])
  }

  /** Boots a disk, in thought. */
  async judge(disk: DiskView): Promise<Verdict> {
    const partitions = await this.partitions(disk)
    if (typeof partitions === 'string') return dead(partitions)
    const esp = partitions.find(({ name }) => name === 'esp')
    if (esp === undefined) return dead('the partition table has no boot partition')
    let boot: BootPartition
    try {
      boot = await this.#boot.read(viewOf(disk, esp))
    } catch (error) {
      if (error instanceof FatError || error instanceof TypeError)
        return dead(`boot partition: ${error.message}`)
      throw error
    }
    for (const [path, digest] of this.#loaderFiles)
      if (boot.loaderFiles.get(path) !== digest) return dead(`boot partition: ${path} is not whole`)
    return await this.#start(disk, partitions, boot.entries)
  }

  /** The table that firmware and kernel take: the primary, or the backup where that is torn. In words: none. */
  async partitions(disk: DiskView): Promise<readonly GptPartition[] | string> {
    return await this.#tables.get(disk, async (access) => {
      try {
        return (await readGpt(access, { sectorBytes: 512 })).partitions
      } catch (error) {
        if (error instanceof GptError) return error.message
        throw error
      }
    })
  }

  /** Power-on after power-on, until something runs. */
  async #start(
    disk: DiskView,
    partitions: readonly GptPartition[],
    listed: readonly ListedEntry[],
  ): Promise<Verdict> {
    const failures: Hazard[] = []
    const hazards: Hazard[] = []
    let entries = [...listed]
    for (let tries = 1; tries <= STARTS_MAX; tries += 1) {
      const [entry] = entries.toSorted(compareEntries)
      if (entry === undefined) return dead('the loader has no entry')
      const release = this.#releases.find(({ ukiDigest }) => ukiDigest === entry.digest)
      const root = release && (await this.#rootOf(disk, partitions, release))
      if (release !== undefined && root?.state === 'whole')
        return {
          ...{ version: release.version, counter: release.counter, entry: entry.file, root: root.partition },
          tries,
          ...{ failures, hazards, problem: undefined },
        }
      const failure = { file: entry.file, what: root?.what ?? 'is no release: a part of one, or damaged' }
      ;(release === undefined || root?.state === 'half' ? hazards : failures).push(failure)
      if (entry.left === undefined)
        return { ...dead(`${entry.file} is tried for ever`), tries, failures, hazards }
      const counted = {
        ...entry,
        file: countedName(entry),
        left: Math.max(0, entry.left - 1),
        done: entry.done + 1,
      }
      entries = entries.map((other) => (other === entry ? counted : other))
    }
    return { ...dead('no entry has a whole kernel and root'), tries: STARTS_MAX, failures, hazards }
  }

  /** What stage 1 finds: it passes over what is refused; in which order it comes by the partitions nobody promises. */
  async #rootOf(
    disk: DiskView,
    partitions: readonly GptPartition[],
    release: KnownRelease,
  ): Promise<{ readonly state: RootState; readonly partition: string; readonly what: string }> {
    const found: { partition: string; state: RootState }[] = []
    for (const partition of partitions) {
      const state = await this.#rootState(viewOf(disk, partition), release)
      if (state !== 'refused') found.push({ partition: partition.name, state })
    }
    const half = found.find(({ state }) => state === 'half')
    if (half !== undefined)
      return { ...half, what: `starts ${release.version}, whose root on ${half.partition} is half there` }
    const whole = found[0]
    if (whole !== undefined) return { ...whole, what: '' }
    return { state: 'refused', partition: '', what: `starts ${release.version}, whose root is nowhere` }
  }

  async #rootState(partition: DiskView, { verity }: KnownRelease): Promise<RootState> {
    const memo = this.#firstBlocks.get(verity.rootHash) ?? new Memo<boolean>()
    this.#firstBlocks.set(verity.rootHash, memo)
    if (!(await memo.get(partition, (access) => holdsFirstBlock(access, verity)))) return 'refused'
    // The whole partition decides: where the check of a bad one stops is no matter.
    const key = `${verity.rootHash}/${partition.hashOf(0, partition.sizeBytes)}`
    let whole = this.#wholes.get(key)
    if (whole === undefined) {
      whole = await isWhole(accessTo(partition), verity)
      this.#wholes.set(key, whole)
    }
    return whole ? 'whole' : 'half'
  }
}

function dead(problem: string): Verdict {
  return {
    ...{ version: undefined, counter: undefined, entry: undefined, root: undefined, tries: 0 },
    ...{ failures: [], hazards: [], problem },
  }
}

function viewOf(disk: DiskView, { firstLba, lastLba }: GptPartition): DiskView {
  return partOf(disk, firstLba * 512, (lastLba + 1 - firstLba) * 512)
}

function accessTo(view: DiskView): RandomAccess {
  return {
    sizeBytes: view.sizeBytes,
    read: (offset, length) =>
      Promise.resolve(view.read(offset, Math.min(length, Math.max(0, view.sizeBytes - offset)))),
  }
}
