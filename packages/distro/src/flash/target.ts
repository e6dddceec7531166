// What a device is, for the person who is about to erase it, and why it must not be erased.
import { readdir, readFile, realpath } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { readMountinfo } from '@pkg/mount/mountinfo'
import { AT_FDCWD, S_IFBLK, S_IFMT, STATX_BASIC_STATS } from '@pkg/sys/constants'
import { statx } from '@pkg/sys/fs'
import { kindOf, readTextIfThere } from '@pkg/vm/host'
import { SoloError } from '../error.ts'

/** A whole disk that nothing uses. */
export interface FlashTarget {
  /** Path as it was given. */
  readonly path: string
  /** Vendor and model as the device tells them; for a loop device its file. */
  readonly model: string
  /** Its serial number, where it has one. */
  readonly serial: string | undefined
  /** How much it holds. */
  readonly sizeBytes: number
  /** Bytes of a logical sector. */
  readonly sectorBytes: number
  /** Names of its partitions. */
  readonly partitions: readonly string[]
}

/** Sizes in sysfs are in these, whatever the device's own sectors are (Documentation/ABI/stable/sysfs-block). */
const sysfsSectorBytes = 512

/**
 * Looks at a device.
 *
 * @throws SoloError with exit status 2 when it is no whole disk, cannot be written, or is in use: mounted, as swap, or
 *   below another device
 */
export async function inspectTarget(path: string): Promise<FlashTarget> {
  const folder = await sysfsFolder(path)
  const name = basename(folder)
  const field = async (file: string): Promise<string | undefined> => {
    const text = (await readTextIfThere(join(folder, file)))?.trim()
    return text === '' ? undefined : text
  }
  const number = async (file: string): Promise<number> => Number((await field(file)) ?? 0)
  if ((await number('partition')) > 0) {
    const disk = basename(join(folder, '..'))
    throw refusal(`${path} is a partition, expected a whole disk, such as /dev/${disk}`)
  }
  const partitions = (await readdir(folder))
    .filter((each) => each.startsWith(name) && each !== name)
    .toSorted()
  const uses = await usesOf([folder, ...partitions.map((each) => join(folder, each))])
  if (uses.length > 0) throw refusal(`${path} is in use: ${uses.join('; ')}: nothing was written`)
  if ((await number('ro')) > 0) throw refusal(`${path} is read-only`)
  const sizeBytes = (await number('size')) * sysfsSectorBytes
  if (sizeBytes === 0) throw refusal(`${path} has no medium in it`)
  const described = [await field('device/vendor'), await field('device/model')]
  const words = described.filter((word) => word !== undefined && !word.startsWith('0x'))
  const model = (await field('loop/backing_file')) ?? (await field('device/name')) ?? name
  return {
    path,
    model: words.length > 0 ? words.join(' ') : model,
    serial: (await field('device/serial')) ?? (await field('serial')),
    sizeBytes,
    sectorBytes: await number('queue/logical_block_size'),
    partitions,
  }
}

/** What a person types who means this device: its model and its size. */
export function nameOfTarget({ model, sizeBytes }: FlashTarget): string {
  return `${model} ${sizeText(sizeBytes)}`
}

/** A size as it is printed on disks: in powers of ten. */
function sizeText(bytes: number): string {
  const [unit, name] = bytes >= 1e9 ? ([1e9, 'GB'] as const) : ([1e6, 'MB'] as const)
  return `${(bytes / unit).toFixed(1)} ${name}`
}

async function sysfsFolder(path: string): Promise<string> {
  const hint = 'lsblk lists the disks of this machine'
  if ((await kindOf(path)) === undefined) throw refusal(`${path} does not exist; ${hint}`)
  const number = blockDevice(path)
  if (number === undefined) throw refusal(`${path} is no block device; ${hint}`)
  return await realpath(`/sys/dev/block/${number}`)
}

/** What a disk and its partitions are used for, in words. */
async function usesOf(folders: readonly string[]): Promise<string[]> {
  const uses: string[] = []
  const mounts = readMountinfo()
  const swaps = await swapDevices()
  for (const folder of folders) {
    const device = `/dev/${basename(folder)}`
    const number = (await readFile(join(folder, 'dev'), 'utf8')).trim()
    const mount = mounts.find(({ device: { major, minor }, source }) => {
      // A file system of several devices (btrfs) has a number of its own: its source tells one of them.
      return `${major}:${minor}` === number || blockDevice(source) === number
    })
    if (mount !== undefined) uses.push(`${device} is mounted on ${mount.target}`)
    if (swaps.has(number)) uses.push(`${device} is swap`)
    const holders = await readdir(join(folder, 'holders'))
    if (holders.length > 0) uses.push(`${device} is part of ${holders.join(' and ')}`)
  }
  return uses
}

/** Numbers of the devices that are swap; the first line of the file is a header. */
async function swapDevices(): Promise<ReadonlySet<string | undefined>> {
  const lines = ((await readTextIfThere('/proc/swaps')) ?? '').split('\n').slice(1)
  return new Set(lines.map((line) => blockDevice(line.split(/\s/)[0] as string)))
}

/** The number of a block device as sysfs writes it, such as `8:16`; undefined for what is none. */
function blockDevice(path: string): string | undefined {
  if (!path.startsWith('/')) return undefined
  try {
    const { stx_mode, stx_rdev_major, stx_rdev_minor } = statx(AT_FDCWD, path, 0, STATX_BASIC_STATS)
    return (stx_mode & S_IFMT) === S_IFBLK ? `${stx_rdev_major}:${stx_rdev_minor}` : undefined
  } catch {
    // Sources of mounts need not exist, nor be visible here.
    return undefined
  }
}

function refusal(message: string): SoloError {
  return new SoloError(message, { exitStatus: 2 })
}
