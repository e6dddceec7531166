// Releases on a medium that somebody has plugged in: found, mounted for reading, and gone again.
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { mount } from '@pkg/mount/mount'
import { isMountPoint, readMountinfo } from '@pkg/mount/mountinfo'
import { unmount } from '@pkg/mount/unmount'
import { isSysError } from '@pkg/sys/errno'

/** What media are formatted with; those that the kernel does not have are passed over. */
const types = ['vfat', 'exfat', 'ext4', 'iso9660']

/**
 * It comes from anywhere: nothing on it is a program, a device or a way to somewhere else. Not even its journal is
 * replayed (`noload`), which ext4 does on read-only mounts too.
 */
const options = 'ro,nosuid,nodev,noexec,nosymfollow'
const optionsOf: Readonly<Record<string, string>> = { ext4: `${options},noload` }

/** Where a layout is looked for on a medium. */
const places = ['', 'solo']

/** Where things are on this machine. */
export interface StickPlaces {
  /** Where the kernel lists block devices: `/sys/block`. */
  readonly sysBlock: string
  /** Where it is mounted; made when it is not there. */
  readonly mountPoint: string
}

/**
 * Paths of what may be a medium: partitions, and disks without partitions, of every disk but the machine's own.
 *
 * @param ownDisk - `/dev/vda`
 */
export function mediaOf(sysBlock: string, ownDisk: string): string[] {
  const disks = readdirSync(sysBlock).filter((name) => {
    // What has no device behind it is a loop, a RAM disk or a mapped device.
    return existsSync(join(sysBlock, name, 'device')) && `/dev/${name}` !== ownDisk
  })
  return disks.toSorted().flatMap((disk) => {
    const partitions = readdirSync(join(sysBlock, disk)).filter((name) => {
      return name.startsWith(disk) && existsSync(join(sysBlock, disk, name, 'partition'))
    })
    return (partitions.length === 0 ? [disk] : partitions.toSorted()).map((name) => `/dev/${name}`)
  })
}

/**
 * Mounts one medium after the other until one has a layout.
 *
 * @param task - does something with the layout's folder
 * @returns what it gives; undefined when there is no layout on any
 */
export async function withLayoutOnStick<T>(
  { sysBlock, mountPoint }: StickPlaces,
  ownDisk: string,
  task: (folder: string) => Promise<T>,
): Promise<T | undefined> {
  mkdirSync(mountPoint, { recursive: true, mode: 0o700 })
  while (isMountPoint(readMountinfo(), mountPoint)) unmount({ target: mountPoint, lazy: true })
  for (const device of mediaOf(sysBlock, ownDisk)) {
    if (!mountAny(device, mountPoint)) continue
    try {
      const folder = places.map((place) => join(mountPoint, place)).find((each) => isLayout(each))
      if (folder !== undefined) return await task(folder)
    } finally {
      // A read that the task has given up may still have a file open: the medium goes when that is done.
      unmount({ target: mountPoint, lazy: true })
    }
  }
  return undefined
}

function isLayout(folder: string): boolean {
  return existsSync(join(folder, 'oci-layout')) && existsSync(join(folder, 'index.json'))
}

function mountAny(source: string, target: string): boolean {
  return types.some((type) => {
    try {
      mount({ source, target, type, options: optionsOf[type] ?? options })
      return true
    } catch (error) {
      // Another format, an empty card reader, or somebody else's.
      if (isSysError(error)) return false
      throw error
    }
  })
}
