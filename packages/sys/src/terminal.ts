// Terminals by typed requests: modes, window size, sessions, and new pseudo-terminals.
import { O_CLOEXEC, O_NOCTTY } from './generated/constants/open.ts'
import {
  TCGETS2,
  TCSETS2,
  TCSETSW2,
  TIOCGPGRP,
  TIOCGPTN,
  TIOCGPTPEER,
  TIOCGSID,
  TIOCGWINSZ,
  TIOCNOTTY,
  TIOCSCTTY,
  TIOCSPGRP,
  TIOCSPTLCK,
  TIOCSWINSZ,
} from './generated/constants/terminal.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber, OwnedFd } from './fd.ts'
import { bind } from './raw.ts'
import { cString, u32 } from './raw/arguments.ts'
import { alloc, type StructView } from './struct.ts'
import * as structs from './generated/structs/terminal.ts'

const raw = {
  ioctl: bind('ioctl', 'int', 'int', 'int'),
  ioctlPointer: bind('ioctl', 'int', 'int', 'ptr'),
  openat: bind('openat', 'int', 'ptr', 'int', 'int'),
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

function modes(termios: Termios): Uint8Array {
  if (termios?.layout !== structs.termios2) throw new TypeError('termios must be from ioctl_tcgets2')
  return termios.bytes
}

/**
 * Changes modes so that bytes pass as they are, as cfmakeraw(3) does: no echo, no lines, no signals, 8 bits.
 *
 * @param termios - changed in place
 */
export function makeRaw(termios: Termios): void {
  // termios(3): IGNBRK…IXON, OPOST, ECHO…ISIG|IEXTEN, CSIZE|PARENB, CS8 (asm-generic/termbits.h).
  termios.set('c_iflag', (termios.get('c_iflag') & ~0o2753) >>> 0)
  termios.set('c_oflag', (termios.get('c_oflag') & ~0o1) >>> 0)
  termios.set('c_lflag', (termios.get('c_lflag') & ~0o100113) >>> 0)
  termios.set('c_cflag', ((termios.get('c_cflag') & ~0o460) | 0o60) >>> 0)
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
