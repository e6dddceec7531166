/**
 * The disk that this machine was booted from. Two copies of one image may be in a machine, so it is neither the first
 * disk nor one by its name: the loader tells which partition it came from; without a loader (a kernel that was started
 * directly) it is the disk with the root.
 */
import { readMountinfo } from '@pkg/mount/mountinfo'
import { planFatRename } from '@pkg/image/fat-rename'
import { readGpt, type GptPartition } from '@pkg/image/gpt'
import { bootedEntry } from '../firmware/bless.ts'
import { LOADER_VENDOR, readVariableText } from '../firmware/variables.ts'
import { BlockDevice } from './block-device.ts'
import { diskBelow, diskNames, partitionPath } from './block-devices.ts'

/** The disk and its partitions. */
export interface OwnDisk {
  /** Its name: `vda`. */
  readonly name: string
  /** Its partitions. */
  readonly partitions: readonly GptPartition[]
  /** Number of the partition that the loader came from; undefined without a loader. */
  readonly loaderNumber: number | undefined
  /** Whether another disk has the same GUIDs: a copy of it, or of the image that both were flashed from. */
  readonly hasTwin: boolean
}

/**
 * Finds it.
 *
 * @throws Error it is not there, with what was looked for
 */
export async function findOwnDisk(): Promise<OwnDisk> {
  const guid = readVariableText('LoaderDevicePartUUID', LOADER_VENDOR)?.toLowerCase()
  if (guid === undefined) return await diskOfRoot()
  const found: Omit<OwnDisk, 'hasTwin'>[] = []
  for (const name of diskNames()) {
    const partitions = await partitionsOf(name)
    const loaderNumber = partitions.find((partition) => partition.guid === guid)?.number
    if (loaderNumber !== undefined) found.push({ name, partitions, loaderNumber })
  }
  const [only, ...others] = found
  if (only === undefined)
    throw new Error(`no disk has the partition ${guid}, which the boot loader came from`)
  return others.length === 0 ? { ...only, hasTwin: false } : await oneOfTwins([only, ...others])
}

/**
 * Of disks with equal GUIDs the one whose loader ran: it has counted the try in the name of the entry that it started.
 * Where that is true of none or of several (a power cut after the loader of one, then the loader of the other), the one
 * that the root is on.
 */
async function oneOfTwins(
  twins: [Omit<OwnDisk, 'hasTwin'>, ...Omit<OwnDisk, 'hasTwin'>[]],
): Promise<OwnDisk> {
  const booted = bootedEntry()
  const counted: Omit<OwnDisk, 'hasTwin'>[] = []
  for (const twin of twins) {
    const device = partitionPath(twin.name, twin.loaderNumber ?? 0)
    if (booted && device && (await hasFile(device, `${booted.folder}/${booted.file}`))) counted.push(twin)
  }
  const root = rootDisk()
  const own = counted.length === 1 ? counted[0] : twins.find(({ name }) => name === root)
  return { ...(own ?? twins[0]), hasTwin: true }
}

/** Whether a boot partition has a file. It is read as it lies there: of a copy not even its access times may change. */
export async function hasFile(device: string, path: string): Promise<boolean> {
  try {
    using opened = new BlockDevice(device, 'read')
    // What would have to be written to give it the name that it has; nothing is.
    await planFatRename(opened, path, path.slice(path.lastIndexOf('/') + 1))
    return true
  } catch {
    // A damaged one is not the one that a loader has just read.
    return false
  }
}

/** The disk that the root is on; undefined where it is on none. */
export function rootDisk(): string | undefined {
  const root = readMountinfo().findLast(({ target }) => target === '/')
  return root && diskBelow(`${root.device.major}:${root.device.minor}`)
}

async function diskOfRoot(): Promise<OwnDisk> {
  const name = rootDisk()
  if (name === undefined) throw new Error('no boot loader told its disk, and the root is on none')
  return { name, partitions: await partitionsOf(name), loaderNumber: undefined, hasTwin: false }
}

/** The path of a partition of the disk, by its GPT name. @throws Error there is none */
export function partitionNamed(disk: OwnDisk, gptName: string): string {
  const partition = disk.partitions.find(({ name }) => name === gptName)
  const path = partition && partitionPath(disk.name, partition.number)
  if (path === undefined) throw new Error(`/dev/${disk.name} has no partition ${gptName}`)
  return path
}

/** The partition that the loader came from; undefined without a loader. */
export function loaderPartition({ partitions, loaderNumber }: OwnDisk): GptPartition | undefined {
  return partitions.find(({ number }) => number === loaderNumber)
}

/** Of a disk with no table, or that cannot be read, none: it is somebody else's. */
async function partitionsOf(disk: string): Promise<readonly GptPartition[]> {
  try {
    using device = new BlockDevice(`/dev/${disk}`, 'read')
    return (await readGpt(device)).partitions
  } catch {
    return []
  }
}
