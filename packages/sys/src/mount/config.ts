// Configuring a file system step by step, before it is mounted or while it is: fsopen, fspick, fsconfig.
import { check, errnoName, isError, SysError } from '../errno.ts'
import { hintFor } from '../errno/hints.ts'
import { type AsFd, dirfdNumber, fdNumber, OwnedFd } from '../fd.ts'
import {
  FSCONFIG_CMD_CREATE,
  FSCONFIG_CMD_CREATE_EXCL,
  FSCONFIG_CMD_RECONFIGURE,
  FSCONFIG_SET_BINARY,
  FSCONFIG_SET_FD,
  FSCONFIG_SET_FLAG,
  FSCONFIG_SET_PATH,
  FSCONFIG_SET_PATH_EMPTY,
  FSCONFIG_SET_STRING,
  FSOPEN_CLOEXEC,
} from '../generated/constants/mount.ts'
import { statfs } from '../generated/structs/file.ts'
import { bind } from '../raw.ts'
import { bytes, cString, u32 } from '../raw/arguments.ts'
import { alloc } from '../struct.ts'

const raw = {
  fsopen: bind('fsopen', 'ptr', 'int'),
  fspick: bind('fspick', 'int', 'ptr', 'int'),
  fsconfig: bind('fsconfig', 'int', 'int', 'ptr', 'ptr', 'int'),
  read: bind('read', 'int', 'ptr', 'int'),
  fstatfs: bind('fstatfs', 'int', 'ptr'),
  ppoll: bind('ppoll', 'ptr', 'int', 'ptr', 'ptr', 'int'),
}

/**
 * `fsopen(fsname, flags)` — begins to configure a file system. Since: Linux 5.2.
 *
 * @throws {@link SysError} `ENODEV` no such file system in this kernel
 * @see https://man7.org/linux/man-pages/man2/fsopen.2.html
 */
export function fsopen(fsname: string): OwnedFd {
  return new OwnedFd(check(raw.fsopen(cString(fsname, 'fsname'), FSOPEN_CLOEXEC), 'fsopen', fsname))
}

/**
 * `fspick(dirfd, path, flags)` — begins to reconfigure a mounted file system. Since: Linux 5.2.
 *
 * @param flags - FSPICK_CLOEXEC (always set), FSPICK_EMPTY_PATH …
 * @see https://man7.org/linux/man-pages/man2/fspick.2.html
 */
export function fspick(dirfd: AsFd, path: string, flags = 0): OwnedFd {
  const FSPICK_CLOEXEC = 1
  const result = raw.fspick(dirfdNumber(dirfd), cString(path), u32(flags, 'flags') | FSPICK_CLOEXEC)
  return new OwnedFd(check(result, 'fspick', path))
}

/**
 * `fsconfig(fd, FSCONFIG_SET_STRING, key, value, 0)` — sets an option: `source`, `size`, `subvol` ….
 *
 * @throws {@link SysError} `EINVAL`, with the kernel's own words in the message
 * @see https://man7.org/linux/man-pages/man2/fsconfig.2.html
 */
export function fsconfig_set_string(fd: AsFd, key: string, value: string): void {
  configure(fd, FSCONFIG_SET_STRING, key, cString(value, 'value'))
}

/** `fsconfig(fd, FSCONFIG_SET_FLAG, key, NULL, 0)` — sets an option without a value: `ro`, `noatime` …. */
export function fsconfig_set_flag(fd: AsFd, key: string): void {
  configure(fd, FSCONFIG_SET_FLAG, key, null)
}

/**
 * `fsconfig(fd, FSCONFIG_SET_BINARY, key, value, aux)` — sets an option that is bytes.
 *
 * @param value - 1 byte to 1 MiB
 * @throws {@link SysError} `EINVAL` no option of that kind, or another size
 * @see https://man7.org/linux/man-pages/man2/fsconfig.2.html
 */
export function fsconfig_set_binary(fd: AsFd, key: string, value: Uint8Array): void {
  configure(fd, FSCONFIG_SET_BINARY, key, bytes(value, 'value'), value.length)
}

/**
 * `fsconfig(fd, FSCONFIG_SET_PATH, key, value, aux)` — sets an option that is a file: `journal_path` of ext4, say.
 *
 * @param path - from `dirfd` on; looked up when the option is read, with this process's root
 * @throws {@link SysError} `EINVAL` no option of that kind; `ENOENT`, `ENOTBLK` and the like of the file itself
 * @see https://man7.org/linux/man-pages/man2/fsconfig.2.html
 */
export function fsconfig_set_path(fd: AsFd, key: string, dirfd: AsFd, path: string): void {
  configure(fd, FSCONFIG_SET_PATH, key, cString(path), dirfdNumber(dirfd))
}

/** `fsconfig(fd, FSCONFIG_SET_PATH_EMPTY, key, "", aux)` — {@link fsconfig_set_path} to an open file itself. */
export function fsconfig_set_path_empty(fd: AsFd, key: string, file: AsFd): void {
  configure(fd, FSCONFIG_SET_PATH_EMPTY, key, cString(''), dirfdNumber(file))
}

/**
 * `fsconfig(fd, FSCONFIG_SET_FD, key, NULL, aux)` — sets an option that is an open file: `fd` of fuse, `lowerdir+` of
 * overlay (since Linux 6.13).
 *
 * @throws {@link SysError} `EINVAL` no option of that kind; `EBADF`
 * @see https://man7.org/linux/man-pages/man2/fsconfig.2.html
 */
export function fsconfig_set_fd(fd: AsFd, key: string, value: AsFd): void {
  configure(fd, FSCONFIG_SET_FD, key, null, fdNumber(value))
}

/** `fsconfig(fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0)` — makes the superblock. Blocks while the device is read. */
export function fsconfig_create(fd: AsFd): void {
  configure(fd, FSCONFIG_CMD_CREATE, null, null)
}

/**
 * `fsconfig(fd, FSCONFIG_CMD_CREATE_EXCL, NULL, NULL, 0)` — {@link fsconfig_create} that never takes a superblock which is
 * mounted elsewhere already, whose options these would not become. In kernels since Linux 6.6.
 *
 * @throws {@link SysError} `EBUSY` there is one; `EOPNOTSUPP` an older kernel
 * @see https://man7.org/linux/man-pages/man2/fsconfig.2.html
 */
export function fsconfig_create_excl(fd: AsFd): void {
  configure(fd, FSCONFIG_CMD_CREATE_EXCL, null, null)
}

/** `fsconfig(fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0)` — applies the options of an {@link fspick}. */
export function fsconfig_reconfigure(fd: AsFd): void {
  configure(fd, FSCONFIG_CMD_RECONFIGURE, null, null)
}

type Value = Uint8Array | null

function configure(fd: AsFd, command: number, key: string | null, value: Value, auxiliary = 0): void {
  const number = fdNumber(fd)
  const name = key === null ? null : cString(key, 'key')
  const result = raw.fsconfig(number, command, name, value, auxiliary)
  if (!isError(result)) return
  throw new SysError({
    errno: -result,
    syscall: 'fsconfig',
    path: key ?? undefined,
    // ENOSYS and EPERM come from before the configuration is looked at: it has no words about them.
    detail: messages(number) || hintFor(errnoName(-result), 'fsconfig'),
  })
}

/** The kernel leaves its messages in the configuration's descriptor, one a read: `e text`, `w text`, `i text`. */
function messages(fd: number): string {
  if (!isConfiguration(fd)) return ''
  const buffer = new Uint8Array(4096)
  const lines: string[] = []
  for (let count = 0; count < 16; count++) {
    const size = raw.read(fd, buffer, buffer.length)
    if (size <= 0) break
    lines.push(
      new TextDecoder()
        .decode(buffer.subarray(0, size))
        .trim()
        .replace(/^[ewi] /, ''),
    )
  }
  return lines.join('; ')
}

/** Reading another descriptor than a configuration's could block for ever, or take what is somebody else's. */
function isConfiguration(fd: number): boolean {
  const ANON_INODE_FS_MAGIC = 0x0904_1934
  const info = alloc(statfs)
  if (isError(raw.fstatfs(fd, info.bytes)) || Number(info.get('f_type')) !== ANON_INODE_FS_MAGIC) return false
  // Timers and counters are such files too, and not ready mostly; a configuration always is.
  const POLLIN = 1
  const poll = new DataView(new ArrayBuffer(8))
  poll.setInt32(0, fd, true)
  poll.setInt16(4, POLLIN, true)
  return raw.ppoll(poll, 1, new BigInt64Array(new ArrayBuffer(16)), null, 8) === 1
}
