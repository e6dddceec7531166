/**
 * A disk image onto a device: checked before, flushed, read back past the page cache, and never a device that is in
 * use. The image's first MiB, which holds the partition table, is written last: a device on which the copy was
 * interrupted has no table, rather than half a system.
 */
import { constants, type FileHandle, open } from 'node:fs/promises'
import { O_DIRECT, O_EXCL } from '@pkg/sys/constants'
import { ioctl_blkrrpart, ioctl_blkzeroout } from '@pkg/sys/block'
import { isSysError } from '@pkg/sys/errno'
import { errorCode } from '@pkg/vm/host'
import { SoloError } from './error.ts'
import { type Copy, copyPart, verifyPieces } from './flash/copy.ts'
import type { FlashTarget } from './flash/target.ts'
import { type Progress, silent } from './progress.ts'

export { type FlashTarget, inspectTarget, nameOfTarget } from './flash/target.ts'

/** Options of {@link flash}. */
export interface FlashOptions {
  /** Ends it between two pieces; the device is of no use then. */
  readonly signal?: AbortSignal
  /** Hears what is done. Default: nobody. */
  readonly progress?: Progress
}

const mebibyte = 1024 * 1024

/** A disk begins with a boot sector, also one with a GPT; its last two bytes (UEFI specification, 5.2.3). */
const bootSectorEnd = [0x55, 0xaa]

/**
 * Writes a disk image to a device and reads it back. Everything on the device is lost.
 *
 * Blocks: no (awaited), but for the zeros of holes. Needs: the device's permissions, root in general.
 *
 * @param image - path of a disk image for sectors of 512 bytes
 * @param target - what {@link inspectTarget} found
 * @throws SoloError when the image is none or does not fit, the device came into use meanwhile, or what is read back is
 *   not what was written
 *
 * @example
 * ```ts no-run
 * import { flash, inspectTarget, nameOfTarget } from '@pkg/distro/flash'
 *
 * const target = await inspectTarget('/dev/sdb')
 * if (nameOfTarget(target) === 'SanDisk Ultra 31.9 GB') await flash('build/disk.img', target)
 * ```
 */
export async function flash(image: string, target: FlashTarget, options: FlashOptions = {}): Promise<void> {
  const { progress = silent, signal = new AbortController().signal } = options
  await using source = await open(image, 'r')
  const sizeBytes = await checkImage(source, image, target)
  await using device = await openDevice(target.path)
  const body = { startBytes: mebibyte, endBytes: sizeBytes }
  const onBytes = (bytes: number): void => progress.percent(target.path, (100 * bytes) / sizeBytes)
  const copy: Copy = { image: source, device, signal, onBytes }
  progress.step('write')
  await eraseTables(device, target.sizeBytes)
  try {
    const pieces = await copyPart(copy, body)
    progress.done(`${Math.round(sizeBytes / mebibyte)} MiB on ${target.path}`)
    progress.step('verify')
    await verifyPieces(copy, pieces)
    const quiet: Copy = { ...copy, onBytes: () => {} }
    await verifyPieces(quiet, await copyPart(quiet, { startBytes: 0, endBytes: mebibyte }))
  } catch (error) {
    throw unfinished(error, target, signal)
  }
  progress.done('everything was read back as it was written')
  readTable(device)
}

async function checkImage(source: FileHandle, image: string, target: FlashTarget): Promise<number> {
  const { size } = await source.stat()
  const bad = (message: string): SoloError => new SoloError(`${image}: ${message}`, { exitStatus: 2 })
  const end = Buffer.alloc(2)
  await source.read(end, 0, 2, 510)
  if (size < 2 * mebibyte || size % 512 !== 0 || !end.equals(Buffer.from(bootSectorEnd))) {
    throw bad('expected a disk image, such as the disk.img of solo build')
  }
  if (size > target.sizeBytes) {
    throw bad(`has ${size} bytes, ${target.path} has room for ${target.sizeBytes}: take a larger device`)
  }
  if (target.sectorBytes !== 512) {
    throw bad(`is for sectors of 512 bytes, ${target.path} has sectors of ${target.sectorBytes}`)
  }
  return size
}

/** With O_EXCL the kernel gives a block device only when neither it nor a partition of it is in use (open(2)). */
async function openDevice(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDWR | O_EXCL | O_DIRECT)
  } catch (error) {
    const reasons: Record<string, string> = {
      EBUSY: 'it is in use: unmount what is on it, and try again',
      EACCES: 'permission denied: run it as root, or as a member of the group that the device belongs to',
      EPERM: 'permission denied: run it as root',
      EROFS: 'it is write-protected',
    }
    const reason = reasons[errorCode(error) ?? '']
    throw reason === undefined ? error : new SoloError(`${path}: ${reason}`, { cause: error })
  }
}

/**
 * Takes away the tables of what was there before: the one at the end would otherwise be taken for the backup of the
 * new one, should that be torn some day.
 */
async function eraseTables(device: FileHandle, sizeBytes: number): Promise<void> {
  for (const offset of [0, sizeBytes - mebibyte]) ioctl_blkzeroout(device.fd, offset, mebibyte)
  await device.sync()
}

function unfinished(error: unknown, { path }: FlashTarget, signal: AbortSignal): SoloError {
  const reason = signal.aborted ? 'interrupted' : error instanceof Error ? error.message : String(error)
  const state = 'it has no partition table now, and what was on it is lost; flash it again before it is used'
  return new SoloError(`${path}: ${reason}; ${state}`, { exitStatus: signal.aborted ? 130 : 1, cause: error })
}

/** Has the kernel find the new partitions; a loop device without partitions finds none. */
function readTable(device: FileHandle): void {
  try {
    ioctl_blkrrpart(device.fd)
  } catch (error) {
    if (!isSysError(error, 'EINVAL')) throw error
  }
}
