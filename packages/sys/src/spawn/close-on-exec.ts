// Closing at exec whatever the child was not given, where close_range(2) works and where it does not.
import {
  AT_FDCWD,
  CLOSE_RANGE_CLOEXEC,
  FD_CLOEXEC,
  F_SETFD,
  O_DIRECTORY,
  O_RDONLY,
} from '../generated/constants/open.ts'
import { getdents64, openat } from '../fs.ts'
import type { Program } from '../program.ts'
import { bind } from '../raw.ts'

const closeRange = bind('close_range', 'int', 'int', 'int')

const fdMax = 0x7fff_ffff

/**
 * Adds steps that have everything closed at exec but the descriptors `kept`, whoever opened it.
 *
 * close_range(2) with CLOSE_RANGE_CLOEXEC is of Linux 5.11, and some container runtimes refuse it. An error of it ends the
 * child: it is never run with what it should not have.
 */
export function addCloseOnExec(program: Program, kept: readonly number[]): void {
  if (!canCloseRanges()) return addEachClose(program, kept)
  let first = 0
  for (const fd of kept.toSorted((a, b) => a - b)) {
    if (fd > first) program.call('close_range', first, fd - 1, CLOSE_RANGE_CLOEXEC)
    first = fd + 1
  }
  program.call('close_range', first, fdMax, CLOSE_RANGE_CLOEXEC)
}

/** Asked each time, at a number that is nobody's: a seccomp filter may have come. */
function canCloseRanges(): boolean {
  return closeRange(fdMax, fdMax, CLOSE_RANGE_CLOEXEC) === 0
}

/** How many numbers are looked at above the highest in use: for what other threads and the child's own steps open. */
const margin = 1024

/** One call for each number, open or not, in a loop of the child's; then what is kept is kept. */
function addEachClose(program: Program, kept: readonly number[]): void {
  const last = new Uint8Array(BigInt64Array.of(BigInt(Math.max(highest(), ...kept) + margin)).buffer)
  const cursor = program.memory(8)
  const begin = program.label('each descriptor')
  program.place(begin)
  program.call('fcntl', cursor.word(), F_SETFD, FD_CLOEXEC).ignoreErrors()
  program.set(cursor, cursor.word(), 1)
  program.below(program.memory(last).word(), cursor.word()).otherwise(begin)
  // EBADF: what was to be inherited is closed here.
  for (const fd of kept) program.call('fcntl', fd, F_SETFD, 0).tolerate('EBADF')
}

/**
 * The highest descriptor of this process.
 *
 * @throws {@link SysError} without /proc: a child with descriptors that it was not given is not started
 */
function highest(): number {
  using folder = openat(AT_FDCWD, '/proc/self/fd', O_RDONLY | O_DIRECTORY)
  let result = folder.fd
  for (const { d_name } of getdents64(folder)) result = Math.max(result, Number(d_name) || 0)
  return result
}
