/** The block devices that the kernel knows, by /sys: disks, their partitions, and what a device is made of. */
import { AT_FDCWD } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { readlinkat } from '@pkg/sys/fs'
import { namesIn } from '../shell/folder.ts'
import { readText } from '../shell/text-file.ts'

/** The names of all disks: what has a device behind it, which loop and RAM disks and mapped devices have not. */
export function diskNames(): string[] {
  return namesIn('/sys/block').filter((name) => namesIn(`/sys/block/${name}`).includes('device'))
}

/** The path of a disk's partition by its number; undefined where the kernel has not found it. */
export function partitionPath(disk: string, number: number): string | undefined {
  const name = namesIn(`/sys/block/${disk}`).find(
    (child) => numberOf(`/sys/block/${disk}/${child}`) === number,
  )
  return name === undefined ? undefined : `/dev/${name}`
}

/** The disk below a device number (`254:1`): through device-mapper and from a partition to its disk. */
export function diskBelow(deviceNumber: string): string | undefined {
  const link = linkTarget(`/sys/dev/block/${deviceNumber}`)
  if (link === undefined) return undefined
  // …/block/vda/vda2 for a partition, …/block/vda for a disk.
  const [parent = '', name = ''] = link.split('/').slice(-2)
  const [lower] = namesIn(`/sys/class/block/${name}/slaves`)
  if (lower !== undefined) return diskBelow(readText(`/sys/class/block/${lower}/dev`).trim())
  return numberOf(`/sys/class/block/${name}`) === undefined ? name : parent
}

/** A partition's number; undefined for what is no partition. */
function numberOf(folder: string): number | undefined {
  try {
    return Number(readText(`${folder}/partition`))
  } catch (error) {
    if (isSysError(error)) return undefined
    throw error
  }
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkat(AT_FDCWD, path)
  } catch (error) {
    if (isSysError(error, 'ENOENT')) return undefined
    throw error
  }
}
