/** Telling the kernel of a partition that has grown, and having it grow the ext4 file system in it while it is mounted. */
import {
  AT_FDCWD,
  BLKPG,
  BLKPG_RESIZE_PARTITION,
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
  O_RDWR,
} from '@pkg/sys/constants'
import { openat } from '@pkg/sys/fs'
import { ioctl } from '@pkg/sys/io'
import { addressOf } from '@pkg/sys/raw'
import { alloc } from '@pkg/sys/struct'
import { blkpg_ioctl_arg, blkpg_partition } from '@pkg/sys/structs'

/** `_IOW('f', 16, __u64)`: grows to this number of blocks (Linux, fs/ext4/ext4.h). */
const EXT4_IOC_RESIZE_FS = 0x4008_6610

/** Blocks of the file systems that are made here. */
const BLOCK_BYTES = 4096

/**
 * Changes what the kernel knows of a partition; what is on the disk stays as it is.
 *
 * @throws SysError `EBUSY` another partition is in the way; `EINVAL` not on the disk
 */
export function resizePartition(disk: string, number: number, startBytes: number, sizeBytes: number): void {
  const partition = alloc(blkpg_partition)
  partition.set('start', BigInt(startBytes))
  partition.set('length', BigInt(sizeBytes))
  partition.set('pno', number)
  const argument = alloc(blkpg_ioctl_arg)
  argument.set('op', BLKPG_RESIZE_PARTITION)
  argument.set('datalen', partition.bytes.length)
  argument.set('data', BigInt(addressOf(partition.bytes)))
  using opened = openat(AT_FDCWD, disk, O_RDWR | O_CLOEXEC)
  ioctl(opened, BLKPG, argument.bytes)
}

/**
 * Grows a mounted ext4 file system to the size of its device. The kernel does so in steps that each survive a power
 * cut.
 */
export function growExt4(mountPoint: string, deviceBytes: number): void {
  const blocks = Math.floor(deviceBytes / BLOCK_BYTES)
  const wanted = new Uint8Array(new ArrayBuffer(8))
  new DataView(wanted.buffer).setBigUint64(0, BigInt(blocks), true)
  using root = openat(AT_FDCWD, mountPoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  ioctl(root, EXT4_IOC_RESIZE_FS, wanted)
}
