// Terminals by typed requests: modes, window size, sessions, and new pseudo-terminals.
import { O_CLOEXEC, O_NOCTTY } from './generated/constants/open.ts'
import { STATX_INO, STATX_TYPE } from './generated/constants/stat.ts'
import {
  TCFLSH,
  TCGETS2,
  TCSBRK,
  TCSBRKP,
  TCSETS2,
  TCSETSF2,
  TCSETSW2,
  TCXONC,
  TIOCEXCL,
  TIOCGEXCL,
  TIOCGPGRP,
  TIOCGPTN,
  TIOCGPTPEER,
  TIOCGSID,
  TIOCGWINSZ,
  TIOCNOTTY,
  TIOCNXCL,
  TIOCSCTTY,
  TIOCSPGRP,
  TIOCSPTLCK,
  TIOCSWINSZ,
  VMIN,
  VTIME,
} from './generated/constants/terminal.ts'
import { check, errnoNumber, isError, SysError } from './errno.ts'
import { type AsFd, fdNumber, OwnedFd } from './fd.ts'
import { bind } from './raw.ts'
import { cString, u32 } from './raw/arguments.ts'
import { alloc, type StructView } from './struct.ts'
import { statx as statxLayout } from './generated/structs/file.ts'
import * as structs from './generated/structs/terminal.ts'
import { structMemory } from './fs/struct-memory.ts'

const raw = {
  ioctl: bind('ioctl', 'int', 'int', 'int'),
  ioctlPointer: bind('ioctl', 'int', 'int', 'ptr'),
  openat: bind('openat', 'int', 'ptr', 'int', 'int'),
  readlinkat: bind('readlinkat', 'int', 'ptr', 'ptr', 'int'),
  statx: bind('statx', 'int', 'ptr', 'int', 'int', 'ptr'),
}

/** `struct termios2`: read and change its fields with `get` and `set`, and hand it back. */
export type Termios = StructView<typeof structs.termios2>

/**
 * `ioctl(fd, TCGETS2, argp)` — a terminal's modes and speeds.
 *
 * @throws {@link SysError} `ENOTTY` no terminal
 * @see https://man7.org/linux/man-pages/man2/TCSETS.2const.html
 */
export function ioctl_tcgets2(fd: AsFd): Termios {
  const termios = alloc(structs.termios2)
  check(raw.ioctlPointer(fdNumber(fd), TCGETS2, termios.bytes), 'ioctl')
  return termios
}

/** `ioctl(fd, TCSETS2, argp)` — sets a terminal's modes at once; see {@link ioctl_tcgets2}. */
export function ioctl_tcsets2(fd: AsFd, termios: Termios): void {
  check(raw.ioctlPointer(fdNumber(fd), TCSETS2, modes(termios)), 'ioctl')
}

/** `ioctl(fd, TCSETSW2, argp)` — {@link ioctl_tcsets2} when all output is out. Blocks until then. */
export function ioctl_tcsetsw2(fd: AsFd, termios: Termios): void {
  check(raw.ioctlPointer(fdNumber(fd), TCSETSW2, modes(termios)), 'ioctl')
}

/** `ioctl(fd, TCSETSF2, argp)` — {@link ioctl_tcsetsw2} that throws away what was typed and not read. */
export function ioctl_tcsetsf2(fd: AsFd, termios: Termios): void {
  check(raw.ioctlPointer(fdNumber(fd), TCSETSF2, modes(termios)), 'ioctl')
}

function modes(termios: Termios): Uint8Array {
  return structMemory(termios, structs.termios2, 'termios')
}

/**
 * Changes modes so that bytes pass as they are, as cfmakeraw(3) does: no echo, no lines, no signals, 8 bits, and a read
 * that waits for one byte.
 *
 * @param termios - changed in place
 */
export function makeRaw(termios: Termios): void {
  // termios(3): IGNBRK…IXON, OPOST, ECHO…ISIG|IEXTEN, CSIZE|PARENB, CS8 (asm-generic/termbits.h).
  termios.set('c_iflag', (termios.get('c_iflag') & ~0o2753) >>> 0)
  termios.set('c_oflag', (termios.get('c_oflag') & ~0o1) >>> 0)
  termios.set('c_lflag', (termios.get('c_lflag') & ~0o100113) >>> 0)
  termios.set('c_cflag', ((termios.get('c_cflag') & ~0o460) | 0o60) >>> 0)
  // Where these were 0, or the characters of line mode that share their places, a read would not wait, or for too many.
  const characters = termios.get('c_cc')
  characters[VMIN] = 1
  characters[VTIME] = 0
}

/**
 * `ioctl(fd, TCFLSH, queue)` — throws away what is on its way, as tcflush(3) does.
 *
 * @param queue - TCIFLUSH what was typed and not read; TCOFLUSH what was written and is not out; TCIOFLUSH both
 * @throws {@link SysError} `ENOTTY` no terminal; `EINVAL`
 * @see https://man7.org/linux/man-pages/man2/TCFLSH.2const.html
 */
export function ioctl_tcflsh(fd: AsFd, queue: number): void {
  check(raw.ioctl(fdNumber(fd), TCFLSH, u32(queue, 'queue')), 'ioctl')
}

/**
 * `ioctl(fd, TCXONC, action)` — stops and continues what flows, as tcflow(3) does.
 *
 * @param action - TCOOFF and TCOON: this end's output, for which writers then wait; TCIOFF and TCION: send the other end
 * the character that stops or continues it
 * @throws {@link SysError} `ENOTTY` no terminal; `EINVAL`
 * @see https://man7.org/linux/man-pages/man2/TCXONC.2const.html
 */
export function ioctl_tcxonc(fd: AsFd, action: number): void {
  check(raw.ioctl(fdNumber(fd), TCXONC, u32(action, 'action')), 'ioctl')
}

/**
 * `ioctl(fd, TCSBRK, argument)` — waits until all output is out, and then sends a break or not. Blocks.
 *
 * @param argument - 0: a break of a quarter of a second, as tcsendbreak(3); 1: none, as tcdrain(3)
 * @throws {@link SysError} `ENOTTY` no terminal; `EINTR`
 * @see https://man7.org/linux/man-pages/man2/TCSBRK.2const.html
 */
export function ioctl_tcsbrk(fd: AsFd, argument: 0 | 1): void {
  check(raw.ioctl(fdNumber(fd), TCSBRK, u32(argument, 'argument')), 'ioctl')
}

/**
 * `ioctl(fd, TCSBRKP, argument)` — {@link ioctl_tcsbrk} with a break of a given length. Blocks.
 *
 * @param tenthsOfSecond - 0: a quarter of a second
 */
export function ioctl_tcsbrkp(fd: AsFd, tenthsOfSecond: number): void {
  check(raw.ioctl(fdNumber(fd), TCSBRKP, u32(tenthsOfSecond, 'tenthsOfSecond')), 'ioctl')
}

/**
 * `ioctl(fd, TIOCEXCL)` — nobody may open the terminal from now on but who has CAP_SYS_ADMIN: `EBUSY`.
 *
 * @throws {@link SysError} `ENOTTY` no terminal
 * @see https://man7.org/linux/man-pages/man2/TIOCEXCL.2const.html
 */
export function ioctl_tiocexcl(fd: AsFd): void {
  check(raw.ioctl(fdNumber(fd), TIOCEXCL, 0), 'ioctl')
}

/** `ioctl(fd, TIOCNXCL)` — ends {@link ioctl_tiocexcl}. */
export function ioctl_tiocnxcl(fd: AsFd): void {
  check(raw.ioctl(fdNumber(fd), TIOCNXCL, 0), 'ioctl')
}

/** `ioctl(fd, TIOCGEXCL, argp)` — whether {@link ioctl_tiocexcl} is in force. */
export function ioctl_tiocgexcl(fd: AsFd): boolean {
  return readInt(fd, TIOCGEXCL) !== 0
}

/**
 * Whether a descriptor is of a terminal, as isatty(3) says: one of which TCGETS2 answers.
 *
 * @throws {@link SysError} `EBADF`
 * @see https://man7.org/linux/man-pages/man3/isatty.3.html
 *
 * @example
 * ```ts
 * import { isatty, openpty, ttyname } from '@pkg/sys/terminal'
 *
 * using pty = openpty()
 * console.assert(isatty(pty.slave) && ttyname(pty.slave) === pty.path)
 * ```
 */
export function isatty(fd: AsFd): boolean {
  const result = raw.ioctlPointer(fdNumber(fd), TCGETS2, alloc(structs.termios2).bytes)
  if (result === -errnoNumber('EBADF')) check(result, 'ioctl')
  return !isError(result)
}

/**
 * The path of a terminal, as ttyname(3) finds it: what /proc says of the descriptor, if that leads to the same file.
 *
 * @throws {@link SysError} `ENOTTY` no terminal; `ENODEV` it has no name here: that of another mount namespace
 * @see https://man7.org/linux/man-pages/man3/ttyname.3.html
 */
export function ttyname(fd: AsFd): string {
  const number = fdNumber(fd)
  check(raw.ioctlPointer(number, TCGETS2, alloc(structs.termios2).bytes), 'ioctl')
  const AT_FDCWD = -100
  const link = `/proc/self/fd/${number}`
  const buffer = new Uint8Array(new ArrayBuffer(4096))
  const size = check(raw.readlinkat(AT_FDCWD, cString(link), buffer, buffer.length), 'readlinkat', link)
  const path = new TextDecoder().decode(buffer.subarray(0, size))
  if (identity(AT_FDCWD, path) === identity(number, '')) return path
  throw new SysError({ errno: errnoNumber('ENODEV'), syscall: 'readlinkat', path: link })
}

/** What tells a file from all others; undefined for a path that leads nowhere. */
function identity(dirfd: number, path: string): string | undefined {
  const AT_EMPTY_PATH = 0x1000
  const found = alloc(statxLayout)
  const flags = path === '' ? AT_EMPTY_PATH : 0
  if (isError(raw.statx(dirfd, cString(path), flags, STATX_INO | STATX_TYPE, found.bytes))) return undefined
  const fields = ['stx_dev_major', 'stx_dev_minor', 'stx_ino', 'stx_rdev_major', 'stx_rdev_minor'] as const
  return fields.map((field) => found.get(field)).join(' ')
}

/** A terminal's size. */
export interface WindowSize {
  /** Lines. */
  ws_row: number
  /** Columns. */
  ws_col: number
}

/** `ioctl(fd, TIOCGWINSZ, argp)` — a terminal's size; 0 where nobody has set it. */
export function ioctl_tiocgwinsz(fd: AsFd): WindowSize {
  const struct = alloc(structs.winsize)
  check(raw.ioctlPointer(fdNumber(fd), TIOCGWINSZ, struct.bytes), 'ioctl')
  return { ws_row: struct.get('ws_row'), ws_col: struct.get('ws_col') }
}

/** `ioctl(fd, TIOCSWINSZ, argp)` — sets a terminal's size; its foreground group gets SIGWINCH. */
export function ioctl_tiocswinsz(fd: AsFd, windowSize: WindowSize): void {
  const struct = alloc(structs.winsize)
  struct.set('ws_row', windowSize.ws_row)
  struct.set('ws_col', windowSize.ws_col)
  check(raw.ioctlPointer(fdNumber(fd), TIOCSWINSZ, struct.bytes), 'ioctl')
}

/**
 * `ioctl(fd, TIOCSCTTY, 0)` — makes a terminal the controlling one of this process, which leads a session without.
 *
 * @throws {@link SysError} `EPERM` it leads none, or the terminal is another session's
 * @see https://man7.org/linux/man-pages/man2/TIOCSCTTY.2const.html
 */
export function ioctl_tiocsctty(fd: AsFd): void {
  check(raw.ioctl(fdNumber(fd), TIOCSCTTY, 0), 'ioctl')
}

/** `ioctl(fd, TIOCNOTTY)` — gives the controlling terminal up; its foreground group gets SIGHUP. */
export function ioctl_tiocnotty(fd: AsFd): void {
  check(raw.ioctl(fdNumber(fd), TIOCNOTTY, 0), 'ioctl')
}

function readInt(fd: AsFd, request: number): number {
  const word = new Int32Array(new ArrayBuffer(4))
  check(raw.ioctlPointer(fdNumber(fd), request, word), 'ioctl')
  return word[0] ?? 0
}

/** `ioctl(fd, TIOCGPGRP, argp)` — the foreground process group of a terminal. */
export function ioctl_tiocgpgrp(fd: AsFd): number {
  return readInt(fd, TIOCGPGRP)
}

/** `ioctl(fd, TIOCSPGRP, argp)` — makes a group of the session the foreground one. */
export function ioctl_tiocspgrp(fd: AsFd, group: number): void {
  const word = new Int32Array(new ArrayBuffer(4))
  word[0] = u32(group, 'group')
  check(raw.ioctlPointer(fdNumber(fd), TIOCSPGRP, word), 'ioctl')
}

/** `ioctl(fd, TIOCGSID, argp)` — the session of a terminal. */
export function ioctl_tiocgsid(fd: AsFd): number {
  return readInt(fd, TIOCGSID)
}

/** A pseudo-terminal. */
export interface PseudoTerminal extends Disposable {
  /** The end of whoever plays the terminal. */
  master: OwnedFd
  /** The terminal, for a program: `controllingTty` and stdio of `spawn`. */
  slave: OwnedFd
  /** `/dev/pts/3` */
  path: string
}

/**
 * Opens a new pseudo-terminal, both ends close-on-exec: /dev/ptmx, TIOCSPTLCK, TIOCGPTPEER. Since: Linux 4.13.
 *
 * @throws {@link SysError} `ENOENT` no devpts is mounted; `ENOSPC` too many
 * @see https://man7.org/linux/man-pages/man4/ptmx.4.html
 *
 * @example
 * ```ts
 * import { read } from '@pkg/sys/io'
 * import { spawn } from '@pkg/sys/spawn'
 * import { ioctl_tiocswinsz, openpty } from '@pkg/sys/terminal'
 *
 * using pty = openpty()
 * ioctl_tiocswinsz(pty.slave, { ws_row: 24, ws_col: 80 })
 * using child = spawn({
 *   file: '/bin/stty',
 *   args: ['size'],
 *   env: {},
 *   stdio: [pty.slave, pty.slave, pty.slave],
 *   newSession: true,
 *   controllingTty: pty.slave,
 * })
 * await child.wait()
 * const buffer = new Uint8Array(64)
 * console.assert(new TextDecoder().decode(buffer.subarray(0, read(pty.master, buffer))) === '24 80\r\n')
 * ```
 */
export function openpty(): PseudoTerminal {
  const [AT_FDCWD, O_RDWR] = [-100, 2]
  const flags = O_RDWR | O_NOCTTY | O_CLOEXEC
  const master = new OwnedFd(
    check(raw.openat(AT_FDCWD, cString('/dev/ptmx'), flags, 0), 'openat', '/dev/ptmx'),
  )
  try {
    check(raw.ioctlPointer(master.fd, TIOCSPTLCK, new Int32Array(new ArrayBuffer(4))), 'ioctl')
    const slave = new OwnedFd(check(raw.ioctl(master.fd, TIOCGPTPEER, flags), 'ioctl'))
    const close = (): void => {
      master.close()
      slave.close()
    }
    return { master, slave, path: `/dev/pts/${readInt(master, TIOCGPTN)}`, [Symbol.dispose]: close }
  } catch (error) {
    master.close()
    throw error
  }
}
