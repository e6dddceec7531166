/** The machine's own disk at boot: boot entries in the firmware, the data partition as /var, and what lies on it. */
import { mount, mountTmpfs } from '@pkg/mount/mount'
import { AT_FDCWD, F_OK } from '@pkg/sys/constants'
import { faccessat } from '@pkg/sys/fs'
import { setHostname } from '../boot/kernel-settings.ts'
import type { BootState } from '../boot-state.ts'
import type { BootStep } from '../boot/steps.ts'
import { ensureBootEntries } from '../firmware/boot-entries.ts'
import { compactFolder } from '../firmware/boot-partition.ts'
import { ENTRY_FOLDER } from '../firmware/entries.ts'
import { EFIVARS } from '../firmware/variables.ts'
import type { StoragePlan } from '../plan.ts'
import { partitionPath } from '../storage/block-devices.ts'
import { mountData, type DataContext } from '../storage/data-partition.ts'
import { machineId, ownHostname, renewRandomSeed } from '../storage/identity.ts'
import { findOwnDisk, loaderPartition, partitionNamed, rootDisk, type OwnDisk } from '../storage/own-disk.ts'
import { countPassedOver, findSlots, type Slots } from '../storage/slots.ts'
import { settleTable } from '../storage/partition-table.ts'

/** Where state lies. */
const DATA = '/var'

/** The machine's disk, from the boot on. */
export interface Storage {
  /** The boot's part. */
  readonly steps: readonly BootStep[]
  /** What was found: the disk and its partitions, as they are told. */
  found(): Pick<BootState, 'disk' | 'partitions'>
  /** The slots; null where nothing is counted. */
  slots(): Slots | null
  /** Whether what is /var stays, or is memory because the partition cannot be used. */
  keeps(): boolean
}

/** What storage needs besides the plan. */
export interface StorageContext extends DataContext {
  /** Restarts the machine. */
  readonly restart: () => void
}

/** Storage as the plan wants it. */
export function storage(plan: StoragePlan, context: StorageContext): Storage {
  let disk: OwnDisk | undefined
  let slots: Slots | null = null
  let keeps = false
  let hasOwnGuids = false
  const ownDisk = (): OwnDisk => {
    if (disk === undefined) throw new Error('the disk was not found')
    return disk
  }
  return {
    steps: [
      { name: 'firmware variables', run: mountVariables },
      { name: 'disk', run: async () => `/dev/${(disk = await findOwnDisk()).name}` },
      {
        name: 'partition table',
        async run() {
          const { name, hasTwin } = ownDisk()
          const { partitions, changes } = await settleTable(name, {
            ...{ builtDiskGuid: plan.builtDiskGuid, hasTwin, growing: plan.dataPartition },
          })
          disk = { ...ownDisk(), partitions }
          hasOwnGuids = true
          return changes.join(', ') || 'as it should be'
        },
      },
      { name: 'boot entries', run: () => bootEntries(ownDisk()) },
      { name: 'root', run: async () => await rootOfOwnDisk(ownDisk(), hasOwnGuids, context) },
      // Before anybody mounts it.
      { name: 'boot folder', run: () => bootFolder(ownDisk()) },
      {
        name: 'slot',
        async run() {
          const device = pathOf(ownDisk(), loaderPartition(ownDisk()))
          slots = device === null ? null : await findSlots(device, ownDisk().hasTwin)
          if (slots === null) return 'none: no boot loader that counts'
          await countPassedOver(slots, context.log)
          return slots.booted.file
        },
      },
      {
        name: 'data partition',
        async run() {
          const done = await mountOrLendMemory(ownDisk, plan.dataPartition, context)
          keeps = true
          return done
        },
      },
      { name: 'random seed', run: () => renewRandomSeed(DATA) },
      { name: 'machine id', run: () => machineId(DATA) },
      { name: 'own host name', run: ownName },
    ],
    found: () => (disk === undefined ? nothing : reportOf(disk, plan.dataPartition)),
    slots: () => slots,
    keeps: () => keeps,
  }
}

const nothing: Pick<BootState, 'disk' | 'partitions'> = {
  disk: null,
  partitions: { esp: null, 'root-a': null, 'root-b': null, data: null },
}

function reportOf(disk: OwnDisk, dataPartition: string): Pick<BootState, 'disk' | 'partitions'> {
  const named = (gptName: string): string | null => {
    return pathOf(
      disk,
      disk.partitions.find(({ name }) => name === gptName),
    )
  }
  return {
    disk: `/dev/${disk.name}`,
    partitions: {
      esp: pathOf(disk, loaderPartition(disk)),
      'root-a': named('root-a'),
      'root-b': named('root-b'),
      data: named(dataPartition),
    },
  }
}

function pathOf(disk: OwnDisk, partition: { readonly number: number } | undefined): string | null {
  return (partition && partitionPath(disk.name, partition.number)) ?? null
}

/**
 * Services need a /var to write to. Without the partition it is memory, and the machine a new one at each boot: what
 * it cannot keep is better than a machine that does not answer.
 */
async function mountOrLendMemory(
  ownDisk: () => OwnDisk,
  partition: string,
  context: DataContext,
): Promise<string> {
  try {
    return await mountData(partitionNamed(ownDisk(), partition), DATA, context)
  } catch (error) {
    mountTmpfs({ target: DATA, options: 'nosuid,nodev,size=20%' })
    throw error
  }
}

function mountVariables(): string {
  if (!faccessat(AT_FDCWD, '/sys/firmware/efi', F_OK)) return 'none: not started by UEFI'
  mount({ source: 'efivarfs', target: EFIVARS, type: 'efivarfs', options: 'nosuid,nodev,noexec' })
  return EFIVARS
}

function bootEntries(disk: OwnDisk): string {
  const partition = loaderPartition(disk)
  if (partition === undefined) return 'none: no boot loader'
  const { number, guid, firstLba, lastLba } = partition
  return ensureBootEntries({ number, guid, firstLba, sizeBlocks: lastLba - firstLba + 1 })
}

/**
 * Of two disks with equal GUIDs stage 1 cannot know which is the loader's, and may have taken the root of the other one.
 * The disk has GUIDs of its own by now, and the firmware knows them: after a restart each is found. That happens once;
 * where the root of another disk was taken because this one's cannot be read, it stays.
 */
async function rootOfOwnDisk(
  disk: OwnDisk,
  hasOwnGuids: boolean,
  { log, restart }: StorageContext,
): Promise<string> {
  const root = rootDisk()
  if (root === undefined) return 'on no disk'
  if (root === disk.name || !disk.hasTwin || !hasOwnGuids) return `on /dev/${root}`
  log('notice', `root: on /dev/${root}, which is a twin of /dev/${disk.name}: restarting`)
  restart()
  // Nothing of the boot shall come after it.
  return await new Promise<never>(() => {})
}

async function bootFolder(disk: OwnDisk): Promise<string> {
  const device = pathOf(disk, loaderPartition(disk))
  return device === null ? 'none: no boot loader' : await compactFolder(device, ENTRY_FOLDER)
}

function ownName(): string {
  const name = ownHostname(DATA)
  return name === undefined ? 'none' : setHostname(name)
}
