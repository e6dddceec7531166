// Mounting by meaning: new file systems, binds, moves, remounts, propagation.
//
// The newer calls (fsopen, fsconfig, fsmount, move_mount; Linux 5.2) are preferred: they say in words what was wrong.
// Where the kernel has none of them (ENOSYS) mount(2) does the same.
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_F_SYMLINKS,
  MOVE_MOUNT_T_SYMLINKS,
  MS_PRIVATE,
  MS_REC,
  MS_SHARED,
  MS_SLAVE,
  MS_UNBINDABLE,
  OPEN_TREE_CLONE,
} from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import {
  fsconfig_create,
  fsconfig_reconfigure,
  fsconfig_set_flag,
  fsconfig_set_string,
  fsmount,
  fsopen,
  fspick,
  mount as mountClassic,
  mount_change,
  mount_move,
  mount_setattr,
  move_mount,
  open_tree,
} from '@pkg/sys/mount'
import { bindClassic, remountClassic } from './mount/classic.ts'
import { reporting } from './mount/failure.ts'
import { checkPath, checkWord } from './mount/check.ts'
import { parseMountOptions, type ParsedOptions } from './mount/options.ts'

/** What to mount where. */
export interface MountOptions {
  /** A device, or nothing for file systems that have none. */
  source?: string
  /** The mount point: absolute; it must exist. */
  target: string
  /** `ext4`, `tmpfs`, `proc`, … */
  type: string
  /** As in fstab: `ro,nosuid,size=10m`. */
  options?: string
}

/** What to show again somewhere else. */
export interface BindOptions {
  /** The folder or file to show. */
  source: string
  /** Where; it must exist, a folder for a folder. */
  target: string
  /** With everything that is mounted below. */
  recursive?: boolean
  /** Per-mount words only: `ro,nosuid,nodev,noexec,noatime`. With `recursive` they hold for all of it. */
  options?: string
}

/** What to change about a mount. */
export interface RemountOptions {
  /** The mount point. */
  target: string
  /** As in fstab; only what is named changes. */
  options: string
}

/** What to change about one mount or a tree of them. */
export interface MountAttributesOptions {
  /** The mount point. */
  target: string
  /** Per-mount words only: `ro`, `rw`, `nosuid`, `suid`, `noatime`, … */
  options: string
  /** Everything below, too: all or nothing. */
  recursive?: boolean
}

/** Where to move a mount. */
export interface MoveOptions {
  /** The mount point to move. */
  source: string
  /** Where to; it must exist. */
  target: string
}

/** How mounts and unmounts travel between copies of a tree. */
export interface PropagationOptions {
  /** The mount point. */
  target: string
  /** As in mount_namespaces(7): both ways, not at all, inwards only, or private and not to be bound. */
  propagation: 'shared' | 'private' | 'slave' | 'unbindable'
  /** Everything below, too. */
  recursive?: boolean
}

/** A file system in memory. */
export interface TmpfsOptions {
  /** The mount point: absolute; it must exist. */
  target: string
  /** Default: half of the memory. */
  sizeBytes?: number
  /** Permissions of its root. Default: 0o755. */
  mode?: number
  /** Largest number of files. */
  inodes?: number
  /** Further words. Default: `nosuid,nodev`. */
  options?: string
}

/** As mount(2) does: a target that is a symbolic link means what the link points to. */
const ATTACH = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS
/** fs/fsopen.c: fsconfig(2) takes strings of 256 bytes with the NUL. */
const LONGEST_VALUE_BYTES = 255
/** fs/namespace.c copy_mount_options(): mount(2) takes one page with the NUL, and cuts off the rest without a word. */
const LONGEST_DATA_BYTES = 4095
const PROPAGATION = { shared: MS_SHARED, private: MS_PRIVATE, slave: MS_SLAVE, unbindable: MS_UNBINDABLE }

/**
 * Mounts a file system.
 *
 * Blocks: while the device is read. Needs: CAP_SYS_ADMIN.
 *
 * @throws {@link SysError} `ENOENT` no such target or source; `ENODEV` the kernel has no such file system; `EINVAL`
 *   bad options or no such file system on the device, with the kernel's words; `EBUSY` the device is in use
 * @throws TypeError for options that are no options, or a target that is not absolute
 * @throws RangeError for more than 4095 bytes of options with a value of more than 255
 * @example
 * ```ts no-run
 * import { mount } from '@pkg/mount/mount'
 *
 * mount({ source: '/dev/vda4', target: '/var', type: 'ext4', options: 'nosuid,nodev,noatime' })
 * ```
 */
export function mount(options: MountOptions): void {
  const parsed = parseMountOptions(options.options ?? '')
  const { source, target, type } = options
  checkPath('mount', 'target', target)
  checkWord('mount', 'type', type)
  if (source !== undefined) checkWord('mount', 'source', source)
  const words = [type, options.options].filter(Boolean).join(', ')
  const attempt = source === undefined ? `(${words})` : `from ${source} (${words})`
  reporting({ syscall: 'mount', target, attempt }, () => {
    if (fitsNewCalls(parsed, source) && hasNewCalls(() => mountNew(options, parsed))) return
    mountClassic(source ?? 'none', target, type, parsed.flags, parsed.data)
  })
}

/**
 * Shows a folder or file at a second place. With options it is never seen without them where the kernel has
 * mount_setattr (Linux 5.12): they are set before it is attached. Older kernels set them right after.
 *
 * @throws {@link SysError} `ENOENT` no such source or target; `ENOTDIR` one is a folder, the other is not
 * @throws TypeError for an option that is not per mount
 */
export function bindMount(options: BindOptions): void {
  const { source, target, recursive = false } = options
  checkPath('bindMount', 'source', source)
  checkPath('bindMount', 'target', target)
  const parsed = parseAttributes(options.options ?? '')
  const attempt = `bind from ${source}${options.options ? ` (${options.options})` : ''}`
  reporting({ syscall: 'mount', target, attempt }, () => {
    const recursion = recursive ? AT_RECURSIVE : 0
    const isDone = hasNewCalls(() => {
      using tree = open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | recursion)
      setAttributes(tree.fd, '', AT_EMPTY_PATH | recursion, parsed)
      move_mount(tree, '', AT_FDCWD, target, ATTACH)
    })
    if (!isDone) bindClassic({ source, target, recursive, options: options.options ?? '' })
  })
}

/**
 * Changes a file system and its mount: `ro`, `rw`, `size=20m`, `noatime`. Unlike mount(8) it leaves what is not named
 * as it is.
 *
 * Blocks: `ro` while everything is written. Needs: CAP_SYS_ADMIN.
 *
 * @throws {@link SysError} `EBUSY` `ro` while a file is open for writing; `EINVAL` not a mount point, or an option the
 *   file system cannot change
 */
export function remount(options: RemountOptions): void {
  const { target } = options
  checkPath('remount', 'target', target)
  const parsed = parseMountOptions(options.options)
  reporting({ syscall: 'mount', target, attempt: `remount (${options.options})` }, () => {
    const isDone =
      fitsNewCalls(parsed) &&
      hasNewCalls(() => {
        if (parsed.superblock.length > 0) {
          using picked = fspick(AT_FDCWD, target)
          configure(picked.fd, parsed)
          fsconfig_reconfigure(picked)
        }
        setAttributes(AT_FDCWD, target, 0, parsed)
      })
    if (!isDone) remountClassic(target, options.options)
  })
}

/**
 * Changes attributes of a mount, or of a whole tree at once, and not the file system itself: other mounts of it keep
 * theirs.
 *
 * @throws {@link SysError} `EINVAL` not a mount point; `EBUSY` `ro` while a file is open for writing; `EPERM` an
 *   attribute that a less privileged namespace may not clear; `ENOSYS` before Linux 5.12
 * @throws TypeError for an option that is not per mount
 */
export function setMountAttributes(options: MountAttributesOptions): void {
  const { target, recursive = false } = options
  checkPath('setMountAttributes', 'target', target)
  const parsed = parseAttributes(options.options)
  reporting({ syscall: 'mount_setattr', target, attempt: options.options }, () => {
    setAttributes(AT_FDCWD, target, recursive ? AT_RECURSIVE : 0, parsed)
  })
}

/**
 * Moves a mount, with all below it, to another place.
 *
 * @throws {@link SysError} `EINVAL` not a mount point, or its parent is shared; `ELOOP` into itself
 */
export function moveMount(options: MoveOptions): void {
  const { source, target } = options
  checkPath('moveMount', 'source', source)
  checkPath('moveMount', 'target', target)
  reporting({ syscall: 'move_mount', target, attempt: `from ${source}` }, () => {
    const symlinks = MOVE_MOUNT_F_SYMLINKS | MOVE_MOUNT_T_SYMLINKS
    if (!hasNewCalls(() => move_mount(AT_FDCWD, source, AT_FDCWD, target, symlinks)))
      mount_move(source, target)
  })
}

/**
 * Changes whether mounts below travel to and from other namespaces and binds.
 *
 * @throws {@link SysError} `EINVAL` not a mount point
 */
export function changePropagation(options: PropagationOptions): void {
  const { target, propagation, recursive = false } = options
  checkPath('changePropagation', 'target', target)
  if (!Object.hasOwn(PROPAGATION, propagation)) {
    const words = Object.keys(PROPAGATION).join(', ')
    throw new TypeError(
      `changePropagation: propagation must be one of ${words}, not ${JSON.stringify(propagation)}`,
    )
  }
  reporting({ syscall: 'mount', target, attempt: `make ${propagation}` }, () => {
    mount_change(target, PROPAGATION[propagation] | (recursive ? MS_REC : 0))
  })
}

/**
 * Mounts a file system in memory.
 *
 * @throws {@link SysError} as {@link mount}
 * @throws TypeError for a mode that is none
 * @throws RangeError for a size or number that is not a whole number above zero
 */
export function mountTmpfs(options: TmpfsOptions): void {
  const { target, sizeBytes, inodes, mode = 0o755, options: further = 'nosuid,nodev' } = options
  checkPath('mountTmpfs', 'target', target)
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o7777) {
    throw new TypeError(`mountTmpfs: mode must be permissions from 0 to 0o7777, not ${mode}`)
  }
  for (const [name, value] of Object.entries({ sizeBytes, inodes })) {
    // To tmpfs a zero means no limit, which nobody asks for by it.
    if (value !== undefined && !(Number.isSafeInteger(value) && value > 0)) {
      throw new RangeError(`tmpfs at ${target}: ${name} must be a whole number above 0, not ${value}`)
    }
  }
  const words = [`mode=${mode.toString(8)}`]
  if (sizeBytes !== undefined) words.push(`size=${sizeBytes}`)
  if (inodes !== undefined) words.push(`nr_inodes=${inodes}`)
  if (further !== '') words.push(further)
  mount({ source: 'tmpfs', target, type: 'tmpfs', options: words.join(',') })
}

function mountNew({ source, target, type }: MountOptions, parsed: ParsedOptions): void {
  using context = fsopen(type)
  if (source !== undefined) fsconfig_set_string(context, 'source', source)
  configure(context.fd, parsed)
  fsconfig_create(context)
  using detached = fsmount(context, parsed.attributesSet)
  move_mount(detached, '', AT_FDCWD, target, ATTACH)
}

function configure(fd: number, { superblock }: ParsedOptions): void {
  for (const [key, value] of superblock) {
    if (value === null) fsconfig_set_flag(fd, key)
    else fsconfig_set_string(fd, key, value)
  }
}

function setAttributes(dirfd: number, path: string, flags: number, parsed: ParsedOptions): void {
  const { attributesSet, attributesCleared } = parsed
  if (attributesSet === 0 && attributesCleared === 0) return
  mount_setattr(dirfd, path, flags, { attr_set: attributesSet, attr_clr: attributesCleared })
}

/** Only what holds for a mount: `ro` here is the mount's, not the file system's. */
function parseAttributes(options: string): ParsedOptions {
  const parsed = parseMountOptions(options)
  const other = parsed.superblock.find(([key]) => key !== 'ro' && key !== 'rw')
  if (other !== undefined)
    throw new TypeError(`option '${other[0]}' belongs to a file system, not to a mount`)
  return parsed
}

/**
 * Whether fsconfig(2) takes each string; a longer one, such as the layers of an overlay, goes by mount(2).
 *
 * @throws RangeError when it is too long for that, too
 */
function fitsNewCalls({ superblock, data }: ParsedOptions, source = ''): boolean {
  const dataBytes = Buffer.byteLength(data)
  const strings = [source, ...superblock.map(([, value]) => value ?? '')]
  if (strings.every((text) => Buffer.byteLength(text) <= LONGEST_VALUE_BYTES)) return true
  if (dataBytes <= LONGEST_DATA_BYTES) return false
  throw new RangeError(`options have ${dataBytes} bytes for the file system, more than ${LONGEST_DATA_BYTES}`)
}

/** Runs the way of the newer calls; false when the kernel does not have them. */
function hasNewCalls(run: () => void): boolean {
  try {
    run()
    return true
  } catch (error) {
    if (isSysError(error, 'ENOSYS')) return false
    throw error
  }
}
