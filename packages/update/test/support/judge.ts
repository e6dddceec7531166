// Whether what lies on a disk boots, told without the code that wrote it.
import type { SampleRelease } from './sample-release.ts'
import { apply, copyOf, type DiskContent, type Step } from './simulated-machine.ts'

const superblockOffset = 1024
const uuidOffset = superblockOffset + 48

/** What is known of the machine. */
export interface World {
  /** The release that runs: its root lies on a partition that nobody writes. */
  readonly running: SampleRelease
  /** Its boot entry. */
  readonly runningEntry: string
  /** All releases that have ever been on the way to this machine. */
  readonly releases: readonly SampleRelease[]
}

/** What is wrong with a disk; empty when each of its boot entries starts a whole release. */
export function problemsOf(disk: DiskContent, world: World): string[] {
  const { root, files } = disk
  const problems: string[] = []
  const isFound = hasRoot(disk)
  const found = world.releases.find((release) => isFound && idOf(release.root) === idOf(root))
  if (isFound && found === undefined) problems.push('a root that no release has')
  const isWhole = found !== undefined && startsWith(disk, found.root)
  if (found !== undefined && !isWhole) problems.push(`half of root ${found.release.counter}`)
  if (!files.has(world.runningEntry)) problems.push('the running slot has lost its entry')
  for (const [name, bytes] of files) {
    if (!name.endsWith('.efi')) continue
    const release = world.releases.find(({ uki }) => Buffer.compare(uki, bytes) === 0)
    if (release === undefined) problems.push(`${name} is no release's`)
    else if (disk.damaged?.has(name) === true) problems.push(`${name} cannot be read`)
    else if (release !== world.running && release !== found) problems.push(`${name} has no root`)
  }
  return problems
}

function hasRoot({ root, unreadable }: DiskContent): boolean {
  const magic = Buffer.from(root.buffer, root.byteOffset + superblockOffset, 4).readUInt32LE()
  return magic === 0xe0f5e1e2 && unreadable?.has(0) !== true
}

function idOf(partition: Uint8Array): string {
  return Buffer.from(partition.subarray(uuidOffset, uuidOffset + 16)).toString('hex')
}

function startsWith({ root, unreadable }: DiskContent, start: Uint8Array): boolean {
  const isReadable = [...(unreadable ?? [])].every((block) => block * 4096 >= start.length)
  return isReadable && Buffer.compare(root.subarray(0, start.length), start) === 0
}

/** What becomes of a sector that was on its way to the disk: it is written or not, or its block is lost. */
export type Fate = boolean | 'unreadable'

/**
 * What a power cut after so many steps may leave: all steps in order, but of the writes that no flush has followed each
 * one as `fate` says, sector by sector.
 */
export function afterPowerCut(
  before: DiskContent,
  log: readonly Step[],
  steps: number,
  fate: () => Fate = () => true,
): Required<DiskContent> {
  const disk = copyOf(before)
  const done = log.slice(0, steps)
  const lastFlush = done.findLastIndex(({ kind }) => kind === 'flush')
  const lastFileFlush = done.findLastIndex(({ kind }) => kind === 'file-flush' || kind === 'sync')
  for (const [index, step] of done.entries()) {
    const isSafe = index < (step.kind === 'write' ? lastFlush : lastFileFlush)
    if (isSafe || (step.kind !== 'write' && step.kind !== 'file-write')) apply(disk, step)
    else {
      for (let start = 0; start < step.bytes.length; start += 512) {
        const offset = step.offset + start
        const sector = fate()
        if (sector === true) apply(disk, { ...step, offset, bytes: step.bytes.subarray(start, start + 512) })
        else if (sector === 'unreadable' && step.kind === 'write')
          disk.unreadable.add(Math.floor(offset / 4096))
        else if (sector === 'unreadable' && step.kind === 'file-write') disk.damaged.add(step.name)
      }
    }
  }
  return disk
}
