// Block devices and loop devices by typed requests.
import {
  LOOP_CLR_FD,
  LOOP_CONFIGURE,
  LOOP_CTL_GET_FREE,
  LOOP_GET_STATUS64,
  LOOP_SET_CAPACITY,
} from './generated/constants/device.ts'
import {
  BLKDISCARD,
  BLKFLSBUF,
  BLKGETSIZE64,
  BLKPBSZGET,
  BLKROGET,
  BLKROSET,
  BLKRRPART,
  BLKSSZGET,
  BLKZEROOUT,
} from './generated/constants/filesystem.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber } from './fd.ts'
import { bind } from './raw.ts'
import { fromCString, u32, u64 } from './raw/arguments.ts'
import { alloc } from './struct.ts'
import * as structs from './generated/structs/device.ts'

const raw = {
  ioctl: bind('ioctl', 'int', 'int', 'int'),
  ioctlPointer: bind('ioctl', 'int', 'int', 'ptr'),
}

function readInt(fd: AsFd, request: number): number {
  const word = new Int32Array(new ArrayBuffer(4))
  check(raw.ioctlPointer(fdNumber(fd), request, word), 'ioctl')
  return word[0] ?? 0
}

/**
 * `ioctl(fd, BLKGETSIZE64, argp)` — a block device's size in bytes.
 *
 * @throws {@link SysError} `ENOTTY` no block device
 *
 * @example
 * ```ts no-run
 * import { AT_FDCWD, O_RDONLY } from '@pkg/sys/constants'
 * import { ioctl_blkgetsize64 } from '@pkg/sys/block'
 * import { openat } from '@pkg/sys/fs'
 *
 * using disk = openat(AT_FDCWD, '/dev/vda', O_RDONLY)
 * console.log(ioctl_blkgetsize64(disk) >> 20n, 'MiB')
 * ```
 */
export function ioctl_blkgetsize64(fd: AsFd): bigint {
  const word = new BigUint64Array(new ArrayBuffer(8))
  check(raw.ioctlPointer(fdNumber(fd), BLKGETSIZE64, word), 'ioctl')
  return word[0] ?? 0n
}

/** `ioctl(fd, BLKSSZGET, argp)` — bytes of a device's logical sector: the least that it reads and writes. */
export function ioctl_blksszget(fd: AsFd): number {
  return readInt(fd, BLKSSZGET)
}

/** `ioctl(fd, BLKPBSZGET, argp)` — bytes of a device's physical sector. */
export function ioctl_blkpbszget(fd: AsFd): number {
  return readInt(fd, BLKPBSZGET)
}

/** `ioctl(fd, BLKROGET, argp)` — whether a device is read-only. */
export function ioctl_blkroget(fd: AsFd): boolean {
  return readInt(fd, BLKROGET) !== 0
}

/** `ioctl(fd, BLKROSET, argp)` — makes a device read-only, or writable again. Needs: CAP_SYS_ADMIN. */
export function ioctl_blkroset(fd: AsFd, readOnly: boolean): void {
  const word = new Int32Array(new ArrayBuffer(4))
  word[0] = readOnly ? 1 : 0
  check(raw.ioctlPointer(fdNumber(fd), BLKROSET, word), 'ioctl')
}

/** `ioctl(fd, BLKFLSBUF, 0)` — writes a device's cache out and drops it. Blocks. Needs: CAP_SYS_ADMIN. */
export function ioctl_blkflsbuf(fd: AsFd): void {
  check(raw.ioctl(fdNumber(fd), BLKFLSBUF, 0), 'ioctl')
}

/** `ioctl(fd, BLKRRPART, 0)` — reads the partition table anew. `EBUSY` while a partition is in use. */
export function ioctl_blkrrpart(fd: AsFd): void {
  check(raw.ioctl(fdNumber(fd), BLKRRPART, 0), 'ioctl')
}

function range(offset: number | bigint, length: number | bigint): BigUint64Array {
  const words = new BigUint64Array(new ArrayBuffer(16))
  words.set([u64(offset, 'offset'), u64(length, 'length')])
  return words
}

/**
 * `ioctl(fd, BLKDISCARD, range)` — says that a range's content is not needed: it is lost. Blocks.
 *
 * @param offset - bytes, a multiple of the sector
 * @throws {@link SysError} `EOPNOTSUPP` the device cannot; `EINVAL` no whole sectors; `EBADF` not opened for writing
 */
export function ioctl_blkdiscard(fd: AsFd, offset: number | bigint, length: number | bigint): void {
  check(raw.ioctlPointer(fdNumber(fd), BLKDISCARD, range(offset, length)), 'ioctl')
}

/** `ioctl(fd, BLKZEROOUT, range)` — fills a range with zeros, by the device where it can. Blocks. */
export function ioctl_blkzeroout(fd: AsFd, offset: number | bigint, length: number | bigint): void {
  check(raw.ioctlPointer(fdNumber(fd), BLKZEROOUT, range(offset, length)), 'ioctl')
}

/** `ioctl(fd, LOOP_CTL_GET_FREE)` — the number of a free loop device, made where there is none; of /dev/loop-control. */
export function ioctl_loop_ctl_get_free(control: AsFd): number {
  return check(raw.ioctl(fdNumber(control), LOOP_CTL_GET_FREE, 0), 'ioctl')
}

/** What a loop device shows. */
export interface LoopConfig {
  /** The file. */
  fd: AsFd
  /** Where in it the device begins, bytes. */
  lo_offset?: number | bigint
  /** How much of it, bytes; 0: all. */
  lo_sizelimit?: number | bigint
  /** LO_FLAGS_READ_ONLY, LO_FLAGS_AUTOCLEAR (ends with its last user), LO_FLAGS_PARTSCAN, LO_FLAGS_DIRECT_IO. */
  lo_flags?: number
  /** Bytes of a sector; 0: 512. */
  block_size?: number
}

/**
 * `ioctl(fd, LOOP_CONFIGURE, config)` — has a loop device show a file. Since: Linux 5.8.
 *
 * @throws {@link SysError} `EBUSY` it shows one; `EINVAL`; `EBADF`
 * @see https://man7.org/linux/man-pages/man4/loop.4.html
 */
export function ioctl_loop_configure(loop: AsFd, config: LoopConfig): void {
  const struct = alloc(structs.loop_config)
  struct.set('fd', fdNumber(config.fd))
  struct.set('block_size', config.block_size ?? 0)
  struct.set('info.lo_offset', u64(config.lo_offset ?? 0, 'lo_offset'))
  struct.set('info.lo_sizelimit', u64(config.lo_sizelimit ?? 0, 'lo_sizelimit'))
  struct.set('info.lo_flags', u32(config.lo_flags ?? 0, 'lo_flags') >>> 0)
  check(raw.ioctlPointer(fdNumber(loop), LOOP_CONFIGURE, struct.bytes), 'ioctl')
}

/** `ioctl(fd, LOOP_CLR_FD, 0)` — ends what a loop device shows, once nobody uses it. */
export function ioctl_loop_clr_fd(loop: AsFd): void {
  check(raw.ioctl(fdNumber(loop), LOOP_CLR_FD, 0), 'ioctl')
}

/** `ioctl(fd, LOOP_SET_CAPACITY, 0)` — takes the file's new size over. */
export function ioctl_loop_set_capacity(loop: AsFd): void {
  check(raw.ioctl(fdNumber(loop), LOOP_SET_CAPACITY, 0), 'ioctl')
}

/** What {@link ioctl_loop_get_status64} says. */
export interface LoopStatus {
  /** The file's inode. */
  lo_inode: bigint
  /** Where the device begins in it. */
  lo_offset: bigint
  /** How much of it; 0n: all. */
  lo_sizelimit: bigint
  /** LO_FLAGS_* */
  lo_flags: number
  /** The name that it was given, if any. */
  lo_file_name: string
}

/** `ioctl(fd, LOOP_GET_STATUS64, info)` — what a loop device shows; `ENXIO` nothing. */
export function ioctl_loop_get_status64(loop: AsFd): LoopStatus {
  const struct = alloc(structs.loop_info64)
  check(raw.ioctlPointer(fdNumber(loop), LOOP_GET_STATUS64, struct.bytes), 'ioctl')
  return {
    lo_inode: struct.get('lo_inode'),
    lo_offset: struct.get('lo_offset'),
    lo_sizelimit: struct.get('lo_sizelimit'),
    lo_flags: struct.get('lo_flags'),
    lo_file_name: fromCString(struct.get('lo_file_name')),
  }
}
