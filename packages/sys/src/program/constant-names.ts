// What listings of programs call numbers: the constants that children, stubs and boot stages take. The tables are functions:
// hardly a program is ever listed.
import {
  DM_DEV_CREATE,
  DM_DEV_REMOVE,
  DM_DEV_SUSPEND,
  DM_TABLE_LOAD,
  WDIOC_KEEPALIVE,
  WDIOC_SETTIMEOUT,
} from '../generated/constants/device.ts'
import { CLOCK_MONOTONIC, CLOCK_REALTIME } from '../generated/constants/event.ts'
import {
  MS_RDONLY,
  MS_NOSUID,
  MS_NODEV,
  MS_NOEXEC,
  MS_SYNCHRONOUS,
  MS_REMOUNT,
  MS_DIRSYNC,
  MS_NOATIME,
  MS_NODIRATIME,
  MS_BIND,
  MS_MOVE,
  MS_REC,
  MS_SILENT,
  MS_UNBINDABLE,
  MS_PRIVATE,
  MS_SLAVE,
  MS_SHARED,
  MS_RELATIME,
  MS_STRICTATIME,
  MS_LAZYTIME,
  MNT_FORCE,
  MNT_DETACH,
  MNT_EXPIRE,
  UMOUNT_NOFOLLOW,
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_T_SYMLINKS,
  OPEN_TREE_CLONE,
  OPEN_TREE_CLOEXEC,
} from '../generated/constants/mount.ts'
import {
  AT_FDCWD,
  O_ACCMODE,
  O_RDONLY,
  O_WRONLY,
  O_RDWR,
  O_CREAT,
  O_EXCL,
  O_NOCTTY,
  O_TRUNC,
  O_APPEND,
  O_NONBLOCK,
  O_DSYNC,
  O_NOATIME,
  O_CLOEXEC,
  O_PATH,
  AT_EMPTY_PATH,
  AT_RECURSIVE,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  CLOSE_RANGE_CLOEXEC,
  CLOSE_RANGE_UNSHARE,
  F_DUPFD,
  F_GETFD,
  F_SETFD,
} from '../generated/constants/open.ts'
import { PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG } from '../generated/constants/prctl.ts'
import {
  LINUX_REBOOT_CMD_POWER_OFF,
  LINUX_REBOOT_CMD_RESTART,
  LINUX_REBOOT_MAGIC1,
  LINUX_REBOOT_MAGIC2,
} from '../generated/constants/system.ts'
import { TIOCSCTTY } from '../generated/constants/terminal.ts'

/** Names of values, or of bits. */
interface Names {
  /** By value; tried first. */
  readonly values?: Readonly<Record<string, number>>
  /** The names of what the bits of `mask` say together, written before the flags. */
  readonly choice?: { readonly mask: number; readonly values: Readonly<Record<string, number>> }
  /** One or more bits each; what has no name is added as a number. */
  readonly flags?: Readonly<Record<string, number>>
}

/** What an argument is: one of the kinds that have names, or permissions, which are octal. */
export type ArgumentKind =
  | ('directory' | 'open' | 'closeOnExec' | 'mount' | 'umount' | 'at' | 'unlink' | 'moveMount' | 'openTree')
  | ('closeRange' | 'fcntl' | 'clock' | 'prctl' | 'ioctl' | 'reboot' | 'mode')

const names = (): Readonly<Record<Exclude<ArgumentKind, 'mode'>, Names>> => ({
  directory: { values: { AT_FDCWD } },
  // O_DIRECTORY, O_NOFOLLOW and O_DIRECT differ between architectures, and a program is for either.
  open: {
    choice: { mask: O_ACCMODE, values: { O_RDONLY, O_WRONLY, O_RDWR } },
    flags: {
      ...{ O_CREAT, O_EXCL, O_NOCTTY, O_TRUNC, O_APPEND, O_NONBLOCK, O_DSYNC, O_NOATIME },
      ...{ O_CLOEXEC, O_PATH },
    },
  },
  closeOnExec: { flags: { O_CLOEXEC } },
  mount: {
    flags: {
      ...{ MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_SYNCHRONOUS, MS_REMOUNT, MS_DIRSYNC, MS_NOATIME },
      ...{
        MS_NODIRATIME,
        MS_BIND,
        MS_MOVE,
        MS_REC,
        MS_SILENT,
        MS_UNBINDABLE,
        MS_PRIVATE,
        MS_SLAVE,
        MS_SHARED,
      },
      ...{ MS_RELATIME, MS_STRICTATIME, MS_LAZYTIME },
    },
  },
  umount: { flags: { MNT_FORCE, MNT_DETACH, MNT_EXPIRE, UMOUNT_NOFOLLOW } },
  at: { flags: { AT_EMPTY_PATH, AT_RECURSIVE, AT_SYMLINK_NOFOLLOW } },
  unlink: { flags: { AT_REMOVEDIR } },
  moveMount: { flags: { MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_SYMLINKS } },
  openTree: { flags: { OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC, AT_RECURSIVE, AT_EMPTY_PATH } },
  closeRange: { flags: { CLOSE_RANGE_CLOEXEC, CLOSE_RANGE_UNSHARE } },
  fcntl: { values: { F_DUPFD, F_GETFD, F_SETFD } },
  clock: { values: { CLOCK_REALTIME, CLOCK_MONOTONIC } },
  prctl: { values: { PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG } },
  ioctl: {
    values: {
      ...{ DM_DEV_CREATE, DM_DEV_REMOVE, DM_DEV_SUSPEND, DM_TABLE_LOAD, WDIOC_KEEPALIVE, WDIOC_SETTIMEOUT },
      ...{ TIOCSCTTY },
    },
  },
  reboot: {
    values: {
      ...{ LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART, LINUX_REBOOT_CMD_POWER_OFF },
    },
  },
})

/** What the arguments of a call are, in order; those that are plain numbers or memory have none. */
export const argumentKinds = (): Readonly<Record<string, readonly (ArgumentKind | '')[]>> => ({
  openat: ['directory', '', 'open', 'mode'],
  mkdirat: ['directory', '', 'mode'],
  mknodat: ['directory', '', 'mode'],
  unlinkat: ['directory', '', 'unlink'],
  symlinkat: ['', 'directory'],
  readlinkat: ['directory'],
  faccessat: ['directory'],
  fchmodat: ['directory', '', 'mode'],
  newfstatat: ['directory', '', '', 'at'],
  mount: ['', '', '', 'mount'],
  umount2: ['', 'umount'],
  mount_setattr: ['directory', '', 'at'],
  move_mount: ['directory', '', 'directory', '', 'moveMount'],
  open_tree: ['directory', '', 'openTree'],
  close_range: ['', '', 'closeRange'],
  dup3: ['', '', 'closeOnExec'],
  fcntl: ['', 'fcntl'],
  ioctl: ['', 'ioctl'],
  prctl: ['prctl'],
  umask: ['mode'],
  clock_gettime: ['clock'],
  timerfd_create: ['clock'],
  reboot: ['reboot', 'reboot', 'reboot'],
})

/** `value` by its names: `MS_NOSUID|MS_NODEV`. A number where it has none. */
export function nameOf(value: number, kind: ArgumentKind): string {
  if (kind === 'mode') return value === 0 ? '0' : `0${value.toString(8)}`
  const { values = {}, choice, flags = {} }: Names = names()[kind]
  // Constants of 32 bits are written unsigned, and compared so.
  for (const [name, constant] of Object.entries(values)) if (constant >>> 0 === value >>> 0) return name
  let rest = value
  const words: string[] = []
  for (const [name, constant] of Object.entries(choice?.values ?? {})) {
    if ((value & (choice?.mask ?? 0)) === constant) words.push(name)
  }
  if (words.length > 0) rest &= ~(choice?.mask ?? 0)
  for (const [name, bits] of Object.entries(flags)) {
    if ((rest & bits) !== bits) continue
    words.push(name)
    rest &= ~bits
  }
  if (rest !== 0 || words.length === 0)
    words.push(rest < 10 ? String(rest) : `0x${(rest >>> 0).toString(16)}`)
  return words.join('|')
}
