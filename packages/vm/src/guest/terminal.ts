/** Pseudo-terminals for programs: the program has one end as its terminal, the agent the other. */
import { AT_FDCWD, O_NOCTTY, O_RDWR, TIOCGPTN, TIOCSPTLCK, TIOCSWINSZ } from '@pkg/sys/constants'
import { type AsFd, OwnedFd } from '@pkg/sys/fd'
import { faccessat, openat } from '@pkg/sys/fs'
import { ioctl, setNonBlocking } from '@pkg/sys/io'
import type { TerminalSize } from '../agent/protocol.ts'

/** Both ends. */
export interface Terminal {
  /** Ours; non-blocking. */
  readonly master: OwnedFd
  /** The program's. */
  readonly slave: OwnedFd
}

/**
 * Makes a pseudo-terminal.
 *
 * @throws SysError `ENOENT` without devpts
 * @see https://man7.org/linux/man-pages/man7/pty.7.html
 */
export function openTerminal(size: TerminalSize): Terminal {
  // /dev/ptmx may be of another devpts instance than the one mounted here.
  const ptmx = faccessat(AT_FDCWD, '/dev/pts/ptmx', 0) ? '/dev/pts/ptmx' : '/dev/ptmx'
  const master = openat(AT_FDCWD, ptmx, O_RDWR | O_NOCTTY)
  try {
    ioctl(master, TIOCSPTLCK, new Uint8Array(4))
    const number = new Uint32Array(new ArrayBuffer(4))
    ioctl(master, TIOCGPTN, new Uint8Array(number.buffer))
    const slave = openat(AT_FDCWD, `/dev/pts/${number[0]}`, O_RDWR | O_NOCTTY)
    setTerminalSize(master, size)
    setNonBlocking(master, true)
    return { master, slave }
  } catch (error) {
    master.close()
    throw error
  }
}

/** `struct winsize` (asm-generic/termios.h): rows, columns, and two numbers of pixels that nobody has. */
export function setTerminalSize(master: AsFd, { columns, rows }: TerminalSize): void {
  ioctl(master, TIOCSWINSZ, new Uint8Array(Uint16Array.of(rows, columns, 0, 0).buffer))
}
