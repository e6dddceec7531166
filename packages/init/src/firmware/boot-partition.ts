/**
 * The boot partition (ESP): mounted only while something is done on it, so that nothing of it is at stake when the power
 * goes, and one thing after the other. Counters in names are changed while it is not mounted: Linux's driver renames in
 * several writes, and a power cut between two of them would leave the slot that runs with an empty file, or two names.
 */
import { planFatCompaction } from '@pkg/image/fat-compact'
import { planFatReclaim } from '@pkg/image/fat-reclaim'
import { planFatRename } from '@pkg/image/fat-rename'
import { mount } from '@pkg/mount/mount'
import { unmount } from '@pkg/mount/unmount'
import { AT_FDCWD } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { renameat2 } from '@pkg/sys/fs'
import { makeFolder } from '../shell/cgroup.ts'
import { syncFolder } from '../shell/safe-file.ts'
import { BlockDevice } from '../storage/block-device.ts'

/** Where it is mounted meanwhile. */
const MOUNT_POINT = '/run/solo/esp'

/**
 * Nobody but root, and nothing in it is a program to us. `errors=continue`: a name that a power cut has left twice in a
 * folder must not make it read-only, or the slot could not even be given up. `dirsync`: of a file that takes another's
 * name, the old name is the last to go.
 */
const OPTIONS = 'nosuid,nodev,noexec,umask=0077,errors=continue,dirsync'

/** The boot partition of the machine. */
export interface BootPartition {
  /** Does something with its files, whose folder is given, when all that was begun before is done. */
  use<T>(act: (root: string) => T | Promise<T>): Promise<T>
  /**
   * Gives a file another name, of the same length by one write of one sector, and returns when the disk has it.
   *
   * @param path - absolute, from the root of the partition
   */
  rename(path: string, name: string): Promise<void>
}

/** The partition at the path of a device. */
export function bootPartition(device: string): BootPartition {
  let last: Promise<unknown> = Promise.resolve()
  async function alone<T>(act: (root: string) => T | Promise<T>): Promise<T> {
    makeFolder('/run/solo')
    makeFolder(MOUNT_POINT, 0o700)
    await mountInTime(device)
    try {
      return await act(MOUNT_POINT)
    } finally {
      unmount({ target: MOUNT_POINT })
    }
  }
  async function renameNow(path: string, name: string): Promise<void> {
    const folder = path.slice(0, path.lastIndexOf('/'))
    // A counter of two digits, after ten boots of a slot that has no other to give way to.
    if (path.length !== `${folder}/${name}`.length) {
      return await alone((root) => {
        renameat2(AT_FDCWD, `${root}${path}`, AT_FDCWD, `${root}${folder}/${name}`)
        syncFolder(`${root}${folder}`)
      })
    }
    using disk = new BlockDevice(device, 'write')
    const { offset, sector, begin, end } = await planFatRename(disk, path, name)
    // The updater may have it mounted, and change other names of the sector by the same cache: these stay as they are.
    disk.write(offset + begin, sector.subarray(begin, end))
    disk.flush()
  }
  async function inTurn<T>(act: () => Promise<T>): Promise<T> {
    const mine = last.then(act)
    last = mine.catch(() => {})
    return await mine
  }
  return {
    use: async (act) => await inTurn(async () => await alone(act)),
    rename: async (path, name) => await inTurn(async () => await renameNow(path, name)),
  }
}

/**
 * Makes room in a folder of a partition that is not mounted: the loader counts a boot by a renaming, for which EDK2
 * appends an entry, and that must stay within the folder's first sector, or a power cut may leave a slot without a name.
 * Then gives back the clusters that no file of the partition has.
 *
 * @param folder - absolute, from the root of the partition
 * @returns what was done
 * @throws FatError its names do not fit into one sector; SysError
 */
export async function compactFolder(device: string, folder: string): Promise<string> {
  using disk = new BlockDevice(device, 'write')
  const writes = await planFatCompaction(disk, folder)
  for (const { offset, bytes } of writes) {
    disk.write(offset, bytes)
    disk.flush()
  }
  const compacted = writes.length === 0 ? 'as it should be' : 'gaps closed'
  try {
    const clusters = await reclaimClusters(disk)
    return clusters === 0 ? compacted : `${compacted}, ${clusters} clusters given back`
  } catch (error) {
    // A power cut may leave another folder damaged, which has nothing to do with starting: room is all that is lost.
    return `${compacted}, no clusters given back: ${error instanceof Error ? error.message : String(error)}`
  }
}

/**
 * Gives back what a power cut has left of a file that was being made, and how many clusters that were: else the third
 * cut in the first installation of a slot would leave no room for a fourth.
 */
async function reclaimClusters(disk: BlockDevice): Promise<number> {
  const { clusters, writes } = await planFatReclaim(disk)
  for (const { offset, bytes } of writes) disk.write(offset, bytes)
  if (writes.length > 0) disk.flush()
  return clusters
}

/** The updater may have it mounted, to read only, for a moment: then it cannot be mounted to be written. */
const BUSY_MS = 10_000
const AGAIN_MS = 50

async function mountInTime(device: string): Promise<void> {
  const untilMs = performance.now() + BUSY_MS
  for (;;) {
    try {
      return mount({ source: device, target: MOUNT_POINT, type: 'vfat', options: OPTIONS })
    } catch (error) {
      if (!isSysError(error, 'EBUSY') || performance.now() >= untilMs) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
  }
}
