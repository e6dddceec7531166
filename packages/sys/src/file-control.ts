// Requests to file systems by typed ioctls: flags of files, sharing of blocks, trimming, freezing, growing.
import {
  EXT4_IOC_RESIZE_FS,
  FICLONE,
  FIFREEZE,
  FITHAW,
  FITRIM,
  FS_IOC_GETFLAGS,
  FS_IOC_SETFLAGS,
} from './generated/constants/filesystem.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber } from './fd.ts'
import { bind } from './raw.ts'
import { u32, u64 } from './raw/arguments.ts'
import { alloc } from './struct.ts'
import * as structs from './generated/structs/filesystem.ts'

const raw = {
  ioctl: bind('ioctl', 'int', 'int', 'int'),
  ioctlPointer: bind('ioctl', 'int', 'int', 'ptr'),
}

/**
 * `ioctl(fd, FS_IOC_GETFLAGS, argp)` — a file's flags: FS_IMMUTABLE_FL, FS_APPEND_FL, FS_NODUMP_FL …
 *
 * @throws {@link SysError} `ENOTTY` the file system has none
 * @see https://man7.org/linux/man-pages/man2/FS_IOC_SETFLAGS.2const.html
 */
export function ioctl_fs_ioc_getflags(fd: AsFd): number {
  // The request's number says long; the kernel reads and writes an int.
  const word = new Uint32Array(new ArrayBuffer(8))
  check(raw.ioctlPointer(fdNumber(fd), FS_IOC_GETFLAGS, word), 'ioctl')
  return word[0] ?? 0
}

/** `ioctl(fd, FS_IOC_SETFLAGS, argp)` — sets a file's flags, all of them. Some need CAP_LINUX_IMMUTABLE. */
export function ioctl_fs_ioc_setflags(fd: AsFd, flags: number): void {
  const word = new Uint32Array(new ArrayBuffer(8))
  word[0] = u32(flags, 'flags')
  check(raw.ioctlPointer(fdNumber(fd), FS_IOC_SETFLAGS, word), 'ioctl')
}

/**
 * `ioctl(dest_fd, FICLONE, src_fd)` — makes a file share all blocks of another, until one is written.
 *
 * @throws {@link SysError} `EOPNOTSUPP` the file system cannot; `EXDEV`
 * @see https://man7.org/linux/man-pages/man2/FICLONE.2const.html
 */
export function ioctl_ficlone(to: AsFd, from: AsFd): void {
  check(raw.ioctl(fdNumber(to), FICLONE, fdNumber(from)), 'ioctl')
}

/**
 * `ioctl(fd, FITRIM, range)` — tells the disk which blocks of the file system are free; returns how many bytes. Blocks,
 * long on a large disk. Needs: CAP_SYS_ADMIN.
 *
 * @param minimumBytes - smaller free ranges are left
 * @throws {@link SysError} `EOPNOTSUPP` the disk cannot; `EPERM`
 */
export function ioctl_fitrim(fd: AsFd, minimumBytes: number | bigint = 0): bigint {
  const range = alloc(structs.fstrim_range)
  range.set('len', 2n ** 64n - 1n)
  range.set('minlen', u64(minimumBytes, 'minimumBytes'))
  check(raw.ioctlPointer(fdNumber(fd), FITRIM, range.bytes), 'ioctl')
  return range.get('len')
}

/**
 * `ioctl(fd, FIFREEZE)` — writes a file system out and keeps it as it is: whoever writes sleeps until
 * {@link ioctl_fithaw}. Blocks. Needs: CAP_SYS_ADMIN. Never freeze what this process itself writes to.
 *
 * @throws {@link SysError} `EBUSY` frozen already; `EOPNOTSUPP`; `EPERM`
 */
export function ioctl_fifreeze(fd: AsFd): void {
  check(raw.ioctl(fdNumber(fd), FIFREEZE, 0), 'ioctl')
}

/** `ioctl(fd, FITHAW)` — lets a frozen file system go on. `EINVAL` it is not frozen. */
export function ioctl_fithaw(fd: AsFd): void {
  check(raw.ioctl(fdNumber(fd), FITHAW, 0), 'ioctl')
}

/**
 * `ioctl(fd, EXT4_IOC_RESIZE_FS, argp)` — makes a mounted ext4 larger. Blocks. Needs: CAP_SYS_RESOURCE.
 *
 * @param blocks - its new number of blocks, of `statfs`'s f_bsize
 * @throws {@link SysError} `EPERM`; `EINVAL` beyond the device; `EBUSY` it is being resized
 */
export function ioctl_ext4_ioc_resize_fs(fd: AsFd, blocks: number | bigint): void {
  const word = new BigUint64Array(new ArrayBuffer(8))
  word[0] = u64(blocks, 'blocks')
  check(raw.ioctlPointer(fdNumber(fd), EXT4_IOC_RESIZE_FS, word), 'ioctl')
}
