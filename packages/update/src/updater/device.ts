// What this device is, from the files of its own image and of PID 1: never from a client.
import { readFile } from 'node:fs/promises'
import {
  BOOT_STATE_FILE,
  type BootState,
  parseReleaseIdentity,
  RELEASE_FILE,
  type ReleaseIdentity,
} from '@pkg/init/boot-state'
import { parseEntryName } from '@pkg/init/disk-marks'
import { z } from 'zod'
import { UpdateRefused } from '../refused.ts'
import { replaceFile } from '../replace-file.ts'
import { type Release, readDocuments, type ReleaseDocuments } from '../release.ts'
import { advanceTrust, effectiveTrust, keepTrust } from '../trust.ts'
import { verifyRelease } from '../verify.ts'

/** Where things are. */
export interface DevicePaths {
  /** PID 1's word on the boot. */
  readonly bootState: string
  /** What the image says of itself. */
  readonly release: string
  /** The image's trust document. */
  readonly trust: string
  /** Trust documents that were accepted since. */
  readonly keptTrust: string
}

/** Where things are on a device. */
export const devicePaths: DevicePaths = {
  bootState: BOOT_STATE_FILE,
  release: RELEASE_FILE,
  trust: '/etc/solo/trust.json',
  keptTrust: '/var/lib/solo/trust.json',
}

const slotNames = ['solo-a', 'solo-b'] as const
type SlotName = (typeof slotNames)[number]

/** What of the boot an installation depends on, as PID 1 tells it. */
export type Boot = Pick<BootState, 'entry' | 'trial' | 'blessed' | 'counterFloor' | 'disk'> & {
  readonly slot: SlotName | null
  readonly partitions: Omit<BootState['partitions'], 'data'>
}

const path = z.string().min(1).nullable()

const bootSchema: z.ZodType<Boot> = z.object({
  slot: z.enum(slotNames).nullable(),
  entry: z.string().nullable(),
  trial: z.boolean(),
  blessed: z.boolean(),
  disk: path,
  partitions: z.object({ esp: path, 'root-a': path, 'root-b': path }),
  counterFloor: z.int().min(0),
})

/** A slot's name and its root's partition. */
export interface SlotPlace {
  readonly slot: SlotName
  readonly root: string
}

/** Both slots. */
export interface Slots {
  readonly running: SlotPlace
  readonly free: SlotPlace
  /** The boot partition. */
  readonly esp: string
}

/** Reads what PID 1 says of the boot. */
export async function readBoot(paths: DevicePaths): Promise<Boot> {
  return bootSchema.parse(JSON.parse(await readFile(paths.bootState, 'utf8')))
}

/** Reads what the image says of itself. */
export async function readIdentity(paths: DevicePaths): Promise<ReleaseIdentity> {
  return parseReleaseIdentity(await readFile(paths.release, 'utf8'), paths.release)
}

/**
 * The slots.
 *
 * @throws UpdateRefused `slot` for a machine that has no two
 */
export function slotsOf({ slot, partitions }: Boot): Slots {
  const rootOf = (name: SlotName): string | null => partitions[name === 'solo-a' ? 'root-a' : 'root-b']
  const other = slotNames.find((name) => name !== slot)
  const [running, free] = [slot && rootOf(slot), other === undefined ? null : rootOf(other)]
  if (slot === null || other === undefined || running === null || free === null || partitions.esp === null) {
    throw new UpdateRefused(
      'slot',
      'this machine has no second slot: it was not started by the boot loader of a disk with two roots',
    )
  }
  return { running: { slot, root: running }, free: { slot: other, root: free }, esp: partitions.esp }
}

/**
 * Refuses during a trial: the free slot is what the machine would go back to. A slot that was blessed once and is unwell
 * now may be updated, which is its cure: see {@link isLastTry}.
 *
 * @throws UpdateRefused `unblessed`
 */
export function checkTrial({ blessed, trial }: Boot): void {
  // A boot that began as a trial stays one in what PID 1 tells, also when it has passed.
  if (blessed || !trial) return
  throw new UpdateRefused(
    'unblessed',
    'the running release is not blessed yet: the other slot is what the machine would go back to. Try again when it is blessed',
  )
}

/** Whether the next start takes the other slot, where that has tries: this one has become unwell, and has none left. */
export function isLastTry({ blessed, entry }: Boot): boolean {
  return !blessed && entry !== null && parseEntryName(entry)?.left === 0
}

/**
 * Refuses in the last try of a slot when the other one has tries: that is what the machine goes back to.
 *
 * @param freeEntries - file names of the free slot's boot entries
 * @throws UpdateRefused `unblessed`
 */
export function checkLastTry(boot: Boot, freeEntries: readonly string[]): void {
  if (!isLastTry(boot) || freeEntries.every((name) => parseEntryName(name)?.left === 0)) return
  throw new UpdateRefused(
    'unblessed',
    'the running release is not well, and this was its last try: the next start takes the other slot. Restart, and update that one',
  )
}

/**
 * Checks a release, by documents that came from outside. Newer trust documents among them are kept even when the
 * release is refused: a revocation holds at once.
 *
 * @throws UpdateRefused
 */
export async function checkRelease(
  value: unknown,
  paths: DevicePaths,
): Promise<{ release: Release; boot: Boot }> {
  const documents: ReleaseDocuments = readDocuments(value)
  const [boot, identity] = await Promise.all([readBoot(paths), readIdentity(paths)])
  const kept = await readOptional(paths.keptTrust)
  const trust = effectiveTrust(await readFile(paths.trust, 'utf8'), kept)
  const advanced = advanceTrust(trust, documents.trust)
  if (advanced.accepted.length > 0) await keep(paths.keptTrust, keepTrust(kept, advanced.accepted))
  const { appliance, board, architecture, version, counter } = identity
  if (architecture !== 'x86_64' && architecture !== 'aarch64') {
    throw new Error(`${paths.release}: the architecture ${architecture} is not known`)
  }
  const release = verifyRelease(documents, {
    trust: advanced.trust,
    appliance,
    board,
    architecture,
    nowSeconds: Math.floor(Date.now() / 1000),
    running: { version, counter },
    counterFloor: boot.counterFloor,
  })
  return { release, boot }
}

/** What cannot be kept holds for this release all the same: a full disk must not keep out what would cure it. */
async function keep(file: string, text: string): Promise<void> {
  try {
    await replaceFile(file, text)
  } catch (error) {
    process.stderr.write(`updater: newer trust documents cannot be kept: ${String(error)}\n`)
  }
}

/** What cannot be read is as what is not there, for the same reason. */
async function readOptional(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    if (!isMissing) process.stderr.write(`updater: ${file} cannot be read: ${String(error)}\n`)
    return undefined
  }
}
