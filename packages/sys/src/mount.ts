// Calls that change the mount tree: mount(2) split by meaning, and the newer calls that work on descriptors.
import {
  FSMOUNT_CLOEXEC,
  MS_BIND,
  MS_MOVE,
  MS_REC,
  MS_REMOUNT,
  OPEN_TREE_CLOEXEC,
} from './generated/constants/mount.ts'
import { check } from './errno.ts'
import { type AsFd, dirfdNumber, fdNumber, OwnedFd } from './fd.ts'
import { bind } from './raw.ts'
import { cString, s64, u32 } from './raw/arguments.ts'
import { alloc } from './struct.ts'
import { mount_attr } from './generated/structs/mount.ts'

export {
  fsconfig_create,
  fsconfig_create_excl,
  fsconfig_reconfigure,
  fsconfig_set_binary,
  fsconfig_set_fd,
  fsconfig_set_flag,
  fsconfig_set_path,
  fsconfig_set_path_empty,
  fsconfig_set_string,
  fsopen,
  fspick,
} from './mount/config.ts'
export { listmount, type MountInfo, statmount } from './mount/info.ts'

const raw = {
  mount: bind('mount', 'ptr', 'ptr', 'ptr', 'int', 'ptr'),
  umount2: bind('umount2', 'ptr', 'int'),
  pivotRoot: bind('pivot_root', 'ptr', 'ptr'),
  fsmount: bind('fsmount', 'int', 'int', 'int'),
  moveMount: bind('move_mount', 'int', 'ptr', 'int', 'ptr', 'int'),
  openTree: bind('open_tree', 'int', 'ptr', 'int'),
  openTreeAttr: bind('open_tree_attr', 'int', 'ptr', 'int', 'ptr', 'int'),
  mountSetattr: bind('mount_setattr', 'int', 'ptr', 'int', 'ptr', 'int'),
}

/**
 * `mount(source, target, filesystemtype, mountflags, data)` — mounts a file system at `target`.
 *
 * Blocks: while the device is read. Needs: CAP_SYS_ADMIN.
 *
 * @param source - a device, or any word for file systems that have none
 * @param mountflags - MS_RDONLY, MS_NOSUID …; for other operations use {@link mount_bind} and its like
 * @param data - the file system's own options, comma-separated; for more than 4095 bytes of them use {@link fsopen}
 * @throws {@link SysError} `EBUSY`; `ENODEV` no such file system in this kernel; `EINVAL` bad superblock or options.
 * RangeError for longer `data`
 * @see https://man7.org/linux/man-pages/man2/mount.2.html
 */
export function mount(
  source: string,
  target: string,
  filesystemtype: string,
  mountflags = 0,
  data = '',
): void {
  const flags = u32(mountflags, 'mountflags')
  if ((flags & (MS_BIND | MS_MOVE | MS_REMOUNT)) !== 0) {
    throw new RangeError('mount: use mount_bind, mount_move or mount_remount')
  }
  call(source, target, filesystemtype, flags, data)
}

/**
 * `mount(source, target, NULL, MS_BIND [| MS_REC])` — makes the tree at `source` visible at `target` too.
 *
 * @param recursive - with the mounts below it
 * @see https://man7.org/linux/man-pages/man2/mount.2.html
 */
export function mount_bind(source: string, target: string, recursive = false): void {
  call(source, target, null, recursive ? MS_BIND | MS_REC : MS_BIND, null)
}

/**
 * `mount(NULL, target, NULL, MS_REMOUNT | mountflags, data)` — changes the flags and options of a mounted file
 * system; with MS_BIND in `mountflags` those of this one mount. All flags are replaced.
 *
 * @param data - as in {@link mount}; for more than 4095 bytes use {@link fspick}
 * @throws {@link SysError} `EBUSY` read-only, while files are open for writing
 * @see https://man7.org/linux/man-pages/man2/mount.2.html
 */
export function mount_remount(target: string, mountflags: number, data = ''): void {
  call('none', target, null, MS_REMOUNT | u32(mountflags, 'mountflags'), data)
}

/** `mount(source, target, NULL, MS_MOVE)` — moves a mount to another place. */
export function mount_move(source: string, target: string): void {
  call(source, target, null, MS_MOVE, null)
}

/**
 * `mount(NULL, target, NULL, flags)` — changes how mounts below `target` propagate.
 *
 * @param flags - MS_SHARED, MS_PRIVATE, MS_SLAVE or MS_UNBINDABLE, with MS_REC for all below
 * @see https://man7.org/linux/man-pages/man7/mount_namespaces.7.html
 */
export function mount_change(target: string, flags: number): void {
  call('none', target, null, u32(flags, 'flags'), null)
}

/** The kernel copies a page of options, and cuts what is longer without a word (`copy_mount_options` in fs/namespace.c). */
const dataSizeMax = 4096

function mountData(data: string): Uint8Array {
  const text = cString(data, 'data')
  if (text.length <= dataSizeMax) return text
  throw new RangeError(
    `data has ${text.length - 1} bytes, of which mount(2) would take ${dataSizeMax - 1}: use fsopen or fspick`,
  )
}

function call(source: string, target: string, type: string | null, flags: number, data: string | null): void {
  const result = raw.mount(
    cString(source, 'source'),
    cString(target, 'target'),
    type === null ? null : cString(type, 'filesystemtype'),
    flags,
    data === null ? null : mountData(data),
  )
  check(result, 'mount', target)
}

/**
 * `umount2(target, flags)` — detaches the mount at `target`.
 *
 * Blocks: yes, without MNT_DETACH. Needs: CAP_SYS_ADMIN.
 *
 * @param flags - MNT_FORCE, MNT_DETACH, MNT_EXPIRE, UMOUNT_NOFOLLOW
 * @throws {@link SysError} `EBUSY` files open below it; `EINVAL` not a mount point
 * @see https://man7.org/linux/man-pages/man2/umount2.2.html
 */
export function umount2(target: string, flags = 0): void {
  check(raw.umount2(cString(target, 'target'), u32(flags, 'flags')), 'umount2', target)
}

/**
 * `pivot_root(new_root, put_old)` — makes `new_root` the root of this mount namespace and puts the old one at
 * `put_old`, which may be the same folder (then `umount2('.', MNT_DETACH)` next).
 *
 * @throws {@link SysError} `EINVAL` the root is the initial ramfs, or `new_root` is no mount point
 * @see https://man7.org/linux/man-pages/man2/pivot_root.2.html
 */
export function pivot_root(new_root: string, put_old: string): void {
  check(raw.pivotRoot(cString(new_root, 'new_root'), cString(put_old, 'put_old')), 'pivot_root', new_root)
}

/**
 * `fsmount(fd, flags, attr_flags)` — a mount of the configured file system, attached nowhere yet.
 *
 * @param attrFlags - MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID …
 * @see https://man7.org/linux/man-pages/man2/fsmount.2.html
 */
export function fsmount(fd: AsFd, attrFlags = 0): OwnedFd {
  const result = raw.fsmount(fdNumber(fd), FSMOUNT_CLOEXEC, u32(attrFlags, 'attrFlags'))
  return new OwnedFd(check(result, 'fsmount'))
}

/**
 * `move_mount(from_dirfd, from_pathname, to_dirfd, to_pathname, flags)` — attaches or moves a mount.
 *
 * @param flags - MOVE_MOUNT_F_EMPTY_PATH: `fromDirfd` itself, from {@link fsmount} or {@link open_tree}
 * @see https://man7.org/linux/man-pages/man2/move_mount.2.html
 */
export function move_mount(
  fromDirfd: AsFd,
  fromPathname: string,
  toDirfd: AsFd,
  toPathname: string,
  flags = 0,
): void {
  const result = raw.moveMount(
    dirfdNumber(fromDirfd),
    cString(fromPathname, 'fromPathname'),
    dirfdNumber(toDirfd),
    cString(toPathname, 'toPathname'),
    u32(flags, 'flags'),
  )
  check(result, 'move_mount', toPathname)
}

/**
 * `open_tree(dirfd, pathname, flags)` — a descriptor for a place in the tree; with OPEN_TREE_CLONE a copy of its
 * mount that is attached nowhere (with AT_RECURSIVE, of all below too).
 *
 * @see https://man7.org/linux/man-pages/man2/open_tree.2.html
 */
export function open_tree(dirfd: AsFd, path: string, flags = 0): OwnedFd {
  const result = raw.openTree(dirfdNumber(dirfd), cString(path), u32(flags, 'flags') | OPEN_TREE_CLOEXEC)
  return new OwnedFd(check(result, 'open_tree', path))
}

/** What {@link mount_setattr} changes: `struct mount_attr`. */
export interface MountAttr {
  /** MOUNT_ATTR_* to set. */
  attr_set?: number
  /** MOUNT_ATTR_* to clear. */
  attr_clr?: number
  /** MS_SHARED, MS_PRIVATE, MS_SLAVE or MS_UNBINDABLE. */
  propagation?: number
  /** A user namespace, for MOUNT_ATTR_IDMAP. */
  userns_fd?: AsFd
}

/**
 * `mount_setattr(dirfd, pathname, flags, attr, size)` — changes attributes of one mount, or with AT_RECURSIVE of a
 * tree of them, all or none. Since: Linux 5.12.
 *
 * @see https://man7.org/linux/man-pages/man2/mount_setattr.2.html
 */
export function mount_setattr(dirfd: AsFd, path: string, flags: number, attr: MountAttr): void {
  const fd = dirfdNumber(dirfd)
  const bytes = mountAttr(attr)
  check(raw.mountSetattr(fd, cString(path), u32(flags, 'flags'), bytes, bytes.length), 'mount_setattr', path)
}

function mountAttr(attr: MountAttr): Uint8Array {
  const struct = alloc(mount_attr)
  struct.set('attr_set', attr.attr_set ?? 0)
  struct.set('attr_clr', attr.attr_clr ?? 0)
  struct.set('propagation', s64(attr.propagation ?? 0, 'propagation'))
  struct.set('userns_fd', attr.userns_fd === undefined ? 0 : fdNumber(attr.userns_fd))
  return struct.bytes
}

/**
 * `open_tree_attr(dirfd, pathname, flags, attr, size)` — {@link open_tree} with other attributes from the start: a copy of
 * an id-mapped mount with another map, say. Since: Linux 6.15.
 *
 * @throws {@link SysError} as {@link open_tree} and {@link mount_setattr}; `ENOSYS` an older kernel
 */
export function open_tree_attr(dirfd: AsFd, path: string, flags: number, attr: MountAttr): OwnedFd {
  const fd = dirfdNumber(dirfd)
  const bytes = mountAttr(attr)
  const options = u32(flags, 'flags') | OPEN_TREE_CLOEXEC
  return new OwnedFd(
    check(raw.openTreeAttr(fd, cString(path), options, bytes, bytes.length), 'open_tree_attr', path),
  )
}
