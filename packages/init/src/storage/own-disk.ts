/**
 * The disk that this machine was booted from. Two copies of one image may be in a machine, so it is neither the first
 * disk nor one by its name: the loader tells which partition it came from; without a loader (a kernel that was started
 * directly) it is the disk with the root.
 */
import { readMountinfo } from '@pkg/mount/mountinfo'
import { readGpt, type GptPartition } from '@pkg/image/gpt'
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
}

/**
 * Finds it.
 *
 * @throws Error it is not there, with what was looked for
 */
export async function findOwnDisk(): Promise<OwnDisk> {
  const guid = readVariableText('LoaderDevicePartUUID', LOADER_VENDOR)?.toLowerCase()
  if (guid === undefined) return await diskOfRoot()
  for (const name of diskNames()) {
    const partitions = await partitionsOf(name)
    const loaderNumber = partitions.find((partition) => partition.guid === guid)?.number
    if (loaderNumber !== undefined) return { name, partitions, loaderNumber }
  }
  throw new Error(`no disk has the partition ${guid}, which the boot loader came from`)
}

async function diskOfRoot(): Promise<OwnDisk> {
  const root = readMountinfo().findLast(({ target }) => target === '/')
  const name = root && diskBelow(`${root.device.major}:${root.device.minor}`)
  if (name === undefined) throw new Error('no boot loader told its disk, and the root is on none')
  return { name, partitions: await partitionsOf(name), loaderNumber: undefined }
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
