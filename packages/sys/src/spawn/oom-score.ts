// The oom_score_adj of a child that shared our memory while this thread went on.
import { AT_FDCWD, O_WRONLY } from '../generated/constants/open.ts'
import { KCMP_VM, P_PIDFD, WEXITED, WNOHANG, WNOWAIT } from '../generated/constants/process.ts'
import { isSysError, SysError } from '../errno.ts'
import type { OwnedFd } from '../fd.ts'
import { openat } from '../fs.ts'
import { write } from '../io.ts'
import { kcmp, pidfd_send_signal, waitid } from '../process.ts'
import { bind } from '../raw.ts'

const raw = { yield: bind('sched_yield') }

/** Each gives the processor to others; the moment is a few microseconds of the child's. */
const LOOKS_MAX = 100_000

/**
 * Sets the score of a child that has executed its program. The child cannot do it before: the kernel gives the score to
 * all who share the memory, but for a child of vfork (fs/proc/base.c, `__set_oom_adj`), and all those are we.
 *
 * @throws {@link SysError} `EACCES` less than this process may give, or a program that changes its user
 */
export function writeOomScore(pid: number, pidfd: OwnedFd, score: number): void {
  const path = `/proc/${pid}/oom_score_adj`
  try {
    using file = openat(AT_FDCWD, path, O_WRONLY)
    // Now the file is known to be the child's: its id cannot have been given to another before.
    pidfd_send_signal(pidfd, 0)
    untilApart(pid)
    write(file, new TextEncoder().encode(String(score)))
  } catch (error) {
    if (!isSysError(error)) throw error
    if (hasEnded(pidfd)) return
    throw new SysError({ errno: -error.errno, syscall: 'spawn', path, attempt: 'write', cause: error })
  }
}

/**
 * A program that is being executed says that it has left our memory a moment before it has (fs/exec.c, `exec_mmap`).
 * Where the kernel does not tell whether it has, that moment is left to luck.
 */
function untilApart(pid: number): void {
  try {
    for (let count = 0; count < LOOKS_MAX && kcmp(process.pid, pid, KCMP_VM) === 0; count++) raw.yield()
  } catch (error) {
    if (!isSysError(error)) throw error
  }
}

function hasEnded(pidfd: OwnedFd): boolean {
  try {
    return waitid({ idtype: P_PIDFD, id: pidfd, options: WEXITED | WNOHANG | WNOWAIT }) !== null
  } catch (error) {
    // This process ignores SIGCHLD, or another reaper was faster.
    if (isSysError(error, 'ECHILD')) return true
    throw error
  }
}
