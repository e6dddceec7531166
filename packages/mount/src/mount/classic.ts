// What the newer calls do in one step, by mount(2) alone: it replaces all flags of a mount, so those that are there are
// read first and kept.
import { AT_FDCWD, ENOSYS, MNT_DETACH, MS_BIND, O_PATH } from '@pkg/sys/constants'
import { SysError } from '@pkg/sys/errno'
import { openat, readlinkat } from '@pkg/sys/fs'
import { mount_bind, mount_remount, umount2 } from '@pkg/sys/mount'
import { type MountInfo, readMountinfo, unmountOrder } from '../mountinfo.ts'
import { parseMountOptions } from './options.ts'

/** A bind by mount(2), which can set options only afterwards, mount by mount. */
export interface ClassicBind {
  /** What to show. */
  source: string
  /** Where. */
  target: string
  /** With everything below. */
  recursive: boolean
  /** Per-mount words. */
  options: string
}

/**
 * Binds and sets the options on each mount that came with it; takes the bind away when one does not get them.
 *
 * @throws {@link SysError} of the step that failed; `ENOSYS` for a mount below that lies hidden under another one
 */
export function bindClassic({ source, target, recursive, options }: ClassicBind): void {
  mount_bind(source, target, recursive)
  if (options === '') return
  try {
    const top = topMountAt(readMountinfo(), target)
    if (top === undefined) throw new SysError({ errno: ENOSYS, syscall: 'mount_setattr', path: target })
    for (const mount of treeBelow(readMountinfo(), top)) {
      mount_remount(mount.target, MS_BIND | mergedFlags(mount.options, options))
    }
    // A path reaches only the upper one of two mounts at one place.
    const wanted = mergedFlags('', options)
    for (const mount of treeBelow(readMountinfo(), top)) {
      if ((wanted & ~mergedFlags(mount.options, '')) === 0) continue
      throw new SysError({ errno: ENOSYS, syscall: 'mount_setattr', path: mount.target })
    }
  } catch (error) {
    umount2(target, MNT_DETACH)
    throw error
  }
}

/** Remounts: first the file system, when a word is about it, then the mount's own flags. */
export function remountClassic(target: string, options: string): void {
  const { superblock, data } = parseMountOptions(options)
  const mount = topMountAt(readMountinfo(), target)
  const own = mergedFlags(mount?.options ?? '', options)
  if (superblock.length > 0) {
    // Here MS_RDONLY means both, so the file system's own word decides; the mount's follows.
    const words = (mount?.superblockOptions ?? '').split(',').filter((word) => KEPT.test(word))
    const perMount = (mount?.options ?? '').replace(/^r[ow],?/, '')
    const kept = [...words, perMount].join(',')
    mount_remount(target, mergedFlags(kept, options), data)
  }
  mount_remount(target, MS_BIND | own)
}

/** Flags of a file system that mount(2) takes as bits, by the words of mountinfo (fs/proc_namespace.c show_sb_opts). */
const KEPT = /^(ro|rw|sync|dirsync|mand|lazytime)$/

/** Bits of mount(2) for what is there with what is asked for on top. */
function mergedFlags(present: string, asked: string): number {
  // mountinfo has no word for strictatime: it is the absence of the other two.
  const strict = present !== '' && !/\b(no|rel)atime\b/.test(present) ? 'strictatime' : ''
  return parseMountOptions([strict, present, asked].join(',')).flags
}

/** Of several mounts at one place the last lies on top. */
function topMountAt(mounts: readonly MountInfo[], target: string): MountInfo | undefined {
  const path = realPath(target)
  return mounts.findLast((mount) => mount.target === path)
}

function treeBelow(mounts: readonly MountInfo[], top: MountInfo): MountInfo[] {
  const tree = new Set([top.id])
  // Parents first, so that each is known when its children come.
  return unmountOrder(mounts)
    .toReversed()
    .filter(({ id, parentId }) => id === top.id || (tree.has(parentId) && tree.add(id)))
}

/** Where a path leads, symbolic links followed, as mountinfo names it. */
function realPath(path: string): string {
  using place = openat(AT_FDCWD, path, O_PATH)
  return readlinkat(AT_FDCWD, `/proc/self/fd/${place.fd}`)
}
