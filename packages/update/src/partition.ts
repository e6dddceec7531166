/** A root partition as what an installation writes to. */
import { AT_FDCWD, O_CLOEXEC, O_EXCL, O_RDONLY, O_RDWR } from '@pkg/sys/constants'
import { openat } from '@pkg/sys/fs'
import type { BlockReader, SlotTarget } from './slot.ts'
import { BlockFile } from './updater/block-file.ts'

/**
 * Opens a partition, or a file in its place, to install to. The kernel lets nobody have it whose block device is
 * mounted or below a mapped one: the root that runs cannot be opened by mistake.
 *
 * Blocks: its calls, for as long as the medium takes. Needs: to be root, or the device's group.
 *
 * @throws SysError `EBUSY` it is in use; `ENOENT`; `EACCES`
 * @example
 * ```ts no-run
 * import { openPartition } from '@pkg/update/partition'
 *
 * using partition = openPartition('/dev/vda3')
 * console.log(partition.sizeBytes, await partition.read(0, 4096))
 * ```
 */
export function openPartition(path: string): SlotTarget & Disposable {
  // On a block device O_EXCL means to be its only user, and it needs no O_CREAT (open(2)).
  return new BlockFile(path, openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC | O_EXCL))
}

/**
 * Opens a partition to copy from, whoever uses it.
 *
 * @throws SysError `ENOENT`; `EACCES`
 */
export function openDonor(path: string): BlockReader & Disposable {
  return new BlockFile(path, openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC))
}
