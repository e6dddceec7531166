// The handle of a started program: waiting for its end, signalling it.
import { P_PIDFD, WEXITED, WNOHANG } from '../generated/constants/process.ts'
import { CLD_DUMPED, CLD_EXITED } from '../generated/constants/signal.ts'
import type { OwnedFd } from '../fd.ts'
import { pidfd_send_signal, waitid, type WaitResult } from '../process.ts'
import { bind } from '../raw.ts'
import { reactor } from '../reactor.ts'
import type { Child, ExitStatus } from '../spawn.ts'

/** Our ends of a child's pipes. */
export interface ChildPipes {
  stdin?: OwnedFd
  stdout?: OwnedFd
  stderr?: OwnedFd
}

/** The handle of the child `pid`, with our ends of its pipes. */
export function makeChild(pid: number, pidfd: OwnedFd, ends: ChildPipes): Child {
  let status: ExitStatus | undefined
  let hasLooked = false
  let disposal: AbortController | undefined
  return {
    pid,
    pidfd,
    ...ends,
    async wait({ signal } = {}) {
      if (status !== undefined) return status
      signal?.throwIfAborted()
      if (!hasLooked) {
        hasLooked = true
        const result = reapSoon(pidfd)
        if (result !== null) status = exitStatus(pid, result)
      }
      if (status === undefined) {
        disposal ??= new AbortController()
        const given = signal === undefined ? disposal.signal : AbortSignal.any([signal, disposal.signal])
        await reactor().readable(pidfd, { signal: given })
      }
      // Of several waits the first one reaps.
      status ??= reap(pid, pidfd)
      return status
    },
    kill: (signal) => pidfd_send_signal(pidfd, signal),
    [Symbol.dispose]() {
      disposal?.abort(new TypeError(`spawn: the child ${pid} was disposed before its end was known`))
      pidfd.close()
      for (const end of Object.values(ends)) end.close()
    },
  }
}

function reap(pid: number, pidfd: OwnedFd): ExitStatus {
  const result = waitid({ idtype: P_PIDFD, id: pidfd, options: WEXITED })
  if (result === null) throw new TypeError(`spawn: pid ${pid} ended without a status`)
  return exitStatus(pid, result)
}

function exitStatus(pid: number, result: WaitResult): ExitStatus {
  const exited = result.code === CLD_EXITED
  return {
    pid,
    code: exited ? result.status : null,
    signal: exited ? null : result.status,
    coreDumped: result.code === CLD_DUMPED,
  }
}

const schedYield = bind('sched_yield')

/**
 * How long the first wait looks before it leaves the thread. A tiny program has ended by then, and to have
 * JavaScript woken for it would cost half of what its spawn does.
 */
const soonNs = 100_000

/**
 * Reaps the child if it has ended, or does within a tenth of a millisecond; else null. The thread lends the
 * processor to others meanwhile. It does not sleep: the timer that would wake it costs 20 µs on virtual machines.
 */
function reapSoon(pidfd: OwnedFd): WaitResult | null {
  const endNs = Bun.nanoseconds() + soonNs
  for (;;) {
    const result = waitid({ idtype: P_PIDFD, id: pidfd, options: WEXITED | WNOHANG })
    if (result !== null || Bun.nanoseconds() >= endNs) return result
    schedYield()
  }
}
