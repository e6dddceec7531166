// What a file and its file system are, as plain objects.
import { check } from '../errno.ts'
import { type AsFd, dirfdNumber } from '../fd.ts'
import { STATX_BTIME, STATX_MNT_ID, STATX_MNT_ID_UNIQUE } from '../generated/constants/stat.ts'
import * as structs from '../generated/structs/file.ts'
import { bind } from '../raw.ts'
import { cString, u32 } from '../raw/arguments.ts'
import { alloc, type StructView } from '../struct.ts'

const raw = {
  statx: bind('statx', 'checked_i32', 'ptr', 'checked_i32', 'checked_i32', 'ptr'),
  statfs: bind('statfs', 'ptr', 'ptr'),
}

/** What {@link statx} says of a file: the fields of `struct statx` by their own names. */
export interface Statx {
  /** Which of the fields the file system filled (STATX_*); the others are 0. */
  stx_mask: number
  /** Bytes that reading and writing at once suits. */
  stx_blksize: number
  /** STATX_ATTR_*: what the file is: STATX_ATTR_IMMUTABLE, STATX_ATTR_MOUNT_ROOT, STATX_ATTR_VERITY … */
  stx_attributes: bigint
  /** Which of those the file system knows of. */
  stx_attributes_mask: bigint
  /** Type and permission bits. */
  stx_mode: number
  stx_nlink: number
  stx_uid: number
  stx_gid: number
  stx_ino: bigint
  /** Bytes. */
  stx_size: bigint
  /** 512-byte blocks allocated. */
  stx_blocks: bigint
  /** Last access, nanoseconds since 1970. */
  stx_atime_nsec: bigint
  /** When it was made; null unless `stx_mask` has STATX_BTIME: asked for, and kept by the file system. */
  stx_btime_nsec: bigint | null
  /** Last change of its metadata. */
  stx_ctime_nsec: bigint
  /** Last modification. */
  stx_mtime_nsec: bigint
  stx_rdev_major: number
  stx_rdev_minor: number
  stx_dev_major: number
  stx_dev_minor: number
  /**
   * The mount, as /proc/self/mountinfo counts; with STATX_MNT_ID_UNIQUE as `statmount` does. Null unless `stx_mask` has
   * STATX_MNT_ID or that.
   */
  stx_mnt_id: bigint | null
}

function nanoseconds(
  struct: StructView<typeof structs.statx>,
  time: 'stx_atime' | 'stx_btime' | 'stx_ctime' | 'stx_mtime',
): bigint {
  return struct.get(`${time}.tv_sec`) * 1_000_000_000n + BigInt(struct.get(`${time}.tv_nsec`))
}

/**
 * `statx(dirfd, pathname, flags, mask, statxbuf)` — a file's metadata.
 *
 * @param path - may be empty with AT_EMPTY_PATH: then `dirfd` itself is meant
 * @param flags - AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_STATX_*
 * @param mask - which fields are wanted (STATX_BASIC_STATS …)
 * @throws {@link SysError} `ENOENT` no such file
 * @see https://man7.org/linux/man-pages/man2/statx.2.html
 */
export function statx(dirfd: AsFd, path: string, flags: number, mask: number): Statx {
  const result = alloc(structs.statx)
  const fd = dirfdNumber(dirfd)
  check(raw.statx(fd, cString(path), u32(flags, 'flags'), u32(mask, 'mask'), result.bytes), 'statx', path)
  const filled = result.get('stx_mask')
  const hasMount = (filled & (STATX_MNT_ID | STATX_MNT_ID_UNIQUE)) !== 0
  return {
    stx_mask: filled,
    stx_blksize: result.get('stx_blksize'),
    stx_attributes: result.get('stx_attributes'),
    stx_attributes_mask: result.get('stx_attributes_mask'),
    stx_mode: result.get('stx_mode'),
    stx_nlink: result.get('stx_nlink'),
    stx_uid: result.get('stx_uid'),
    stx_gid: result.get('stx_gid'),
    stx_ino: result.get('stx_ino'),
    stx_size: result.get('stx_size'),
    stx_blocks: result.get('stx_blocks'),
    stx_atime_nsec: nanoseconds(result, 'stx_atime'),
    stx_btime_nsec: (filled & STATX_BTIME) === 0 ? null : nanoseconds(result, 'stx_btime'),
    stx_ctime_nsec: nanoseconds(result, 'stx_ctime'),
    stx_mtime_nsec: nanoseconds(result, 'stx_mtime'),
    stx_rdev_major: result.get('stx_rdev_major'),
    stx_rdev_minor: result.get('stx_rdev_minor'),
    stx_dev_major: result.get('stx_dev_major'),
    stx_dev_minor: result.get('stx_dev_minor'),
    stx_mnt_id: hasMount ? result.get('stx_mnt_id') : null,
  }
}

/** What {@link statfs} says of a file system. */
export interface Statfs {
  /** Magic number (linux/magic.h): TMPFS_MAGIC, CGROUP2_SUPER_MAGIC … */
  f_type: bigint
  /** Bytes a block. */
  f_bsize: bigint
  /** Blocks in all, free, and free to unprivileged users. */
  f_blocks: bigint
  f_bfree: bigint
  f_bavail: bigint
  /** Inodes in all and free. */
  f_files: bigint
  f_ffree: bigint
  /** The file system's number, two words of 32 bits; zeros where it has none. */
  f_fsid: [number, number]
  /** Bytes that a name may have. */
  f_namelen: bigint
  /** Bytes of what `f_blocks` and its like count. */
  f_frsize: bigint
  /** ST_RDONLY, ST_NOSUID …: how it is mounted. */
  f_flags: bigint
}

/**
 * `statfs(path, buf)` — the kind and the room of the file system that holds `path`.
 *
 * @see https://man7.org/linux/man-pages/man2/statfs.2.html
 */
export function statfs(path: string): Statfs {
  const result = alloc(structs.statfs)
  check(raw.statfs(cString(path), result.bytes), 'statfs', path)
  const [low = 0, high = 0] = result.get('f_fsid.val')
  return {
    f_type: result.get('f_type'),
    f_bsize: result.get('f_bsize'),
    f_blocks: result.get('f_blocks'),
    f_bfree: result.get('f_bfree'),
    f_bavail: result.get('f_bavail'),
    f_files: result.get('f_files'),
    f_ffree: result.get('f_ffree'),
    f_fsid: [low, high],
    f_namelen: result.get('f_namelen'),
    f_frsize: result.get('f_frsize'),
    f_flags: result.get('f_flags'),
  }
}
